//! The frame around every record of a log: length, checksum, order, time, key slot.
//!
//! ```text
//!  0  u32 payload length        16  u64 time, Unix milliseconds     36  u8  kind
//!  4  u32 CRC-32 of 8.. + payload   24  u64 durable                 37  u8  format version (1)
//!  8  u64 sequence number       32  u32 key slot + 1, 0 = none      38  u16 mark 0x4d56
//! ```
//! Little endian, 40 bytes. A payload with a key slot is encrypted (ChaCha20, the slot's key, the sequence number as
//! nonce): forgetting a document is destroying its key, so its text is nowhere on the disk at once, in whatever old copy
//! of the log a filesystem keeps. Sequence numbers never repeat under a key.
//!
//! The torn-tail rule. A crash can leave the frames written since the last fsync in any mixture of present, torn and
//! absent. `durable` is the last sequence number known to be on disk when the frame was made. Where frames are missing,
//! they were promised to somebody exactly if a later frame says `durable >= missing`; else the log ends there.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

use crate::limits;

/// Bytes of a frame before its payload.
pub const HEADER_BYTES: usize = 40;
/// First bytes of a log file; the generation number follows (u64).
pub const FILE_MAGIC: [u8; 8] = *b"VALMEM\x01\n";
/// Bytes of a log file before its first frame.
pub const FILE_HEADER_BYTES: u64 = 16;
const MARK: u16 = 0x4d56;
const FORMAT: u8 = 1;

/// A document's key.
pub type Key = [u8; 32];

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Position in the log's order, from 1.
    pub seq: u64,
    /// Unix milliseconds, as the daemon gave them.
    pub time: u64,
    /// Last sequence number known to be on disk when this frame was made.
    pub durable: u64,
    /// Key slot that the payload is encrypted with.
    pub slot: Option<u32>,
    /// Which kind of record.
    pub kind: u8,
}

/// What the bytes at some place of a log are.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole frame; the payload is still encrypted.
    Frame {
        /// Its head.
        header: Header,
        /// Bytes of the payload, which follow the head.
        payload_len: usize,
    },
    /// It may be a frame, but this many bytes are needed to say.
    NeedMore(usize),
    /// Not a frame.
    Bad,
}

/// Appends a frame to `out`; `key` must be given exactly if the header names a slot.
pub fn encode(header: &Header, key: Option<&Key>, payload: &[u8], out: &mut Vec<u8>) {
    debug_assert_eq!(header.slot.is_some(), key.is_some());
    let mut payload = payload.to_vec();
    if let Some(key) = key {
        apply_key(key, header.seq, &mut payload);
    }
    encode_sealed(header, &payload, out);
}

/// Appends a frame whose payload is sealed already, or needs no key.
pub fn encode_sealed(header: &Header, payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.seq.to_le_bytes());
    out.extend_from_slice(&header.time.to_le_bytes());
    out.extend_from_slice(&header.durable.to_le_bytes());
    out.extend_from_slice(&header.slot.map_or(0, |slot| slot + 1).to_le_bytes());
    out.extend_from_slice(&[header.kind, FORMAT]);
    out.extend_from_slice(&MARK.to_le_bytes());
    out.extend_from_slice(payload);
    let sum = crc32fast::hash(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
}

/// Encrypts or decrypts a payload in place.
pub fn apply_key(key: &Key, seq: u64, payload: &mut [u8]) {
    let mut nonce = [0u8; 12];
    nonce[..8].copy_from_slice(&seq.to_le_bytes());
    ChaCha20::new(&(*key).into(), &nonce.into()).apply_keystream(payload);
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// Says what begins at the start of `bytes`.
pub fn decode(bytes: &[u8]) -> Decoded {
    if bytes.len() < HEADER_BYTES {
        return Decoded::NeedMore(HEADER_BYTES);
    }
    let payload_len = u32_at(bytes, 0) as usize;
    let marked = bytes[38..40] == MARK.to_le_bytes() && bytes[37] == FORMAT;
    if !marked || payload_len > limits::RECORD_BYTES {
        return Decoded::Bad;
    }
    let total = HEADER_BYTES + payload_len;
    if bytes.len() < total {
        return Decoded::NeedMore(total);
    }
    if crc32fast::hash(&bytes[8..total]) != u32_at(bytes, 4) {
        return Decoded::Bad;
    }
    let header = Header {
        seq: u64_at(bytes, 8),
        time: u64_at(bytes, 16),
        durable: u64_at(bytes, 24),
        slot: u32_at(bytes, 32).checked_sub(1),
        kind: bytes[36],
    };
    Decoded::Frame {
        header,
        payload_len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(seq: u64, slot: Option<u32>) -> Header {
        Header {
            seq,
            time: 5,
            durable: seq - 1,
            slot,
            kind: 3,
        }
    }

    #[test]
    fn a_sealed_payload_does_not_show_its_bytes_and_opens_again() {
        let mut log = Vec::new();
        encode(
            &header(7, Some(0)),
            Some(&[9; 32]),
            b"a secret sentence",
            &mut log,
        );
        assert!(!log.windows(6).any(|window| window == b"secret"));
        let Decoded::Frame {
            header: found,
            payload_len,
        } = decode(&log)
        else {
            panic!()
        };
        assert_eq!(found, header(7, Some(0)));
        let mut payload = log[HEADER_BYTES..HEADER_BYTES + payload_len].to_vec();
        apply_key(&[9; 32], 7, &mut payload);
        assert_eq!(payload, b"a secret sentence");
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_seen(payload in prop::collection::vec(any::<u8>(), 0..100), bit in any::<prop::sample::Index>()) {
            let mut log = Vec::new();
            encode(&header(1, None), None, &payload, &mut log);
            let bit = bit.index(log.len() * 8);
            log[bit / 8] ^= 1 << (bit % 8);
            let whole = matches!(decode(&log), Decoded::Frame { .. });
            prop_assert!(!whole);
        }

        #[test]
        fn any_bytes_are_decoded_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
