//! The records of a log, as types, and their bytes.
//!
//! A record says what happened, not what the state becomes: replaying all of them in order gives the state. Kinds are
//! numbers that never change meaning; a kind that a newer version wrote is kept as it is and skipped. Records about one
//! document carry the document's key slot and so are unreadable once it is forgotten; `Forget` itself is not sealed.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::vector::codes::Precision;

/// Number of a document in its collection; never reused. It is also the number of its key slot.
pub type DocumentId = u32;

/// A content hash, cut to what tells documents of one collection apart.
pub type Hash = [u8; 16];

/// Hash of some content.
pub fn hash(bytes: &[u8]) -> Hash {
    let mut out = [0; 16];
    out.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    out
}

/// Why a document is not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hidden {
    /// A newer document says the same thing anew: its number.
    Superseded(DocumentId),
    /// It moved to another tier: the collection and path there.
    Aged(String),
    /// Its time to live ended.
    Expired,
}

/// Why two documents are linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkKind {
    /// Same bytes.
    Duplicate,
    /// Nearly the same meaning.
    Similar,
}

/// Vectors of chunks, as the log keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum VectorData {
    /// Little-endian floats, row after row.
    F32(Vec<f32>),
    /// Scale per row, and one byte per component.
    Int8(Vec<f32>, Vec<i8>),
}

impl VectorData {
    /// Packs rows as `precision` says.
    pub fn pack(rows: &[Vec<f32>], precision: Precision) -> Self {
        if precision == Precision::F32 {
            return VectorData::F32(rows.concat());
        }
        let mut scales = Vec::with_capacity(rows.len());
        let mut codes = Vec::new();
        for row in rows {
            let largest = row.iter().fold(0f32, |m, x| m.max(x.abs()));
            let unit = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            scales.push(largest / 127.0);
            codes.extend(row.iter().map(|x| (x * unit).round() as i8));
        }
        VectorData::Int8(scales, codes)
    }

    /// Rows of `dims` floats; `None` if the lengths do not fit.
    pub fn rows(&self, dims: usize) -> Option<Vec<Vec<f32>>> {
        if dims == 0 {
            return None;
        }
        match self {
            VectorData::F32(all) => {
                let whole = all.len().is_multiple_of(dims);
                whole.then(|| all.chunks_exact(dims).map(<[f32]>::to_vec).collect())
            }
            VectorData::Int8(scales, codes) => (codes.len() == scales.len() * dims).then(|| {
                let rows = codes.chunks_exact(dims).zip(scales);
                rows.map(|(row, s)| row.iter().map(|&c| f32::from(c) * s).collect())
                    .collect()
            }),
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The collection's options, as the text of its `.ctl`.
    Options(String),
    /// A document was written.
    Put {
        /// Path in the collection.
        path: String,
        /// The bytes as written.
        body: Vec<u8>,
    },
    /// Chunks of the document got their vectors.
    Vectors {
        /// Which model made them.
        model: String,
        /// Dimensions of each.
        dims: u32,
        /// Hashes of the chunks' texts.
        chunks: Vec<u64>,
        /// A vector per chunk.
        data: VectorData,
    },
    /// A document's metadata was set.
    Metadata(String),
    /// A document got another path.
    Rename(String),
    /// A document is forgotten: text, vectors, metadata, history.
    Forget(DocumentId),
    /// An automatic change hid a document.
    Hide(Hidden),
    /// Two documents were linked.
    Link(DocumentId, LinkKind),
    /// The change with this sequence number was taken back.
    Undo(u64),
    /// A document was used in an answer or context (ageing looks at it).
    Touch,
}

impl Record {
    /// The number that stands for the kind in a frame.
    pub fn kind(&self) -> u8 {
        match self {
            Record::Options(_) => 1,
            Record::Put { .. } => 2,
            Record::Vectors { .. } => 4,
            Record::Metadata(_) => 5,
            Record::Rename(_) => 6,
            Record::Forget(_) => 7,
            Record::Hide(_) => 8,
            Record::Link(..) => 9,
            Record::Undo(_) => 10,
            Record::Touch => 11,
        }
    }

    /// The payload's bytes.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// `BadRecord` for bytes that are no record of that kind.
    pub fn decode(kind: u8, payload: &[u8]) -> Result<Self> {
        let record: Record =
            postcard::from_bytes(payload).map_err(|_| Error::BadRecord("payload"))?;
        if record.kind() == kind {
            Ok(record)
        } else {
            Err(Error::BadRecord("kind"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_read_back_as_written() {
        let vectors = VectorData::pack(&[vec![0.5, -1.0], vec![0.0, 0.25]], Precision::F32);
        for record in [
            Record::Put {
                path: "a/b".into(),
                body: b"text".to_vec(),
            },
            Record::Vectors {
                model: "m".into(),
                dims: 2,
                chunks: vec![0, 1],
                data: vectors,
            },
            Record::Hide(Hidden::Superseded(4)),
            Record::Forget(9),
        ] {
            assert_eq!(Record::decode(record.kind(), &record.encode()), Ok(record));
        }
    }

    #[test]
    fn int8_rows_differ_by_less_than_half_a_step() {
        let row: Vec<f32> = (0..64).map(|i| (i as f32 * 0.7).sin()).collect();
        let rows = VectorData::pack(std::slice::from_ref(&row), Precision::Int8)
            .rows(64)
            .unwrap();
        assert!(
            row.iter()
                .zip(&rows[0])
                .all(|(x, y)| (x - y).abs() <= 0.5 / 127.0 + 1e-6)
        );
    }

    proptest! {
        #[test]
        fn any_payload_is_read_without_panic(kind in 0u8..14, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Record::decode(kind, &bytes);
        }
    }
}
