//! The hashing embedder: vectors from words alone, with no model.
//!
//! Each word, and each run of three letters in it, is hashed to a dimension and a sign. Texts that share words get near
//! vectors; meaning beyond words is not seen. It exists so that everything can be tested, and used, without a model; a
//! collection that uses it says `model hashing`.

use crate::vector::codes::normalise;
use crate::words::words;

/// Its name in a collection's options.
pub const HASHING_MODEL: &str = "hashing";
/// Dimensions of its vectors.
pub const HASHING_DIMS: usize = 384;
/// Weight of a run of three letters beside the word's own weight of one.
const LETTERS_WEIGHT: f32 = 0.3;

/// The vector of a text; unit length, or zero for a text without words.
pub fn hashing_embedding(text: &str) -> Vec<f32> {
    let mut vector = vec![0f32; HASHING_DIMS];
    let mut add = |bytes: &[u8], weight: f32| {
        let digest = blake3::hash(bytes);
        let [a, b, c, ..] = digest.as_bytes();
        let at = usize::from(u16::from_le_bytes([*a, *b])) % HASHING_DIMS;
        vector[at] += if c & 1 == 0 { weight } else { -weight };
    };
    words(text, |word| {
        add(word.as_bytes(), 1.0);
        for run in word.as_bytes().windows(3) {
            add(&[b"#", run].concat(), LETTERS_WEIGHT);
        }
    });
    normalise(&mut vector);
    vector
}
