//! The state of one collection: what replaying its log gives.
//!
//! [`Collection::apply`] takes one record at a time and is the only way the state changes; questions are in `search.rs`,
//! changes over time in `ageing.rs` and `history.rs`. Contents stay in the log: the state knows where. Invariants: a
//! document number is used once; `by_path` names exactly the documents; a chunk is live exactly if it is in its
//! document's current range and the document is not hidden.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::{Change, Document, Entry, StoredChunk, Version};
use crate::error::{Error, Result};
use crate::frame::Header;
use crate::metadata::{Metadata, Scalar};
use crate::metadata_index::MetadataIndex;
use crate::options::Options;
use crate::record::{DocumentId, Hash, Record, hash};
use crate::text_index::{ChunkId, TextIndex};
use crate::vector::graph::Scratch;
use crate::vector::space::Space;

/// The state.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    pub(crate) options: Options,
    pub(crate) documents: BTreeMap<DocumentId, Document>,
    pub(crate) by_path: BTreeMap<String, DocumentId>,
    pub(crate) by_hash: BTreeMap<Hash, Vec<DocumentId>>,
    pub(crate) chunks: Vec<StoredChunk>,
    pub(crate) live_chunks: usize,
    pub(crate) text: TextIndex,
    pub(crate) metadata: MetadataIndex,
    /// The current model's vectors first; behind it, while those are not complete, the model's before.
    pub(crate) spaces: Vec<Space>,
    /// Documents that may lack vectors: never misses one, may name some that have all.
    pub(crate) unembedded: BTreeSet<DocumentId>,
    pub(crate) history: BTreeMap<u64, Entry>,
    pub(crate) scratch: Scratch,
    pub(crate) last_seq: u64,
    pub(crate) last_time: u64,
}

impl Collection {
    /// An empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the next record of the log, which begins at byte `offset` there.
    ///
    /// # Errors
    /// `BadRecord` if it does not fit; the state is as before then.
    pub fn apply(&mut self, header: &Header, record: Record, offset: u64) -> Result<()> {
        if header.seq <= self.last_seq {
            return Err(Error::BadRecord("order"));
        }
        match record {
            Record::Options(text) => {
                let mut options = self.options.clone();
                options.apply(&text)?;
                self.set_options(options);
            }
            Record::Forget(id) => {
                self.forget(id);
            }
            Record::Undo(seq) => self.mark_undone(seq),
            Record::Put { path, body } => self.put(header, path, &body, offset)?,
            other => {
                let id = header.slot.ok_or(Error::BadRecord("no document"))?;
                self.apply_to_document(header, id, other)?;
            }
        }
        self.last_seq = header.seq;
        self.last_time = self.last_time.max(header.time);
        Ok(())
    }

    fn apply_to_document(&mut self, header: &Header, id: DocumentId, record: Record) -> Result<()> {
        let document = self
            .documents
            .get_mut(&id)
            .ok_or(Error::BadRecord("unknown document"))?;
        match record {
            Record::Vectors {
                model,
                dims,
                chunks,
                data,
            } => {
                return self.add_vectors(id, &model, dims as usize, &chunks, &data);
            }
            Record::Metadata(text) => {
                Metadata::parse(&text)?;
                let before = document
                    .metadata
                    .last()
                    .map(|(_, text)| text.clone())
                    .unwrap_or_default();
                document.metadata.push((header.seq, text));
                self.remember(header, id, Change::Metadata(before));
                self.index_metadata(id);
            }
            Record::Rename(to) => {
                if self.by_path.contains_key(&to) {
                    return Err(Error::BadRecord("path taken"));
                }
                let from = core::mem::replace(&mut document.path, to.clone());
                self.by_path.remove(&from);
                self.by_path.insert(to, id);
                self.remember(header, id, Change::Renamed(from));
                self.index_metadata(id);
            }
            Record::Hide(why) => {
                if document.hidden.is_none() {
                    self.live_chunks -= document.chunks.len();
                }
                document.hidden = Some((header.seq, why.clone()));
                self.remember(header, id, Change::Hidden(why));
            }
            Record::Link(to, kind) => {
                document.links.push((header.seq, to, kind));
                self.remember(header, id, Change::Linked(to, kind));
            }
            Record::Touch => {
                document.touched = document.touched.max(header.time);
                document.touch_seq = header.seq;
            }
            _ => return Err(Error::BadRecord("kind")),
        }
        Ok(())
    }

    fn remember(&mut self, header: &Header, document: DocumentId, change: Change) {
        let (seq, time) = (header.seq, header.time);
        self.history.insert(
            seq,
            Entry {
                seq,
                time,
                document,
                change,
                undone: false,
            },
        );
    }

    fn set_options(&mut self, options: Options) {
        if options.model != self.options.model {
            self.spaces
                .retain(|space| space.model() == self.options.model && !space.is_empty());
        }
        self.options = options;
    }

    fn put(&mut self, header: &Header, path: String, body: &[u8], offset: u64) -> Result<()> {
        let id = header.slot.ok_or(Error::BadRecord("no document"))?;
        let version = Version {
            seq: header.seq,
            time: header.time,
            bytes: body.len() as u64,
            hash: hash(body),
            offset,
        };
        if let Some(document) = self.documents.get_mut(&id) {
            let before = document.versions.last().map(|v| (v.seq, v.hash));
            document.versions.push(version.clone());
            document.touched = document.touched.max(header.time);
            let was_hidden = document.hidden.take().is_some();
            if was_hidden {
                self.live_chunks += document.chunks.len();
            }
            if let Some((seq, old_hash)) = before {
                self.unlist_hash(old_hash, id);
                self.remember(header, id, Change::Replaced(seq));
            }
        } else {
            if self.by_path.contains_key(&path) {
                return Err(Error::BadRecord("path taken"));
            }
            self.by_path.insert(path.clone(), id);
            self.documents
                .insert(id, Document::new(id, path, version.clone()));
        }
        self.by_hash.entry(version.hash).or_default().push(id);
        self.index_content(id, body);
        self.index_metadata(id);
        Ok(())
    }

    fn unlist_hash(&mut self, hash: Hash, id: DocumentId) {
        if let Some(ids) = self.by_hash.get_mut(&hash) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.by_hash.remove(&hash);
            }
        }
    }

    fn forget(&mut self, id: DocumentId) {
        let Some(document) = self.documents.remove(&id) else {
            return;
        };
        if document.hidden.is_none() {
            self.live_chunks -= document.chunks.len();
        }
        self.by_path.remove(&document.path);
        if let Some(version) = document.current() {
            self.unlist_hash(version.hash, id);
        }
        self.metadata.remove(id);
        self.unembedded.remove(&id);
        self.history.retain(|_, entry| {
            entry.document != id && !matches!(entry.change, Change::Linked(to, _) if to == id)
        });
        for other in self.documents.values_mut() {
            other.links.retain(|&(_, to, _)| to != id);
        }
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Sequence number of the last record.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Latest time of any record.
    pub fn last_time(&self) -> u64 {
        self.last_time
    }

    /// The document at a path, hidden or not.
    pub fn at_path(&self, path: &str) -> Option<&Document> {
        self.by_path.get(path).and_then(|id| self.documents.get(id))
    }

    /// The document at a path, unless it is hidden.
    pub fn visible(&self, path: &str) -> Option<&Document> {
        self.at_path(path)
            .filter(|document| document.hidden.is_none())
    }

    /// A document by number.
    pub fn document(&self, id: DocumentId) -> Option<&Document> {
        self.documents.get(&id)
    }

    /// All documents in order of number, hidden ones too.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.values()
    }

    /// Visible documents whose path begins with `prefix`, in order of path.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Document> {
        self.by_path
            .range::<str, _>((
                core::ops::Bound::Included(prefix),
                core::ops::Bound::Unbounded,
            ))
            .take_while(move |(path, _)| path.starts_with(prefix))
            .filter_map(|(_, id)| self.documents.get(id))
            .filter(|document| document.hidden.is_none())
    }

    /// Documents with this content, in order of writing.
    pub fn with_hash(&self, hash: &Hash) -> &[DocumentId] {
        self.by_hash.get(hash).map_or(&[], |ids| ids)
    }

    /// A chunk, live or not.
    pub fn chunk(&self, id: ChunkId) -> Option<&StoredChunk> {
        self.chunks.get(id as usize)
    }

    /// Whether a search may return the chunk.
    pub fn is_live(&self, chunk: ChunkId) -> bool {
        let stored = self.chunks.get(chunk as usize);
        stored
            .and_then(|stored| self.documents.get(&stored.document))
            .is_some_and(|document| document.hidden.is_none() && document.chunks.contains(&chunk))
    }

    /// Live chunks, and all chunks.
    pub fn chunk_counts(&self) -> (usize, usize) {
        (self.live_chunks, self.chunks.len())
    }

    /// The current model's vectors, once there are any.
    pub fn space(&self) -> Option<&Space> {
        self.spaces
            .iter()
            .find(|space| space.model() == self.options.model)
    }

    /// Changes that can be looked at and taken back, oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.history.values()
    }

    /// Metadata of a document, with the keys every document has: `path`, `time` (Unix seconds), `tier`.
    pub(crate) fn index_metadata(&mut self, id: DocumentId) {
        let Some(document) = self.documents.get(&id) else {
            return;
        };
        let text = document.metadata.last().map_or("", |(_, text)| text);
        let mut metadata = Metadata::parse(text).unwrap_or_default();
        metadata.set("path", Scalar::Text(document.path.clone()));
        metadata.set("time", Scalar::Int((document.time() / 1000) as i64));
        if metadata.get("tier").is_none() {
            metadata.set("tier", Scalar::Text(self.options.tier.name().to_owned()));
        }
        self.metadata.set(id, metadata);
    }
}
