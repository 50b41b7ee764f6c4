//! The wire form between this tool and `guestd` on the second serial line.
//!
//! Both directions: frames of a tag byte, a little-endian u32 length and that many bytes. To the guest: `R` a command line
//! for /bin/sh -c, `Q` sync and power off. From the guest: `H` ready, sent at start and in answer to any unknown byte; `O`
//! and `E` bytes of stdout and stderr; `X` the exit status, an i32 (128 + signal if killed).
//!
//! Until the first `H`, firmware or a loader may have written to the line, so everything before an empty `H` frame is
//! dropped. After it, a frame that makes no sense is an error: the two sides have lost each other.

use anyhow::{Result, bail};

/// Longest frame that is believed.
const MAX_FRAME_BYTES: usize = 1024 * 1024;
const HEADER_BYTES: usize = 5;
const READY: [u8; HEADER_BYTES] = [b'H', 0, 0, 0, 0];
/// A byte that is no tag: asks guestd to say that it is ready.
pub const PROBE: u8 = b'?';

/// What the guest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// guestd waits for a command.
    Ready,
    /// Bytes of the command's stdout.
    Out(Vec<u8>),
    /// Bytes of the command's stderr.
    Err(Vec<u8>),
    /// The command ended.
    Exit(i32),
}

/// What the guest is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Run a command line.
    Run(String),
    /// Sync and power off.
    PowerOff,
}

impl Request {
    /// The request's frame.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let (tag, text) = match self {
            Request::Run(line) => (b'R', line.as_bytes()),
            Request::PowerOff => (b'Q', &[][..]),
        };
        if text.len() > MAX_FRAME_BYTES {
            bail!("a command line of {} bytes is too long", text.len());
        }
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text);
        Ok(bytes)
    }
}

/// Takes the line's bytes as they come and gives messages.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    is_ready: bool,
}

impl Reader {
    /// Adds bytes from the line.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next whole message; none if bytes are missing.
    pub fn take(&mut self) -> Result<Option<Message>> {
        if !self.is_ready {
            return Ok(self.find_ready());
        }
        let Some(header) = self.bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [tag, length @ ..] = *header;
        let length = u32::from_le_bytes(length) as usize;
        if !b"HOEX".contains(&tag) || length > MAX_FRAME_BYTES {
            bail!(
                "the guest sent a frame that makes no sense: {:02x?}",
                header
            );
        }
        let end = HEADER_BYTES + length;
        if self.bytes.len() < end {
            return Ok(None);
        }
        let data = self.bytes[HEADER_BYTES..end].to_vec();
        self.bytes.drain(..end);
        message(tag, data).map(Some)
    }

    fn find_ready(&mut self) -> Option<Message> {
        let found = self
            .bytes
            .windows(HEADER_BYTES)
            .position(|window| window == READY);
        if let Some(at) = found {
            self.bytes.drain(..at + HEADER_BYTES);
            self.is_ready = true;
            return Some(Message::Ready);
        }
        // Keep only what may be the beginning of the frame.
        let keep = self.bytes.len().min(HEADER_BYTES - 1);
        self.bytes.drain(..self.bytes.len() - keep);
        None
    }
}

fn message(tag: u8, data: Vec<u8>) -> Result<Message> {
    Ok(match tag {
        b'H' => Message::Ready,
        b'O' => Message::Out(data),
        b'E' => Message::Err(data),
        _ => match data.try_into() {
            Ok(status) => Message::Exit(i32::from_le_bytes(status)),
            Err(data) => bail!("the guest sent an exit status of {} bytes", data.len()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_a_tag_a_length_and_their_text() {
        assert_eq!(
            Request::Run("ls".into()).to_bytes().unwrap(),
            b"R\x02\0\0\0ls"
        );
        assert_eq!(Request::PowerOff.to_bytes().unwrap(), b"Q\0\0\0\0");
        assert!(
            Request::Run("x".repeat(MAX_FRAME_BYTES + 1))
                .to_bytes()
                .is_err()
        );
    }

    #[test]
    fn noise_before_the_first_ready_frame_is_dropped() {
        let mut reader = Reader::default();
        reader.push(b"BdsDxe: H loading\r\nH\0");
        assert_eq!(reader.take().unwrap(), None);
        reader.push(b"\0\0\0O\x01\0\0\0a");
        assert_eq!(reader.take().unwrap(), Some(Message::Ready));
        assert_eq!(reader.take().unwrap(), Some(Message::Out(b"a".to_vec())));
        assert_eq!(reader.take().unwrap(), None);
    }

    #[test]
    fn frames_may_come_byte_by_byte() {
        let mut reader = Reader::default();
        let mut messages = Vec::new();
        for byte in b"H\0\0\0\0E\x02\0\0\0noX\x04\0\0\0\x07\0\0\0" {
            reader.push(&[*byte]);
            messages.extend(reader.take().unwrap());
        }
        assert_eq!(
            messages,
            [
                Message::Ready,
                Message::Err(b"no".to_vec()),
                Message::Exit(7)
            ]
        );
    }

    #[test]
    fn nonsense_after_the_first_ready_frame_is_an_error() {
        for bytes in [&b"Z\0\0\0\0"[..], b"O\xff\xff\xff\xff", b"X\x01\0\0\0a"] {
            let mut reader = Reader::default();
            reader.push(b"H\0\0\0\0");
            reader.push(bytes);
            reader.take().unwrap();
            assert!(reader.take().is_err());
        }
    }
}
