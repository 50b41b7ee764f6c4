//! BERT encoders: a text's tokens to one vector of unit length (mean of the last layer's rows).
//!
//! All texts of a call go through each layer together, as rows of one batch; attention stays within a text. The layout of
//! tensors is that of GGUF files of architecture `bert`.

use super::load::Loader;
use super::{Blob, Linear, Matrix, Norm, Scale, ops};
use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::kernel::{Acts, Kernel, Weights};
use crate::limits;
use crate::pool::{self, Pool};
use crate::quant::{self, Format};

/// An encoder.
pub struct Encoder {
    /// Channels, and so numbers in a vector.
    pub width: usize,
    /// Longest text in tokens; the rest is cut off.
    pub context: usize,
    heads: usize,
    epsilon: f32,
    blob: Blob,
    tokens: Matrix,
    positions: Matrix,
    /// The one row of the type table that is used, added to every token.
    kind: Vec<f32>,
    norm: Scale,
    layers: Vec<Layer>,
}

struct Layer {
    q: Linear,
    k: Linear,
    v: Linear,
    output: Linear,
    attention_norm: Scale,
    up: Linear,
    down: Linear,
    output_norm: Scale,
}

/// Rows that one pass takes at most; longer lists of texts go in several.
const ROWS: usize = 512;

impl Encoder {
    /// Finds an encoder's parts in a file.
    ///
    /// # Errors
    /// As [`super::Model::load`].
    pub fn load(gguf: &Gguf, blob: Blob) -> Result<Encoder> {
        let file = (*blob).as_ref();
        let loader = Loader { gguf, file };
        let width = gguf.size("bert.embedding_length", limits::WIDTH)?;
        let heads = gguf.size("bert.attention.head_count", limits::HEADS)?;
        let feed = gguf.size("bert.feed_forward_length", limits::WIDTH)?;
        let context = gguf.size("bert.context_length", limits::CONTEXT)?;
        let count = gguf.size("bert.block_count", limits::LAYERS)?;
        if width % heads != 0 {
            return Err(Error::bad(format!(
                "{heads} heads do not divide {width} channels"
            )));
        }
        let rows = |name: &str| gguf.tensors.get(name).map_or(0, |info| info.rows);
        let tokens = loader.matrix("token_embd.weight", width, rows("token_embd.weight"))?;
        let positions = loader.matrix("position_embd.weight", width, context)?;
        let kinds = loader.matrix("token_types.weight", width, rows("token_types.weight"))?;
        let mut kind = vec![0.0; width];
        let row = kinds.len / kinds.rows;
        quant::dequantise(kinds.format, &file[kinds.offset..][..row], &mut kind);
        let layer = |index: usize| {
            let name = |part: &str| format!("blk.{index}.{part}");
            Ok(Layer {
                q: loader.linear(&name("attn_q"), width, width)?,
                k: loader.linear(&name("attn_k"), width, width)?,
                v: loader.linear(&name("attn_v"), width, width)?,
                output: loader.linear(&name("attn_output"), width, width)?,
                attention_norm: loader.scale(&name("attn_output_norm"), width)?,
                up: loader.linear(&name("ffn_up"), width, feed)?,
                down: loader.linear(&name("ffn_down"), feed, width)?,
                output_norm: loader.scale(&name("layer_output_norm"), width)?,
            })
        };
        let layers = (0..count).map(layer).collect::<Result<Vec<_>>>()?;
        let norm = loader.scale("token_embd_norm", width)?;
        let epsilon = gguf
            .real("bert.attention.layer_norm_epsilon")
            .unwrap_or(1e-12);
        Ok(Encoder {
            width,
            context,
            heads,
            epsilon,
            blob: blob.clone(),
            tokens,
            positions,
            kind,
            norm,
            layers,
        })
    }

    /// The formats that most of the work is in, for [`crate::kernel::pick`].
    pub fn formats(&self) -> Vec<Format> {
        self.layers.first().map_or(Vec::new(), |layer| {
            vec![layer.up.matrix.format, layer.q.matrix.format]
        })
    }

    /// Number of weights.
    pub fn parameters(&self) -> usize {
        let of = |matrix: &Matrix| matrix.cols * matrix.rows;
        let layer = |layer: &Layer| {
            let linears = [
                &layer.q,
                &layer.k,
                &layer.v,
                &layer.output,
                &layer.up,
                &layer.down,
            ];
            linears
                .iter()
                .map(|linear| of(&linear.matrix))
                .sum::<usize>()
        };
        of(&self.tokens) + of(&self.positions) + self.layers.iter().map(layer).sum::<usize>()
    }

    /// The vectors of some texts, each given as its tokens with those that the model wants around a text.
    pub fn encode(
        &self,
        kernel: &dyn Kernel,
        pool: &dyn Pool,
        texts: &[Vec<u32>],
    ) -> Vec<Vec<f32>> {
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            let mut rows = 0;
            let fitting = rest.iter().take_while(|text| {
                rows += text.len().min(self.context);
                rows <= ROWS
            });
            let count = fitting.count().max(1);
            vectors.extend(self.pass(kernel, pool, &rest[..count]));
            rest = &rest[count..];
        }
        vectors
    }

    fn weights(&self, matrix: &Matrix) -> Weights<'_> {
        let data = &(*self.blob).as_ref()[matrix.offset..][..matrix.len];
        Weights {
            format: matrix.format,
            cols: matrix.cols,
            data,
        }
    }

    fn pass(&self, kernel: &dyn Kernel, pool: &dyn Pool, texts: &[Vec<u32>]) -> Vec<Vec<f32>> {
        let width = self.width;
        let mut x = Vec::new();
        let mut spans = Vec::new();
        let mut row = vec![0.0; width];
        for text in texts {
            let start = x.len() / width;
            for (position, token) in text.iter().take(self.context).enumerate() {
                let weights = self.weights(&self.tokens);
                let token = (*token as usize).min(self.tokens.rows - 1);
                quant::dequantise(weights.format, weights.row(token), &mut row);
                let at = x.len();
                x.extend(row.iter().zip(&self.kind).map(|(a, b)| a + b));
                let weights = self.weights(&self.positions);
                quant::dequantise(weights.format, weights.row(position), &mut row);
                x[at..].iter_mut().zip(&row).for_each(|(x, y)| *x += y);
            }
            spans.push(start..x.len() / width);
        }
        if x.is_empty() {
            return vec![vec![0.0; width]; texts.len()];
        }
        self.normalise(&self.norm, &mut x);
        let mut acts = Acts::default();
        for layer in &self.layers {
            acts.set(&x, width, kernel.form());
            let [q, k, v] = [&layer.q, &layer.k, &layer.v]
                .map(|linear| self.times(kernel, pool, linear, &acts));
            let mixed = self.attend(kernel, pool, &spans, &q, &k, &v);
            acts.set(&mixed, width, kernel.form());
            let attended = self.times(kernel, pool, &layer.output, &acts);
            x.iter_mut().zip(&attended).for_each(|(x, y)| *x += y);
            self.normalise(&layer.attention_norm, &mut x);
            acts.set(&x, width, kernel.form());
            let mut inner = self.times(kernel, pool, &layer.up, &acts);
            inner
                .iter_mut()
                .for_each(|value| *value = ops::gelu(*value));
            acts.set(&inner, layer.down.matrix.cols, kernel.form());
            let fed = self.times(kernel, pool, &layer.down, &acts);
            x.iter_mut().zip(&fed).for_each(|(x, y)| *x += y);
            self.normalise(&layer.output_norm, &mut x);
        }
        let mean = |span: core::ops::Range<usize>| {
            let mut vector = vec![0.0; width];
            for row in x[span.start * width..span.end * width].chunks_exact(width) {
                vector
                    .iter_mut()
                    .zip(row)
                    .for_each(|(sum, value)| *sum += value);
            }
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            let factor = if length > 0.0 { 1.0 / length } else { 0.0 };
            vector.iter_mut().for_each(|value| *value *= factor);
            vector
        };
        spans.into_iter().map(mean).collect()
    }

    fn normalise(&self, scale: &Scale, x: &mut [f32]) {
        let mut out = vec![0.0; self.width];
        for row in x.chunks_exact_mut(self.width) {
            ops::normalise(Norm::Layer, self.epsilon, scale, row, &mut out);
            row.copy_from_slice(&out);
        }
    }

    fn times(
        &self,
        kernel: &dyn Kernel,
        pool: &dyn Pool,
        linear: &Linear,
        acts: &Acts,
    ) -> Vec<f32> {
        let (rows, batch) = (linear.matrix.rows, acts.rows);
        let mut product = vec![0.0; rows * batch];
        let per_part = rows.div_ceil(pool.threads() * 4).next_multiple_of(16);
        let jobs = product.chunks_mut(per_part * batch).enumerate().collect();
        let weights = self.weights(&linear.matrix);
        pool::for_each(pool, jobs, |(index, out): (usize, &mut [f32])| {
            let first = index * per_part;
            kernel.multiply(weights, first..first + out.len() / batch, acts, out);
        });
        let mut out = vec![0.0; rows * batch];
        for (row, values) in product.chunks_exact(batch).enumerate() {
            let bias = linear.bias.as_ref().map_or(0.0, |bias| bias[row]);
            for (index, value) in values.iter().enumerate() {
                out[index * rows + row] = value + bias;
            }
        }
        out
    }

    fn attend(
        &self,
        kernel: &dyn Kernel,
        pool: &dyn Pool,
        spans: &[core::ops::Range<usize>],
        q: &[f32],
        k: &[f32],
        v: &[f32],
    ) -> Vec<f32> {
        let (width, head) = (self.width, self.width / self.heads);
        let factor = 1.0 / (head as f32).sqrt();
        let mut out = vec![0.0; q.len()];
        let mut jobs = Vec::with_capacity(spans.len());
        let mut rest = out.as_mut_slice();
        for span in spans {
            let (part, after) = rest.split_at_mut(span.len() * width);
            jobs.push((span.clone(), part));
            rest = after;
        }
        pool::for_each(pool, jobs, |(span, out)| {
            let mut scores = Vec::with_capacity(span.len());
            for (row, out) in span.clone().zip(out.chunks_exact_mut(width)) {
                for (index, out) in out.chunks_exact_mut(head).enumerate() {
                    let at = |row: usize| row * width + index * head;
                    let query = &q[at(row)..][..head];
                    scores.clear();
                    scores.extend(
                        span.clone()
                            .map(|to| kernel.dot(query, &k[at(to)..][..head]) * factor),
                    );
                    ops::softmax(&mut scores);
                    for (to, score) in span.clone().zip(&scores) {
                        kernel.add_scaled(*score, &v[at(to)..][..head], out);
                    }
                }
            }
        });
        out
    }
}
