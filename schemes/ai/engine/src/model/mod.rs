//! The models: what a file says about one, where its weights lie, and the forward pass.
//!
//! One description ([`Shape`]) covers the llama family and its cousins: llama (with Mistral, TinyLlama, SmolLM),
//! qwen2, qwen3, phi-2, phi-3 and gemma differ in a handful of switches, not in structure.

mod cache;
mod encoder;
mod forward;
mod load;
pub mod ops;
mod shape;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::error::Result;
use crate::gguf::Gguf;
use crate::kernel::Weights;
use crate::quant::Format;

pub use cache::{Cache, Page};
pub use encoder::Encoder;
pub use forward::{Row, Scratch};
pub use shape::{Activation, Norm, Rope, Shape};

/// The bytes of a model file: a mapping, or memory.
pub type Blob = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A weight matrix inside the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    format: Format,
    cols: usize,
    rows: usize,
    offset: usize,
    len: usize,
}

/// A matrix product with its bias.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    matrix: Matrix,
    bias: Option<Vec<f32>>,
}

/// A normalisation: a factor, and for [`Norm::Layer`] an offset, per channel.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

/// How queries, keys and values are made.
#[derive(Clone, Debug)]
pub(crate) enum Inputs {
    Apart { q: Linear, k: Linear, v: Linear },
    Fused(Linear),
}

/// The first half of the feed-forward part.
#[derive(Clone, Debug)]
pub(crate) enum Expand {
    Gated {
        gate: Linear,
        up: Linear,
    },
    /// Gate and up in one matrix, gate first.
    FusedGated(Linear),
    Plain(Linear),
}

#[derive(Clone, Debug)]
pub(crate) struct Layer {
    attention_norm: Scale,
    inputs: Inputs,
    q_norm: Option<Scale>,
    k_norm: Option<Scale>,
    output: Linear,
    /// `None` where attention and feed-forward share one normalisation and run side by side (phi-2).
    feed_norm: Option<Scale>,
    expand: Expand,
    down: Linear,
}

/// A loaded model. Its weights are borrowed from the blob; small vectors are copies.
pub struct Model {
    /// What the file says about it.
    pub shape: Shape,
    blob: Blob,
    embedding: Matrix,
    layers: Vec<Layer>,
    output_norm: Scale,
    output: Linear,
    /// Rotation speed of each pair of a head's channels.
    rotation: Vec<f32>,
}

impl Model {
    /// Finds a model's parts in a file.
    ///
    /// # Errors
    /// Where something is missing, of a wrong shape, or not supported.
    pub fn load(gguf: &Gguf, blob: Blob) -> Result<Model> {
        load::load(gguf, blob)
    }

    pub(crate) fn weights(&self, matrix: &Matrix) -> Weights<'_> {
        let data = &(*self.blob).as_ref()[matrix.offset..][..matrix.len];
        Weights {
            format: matrix.format,
            cols: matrix.cols,
            data,
        }
    }

    /// The formats that most of the work is in, for [`crate::kernel::pick`].
    pub fn formats(&self) -> Vec<Format> {
        let mut formats = vec![self.output.matrix.format];
        if let Some(layer) = self.layers.first() {
            formats.push(layer.down.matrix.format);
            formats.push(layer.output.matrix.format);
        }
        formats.dedup();
        formats
    }

    /// Number of weights.
    pub fn parameters(&self) -> usize {
        let linear = |linear: &Linear| linear.matrix.cols * linear.matrix.rows;
        let layer = |layer: &Layer| {
            let inputs = match &layer.inputs {
                Inputs::Apart { q, k, v } => linear(q) + linear(k) + linear(v),
                Inputs::Fused(all) => linear(all),
            };
            let expand = match &layer.expand {
                Expand::Gated { gate, up } => linear(gate) + linear(up),
                Expand::FusedGated(all) | Expand::Plain(all) => linear(all),
            };
            inputs + expand + linear(&layer.output) + linear(&layer.down)
        };
        let output = if self.output.matrix.offset == self.embedding.offset {
            0
        } else {
            linear(&self.output)
        };
        self.layers.iter().map(layer).sum::<usize>()
            + self.embedding.cols * self.embedding.rows
            + output
    }

    /// Bytes of cache that a sequence of so many tokens takes.
    pub fn cache_bytes(&self, tokens: usize) -> usize {
        tokens.div_ceil(crate::limits::PAGE) * Page::floats(&self.shape) * size_of::<f32>()
    }
}
