//! Joining blocks to chunks, and splitting blocks that are too long.
//!
//! A chunk ends at a section, when the next block does not fit, or, once it is half full, at a block whose text hashes to
//! a multiple of four: that makes borders fall at the same text again soon after an edit.

use super::Block;

pub(super) struct Piece {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) heading: String,
}

pub(super) fn pack(text: &str, blocks: &[Block], size: usize) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    let mut open: Option<Piece> = None;
    for block in blocks {
        let Some((start, end)) = trimmed(text, block.start, block.end) else {
            continue;
        };
        if let Some(piece) = open.take() {
            if !block.opens_section && end - piece.start <= size && !is_full(text, &piece, size) {
                open = Some(Piece { end, ..piece });
                continue;
            }
            out.push(piece);
        }
        let piece = |start, end| Piece {
            start,
            end,
            heading: block.heading.clone(),
        };
        if end - start <= size {
            open = Some(piece(start, end));
        } else {
            out.extend(
                split(text, start, end, size)
                    .into_iter()
                    .map(|(s, e)| piece(s, e)),
            );
        }
    }
    out.extend(open);
    out
}

fn is_full(text: &str, piece: &Piece, size: usize) -> bool {
    let long = piece.end - piece.start >= size / 2;
    long && {
        let tail = &text.as_bytes()[piece.start..piece.end];
        let tail = &tail[tail.len().saturating_sub(32)..];
        crc32fast::hash(tail).is_multiple_of(4)
    }
}

fn trimmed(text: &str, start: usize, end: usize) -> Option<(usize, usize)> {
    let inner = &text[start..end];
    let start = start + inner.len() - inner.trim_start().len();
    let end = end - (inner.len() - inner.trim_end().len());
    (start < end).then_some((start, end))
}

/// Cuts at the best of: line end, sentence end, space, character; always at most `size` bytes.
fn split(text: &str, start: usize, end: usize, size: usize) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut at = start;
    while end - at > size {
        let mut limit = at + size;
        while !text.is_char_boundary(limit) {
            limit -= 1;
        }
        let window = &text[at..limit];
        let cut = at + best_cut(window);
        out.extend(trimmed(text, at, cut));
        at = cut;
    }
    out.extend(trimmed(text, at, end));
    out
}

fn best_cut(window: &str) -> usize {
    let late = window.len() / 2;
    let after = |found: Option<usize>, len: usize| found.map(|i| i + len).filter(|&i| i > late);
    after(window.rfind('\n'), 1)
        .or_else(|| after(window.rfind(". "), 2))
        .or_else(|| after(window.rfind(' '), 1))
        .unwrap_or(window.len())
}
