//! Text search: BM25 over chunks.
//!
//! Postings are kept per word in order of chunk number. Chunks are never taken out; the caller's check drops dead ones
//! from the results and a rebuild leaves them out. Word counts of dead chunks stay in the statistics until then, which
//! moves scores a little and results not at all.

use std::collections::HashMap;

use crate::words::words;

/// BM25's saturation of repeated words.
const K1: f32 = 1.2;
/// BM25's weight of the length of a chunk.
const B: f32 = 0.75;
/// Most different words of a question that count.
const QUESTION_WORDS: usize = 256;

/// Number of a chunk in its collection.
pub type ChunkId = u32;

/// The index.
#[derive(Clone, Debug, Default)]
pub struct TextIndex {
    postings: HashMap<Box<str>, Vec<(ChunkId, u16)>>,
    lengths: Vec<u32>,
    total: u64,
    counted: u32,
}

impl TextIndex {
    /// Adds a chunk; numbers must grow.
    pub fn add(&mut self, chunk: ChunkId, text: &str) {
        let mut counts: HashMap<String, u16> = HashMap::new();
        let mut length = 0u32;
        words(text, |word| {
            length += 1;
            match counts.get_mut(word) {
                Some(count) => *count = count.saturating_add(1),
                None => {
                    counts.insert(word.to_owned(), 1);
                }
            }
        });
        for (word, count) in counts {
            match self.postings.get_mut(&word[..]) {
                Some(list) => list.push((chunk, count)),
                None => {
                    self.postings
                        .insert(word.into_boxed_str(), vec![(chunk, count)]);
                }
            }
        }
        self.lengths.resize(chunk as usize, 0);
        self.lengths.push(length);
        self.total += u64::from(length);
        self.counted += 1;
    }

    /// Chunks with any word of the question and `accepts`, best first, at most `most`.
    pub fn search(
        &self,
        question: &str,
        most: usize,
        accepts: impl Fn(ChunkId) -> bool,
    ) -> Vec<(f32, ChunkId)> {
        let mut wanted: Vec<String> = Vec::new();
        words(question, |word| {
            if wanted.len() < QUESTION_WORDS && !wanted.iter().any(|known| known == word) {
                wanted.push(word.to_owned());
            }
        });
        let mean = self.total as f32 / self.counted.max(1) as f32;
        let mut scores: HashMap<ChunkId, f32> = HashMap::new();
        for word in &wanted {
            let Some(list) = self.postings.get(&word[..]) else {
                continue;
            };
            let (all, having) = (self.counted as f32, list.len() as f32);
            let weight = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
            for &(chunk, count) in list {
                let length = self.lengths[chunk as usize] as f32;
                let count = f32::from(count);
                let norm = K1 * (1.0 - B + B * length / mean.max(1.0));
                *scores.entry(chunk).or_default() += weight * count * (K1 + 1.0) / (count + norm);
            }
        }
        let mut found: Vec<(f32, ChunkId)> = scores
            .into_iter()
            .filter(|&(id, _)| accepts(id))
            .map(|(id, s)| (s, id))
            .collect();
        found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        found.truncate(most);
        found
    }

    /// Different words known.
    pub fn words_len(&self) -> usize {
        self.postings.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_and_short_chunks_win() {
        let mut index = TextIndex::default();
        let texts = [
            "the scheme opens the file",
            "the kernel maps pages",
            "the the the the file file",
        ];
        texts
            .iter()
            .enumerate()
            .for_each(|(i, text)| index.add(i as u32, text));
        let found = index.search("which kernel maps the page?", 10, |_| true);
        assert_eq!(found[0].1, 1);
        assert!(
            index
                .search("files", 10, |_| true)
                .iter()
                .all(|hit| hit.1 != 1)
        );
        assert!(index.search("kernel", 10, |id| id != 1).is_empty());
    }
}
