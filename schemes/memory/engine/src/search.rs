//! Questions: by meaning, by words, or both fused by reciprocal rank; always checked against the state.
//!
//! Every hit is a live chunk of a visible document that passes the filter: the check is made on each candidate, whatever
//! an index says. Duplicates (linked documents with the same chunk) show once.

use std::collections::HashMap;

use crate::collection::Collection;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::id_set::IdSet;
use crate::limits;
use crate::record::DocumentId;
use crate::text_index::ChunkId;

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Both, fused.
    #[default]
    Hybrid,
    /// By meaning.
    Vector,
    /// By words.
    Text,
}

/// A question.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// In words.
    pub text: String,
    /// As vectors, with the model that made each.
    pub vectors: Vec<(String, Vec<f32>)>,
    /// How many hits.
    pub k: usize,
    /// How to search.
    pub mode: Mode,
    /// Which documents may be found.
    pub filter: Option<Filter>,
    /// Only documents under this path.
    pub prefix: String,
}

/// A found chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The chunk.
    pub chunk: ChunkId,
    /// Its document.
    pub document: DocumentId,
    /// First byte of the passage.
    pub start: u32,
    /// Byte after its last.
    pub end: u32,
    /// Estimated tokens.
    pub tokens: u32,
    /// Nearness (vector), BM25 (text) or fused rank score (hybrid); larger is better.
    pub score: f32,
}

/// Candidates that each list gives to the fusion, at least.
const CANDIDATES: usize = 50;

impl Collection {
    /// The best hits, best first.
    ///
    /// # Errors
    /// `TooLong` for a long question or a large `k`, `BadVector`.
    pub fn search(&mut self, query: &Query) -> Result<Vec<Hit>> {
        if query.text.len() > limits::QUERY_BYTES {
            return Err(Error::TooLong("query", limits::QUERY_BYTES));
        }
        if query.k > limits::RESULTS {
            return Err(Error::TooLong("k", limits::RESULTS));
        }
        let selected = self.select(query);
        let most = (query.k * 4).max(CANDIDATES);
        let mut scratch = core::mem::take(&mut self.scratch);
        let by_vector = if query.mode == Mode::Text {
            Ok(Vec::new())
        } else {
            self.search_vectors(query, most, selected.as_ref(), &mut scratch)
        };
        self.scratch = scratch;
        let by_vector = by_vector?;
        let by_text = if query.mode == Mode::Vector {
            Vec::new()
        } else {
            self.text.search(&query.text, most, |chunk| {
                self.accepts(chunk, selected.as_ref())
            })
        };
        let ranked = match query.mode {
            Mode::Vector => by_vector,
            Mode::Text => by_text,
            Mode::Hybrid => fuse(&[by_vector, by_text]),
        };
        Ok(self.hits(ranked, query.k))
    }

    /// Documents that the filter and the prefix leave; `None` for all.
    fn select(&self, query: &Query) -> Option<IdSet> {
        let mut set = query
            .filter
            .as_ref()
            .map(|filter| self.metadata.select(filter));
        if !query.prefix.is_empty() {
            let under: IdSet = self
                .under(&query.prefix)
                .map(|document| document.id)
                .collect();
            match &mut set {
                Some(set) => set.intersect(&under),
                None => set = Some(under),
            }
        }
        set
    }

    fn accepts(&self, chunk: ChunkId, selected: Option<&IdSet>) -> bool {
        let document = self.chunks[chunk as usize].document;
        selected.is_none_or(|set| set.contains(document)) && self.is_live(chunk)
    }

    fn search_vectors(
        &self,
        query: &Query,
        most: usize,
        selected: Option<&IdSet>,
        scratch: &mut crate::vector::graph::Scratch,
    ) -> Result<Vec<(f32, ChunkId)>> {
        let accepted = match selected {
            None => self.live_chunks,
            Some(set) => {
                let chunks = |id| self.documents.get(&id).map_or(0, |d| d.chunks.len());
                set.iter().map(chunks).sum()
            }
        };
        let accepts = |chunk: ChunkId| self.accepts(chunk, selected);
        let mut found: Vec<(f32, ChunkId)> = Vec::new();
        for space in &self.spaces {
            let Some((_, vector)) = query
                .vectors
                .iter()
                .find(|(model, _)| model == space.model())
            else {
                continue;
            };
            // Chunks that a newer model has embedded are not asked of the older one.
            let before = found.len();
            let hits = space.search(vector, most, accepted, &accepts, scratch)?;
            let known: Vec<ChunkId> = found[..before].iter().map(|hit| hit.1).collect();
            found.extend(hits.into_iter().filter(|hit| !known.contains(&hit.1)));
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        found.truncate(most);
        Ok(found)
    }

    fn hits(&self, ranked: Vec<(f32, ChunkId)>, k: usize) -> Vec<Hit> {
        let mut out: Vec<Hit> = Vec::new();
        let mut seen: Vec<u64> = Vec::new();
        for (score, chunk) in ranked {
            if out.len() == k {
                break;
            }
            let stored = self.chunks[chunk as usize];
            if !self.is_live(chunk) || seen.contains(&stored.span.hash) {
                continue;
            }
            seen.push(stored.span.hash);
            let (start, end, tokens) = (stored.span.start, stored.span.end, stored.span.tokens);
            out.push(Hit {
                chunk,
                document: stored.document,
                start,
                end,
                tokens,
                score,
            });
        }
        out
    }
}

/// Reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009): scores of different kinds need no common scale.
fn fuse(lists: &[Vec<(f32, ChunkId)>]) -> Vec<(f32, ChunkId)> {
    let mut scores: HashMap<ChunkId, f32> = HashMap::new();
    for list in lists {
        for (rank, &(_, chunk)) in list.iter().enumerate() {
            *scores.entry(chunk).or_default() += 1.0 / (limits::FUSION_OFFSET + 1.0 + rank as f32);
        }
    }
    let mut fused: Vec<(f32, ChunkId)> =
        scores.into_iter().map(|(id, score)| (score, id)).collect();
    fused.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    fused
}
