//! How contents get into the indexes: chunks, words, vectors; and what still lacks vectors.

use std::collections::{BTreeMap, HashMap};

use crate::chunk::{self, Chunk};
use crate::collection::Collection;
use crate::document::StoredChunk;
use crate::error::{Error, Result};
use crate::limits;
use crate::record::{DocumentId, VectorData};
use crate::text_index::ChunkId;
use crate::vector::space::Space;

/// Chunks of a document that wait for vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// The document.
    pub document: DocumentId,
    /// Hashes of the chunks' texts.
    pub hashes: Vec<u64>,
}

impl Collection {
    pub(crate) fn index_content(&mut self, id: DocumentId, body: &[u8]) {
        let Some(document) = self.documents.get_mut(&id) else {
            return;
        };
        let old = document.chunks.clone();
        let format = chunk::format_of(&document.path, body);
        let text = core::str::from_utf8(body).unwrap_or("");
        let cut = format.map_or_else(Vec::new, |f| {
            chunk::chunks(f, text, self.options.chunk_bytes)
        });
        let first = self.chunks.len() as ChunkId;
        document.format = format;
        document.chunks = first..first + cut.len() as ChunkId;
        self.live_chunks = self.live_chunks + cut.len() - old.len();
        let inherited: HashMap<u64, ChunkId> = old
            .map(|chunk| (self.chunks[chunk as usize].span.hash, chunk))
            .collect();
        self.unembedded.insert(id);
        for (chunk, Chunk { span, text }) in (first..).zip(cut) {
            self.chunks.push(StoredChunk { document: id, span });
            self.text.add(chunk, &text);
            if let Some(&from) = inherited.get(&span.hash) {
                self.spaces
                    .iter_mut()
                    .for_each(|space| space.inherit(from, chunk));
            }
        }
    }

    pub(crate) fn add_vectors(
        &mut self,
        id: DocumentId,
        model: &str,
        dims: usize,
        hashes: &[u64],
        data: &VectorData,
    ) -> Result<()> {
        if dims == 0 || dims > limits::DIMENSIONS {
            return Err(Error::BadVector);
        }
        let rows = data.rows(dims).filter(|rows| rows.len() == hashes.len());
        let rows = rows.ok_or(Error::BadRecord("vector count"))?;
        let document = self.documents.get(&id).ok_or(Error::NotFound)?;
        let chunks = document.chunks.clone();
        if !self.spaces.iter().any(|space| space.model() == model) {
            if model != self.options.model {
                return Ok(()); // of a model that was given up; the compaction drops the record
            }
            let (metric, precision) = (self.options.metric, self.options.vectors);
            self.spaces
                .insert(0, Space::new(model, dims, metric, precision));
        }
        let Some(space) = self.spaces.iter_mut().find(|space| space.model() == model) else {
            return Ok(());
        };
        let by_hash: HashMap<u64, &Vec<f32>> = hashes.iter().copied().zip(&rows).collect();
        for chunk in chunks {
            let hash = self.chunks[chunk as usize].span.hash;
            if let (None, Some(row)) = (space.row_of(chunk), by_hash.get(&hash)) {
                space.add(chunk, row)?;
            }
        }
        if self.pending_of(id).is_empty() {
            self.unembedded.remove(&id);
        }
        Ok(())
    }

    /// Drops the vectors of the model before once the current one has them all.
    fn drop_old_space(&mut self) {
        if self.spaces.len() > 1 && self.pending(1).is_empty() {
            self.spaces.truncate(1);
        }
    }

    /// Up to `most` documents with chunks that the current model has not embedded.
    pub fn pending(&self, most: usize) -> Vec<Pending> {
        let mut out = Vec::new();
        for document in self.documents.values() {
            if out.len() >= most {
                break;
            }
            let hashes = self.pending_of(document.id);
            if !hashes.is_empty() {
                out.push(Pending {
                    document: document.id,
                    hashes,
                });
            }
        }
        out
    }

    /// Hashes of a document's chunks that the current model has not embedded.
    pub fn pending_of(&self, id: DocumentId) -> Vec<u64> {
        let Some(document) = self.documents.get(&id) else {
            return Vec::new();
        };
        let space = self.space();
        let lacks = |chunk: &ChunkId| space.is_none_or(|space| space.row_of(*chunk).is_none());
        let mut hashes: Vec<u64> = document
            .chunks
            .clone()
            .filter(lacks)
            .map(|c| self.chunks[c as usize].span.hash)
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// What must be embedded if `path` gets this content: hashes and texts of chunks that have no vector yet.
    pub fn needed_for(&self, path: &str, body: &[u8]) -> (Vec<u64>, Vec<String>) {
        let Some(format) = chunk::format_of(path, body) else {
            return Default::default();
        };
        let text = core::str::from_utf8(body).unwrap_or("");
        let mut needed: BTreeMap<u64, String> =
            chunk::chunks(format, text, self.options.chunk_bytes)
                .into_iter()
                .map(|chunk| (chunk.span.hash, chunk.text))
                .collect();
        if let (Some(document), Some(space)) = (self.at_path(path), self.space()) {
            for chunk in document
                .chunks
                .clone()
                .filter(|chunk| space.row_of(*chunk).is_some())
            {
                needed.remove(&self.chunks[chunk as usize].span.hash);
            }
        }
        needed.into_iter().unzip()
    }

    /// The texts to embed for `hashes` of a document whose content is `body`, in the order of `hashes`.
    pub fn texts_for(&self, id: DocumentId, body: &[u8], hashes: &[u64]) -> Vec<String> {
        let Some(document) = self.documents.get(&id) else {
            return Vec::new();
        };
        let (Some(format), Ok(text)) = (document.format, core::str::from_utf8(body)) else {
            return Vec::new();
        };
        let cut = chunk::chunks(format, text, self.options.chunk_bytes);
        let texts: HashMap<u64, String> = cut.into_iter().map(|c| (c.span.hash, c.text)).collect();
        hashes
            .iter()
            .map(|hash| texts.get(hash).cloned().unwrap_or_default())
            .collect()
    }

    /// Does a slice of index work (rows into the graph, the recall check); says whether any is left.
    pub fn index_step(&mut self, rows: usize) -> bool {
        self.drop_old_space();
        let scratch = &mut self.scratch;
        let mut left = false;
        if let Some(space) = self.spaces.first_mut() {
            left = space.index_step(rows, scratch);
            if !left && space.needs_check() {
                space.check_recall(limits::RECALL_TARGET_MILLI, scratch);
            }
        }
        left
    }

    /// Rows that questions must scan because the graph does not hold them yet.
    pub fn unindexed(&self) -> usize {
        self.space()
            .map_or(0, |space| space.len() - space.indexed())
    }

    /// A snapshot of the graph, for faster opening; `None` while there is none. Holds neither text nor vectors.
    pub fn graph_snapshot(&self) -> Option<Vec<u8>> {
        self.space()
            .filter(|space| space.indexed() > 0)
            .map(Space::encode_graph)
    }

    /// Takes a snapshot back after replaying the log; `false` if it does not fit, which costs only time.
    pub fn restore_graph(&mut self, bytes: &[u8]) -> bool {
        let model = self.options.model.clone();
        let space = self.spaces.iter_mut().find(|space| space.model() == model);
        space.is_some_and(|space| space.restore_graph(bytes))
    }
}
