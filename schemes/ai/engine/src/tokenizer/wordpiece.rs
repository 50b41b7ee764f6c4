//! WordPiece as BERT uses it: text is lowercased and loses its accents, words and symbols are cut apart, and each word
//! is covered from the left by the longest pieces that the vocabulary has.
//!
//! GGUF files write a piece that begins a word with U+2581 in front and one inside a word without anything.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::gguf::Gguf;

/// The sign for the beginning of a word.
const START: &str = "\u{2581}";
/// A longer word is unknown as a whole.
const WORD_LETTERS: usize = 100;

#[derive(Debug)]
pub(super) struct Words {
    ids: HashMap<Vec<u8>, u32>,
    unknown: u32,
}

/// The bytes that a token stands for: a blank before what begins a word.
pub(super) fn token_bytes(text: &[u8]) -> Vec<u8> {
    match text.strip_prefix(START.as_bytes()) {
        Some(rest) => [b" ", rest].concat(),
        None => text.to_vec(),
    }
}

impl Words {
    pub(super) fn read(gguf: &Gguf, texts: &[Vec<u8>]) -> Words {
        let unknown = gguf
            .number("tokenizer.ggml.unknown_token_id")
            .unwrap_or(100);
        let unknown = u32::try_from(unknown)
            .ok()
            .filter(|id| (*id as usize) < texts.len())
            .unwrap_or(0);
        Words {
            ids: super::index(texts),
            unknown,
        }
    }

    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let mut spaced = String::with_capacity(text.len());
        for letter in text.chars() {
            match letter {
                '\0' | '\u{fffd}' => {}
                letter if letter.is_whitespace() => spaced.push(' '),
                letter if letter.is_control() || is_format(letter) => {}
                letter if is_ideograph(letter) || is_symbol(letter) => {
                    spaced.extend([' ', letter, ' '])
                }
                letter => spaced.push(letter),
            }
        }
        let plain: String = spaced
            .nfd()
            .filter(|letter| !is_combining_mark(*letter))
            .flat_map(char::to_lowercase)
            .collect();
        for word in plain.split(' ').filter(|word| !word.is_empty()) {
            self.word(word, out);
        }
    }

    fn word(&self, word: &str, out: &mut Vec<u32>) {
        let before = out.len();
        if word.chars().count() > WORD_LETTERS {
            out.push(self.unknown);
            return;
        }
        let mut rest = word;
        let mut lead = START;
        while !rest.is_empty() {
            let ends = rest
                .char_indices()
                .map(|(at, letter)| at + letter.len_utf8())
                .rev();
            let piece = ends.filter_map(|end| {
                let key = [lead.as_bytes(), &rest.as_bytes()[..end]].concat();
                self.ids.get(&key).map(|id| (end, *id))
            });
            let Some((end, id)) = { piece }.next() else {
                out.truncate(before);
                out.push(self.unknown);
                return;
            };
            out.push(id);
            rest = &rest[end..];
            lead = "";
        }
    }
}

/// Letters that shape text without being seen.
fn is_format(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// What stands as a word of its own: ASCII symbols, and the common blocks of punctuation.
fn is_symbol(letter: char) -> bool {
    letter.is_ascii_punctuation()
        || matches!(letter as u32, 0xa1 | 0xa7 | 0xab | 0xb6 | 0xb7 | 0xbb | 0xbf | 0x2010..=0x2027 | 0x2030..=0x205e | 0x3001..=0x3003 | 0x3008..=0x3011 | 0x3014..=0x301f | 0xff01..=0xff0f | 0xff1a..=0xff20)
}

fn is_ideograph(letter: char) -> bool {
    matches!(letter as u32, 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x2ceaf | 0x2f800..=0x2fa1f)
}
