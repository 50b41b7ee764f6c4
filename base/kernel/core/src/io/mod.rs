//! Descriptors and what they do: open descriptions, reading and writing, pipes, event queues, passing.

pub mod call;
pub mod event;
pub mod file;
pub mod meta;
pub mod open;
pub mod passing;
pub mod pipe;
pub mod table;
pub mod transfer;
