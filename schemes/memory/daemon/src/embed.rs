//! Where vectors come from: the one trait, and its two implementations.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::PathBuf;

use memory_engine::hashing::{HASHING_MODEL, hashing_embedding};

use crate::error::{Error, Result};

/// Makes vectors of texts.
pub trait Embedder: Send {
    /// A vector per text, all of the same length.
    ///
    /// # Errors
    /// `Embedder` when the model is not there or fails; the caller tries again later.
    fn embed(&mut self, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>>;
}

/// The hashing embedder of the engine: words only, always there, at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct HashingEmbedder;

impl Embedder for HashingEmbedder {
    fn embed(&mut self, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        if model != HASHING_MODEL {
            return Err(Error::Embedder(format!(
                "{model} is not the hashing embedder"
            )));
        }
        Ok(texts.iter().map(|text| hashing_embedding(text)).collect())
    }
}

/// `ai:/embed`, as a file: one JSON string per line goes in, little-endian floats come out.
#[derive(Clone, Debug)]
pub struct AiEmbedder {
    file: PathBuf,
}

/// Texts sent in one request.
const BATCH: usize = 32;

impl AiEmbedder {
    /// `file` is the path of `ai:/embed`.
    pub fn new(file: PathBuf) -> Self {
        Self { file }
    }

    fn ask(&self, model: &str, texts: &[String]) -> std::io::Result<Vec<u8>> {
        let mut path = self.file.clone().into_os_string();
        path.push("?format=f32&lines=1");
        if model != "default" {
            path.push(format!("&model={}", memory_api::encode_name(model)));
        }
        let mut request = String::new();
        for text in texts {
            request += &serde_json::to_string(text)?;
            request.push('\n');
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        file.write_all(request.as_bytes())?;
        let mut reply = Vec::new();
        file.read_to_end(&mut reply)?;
        Ok(reply)
    }
}

/// Splits a reply into as many rows as texts were sent.
fn rows(reply: &[u8], texts: usize) -> Option<Vec<Vec<f32>>> {
    let (words, rest) = reply.as_chunks::<4>();
    let is_whole = rest.is_empty() && !words.is_empty() && words.len().is_multiple_of(texts.max(1));
    let floats: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    let is_finite = floats.iter().all(|x| x.is_finite());
    (is_whole && is_finite && texts > 0).then(|| {
        floats
            .chunks_exact(floats.len() / texts)
            .map(<[f32]>::to_vec)
            .collect()
    })
}

impl Embedder for AiEmbedder {
    fn embed(&mut self, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            let reply = self
                .ask(model, batch)
                .map_err(|error| Error::Embedder(error.to_string()))?;
            let got = rows(&reply, batch.len());
            vectors.extend(got.ok_or_else(|| Error::Embedder("unexpected reply".into()))?);
        }
        Ok(vectors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_must_hold_as_many_rows_as_texts() {
        let bytes: Vec<u8> = [1f32, 2.0, 3.0, 4.0]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        assert_eq!(rows(&bytes, 2), Some(vec![vec![1.0, 2.0], vec![3.0, 4.0]]));
        assert_eq!(rows(&bytes, 3), None);
        assert_eq!(rows(&bytes[..15], 1), None);
        assert_eq!(rows(&[], 1), None);
    }
}
