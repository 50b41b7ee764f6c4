//! Text to tokens and back, as the model file says: byte-level BPE ("gpt2"), SentencePiece ("llama")
//! and WordPiece ("bert").
//!
//! Special tokens (end of turn and the like) are found in text only when the caller says so: a template's own text may
//! hold them, a user's message may not (a message must not be able to end its own turn).
//!
//! Streaming: [`Tokenizer::bytes`] gives a token's bytes; [`Decoder`] holds back an unfinished UTF-8 character.

mod bpe;
mod decode;
mod pieces;
mod spm;
#[cfg(test)]
mod tests;
mod wordpiece;

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::limits;

pub use decode::Decoder;
pub use pieces::bytes_to_text;

/// Whether special tokens in a text are taken as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// `<|im_end|>` is the token: for templates.
    Parse,
    /// It is eleven characters: for what users write.
    Text,
}

#[derive(Debug)]
enum Method {
    Bpe(bpe::Merges),
    Spm(spm::Scores),
    WordPiece(wordpiece::Words),
}

/// A model's tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    method: Method,
    tokens: Vec<Vec<u8>>,
    control: Vec<bool>,
    special: Vec<(Vec<u8>, u32)>,
    /// Begin of text, where the model has one.
    pub bos: Option<u32>,
    /// Tokens that end a reply.
    pub ends: Vec<u32>,
    add_bos: bool,
    add_eos: bool,
    eos: Option<u32>,
}

/// Token types in the file.
const CONTROL: f64 = 3.0;
const USER_DEFINED: f64 = 4.0;
const BYTE: f64 = 6.0;

impl Tokenizer {
    /// Reads the tokenizer of a model file.
    ///
    /// # Errors
    /// Where the vocabulary is missing, too large, or of an unknown kind.
    pub fn read(gguf: &Gguf) -> Result<Tokenizer> {
        let texts = gguf
            .texts("tokenizer.ggml.tokens")
            .ok_or_else(|| Error::bad("tokenizer.ggml.tokens is missing"))?;
        if texts.is_empty() || texts.len() > limits::VOCABULARY {
            return Err(Error::bad(format!(
                "a vocabulary of {} tokens",
                texts.len()
            )));
        }
        if let Some(long) = texts.iter().find(|text| text.len() > limits::TOKEN_BYTES) {
            return Err(Error::bad(format!("a token of {} bytes", long.len())));
        }
        let kinds = gguf.numbers("tokenizer.ggml.token_type").unwrap_or(&[]);
        let kind = |index: usize| kinds.get(index).copied().unwrap_or(1.0);
        let control: Vec<bool> = (0..texts.len())
            .map(|index| kind(index) == CONTROL)
            .collect();
        let mut special: Vec<(Vec<u8>, u32)> = (0..texts.len())
            .filter(|index| {
                matches!(kind(*index), CONTROL | USER_DEFINED) && !texts[*index].is_empty()
            })
            .map(|index| (texts[index].clone(), index as u32))
            .collect();
        // The longest name that fits at a place wins.
        special.sort_by_key(|(text, _)| core::cmp::Reverse(text.len()));

        let model = gguf.text("tokenizer.ggml.model").unwrap_or("missing");
        let is_special = |index: usize| matches!(kind(index), CONTROL | USER_DEFINED);
        let (method, tokens) = match model {
            "gpt2" => {
                let tokens: Vec<Vec<u8>> = (0..texts.len())
                    .map(|index| {
                        if is_special(index) {
                            texts[index].clone()
                        } else {
                            pieces::text_to_bytes(&texts[index])
                        }
                    })
                    .collect();
                (Method::Bpe(bpe::Merges::read(gguf, &tokens)?), tokens)
            }
            "llama" => {
                let tokens: Vec<Vec<u8>> = (0..texts.len())
                    .map(|index| spm::token_bytes(&texts[index], kind(index) == BYTE))
                    .collect();
                (Method::Spm(spm::Scores::read(gguf, texts, kinds)?), tokens)
            }
            "bert" => {
                let words = wordpiece::Words::read(gguf, texts);
                let tokens = texts
                    .iter()
                    .map(|text| wordpiece::token_bytes(text))
                    .collect();
                (Method::WordPiece(words), tokens)
            }
            other => return Err(Error::Unsupported(format!("tokenizer {other}"))),
        };
        let id = |key: &str| {
            let id = gguf.number(&format!("tokenizer.ggml.{key}"))?;
            u32::try_from(id)
                .ok()
                .filter(|id| (*id as usize) < texts.len())
        };
        // The specification spells the separator so.
        let eos = id("eos_token_id").or_else(|| id("seperator_token_id"));
        let mut ends: Vec<u32> = eos
            .into_iter()
            .chain(id("eot_token_id"))
            .chain(id("eom_token_id"))
            .collect();
        // Files often leave the end of turn out; these names are in use for it.
        let names: [&[u8]; 5] = [
            b"<|im_end|>",
            b"<|eot_id|>",
            b"<|end|>",
            b"<end_of_turn>",
            b"<|endoftext|>",
        ];
        ends.extend(
            special
                .iter()
                .filter(|(text, _)| names.contains(&text.as_slice()))
                .map(|(_, id)| *id),
        );
        ends.sort_unstable();
        ends.dedup();
        Ok(Tokenizer {
            method,
            tokens,
            control,
            special,
            bos: id("bos_token_id").or_else(|| id("cls_token_id")),
            ends,
            add_bos: gguf
                .flag("tokenizer.ggml.add_bos_token")
                .unwrap_or(matches!(model, "llama" | "bert")),
            add_eos: gguf
                .flag("tokenizer.ggml.add_eos_token")
                .unwrap_or(model == "bert"),
            eos,
        })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none; never so for a tokenizer that was read.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// A text's tokens, without those that a model wants around a whole prompt.
    pub fn encode(&self, text: &str, special: Special) -> Vec<u32> {
        let mut out = Vec::new();
        let mut rest = text;
        let mut first = true;
        while !rest.is_empty() {
            let (plain, found) = match special {
                Special::Parse => self.next_special(rest),
                Special::Text => (rest, None),
            };
            if !plain.is_empty() {
                match &self.method {
                    Method::Bpe(merges) => merges.encode(plain, &mut out),
                    Method::Spm(scores) => scores.encode(plain, first, &mut out),
                    Method::WordPiece(words) => words.encode(plain, &mut out),
                }
            }
            first = false;
            rest = &rest[plain.len()..];
            if let Some(id) = found {
                out.push(id);
                rest = &rest[self.special_len(id)..];
            }
        }
        out
    }

    /// A whole raw prompt: as [`Tokenizer::encode`], with the begin and end tokens that the model wants.
    pub fn encode_prompt(&self, text: &str, special: Special) -> Vec<u32> {
        let body = self.encode(text, special);
        let bos = self
            .bos
            .filter(|bos| self.add_bos && body.first() != Some(bos));
        let eos = self.eos.filter(|_| self.add_eos);
        bos.into_iter().chain(body).chain(eos).collect()
    }

    fn special_len(&self, id: u32) -> usize {
        self.special
            .iter()
            .find(|(_, of)| *of == id)
            .map_or(0, |(text, _)| text.len())
    }

    /// The text before the first special token, and that token.
    fn next_special<'a>(&self, text: &'a str) -> (&'a str, Option<u32>) {
        let bytes = text.as_bytes();
        for at in 0..bytes.len() {
            if !text.is_char_boundary(at) {
                continue;
            }
            let found = self
                .special
                .iter()
                .find(|(name, _)| bytes[at..].starts_with(name));
            if let Some((name, id)) = found
                && text.is_char_boundary(at + name.len())
            {
                return (&text[..at], Some(*id));
            }
        }
        (text, None)
    }

    /// The bytes of a token; none for control tokens and ids outside the vocabulary.
    pub fn bytes(&self, token: u32) -> &[u8] {
        match self.control.get(token as usize) {
            Some(false) => &self.tokens[token as usize],
            _ => &[],
        }
    }

    /// The bytes of a token, control tokens by their names.
    pub fn raw_bytes(&self, token: u32) -> &[u8] {
        self.tokens.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// The token of exactly this text, if there is one.
    pub fn special_id(&self, name: &str) -> Option<u32> {
        self.special
            .iter()
            .find(|(text, _)| text == name.as_bytes())
            .map(|(_, id)| *id)
    }

    /// The names of all special tokens that are text.
    pub fn special_names(&self) -> Vec<String> {
        self.special
            .iter()
            .filter_map(|(name, _)| String::from_utf8(name.clone()).ok())
            .collect()
    }

    /// The text of some tokens; what is not UTF-8 becomes U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens
            .iter()
            .flat_map(|token| self.bytes(*token))
            .copied()
            .collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match &self.method {
            // A SentencePiece text begins with the blank that encoding put there.
            Method::Spm(scores) if scores.adds_blank() => {
                text.strip_prefix(' ').unwrap_or(&text).to_owned()
            }
            _ => text,
        }
    }

    /// Whether this token ends a reply.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }
}

/// Tokens by their bytes.
fn index(tokens: &[Vec<u8>]) -> HashMap<Vec<u8>, u32> {
    let mut index = HashMap::with_capacity(tokens.len());
    for (id, bytes) in tokens.iter().enumerate() {
        index.entry(bytes.clone()).or_insert(id as u32);
    }
    index
}
