//! What a collection knows of one document.

use crate::chunk::{ChunkSpan, Format};
use crate::record::{DocumentId, Hash, Hidden, LinkKind};
use crate::text_index::ChunkId;

/// One content that a document has or had.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Sequence number of its record: also its name.
    pub seq: u64,
    /// When it was written, Unix milliseconds.
    pub time: u64,
    /// Size of the content.
    pub bytes: u64,
    /// Hash of the content.
    pub hash: Hash,
    /// Where its record begins in the log.
    pub offset: u64,
}

/// A document; forgotten ones are gone from the state.
#[derive(Clone, Debug)]
pub struct Document {
    /// Number in the collection.
    pub id: DocumentId,
    /// Path in the collection.
    pub path: String,
    /// Contents, oldest first; the last is the current one.
    pub versions: Vec<Version>,
    /// Metadata texts with their sequence numbers, oldest first; the last is the current one.
    pub metadata: Vec<(u64, String)>,
    /// Why it is not shown, and since which record.
    pub hidden: Option<(u64, Hidden)>,
    /// Links to other documents, with their sequence numbers.
    pub links: Vec<(u64, DocumentId, LinkKind)>,
    /// When it was last written or used.
    pub touched: u64,
    /// Sequence number of the last `Touch` record, 0 for none.
    pub touch_seq: u64,
    /// Format of the current version; `None` if it is no text.
    pub format: Option<Format>,
    /// Chunks of the current version.
    pub chunks: core::ops::Range<ChunkId>,
}

impl Document {
    pub(crate) fn new(id: DocumentId, path: String, version: Version) -> Self {
        Self {
            id,
            path,
            touched: version.time,
            versions: vec![version],
            metadata: Vec::new(),
            hidden: None,
            links: Vec::new(),
            touch_seq: 0,
            format: None,
            chunks: 0..0,
        }
    }

    /// The current version.
    pub fn current(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// When the current version was written.
    pub fn time(&self) -> u64 {
        self.current().map_or(0, |version| version.time)
    }
}

/// A chunk of some version of some document.
#[derive(Clone, Copy, Debug)]
pub struct StoredChunk {
    /// Its document.
    pub document: DocumentId,
    /// Place, hash and size.
    pub span: ChunkSpan,
}

/// What a history entry changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The content; the version before has this sequence number.
    Replaced(u64),
    /// It was hidden.
    Hidden(Hidden),
    /// It was linked.
    Linked(DocumentId, LinkKind),
    /// Its metadata was replaced; this was the text before.
    Metadata(String),
    /// It was renamed; this was the path before.
    Renamed(String),
}

/// One change that can be looked at and taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Sequence number: its name.
    pub seq: u64,
    /// When.
    pub time: u64,
    /// Which document.
    pub document: DocumentId,
    /// What changed.
    pub change: Change,
    /// Whether it was taken back.
    pub undone: bool,
}

/// What the daemon must do to take a change back; records are to be appended in order.
#[derive(Clone, Debug, PartialEq)]
pub enum UndoPlan {
    /// Append these records about the document.
    Append(DocumentId, Vec<crate::record::Record>),
    /// Write the old version's content again, then mark the change as undone.
    Republish(DocumentId, u64),
}
