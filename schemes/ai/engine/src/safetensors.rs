//! Directories as Python tools write them (`config.json`, `model.safetensors`, `tokenizer.json`), turned into a GGUF
//! file, so that there is one loader. BERT encoders today.
//!
//! The reader trusts nothing: the header is bounded, every tensor must lie inside the file and have the size of its
//! shape. Wanted weights become [`Format::Q8_0`] or stay as they are.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::gguf::Writer;
use crate::limits;
use crate::quant::{self, Format};

/// Bytes of a safetensors header.
const HEADER_BYTES: u64 = 64 << 20;

/// The files of a directory.
pub struct Directory<'a> {
    /// `config.json`.
    pub config: &'a str,
    /// `tokenizer.json`.
    pub tokenizer: &'a str,
    /// `model.safetensors`.
    pub tensors: &'a [u8],
}

struct Tensors<'a> {
    header: Value,
    data: &'a [u8],
}

impl<'a> Tensors<'a> {
    fn read(file: &'a [u8]) -> Result<Tensors<'a>> {
        let (len, rest) = file
            .split_first_chunk::<8>()
            .ok_or_else(|| Error::bad("the file is too short"))?;
        let len = u64::from_le_bytes(*len);
        if len > HEADER_BYTES || len > rest.len() as u64 {
            return Err(Error::bad(format!("a header of {len} bytes")));
        }
        let (header, data) = rest.split_at(len as usize);
        let header = serde_json::from_slice(header)
            .map_err(|error| Error::bad(format!("header: {error}")))?;
        Ok(Tensors { header, data })
    }

    /// A tensor as plain numbers, with its rows and columns.
    fn floats(&self, name: &str) -> Result<(usize, usize, Vec<f32>)> {
        let bad = |what: &str| Error::bad(format!("tensor {name}: {what}"));
        let info = self.header.get(name).ok_or_else(|| bad("it is missing"))?;
        let numbers = |key: &str| -> Option<Vec<usize>> {
            info.get(key)?
                .as_array()?
                .iter()
                .map(|n| n.as_u64().and_then(|n| n.try_into().ok()))
                .collect()
        };
        let shape = numbers("shape").ok_or_else(|| bad("no shape"))?;
        let (rows, cols) = match shape[..] {
            [cols] => (1, cols),
            [rows, cols] => (rows, cols),
            _ => return Err(bad("it has neither one nor two dimensions")),
        };
        let format = match info.get("dtype").and_then(Value::as_str) {
            Some("F32") => Format::F32,
            Some("F16") => Format::F16,
            Some("BF16") => Format::BF16,
            _ => return Err(bad("its type is not F32, F16 or BF16")),
        };
        let count = rows
            .checked_mul(cols)
            .filter(|count| *count as u64 <= limits::TENSOR_ELEMENTS);
        let bytes = count
            .and_then(|count| format.row_bytes(count))
            .ok_or_else(|| bad("it is too large"))?;
        let range = numbers("data_offsets").ok_or_else(|| bad("no offsets"))?;
        let data = match range[..] {
            [start, end] => self.data.get(start..end),
            _ => None,
        };
        let data = data
            .filter(|data| data.len() == bytes)
            .ok_or_else(|| bad("its bytes are not there"))?;
        let mut values = vec![0.0; rows * cols];
        quant::dequantise(format, data, &mut values);
        Ok((rows, cols, values))
    }
}

/// Turns a directory into a GGUF file; matrices get `format` (F32 or `Q8_0`).
///
/// # Errors
/// Where something is missing or malformed, or the model is no BERT encoder.
pub fn to_gguf(directory: &Directory<'_>, name: &str, format: Format) -> Result<Vec<u8>> {
    let json = |what: &str, text: &str| -> Result<Value> {
        serde_json::from_str(text).map_err(|error| Error::bad(format!("{what}: {error}")))
    };
    let config = json("config.json", directory.config)?;
    let tokenizer = json("tokenizer.json", directory.tokenizer)?;
    if config.get("model_type").and_then(Value::as_str) != Some("bert") {
        return Err(Error::Unsupported(
            "a directory whose model_type is not bert".to_owned(),
        ));
    }
    let mut writer = Writer::new();
    writer.text("general.architecture", "bert");
    writer.text("general.name", name);
    let numbers = [
        ("block_count", "num_hidden_layers"),
        ("embedding_length", "hidden_size"),
        ("attention.head_count", "num_attention_heads"),
        ("feed_forward_length", "intermediate_size"),
        ("context_length", "max_position_embeddings"),
    ];
    for (key, from) in numbers {
        let number = config
            .get(from)
            .and_then(Value::as_u64)
            .and_then(|number| u32::try_from(number).ok());
        let number = number.ok_or_else(|| Error::bad(format!("config.json: {from} is missing")))?;
        writer.number(&format!("bert.{key}"), number);
    }
    let epsilon = config
        .get("layer_norm_eps")
        .and_then(Value::as_f64)
        .unwrap_or(1e-12);
    writer.real("bert.attention.layer_norm_epsilon", epsilon as f32);
    vocabulary(&mut writer, &tokenizer)?;
    let tensors = Tensors::read(directory.tensors)?;
    let layers = config
        .get("num_hidden_layers")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    if layers > limits::LAYERS as u64 {
        return Err(Error::bad(format!("{layers} layers")));
    }
    for (to, from) in names(layers) {
        let (rows, cols, values) = tensors.floats(&from)?;
        let is_matrix = rows > 1
            && to.ends_with(".weight")
            && !to.starts_with("position")
            && !to.starts_with("token_types");
        let (format, data) =
            if is_matrix && format == Format::Q8_0 && cols.is_multiple_of(quant::BLOCK) {
                (Format::Q8_0, to_q8_0(&values))
            } else {
                (
                    Format::F32,
                    values
                        .iter()
                        .flat_map(|value| value.to_le_bytes())
                        .collect(),
                )
            };
        writer.tensor(&to, format, cols, rows, data);
    }
    Ok(writer.finish())
}

/// GGUF names and those of the directory.
fn names(layers: u64) -> Vec<(String, String)> {
    let mut names = vec![
        (
            "token_embd.weight".to_owned(),
            "embeddings.word_embeddings.weight".to_owned(),
        ),
        (
            "position_embd.weight".to_owned(),
            "embeddings.position_embeddings.weight".to_owned(),
        ),
        (
            "token_types.weight".to_owned(),
            "embeddings.token_type_embeddings.weight".to_owned(),
        ),
    ];
    let mut both = |to: String, from: String| {
        for part in ["weight", "bias"] {
            names.push((format!("{to}.{part}"), format!("{from}.{part}")));
        }
    };
    both(
        "token_embd_norm".to_owned(),
        "embeddings.LayerNorm".to_owned(),
    );
    let parts = [
        ("attn_q", "attention.self.query"),
        ("attn_k", "attention.self.key"),
        ("attn_v", "attention.self.value"),
        ("attn_output", "attention.output.dense"),
        ("attn_output_norm", "attention.output.LayerNorm"),
        ("ffn_up", "intermediate.dense"),
        ("ffn_down", "output.dense"),
        ("layer_output_norm", "output.LayerNorm"),
    ];
    for layer in 0..layers {
        for (to, from) in parts {
            both(
                format!("blk.{layer}.{to}"),
                format!("encoder.layer.{layer}.{from}"),
            );
        }
    }
    names
}

fn vocabulary(writer: &mut Writer, tokenizer: &Value) -> Result<()> {
    let model = tokenizer
        .get("model")
        .ok_or_else(|| Error::bad("tokenizer.json has no model"))?;
    let vocab = model
        .get("vocab")
        .and_then(Value::as_object)
        .filter(|vocab| vocab.len() <= limits::VOCABULARY);
    let vocab = vocab.ok_or_else(|| Error::bad("tokenizer.json has no vocabulary of words"))?;
    let mut tokens = vec![Vec::new(); vocab.len()];
    for (word, id) in vocab {
        let slot = id
            .as_u64()
            .and_then(|id| tokens.get_mut(usize::try_from(id).ok()?));
        let slot = slot.ok_or_else(|| Error::bad(format!("token {word:?} has a wrong number")))?;
        *slot = match word.strip_prefix("##") {
            Some(rest) => rest.as_bytes().to_vec(),
            None if word.starts_with('[') && word.ends_with(']') && word.len() > 2 => {
                word.as_bytes().to_vec()
            }
            None => format!("\u{2581}{word}").into_bytes(),
        };
    }
    let id = |word: &str| {
        vocab
            .get(word)
            .and_then(Value::as_u64)
            .and_then(|id| u32::try_from(id).ok())
    };
    for (key, word) in [
        ("bos_token_id", "[CLS]"),
        ("eos_token_id", "[SEP]"),
        ("unknown_token_id", "[UNK]"),
    ] {
        let id = id(word).ok_or_else(|| Error::bad(format!("the vocabulary has no {word}")))?;
        writer.number(&format!("tokenizer.ggml.{key}"), id);
    }
    writer.text("tokenizer.ggml.model", "bert");
    let kinds: Vec<f32> = tokens
        .iter()
        .map(|token| if token.starts_with(b"[") { 3.0 } else { 1.0 })
        .collect();
    writer.texts("tokenizer.ggml.tokens", tokens);
    writer.numbers("tokenizer.ggml.token_type", &kinds);
    Ok(())
}

/// Rounds to eight bits with one half-float scale per 32.
pub fn to_q8_0(values: &[f32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() / quant::BLOCK * 34);
    for group in values.chunks_exact(quant::BLOCK) {
        let largest = group
            .iter()
            .fold(0.0f32, |largest, value| largest.max(value.abs()));
        let bytes = quant::to_f16(largest / 127.0);
        let scale = quant::f16(bytes);
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        out.extend(bytes);
        out.extend(
            group
                .iter()
                .map(|value| (value * inverse).round().clamp(-127.0, 127.0) as i8 as u8),
        );
    }
    out
}
