//! Byte-pair encoding over bytes: in each piece of the text the pair of parts with the lowest rank is merged, until
//! no pair has a rank.

use std::collections::HashMap;

use super::pieces::{self, Cuts};
use crate::error::{Error, Result};
use crate::gguf::Gguf;

#[derive(Debug)]
pub(super) struct Merges {
    cuts: Cuts,
    ids: HashMap<Vec<u8>, u32>,
    /// Rank and result of merging two tokens.
    ranks: HashMap<(u32, u32), (u32, u32)>,
    bytes: [Option<u32>; 256],
    /// A piece that is a token as a whole is taken as such, whatever the merges say (Llama 3).
    whole_first: bool,
}

impl Merges {
    pub(super) fn read(gguf: &Gguf, tokens: &[Vec<u8>]) -> Result<Merges> {
        let texts = gguf
            .texts("tokenizer.ggml.merges")
            .ok_or_else(|| Error::bad("tokenizer.ggml.merges is missing"))?;
        let ids = super::index(tokens);
        let mut ranks = HashMap::with_capacity(texts.len());
        for (rank, text) in texts.iter().enumerate() {
            // The blank between the parts: a part may begin with one itself only in its written form, never here.
            let at = text
                .iter()
                .skip(1)
                .position(|byte| *byte == b' ')
                .map(|at| at + 1);
            let at = at.ok_or_else(|| Error::bad(format!("merge {rank} has no blank")))?;
            let left = pieces::text_to_bytes(&text[..at]);
            let right = pieces::text_to_bytes(&text[at + 1..]);
            let both = [left.as_slice(), right.as_slice()].concat();
            if let (Some(left), Some(right), Some(both)) =
                (ids.get(&left), ids.get(&right), ids.get(&both))
            {
                ranks.entry((*left, *right)).or_insert((rank as u32, *both));
            }
        }
        let pre = gguf.text("tokenizer.ggml.pre").unwrap_or("default");
        let cuts = match pre {
            "llama-bpe" | "llama3" | "llama-v3" => pieces::LLAMA3,
            "qwen2" | "deepseek-r1-qwen" => pieces::QWEN2,
            "smollm" | "starcoder" | "refact" | "codeshell" => pieces::SMOLLM,
            _ => pieces::GPT2,
        };
        let bytes = core::array::from_fn(|byte| ids.get(&vec![byte as u8]).copied());
        Ok(Merges {
            cuts,
            ids,
            ranks,
            bytes,
            whole_first: cuts == pieces::LLAMA3,
        })
    }

    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        pieces::cut(self.cuts, text, |piece| self.piece(piece.as_bytes(), out));
    }

    fn piece(&self, piece: &[u8], out: &mut Vec<u32>) {
        if self.whole_first
            && let Some(id) = self.ids.get(piece)
        {
            out.push(*id);
            return;
        }
        // A byte that the vocabulary lacks cannot be said; it is left out.
        let mut parts: Vec<u32> = piece
            .iter()
            .filter_map(|byte| self.bytes[usize::from(*byte)])
            .collect();
        // Pieces are words; a very long one (a run of one letter) would take quadratic time, so it goes in blocks.
        const BLOCK: usize = 512;
        if parts.len() > BLOCK {
            for block in parts.chunks(BLOCK) {
                let mut block = block.to_vec();
                self.merge(&mut block);
                out.extend(block);
            }
            return;
        }
        self.merge(&mut parts);
        out.extend(parts);
    }

    fn merge(&self, parts: &mut Vec<u32>) {
        loop {
            let ranked = parts.windows(2).enumerate().filter_map(|(at, pair)| {
                let (rank, both) = self.ranks.get(&(pair[0], pair[1]))?;
                Some((*rank, at, *both))
            });
            let Some((_, at, both)) = ranked.min() else {
                return;
            };
            parts[at] = both;
            parts.remove(at + 1);
        }
    }
}
