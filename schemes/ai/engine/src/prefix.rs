//! Prefixes that were computed before, shared by all sequences: a tree of cache pages keyed by their tokens.
//!
//! Invariants: a node's page holds exactly the tokens of its key; only full pages have children; at most `limit` pages
//! are held, and the leaf that was used longest ago goes first.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::limits::PAGE;
use crate::model::{Cache, Page};

/// The tree.
#[derive(Default)]
pub struct Prefixes {
    root: BTreeMap<Vec<u32>, Node>,
    pages: usize,
    limit: usize,
    now: u64,
}

struct Node {
    page: Arc<Page>,
    used: u64,
    children: BTreeMap<Vec<u32>, Node>,
}

impl Prefixes {
    /// A tree that holds at most so many pages.
    pub fn new(limit: usize) -> Prefixes {
        Prefixes {
            limit,
            ..Prefixes::default()
        }
    }

    /// Pages held.
    pub fn len(&self) -> usize {
        self.pages
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// A cache with the longest known beginning of `tokens`, at most `most` of them.
    pub fn find(&mut self, tokens: &[u32], most: usize) -> Cache {
        self.now += 1;
        let now = self.now;
        let mut pages = Vec::new();
        let mut rest = &tokens[..most.min(tokens.len())];
        let mut level = &mut self.root;
        let mut last = 0;
        while !rest.is_empty() {
            if rest.len() >= PAGE && level.contains_key(&rest[..PAGE]) {
                let Some(node) = level.get_mut(&rest[..PAGE]) else {
                    break;
                };
                node.used = now;
                pages.push(node.page.clone());
                rest = &rest[PAGE..];
                level = &mut node.children;
                continue;
            }
            let common = |key: &[u32]| key.iter().zip(rest).take_while(|(a, b)| a == b).count();
            let best = level.iter_mut().max_by_key(|(key, _)| common(key));
            if let Some((key, node)) = best {
                last = common(key);
                if last > 0 {
                    node.used = now;
                    pages.push(node.page.clone());
                }
            }
            break;
        }
        let full = pages.len() - usize::from(last > 0);
        let mut cache = Cache::from_pages(pages);
        cache.truncate(full * PAGE + last);
        cache
    }

    /// Keeps a sequence's pages for others.
    pub fn keep(&mut self, cache: &Cache) {
        self.now += 1;
        let now = self.now;
        let mut level = &mut self.root;
        for page in cache.pages() {
            let key = page.tokens.clone();
            if key.is_empty() {
                break;
            }
            if key.len() < PAGE {
                // A longer page with the same beginning serves as well, and replaces shorter ones.
                if level
                    .keys()
                    .any(|other| other.len() > key.len() && other.starts_with(&key))
                {
                    break;
                }
                let before = level.len();
                level.retain(|other, _| !(other.len() < key.len() && key.starts_with(other)));
                self.pages -= before - level.len();
            }
            let is_full = key.len() == PAGE;
            let pages = &mut self.pages;
            let node = level.entry(key).or_insert_with(|| {
                *pages += 1;
                Node {
                    page: page.clone(),
                    used: now,
                    children: BTreeMap::new(),
                }
            });
            node.used = now;
            if !is_full {
                break;
            }
            level = &mut node.children;
        }
        self.shrink(self.limit);
    }

    /// Lets go of the pages used longest ago until at most `limit` are held.
    pub fn shrink(&mut self, limit: usize) {
        while self.pages > limit {
            let Some(oldest) = oldest_leaf(&self.root) else {
                return;
            };
            if !remove_leaf(&mut self.root, oldest) {
                return;
            }
            self.pages -= 1;
        }
    }
}

fn oldest_leaf(level: &BTreeMap<Vec<u32>, Node>) -> Option<u64> {
    let of = |node: &Node| {
        if node.children.is_empty() {
            Some(node.used)
        } else {
            oldest_leaf(&node.children)
        }
    };
    level.values().filter_map(of).min()
}

fn remove_leaf(level: &mut BTreeMap<Vec<u32>, Node>, used: u64) -> bool {
    let key = level
        .iter()
        .find(|(_, node)| node.children.is_empty() && node.used == used);
    if let Some(key) = key.map(|(key, _)| key.clone()) {
        level.remove(&key);
        return true;
    }
    level
        .values_mut()
        .any(|node| remove_leaf(&mut node.children, used))
}
