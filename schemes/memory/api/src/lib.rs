//! The `memory:` scheme as its clients see it: paths, requests and replies as types, and a client over plain files.
//!
//! The parsers here take bytes from anybody: they refuse, they do not panic. No I/O except in [`client`].
#![forbid(unsafe_code)]

pub mod client;
pub mod route;
pub mod wire;

pub use client::Client;
pub use route::{Route, SearchOptions, encode_name};
pub use wire::{ContextPart, ContextRequest, ExportLine, Found, HistoryLine, Import};
