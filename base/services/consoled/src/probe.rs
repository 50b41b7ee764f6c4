//! Finding out what is at the other end of a serial line.
//!
//! A serial port does not tell the size of the screen, nor whether there is one. A terminal answers the question for
//! the cursor's place; asked with the cursor moved far down and right, the answer is the size. No answer
//! means that nobody, or a program that is no terminal, is listening.

use std::time::Duration;

/// Asks, and leaves the cursor where it was.
pub const QUESTION: &[u8] = b"\x1b7\x1b[999;999H\x1b[6n\x1b8";
/// How long an answer may take.
pub const ANSWER_WAIT: Duration = Duration::from_millis(400);

/// Rows and columns of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

impl Default for Size {
    fn default() -> Self {
        Size {
            rows: 24,
            columns: 80,
        }
    }
}

impl Size {
    /// `struct winsize`.
    pub fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&self.rows.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.columns.to_le_bytes());
        bytes
    }
}

/// Takes the answer (`ESC [ rows ; columns R`) out of what was typed; the rest stays.
pub fn take_answer(typed: &mut Vec<u8>) -> Option<Size> {
    let start = typed.windows(2).position(|pair| pair == b"\x1b[")?;
    let len = typed[start..].iter().position(|byte| *byte == b'R')? + 1;
    let body = str::from_utf8(&typed[start + 2..start + len - 1]).ok()?;
    let (rows, columns) = body.split_once(';')?;
    let size = Size {
        rows: rows.parse().ok()?,
        columns: columns.parse().ok()?,
    };
    typed.drain(start..start + len);
    (size.rows > 0 && size.columns > 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_taken_and_what_was_typed_around_it_stays() {
        let mut typed = b"l\x1b[50;132Rs".to_vec();
        assert_eq!(
            take_answer(&mut typed),
            Some(Size {
                rows: 50,
                columns: 132
            })
        );
        assert_eq!(typed, b"ls");
    }

    #[test]
    fn half_an_answer_or_other_keys_are_left_alone() {
        for text in [&b"\x1b[50;13"[..], b"\x1b[A", b"R", b"", b"\x1b[x;yR"] {
            let mut typed = text.to_vec();
            assert_eq!(take_answer(&mut typed), None);
            assert_eq!(typed, text);
        }
    }

    #[test]
    fn the_size_is_the_c_struct() {
        assert_eq!(Size::default().to_bytes(), [24, 0, 80, 0, 0, 0, 0, 0]);
    }
}
