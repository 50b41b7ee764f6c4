//! SentencePiece as Llama 2 uses it: blanks become U+2581, the text is cut into characters, and the neighbours whose
//! union has the highest score are joined until none is in the vocabulary. What stays unknown is written in bytes.

use std::collections::{BinaryHeap, HashMap};

use crate::error::Result;
use crate::gguf::Gguf;

/// The sign for a blank.
const BLANK: &str = "\u{2581}";
/// Token types in the file that text may become.
const NORMAL: f64 = 1.0;
const USER_DEFINED: f64 = 4.0;
const BYTE: f64 = 6.0;

#[derive(Debug)]
pub(super) struct Scores {
    ids: HashMap<Vec<u8>, (u32, f32)>,
    bytes: [Option<u32>; 256],
    unknown: Option<u32>,
    add_blank: bool,
}

/// The bytes that a token stands for.
pub(super) fn token_bytes(text: &[u8], is_byte: bool) -> Vec<u8> {
    if is_byte && let Some(byte) = byte_token(text) {
        return vec![byte];
    }
    match core::str::from_utf8(text) {
        Ok(text) => text.replace(BLANK, " ").into_bytes(),
        Err(_) => text.to_vec(),
    }
}

/// `<0x0A>` is byte ten.
fn byte_token(text: &[u8]) -> Option<u8> {
    let hex = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    u8::from_str_radix(core::str::from_utf8(hex).ok()?, 16).ok()
}

impl Scores {
    pub(super) fn read(gguf: &Gguf, texts: &[Vec<u8>], kinds: &[f64]) -> Result<Scores> {
        let scores = gguf.numbers("tokenizer.ggml.scores").unwrap_or(&[]);
        let mut ids = HashMap::with_capacity(texts.len());
        let mut bytes = [None; 256];
        for (id, text) in texts.iter().enumerate() {
            let kind = kinds.get(id).copied().unwrap_or(NORMAL);
            if kind == BYTE
                && let Some(byte) = byte_token(text)
            {
                bytes[usize::from(byte)] = Some(id as u32);
            }
            if matches!(kind, NORMAL | USER_DEFINED) {
                let score = scores.get(id).copied().unwrap_or(0.0) as f32;
                ids.entry(text.clone()).or_insert((id as u32, score));
            }
        }
        Ok(Scores {
            ids,
            bytes,
            unknown: gguf
                .number("tokenizer.ggml.unknown_token_id")
                .and_then(|id| u32::try_from(id).ok()),
            add_blank: gguf.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true),
        })
    }

    pub(super) fn adds_blank(&self) -> bool {
        self.add_blank
    }

    pub(super) fn encode(&self, text: &str, first: bool, out: &mut Vec<u32>) {
        let lead = if self.add_blank && first { BLANK } else { "" };
        let text = format!("{lead}{}", text.replace(' ', BLANK));
        let mut parts = Parts::new(&text, &self.ids);
        while let Some(candidate) = parts.queue.pop() {
            parts.join(candidate, &self.ids);
        }
        for part in parts.remaining() {
            match self.ids.get(part.as_bytes()) {
                Some((id, _)) => out.push(*id),
                None => {
                    let spelled = part
                        .bytes()
                        .map(|byte| self.bytes[usize::from(byte)].or(self.unknown));
                    out.extend(spelled.flatten());
                }
            }
        }
    }
}

/// A text in parts that are joined step by step. A part is a range; joined ones are linked over.
struct Parts<'a> {
    text: &'a str,
    /// `(start, end, previous, next)`; an empty range is gone. Indices past the end mean none.
    links: Vec<(usize, usize, usize, usize)>,
    queue: BinaryHeap<Candidate>,
}

struct Candidate {
    score: f32,
    left: usize,
    right: usize,
    len: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        // The higher score first; of equals, the one further left.
        self.score
            .total_cmp(&other.score)
            .then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

const NONE: usize = usize::MAX;

type Ids = HashMap<Vec<u8>, (u32, f32)>;

impl<'a> Parts<'a> {
    fn new(text: &'a str, ids: &Ids) -> Self {
        let mut links: Vec<_> = text
            .char_indices()
            .enumerate()
            .map(|(index, (at, letter))| {
                (at, at + letter.len_utf8(), index.wrapping_sub(1), index + 1)
            })
            .collect();
        if let Some(last) = links.last_mut() {
            last.3 = NONE;
        }
        let mut parts = Parts {
            text,
            links,
            queue: BinaryHeap::new(),
        };
        for left in 1..parts.links.len() {
            parts.offer(left - 1, left, ids);
        }
        parts
    }

    fn offer(&mut self, left: usize, right: usize, ids: &Ids) {
        let (Some(a), Some(b)) = (self.links.get(left), self.links.get(right)) else {
            return;
        };
        if let Some((_, score)) = ids.get(&self.text.as_bytes()[a.0..b.1]) {
            self.queue.push(Candidate {
                score: *score,
                left,
                right,
                len: b.1 - a.0,
            });
        }
    }

    fn join(&mut self, candidate: Candidate, ids: &Ids) {
        let (left, right) = (self.links[candidate.left], self.links[candidate.right]);
        let is_stale = left.0 == left.1 || right.0 == right.1 || right.1 - left.0 != candidate.len;
        if is_stale {
            return;
        }
        self.links[candidate.left] = (left.0, right.1, left.2, right.3);
        self.links[candidate.right] = (right.1, right.1, NONE, NONE);
        if let Some(after) = self.links.get_mut(right.3) {
            after.2 = candidate.left;
        }
        self.offer(left.2, candidate.left, ids);
        self.offer(candidate.left, right.3, ids);
    }

    fn remaining(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.links
            .iter()
            .filter(|link| link.0 < link.1)
            .map(|link| &self.text[link.0..link.1])
    }
}
