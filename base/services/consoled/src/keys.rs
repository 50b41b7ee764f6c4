//! Keys that are more than one byte.
//!
//! A serial port hands over its bytes one at a time, but programs take an escape that comes alone for the Escape
//! key. So a sequence that has begun is held until its end is there, or for a moment that no person notices.

use std::time::Duration;

/// How long the rest of a sequence may take.
pub const SEQUENCE_WAIT: Duration = Duration::from_millis(30);

/// How many of the bytes can be handed on: all, except an escape sequence at the end that is not complete.
pub fn settled(bytes: &[u8]) -> usize {
    match bytes.iter().rposition(|byte| *byte == 0x1b) {
        Some(start) if !is_complete(&bytes[start + 1..]) => start,
        _ => bytes.len(),
    }
}

/// Whether what follows an escape byte is a whole sequence (ECMA-48: CSI, SS3, or one character).
fn is_complete(rest: &[u8]) -> bool {
    match rest {
        [] | [b'O'] => false,
        [b'[', body @ ..] => body.iter().any(|byte| matches!(byte, 0x40..=0x7e)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::settled;

    #[test]
    fn ordinary_keys_go_at_once() {
        assert_eq!(settled(b"ls\r"), 3);
        assert_eq!(settled(b""), 0);
    }

    #[test]
    fn a_sequence_is_held_until_its_end() {
        for (bytes, count) in [
            (&b"a\x1b"[..], 1),
            (b"a\x1b[", 1),
            (b"a\x1b[30;1", 1),
            (b"a\x1b[30;1R", 8),
            (b"\x1b[A\x1b[", 3),
            (b"\x1bO", 0),
            (b"\x1bOP", 3),
            (b"\x1bf", 2),
            (b"\x1b[3~x", 5),
        ] {
            assert_eq!(settled(bytes), count, "{bytes:?}");
        }
    }
}
