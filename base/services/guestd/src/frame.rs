//! Frames on the wire.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Mutex, PoisonError};

/// Longest command line; a longer frame cannot be meant.
pub const LINE_BYTES_MAX: u32 = 1024 * 1024;

/// What the host wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// Run a command line.
    Run(Vec<u8>),
    /// Sync and power off.
    PowerOff,
    /// A byte that begins no frame.
    Unknown,
}

/// Reads the next order; none at the end of the input.
pub fn read_order(input: &mut impl Read) -> io::Result<Option<Order>> {
    let mut tag = [0];
    match input.read_exact(&mut tag) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    if !matches!(tag[0], b'R' | b'Q') {
        return Ok(Some(Order::Unknown));
    }
    let mut len = [0; 4];
    input.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len);
    if len > LINE_BYTES_MAX {
        return Ok(Some(Order::Unknown));
    }
    let mut bytes = vec![0; len as usize];
    input.read_exact(&mut bytes)?;
    Ok(Some(match tag[0] {
        b'R' => Order::Run(bytes),
        _ => Order::PowerOff,
    }))
}

/// Writes one frame in one piece.
pub fn write_frame(output: &Mutex<impl Write>, tag: u8, bytes: &[u8]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(bytes.len() + 5);
    frame.push(tag);
    frame.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    frame.extend_from_slice(bytes);
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.write_all(&frame)?;
    output.flush()
}
