//! Reading a log file from disk: frames in order, damage found and named, the torn tail told from damage.
//!
//! The rule is in `memory_engine::frame`: what comes after a place that does not decode is held back until a frame says
//! that the missing ones were durable. If none does, the log ends at that place.

use std::io;

use memory_engine::frame::{Decoded, FILE_HEADER_BYTES, HEADER_BYTES, Header, decode};

use crate::disk::DiskFile;

/// Bytes read at once.
const WINDOW: usize = 4 << 20;

/// A frame as it lies in the file.
#[derive(Clone, Debug)]
pub struct RawFrame {
    /// Where it begins.
    pub offset: u64,
    /// Its head.
    pub header: Header,
    /// Its payload, sealed if the head names a slot.
    pub payload: Vec<u8>,
}

/// Bytes that are no frame, between frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where they begin.
    pub offset: u64,
    /// How many.
    pub len: u64,
    /// Sequence number of the last frame before them.
    pub after: u64,
}

/// What a scan found beside the frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Damaged places; something acknowledged was there.
    pub damage: Vec<Damage>,
    /// Where the log ends.
    pub end: u64,
    /// Bytes after the end: an unfinished write, or damage to the last records.
    pub torn: u64,
}

struct Window<'a> {
    file: &'a mut dyn DiskFile,
    bytes: Vec<u8>,
    start: u64,
    at: usize,
}

impl Window<'_> {
    /// At least `need` bytes from the current place, or what the file has.
    fn peek(&mut self, need: usize) -> io::Result<&[u8]> {
        if self.bytes.len() - self.at < need {
            self.start += self.at as u64;
            self.bytes.drain(..self.at);
            self.at = 0;
            let have = self.bytes.len();
            self.bytes.resize(need.max(WINDOW), 0);
            let got = self
                .file
                .read_at(self.start + have as u64, &mut self.bytes[have..])?;
            self.bytes.truncate(have + got);
        }
        Ok(&self.bytes[self.at..])
    }
}

/// Calls `put` with every frame that counts.
///
/// # Errors
/// The filesystem's; those of `put` stop the scan.
pub fn scan<E: From<io::Error>>(
    file: &mut dyn DiskFile,
    mut put: impl FnMut(RawFrame) -> Result<(), E>,
) -> Result<Scan, E> {
    let len = file.len()?;
    let mut window = Window {
        file,
        bytes: Vec::new(),
        start: FILE_HEADER_BYTES,
        at: 0,
    };
    let mut scan = Scan {
        end: FILE_HEADER_BYTES,
        ..Scan::default()
    };
    let mut last_seq = 0;
    let mut doubtful: Option<Damage> = None;
    let mut held: Vec<RawFrame> = Vec::new();
    loop {
        let Some(frame) = next_frame(&mut window, last_seq)? else {
            let offset = window.start + window.at as u64;
            if offset >= len {
                break;
            }
            let skipped = skip_to_frame(&mut window, last_seq)?;
            // Several damaged places before the next promise are one.
            let first = doubtful.map_or(offset, |damage| damage.offset);
            doubtful = Some(Damage {
                offset: first,
                len: offset + skipped - first,
                after: last_seq,
            });
            continue;
        };
        if let Some(damage) = doubtful.take_if(|damage| frame.header.durable > damage.after) {
            scan.damage.push(damage);
            for frame in held.drain(..) {
                scan.end = frame.offset + (HEADER_BYTES + frame.payload.len()) as u64;
                put(frame)?;
            }
        }
        let end = frame.offset + (HEADER_BYTES + frame.payload.len()) as u64;
        if doubtful.is_some() {
            held.push(frame);
        } else {
            last_seq = frame.header.seq;
            scan.end = end;
            put(frame)?;
        }
    }
    scan.torn = len.saturating_sub(scan.end);
    Ok(scan)
}

fn next_frame(window: &mut Window<'_>, after: u64) -> io::Result<Option<RawFrame>> {
    let mut need = HEADER_BYTES;
    loop {
        let bytes = window.peek(need)?;
        match decode(bytes) {
            Decoded::NeedMore(more) if more > need && bytes.len() >= need => need = more,
            Decoded::Frame {
                header,
                payload_len,
            } if header.seq > after => {
                let total = HEADER_BYTES + payload_len;
                let payload = bytes[HEADER_BYTES..total].to_vec();
                let offset = window.start + window.at as u64;
                window.at += total;
                return Ok(Some(RawFrame {
                    offset,
                    header,
                    payload,
                }));
            }
            _ => return Ok(None),
        }
    }
}

/// Moves to the next place where a whole frame begins, or to the end; says how far.
fn skip_to_frame(window: &mut Window<'_>, after: u64) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        if window.peek(1)?.is_empty() {
            return Ok(skipped);
        }
        window.at += 1;
        skipped += 1;
        let head = window.peek(HEADER_BYTES)?;
        if matches!(decode(&head[..head.len().min(HEADER_BYTES)]), Decoded::Bad) {
            continue;
        }
        let place = (window.start, window.at);
        if next_frame(window, after)?.is_some() {
            // Step back: the caller reads it again.
            window.at -= (window.start + window.at as u64 - place.0 - place.1 as u64) as usize;
            return Ok(skipped);
        }
    }
}
