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

/// `ai:/embed`, as a file: texts go in as JSON Lines, vectors come out one JSON array per line.
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

    fn ask(&self, model: &str, texts: &[String]) -> std::io::Result<Vec<Vec<f32>>> {
        let mut path = self.file.clone().into_os_string();
        if model != "default" {
            path.push(format!("?model={}", memory_api::encode_name(model)));
        }
        let mut request = String::new();
        for text in texts {
            request += &serde_json::to_string(text)?;
            request.push('\n');
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        file.write_all(request.as_bytes())?;
        let mut reply = String::new();
        file.read_to_string(&mut reply)?;
        reply
            .lines()
            .map(|line| Ok(serde_json::from_str(line)?))
            .collect()
    }
}

impl Embedder for AiEmbedder {
    fn embed(&mut self, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            let got = self
                .ask(model, batch)
                .map_err(|error| Error::Embedder(error.to_string()))?;
            let dims = got.first().map_or(0, Vec::len);
            if got.len() != batch.len() || dims == 0 || got.iter().any(|row| row.len() != dims) {
                return Err(Error::Embedder("unexpected reply".into()));
            }
            vectors.extend(got);
        }
        Ok(vectors)
    }
}
