//! GGUF files: metadata and tensor table, read with caps, and a writer for tests, benchmarks and the exporter.
//!
//! The reader trusts nothing: every count is held to [`crate::limits`] and to the bytes that are there before
//! anything is allocated, every tensor must lie inside the file with whole blocks. It copies metadata and leaves
//! tensor data where it is. Versions 2 and 3, little-endian. The specification is `docs/gguf.md` of ggml.

mod read;
mod write;

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::quant::Format;

pub use write::Writer;

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Value {
    U64(u64),
    I64(i64),
    F64(f64),
    Bool(bool),
    Text(String),
    /// Strings that are not UTF-8 (tokens of byte vocabularies) stay bytes.
    Bytes(Vec<u8>),
    Texts(Vec<Vec<u8>>),
    Numbers(Vec<f64>),
    Array(Vec<Value>),
}

/// Where a tensor lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Element type.
    pub format: Format,
    /// Weights per row (the first dimension).
    pub cols: usize,
    /// Rows: all other dimensions multiplied.
    pub rows: usize,
    /// Byte offset in the file.
    pub offset: usize,
    /// Bytes.
    pub len: usize,
}

/// The head of a GGUF file.
#[derive(Clone, Debug, Default)]
pub struct Gguf {
    /// Metadata by key.
    pub pairs: BTreeMap<String, Value>,
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
}

impl Gguf {
    /// Reads the head of a whole file in memory.
    ///
    /// # Errors
    /// [`Error::BadModel`] names what is wrong; [`Error::Unsupported`] an element type that we do not know.
    pub fn read(file: &[u8]) -> Result<Gguf> {
        read::read(file)
    }

    /// The architecture that a file names, from its first bytes. Cheap: for telling models apart in a listing.
    pub fn architecture(head: &[u8]) -> Option<String> {
        read::architecture(head)
    }

    /// A text value.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.pairs.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number that is not negative.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.pairs.get(key)? {
            Value::U64(value) => Some(*value),
            Value::I64(value) => u64::try_from(*value).ok(),
            // Some writers give per-layer arrays where all layers agree.
            Value::Numbers(values) => {
                let first = *values.first()?;
                (first >= 0.0 && values.iter().all(|value| *value == first)).then_some(first as u64)
            }
            _ => None,
        }
    }

    /// A whole number within `1..=limit`.
    ///
    /// # Errors
    /// Where it is missing or outside.
    pub fn size(&self, key: &str, limit: usize) -> Result<usize> {
        let value = self
            .number(key)
            .ok_or_else(|| Error::bad(format!("{key} is missing")))?;
        match usize::try_from(value) {
            Ok(size) if size >= 1 && size <= limit => Ok(size),
            _ => Err(Error::bad(format!(
                "{key} is {value}, outside 1 to {limit}"
            ))),
        }
    }

    /// A real number.
    pub fn real(&self, key: &str) -> Option<f32> {
        match self.pairs.get(key)? {
            Value::F64(value) => Some(*value as f32),
            Value::U64(value) => Some(*value as f32),
            Value::I64(value) => Some(*value as f32),
            _ => None,
        }
    }

    /// A truth value.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.pairs.get(key)? {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// An array of strings.
    pub fn texts(&self, key: &str) -> Option<&[Vec<u8>]> {
        match self.pairs.get(key)? {
            Value::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    /// An array of numbers.
    pub fn numbers(&self, key: &str) -> Option<&[f64]> {
        match self.pairs.get(key)? {
            Value::Numbers(numbers) => Some(numbers),
            _ => None,
        }
    }
}
