//! Finding a model's tensors by their GGUF names and checking every shape.

use super::{Blob, Expand, Inputs, Layer, Linear, Matrix, Model, Scale, Shape};
use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::limits;
use crate::model::Norm;
use crate::quant;

pub(super) struct Loader<'a> {
    pub(super) gguf: &'a Gguf,
    pub(super) file: &'a [u8],
}

impl Loader<'_> {
    fn has(&self, name: &str) -> bool {
        self.gguf.tensors.contains_key(name)
    }

    pub(super) fn matrix(&self, name: &str, cols: usize, rows: usize) -> Result<Matrix> {
        let info = self
            .gguf
            .tensors
            .get(name)
            .ok_or_else(|| Error::bad(format!("tensor {name} is missing")))?;
        if (info.cols, info.rows) != (cols, rows) {
            return Err(Error::bad(format!(
                "tensor {name} is {} x {}, not {cols} x {rows}",
                info.cols, info.rows
            )));
        }
        let end = info.offset.checked_add(info.len);
        if end.is_none_or(|end| end > self.file.len()) {
            return Err(Error::bad(format!(
                "tensor {name} lies beyond the end of the file"
            )));
        }
        Ok(Matrix {
            format: info.format,
            cols,
            rows,
            offset: info.offset,
            len: info.len,
        })
    }

    pub(super) fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        let matrix = self.matrix(name, len, 1)?;
        let mut values = vec![0.0; len];
        let data = &self.file[matrix.offset..][..matrix.len];
        quant::dequantise(matrix.format, data, &mut values);
        Ok(values)
    }

    fn optional_vector(&self, name: &str, len: usize) -> Result<Option<Vec<f32>>> {
        if self.has(name) {
            self.vector(name, len).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(super) fn linear(&self, name: &str, cols: usize, rows: usize) -> Result<Linear> {
        Ok(Linear {
            matrix: self.matrix(&format!("{name}.weight"), cols, rows)?,
            bias: self.optional_vector(&format!("{name}.bias"), rows)?,
        })
    }

    pub(super) fn scale(&self, name: &str, len: usize) -> Result<Scale> {
        Ok(Scale {
            weight: self.vector(&format!("{name}.weight"), len)?,
            bias: self.optional_vector(&format!("{name}.bias"), len)?,
        })
    }

    fn optional_scale(&self, name: &str, len: usize) -> Result<Option<Scale>> {
        let present = self.has(&format!("{name}.weight"));
        if present {
            self.scale(name, len).map(Some)
        } else {
            Ok(None)
        }
    }

    fn layer(&self, shape: &Shape, index: usize) -> Result<Layer> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let (width, q, kv) = (shape.width, shape.q_width(), shape.kv_width());
        let inputs = if self.has(&name("attn_qkv.weight")) {
            Inputs::Fused(self.linear(&name("attn_qkv"), width, q + 2 * kv)?)
        } else {
            Inputs::Apart {
                q: self.linear(&name("attn_q"), width, q)?,
                k: self.linear(&name("attn_k"), width, kv)?,
                v: self.linear(&name("attn_v"), width, kv)?,
            }
        };
        let expand = if self.has(&name("ffn_gate.weight")) {
            Expand::Gated {
                gate: self.linear(&name("ffn_gate"), width, shape.feed)?,
                up: self.linear(&name("ffn_up"), width, shape.feed)?,
            }
        } else if shape.norm == Norm::Layer {
            Expand::Plain(self.linear(&name("ffn_up"), width, shape.feed)?)
        } else {
            Expand::FusedGated(self.linear(&name("ffn_up"), width, 2 * shape.feed)?)
        };
        let feed_norm = self.optional_scale(&name("ffn_norm"), width)?;
        if feed_norm.is_none() && shape.norm != Norm::Layer {
            return Err(Error::bad(format!(
                "tensor {} is missing",
                name("ffn_norm.weight")
            )));
        }
        Ok(Layer {
            attention_norm: self.scale(&name("attn_norm"), width)?,
            inputs,
            q_norm: self.optional_scale(&name("attn_q_norm"), shape.head)?,
            k_norm: self.optional_scale(&name("attn_k_norm"), shape.head)?,
            output: self.linear(&name("attn_output"), q, width)?,
            feed_norm,
            expand,
            down: self.linear(&name("ffn_down"), shape.feed, width)?,
        })
    }
}

pub(super) fn load(gguf: &Gguf, blob: Blob) -> Result<Model> {
    let mut shape = Shape::read(gguf)?;
    let file = (*blob).as_ref();
    let loader = Loader { gguf, file };
    let rows = gguf
        .tensors
        .get("token_embd.weight")
        .map_or(0, |info| info.rows);
    if rows == 0 || rows > limits::VOCABULARY {
        return Err(Error::bad(format!("a vocabulary of {rows} tokens")));
    }
    shape.vocabulary = rows;
    let embedding = loader.matrix("token_embd.weight", shape.width, rows)?;
    let output = if loader.has("output.weight") {
        loader.linear("output", shape.width, rows)?
    } else {
        Linear {
            matrix: embedding,
            bias: None,
        }
    };
    let layers = (0..shape.layers).map(|index| loader.layer(&shape, index));
    let layers = layers.collect::<Result<Vec<_>>>()?;
    let output_norm = loader.scale("output_norm", shape.width)?;

    let pairs = shape.rope_dims / 2;
    let factors = loader.optional_vector("rope_freqs.weight", pairs)?;
    let rotation = (0..pairs)
        .map(|pair| {
            let speed = shape
                .rope_base
                .powf(-2.0 * pair as f32 / shape.rope_dims as f32);
            speed / shape.rope_scale / factors.as_ref().map_or(1.0, |factors| factors[pair])
        })
        .collect();
    Ok(Model {
        shape,
        blob: blob.clone(),
        embedding,
        layers,
        output_norm,
        output,
        rotation,
    })
}
