//! The rules of the `memory:` scheme.
//!
//! What is remembered is a log of records; everything else is an index that replaying the log gives again. This crate
//! holds the record format, the state that a replay makes, chunking, metadata and filters, text and vector search, their
//! fusion, tiers, history and context assembly. It does no input or output, reads no clock, starts no thread and makes no
//! random numbers: the daemon hands in times and keys and carries out what is asked.
//!
//! Invariants: the same log gives the same state and the same search results; nothing a client wrote can make a function
//! here panic; no automatic change removes anything.
#![forbid(unsafe_code)]

pub mod ageing;
pub mod chunk;
pub mod collection;
pub mod context;
pub mod document;
pub mod error;
pub mod filter;
pub mod frame;
pub mod hashing;
mod history;
pub mod id_set;
pub mod indexing;
mod keep;
pub mod limits;
pub mod metadata;
pub mod metadata_index;
pub mod options;
pub mod path;
pub mod record;
pub mod search;
pub mod text_index;
pub mod vector;
pub mod words;

pub use collection::Collection;
pub use error::{Error, Result};
