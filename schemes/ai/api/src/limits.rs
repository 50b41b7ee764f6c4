//! Bounds of the contract.

/// Bytes of one message, prompt or request.
pub const INPUT_BYTES: usize = 4 << 20;
/// Bytes of one `ctl` line.
pub const LINE_BYTES: usize = 256 << 10;
/// Messages of one conversation.
pub const MESSAGES: usize = 4096;
/// Stop texts.
pub const STOPS: usize = 16;
/// Bytes of a model's name.
pub const NAME_BYTES: usize = 255;
