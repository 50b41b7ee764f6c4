//! The keys and values of one sequence, in pages that sequences can share.
//!
//! A page holds [`PAGE`] positions of all layers and the tokens that they came from. Forking a sequence shares its
//! pages; the first to write into a shared page gets a copy of its own. Invariant: `pages` covers at least `len`
//! positions, and every page before the last is full.

use std::sync::Arc;

use super::Shape;
use crate::limits::PAGE;

/// A page: see the module's text.
#[derive(Clone, Debug)]
pub struct Page {
    /// The tokens of the positions that are filled.
    pub tokens: Vec<u32>,
    /// `[layer][key, value][head][position][channel]`.
    data: Vec<f32>,
}

impl Page {
    /// Floats in a page of such a model.
    pub fn floats(shape: &Shape) -> usize {
        shape.layers * 2 * shape.kv_width() * PAGE
    }

    fn new(shape: &Shape) -> Page {
        Page {
            tokens: Vec::with_capacity(PAGE),
            data: vec![0.0; Page::floats(shape)],
        }
    }
}

/// The cache of one sequence.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    pages: Vec<Arc<Page>>,
    len: usize,
}

impl Cache {
    /// A cache that begins with full pages computed before.
    pub fn from_pages(pages: Vec<Arc<Page>>) -> Cache {
        let len = pages.len() * PAGE;
        Cache { pages, len }
    }

    /// Positions that are filled.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pages.
    pub fn pages(&self) -> &[Arc<Page>] {
        &self.pages
    }

    /// The tokens of all filled positions.
    pub fn tokens(&self) -> impl Iterator<Item = u32> + '_ {
        self.pages
            .iter()
            .flat_map(|page| page.tokens.iter().copied())
            .take(self.len)
    }

    /// Forgets everything from position `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.len = len;
        self.pages.truncate(len.div_ceil(PAGE));
        if !len.is_multiple_of(PAGE)
            && let Some(last) = self.pages.last_mut()
        {
            Arc::make_mut(last).tokens.truncate(len % PAGE);
        }
    }

    /// Makes room for `tokens` behind the filled positions and counts them as filled; the caller writes them next.
    pub(super) fn extend(&mut self, shape: &Shape, tokens: impl Iterator<Item = u32>) {
        for token in tokens {
            if self.len == self.pages.len() * PAGE {
                self.pages.push(Arc::new(Page::new(shape)));
            }
            if let Some(last) = self.pages.last_mut() {
                Arc::make_mut(last).tokens.push(token);
            }
            self.len += 1;
        }
    }

    /// Writes keys and values of one position of one layer.
    pub(super) fn write(
        &mut self,
        shape: &Shape,
        layer: usize,
        position: usize,
        k: &[f32],
        v: &[f32],
    ) {
        let Some(page) = self.pages.get_mut(position / PAGE) else {
            return;
        };
        let data = &mut Arc::make_mut(page).data;
        let head = shape.head;
        for (which, values) in [k, v].into_iter().enumerate() {
            for (index, channels) in values.chunks_exact(head).enumerate() {
                let block = (layer * 2 + which) * shape.kv_heads + index;
                data[(block * PAGE + position % PAGE) * head..][..head].copy_from_slice(channels);
            }
        }
    }

    /// The keys (0) or values (1) of a head, page by page, for positions before `end`.
    pub(super) fn head<'a>(
        &'a self,
        shape: &'a Shape,
        layer: usize,
        which: usize,
        head: usize,
        end: usize,
    ) -> impl Iterator<Item = &'a [f32]> + 'a {
        let block = (layer * 2 + which) * shape.kv_heads + head;
        self.pages
            .iter()
            .enumerate()
            .take(end.div_ceil(PAGE))
            .map(move |(index, page)| {
                let count = (end - index * PAGE).min(PAGE);
                &page.data[block * PAGE * shape.head..][..count * shape.head]
            })
    }
}
