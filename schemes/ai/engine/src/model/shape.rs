//! What kind of model a file holds: sizes and switches, each checked before anything is built on it.

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::limits;

/// The kind of normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Norm {
    Rms,
    Layer,
}

/// Which channels of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rope {
    /// Neighbours: 0 with 1, 2 with 3.
    Neighbours,
    /// Halves: 0 with n/2, 1 with n/2 + 1.
    Halves,
}

/// The bend in the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Activation {
    Silu,
    Gelu,
}

/// Sizes and switches of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The architecture's name in the file.
    pub architecture: String,
    /// Layers.
    pub layers: usize,
    /// Channels between layers.
    pub width: usize,
    /// Attention heads of queries.
    pub heads: usize,
    /// Attention heads of keys and values; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Channels of a head.
    pub head: usize,
    /// Channels inside the feed-forward part.
    pub feed: usize,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Longest context in tokens.
    pub context: usize,
    /// Normalisation.
    pub norm: Norm,
    /// Its epsilon.
    pub epsilon: f32,
    /// Turning of positions.
    pub rope: Rope,
    /// Channels of a head that turn.
    pub rope_dims: usize,
    /// Base of the turning speeds.
    pub rope_base: f32,
    /// Positions are divided by this.
    pub rope_scale: f32,
    /// Bend.
    pub activation: Activation,
    /// Token vectors are multiplied by this.
    pub embedding_scale: f32,
}

impl Shape {
    /// Reads and checks the shape of a file.
    ///
    /// # Errors
    /// Names the field that is missing or out of range, or the architecture that is not supported.
    pub fn read(gguf: &Gguf) -> Result<Shape> {
        let architecture = gguf
            .text("general.architecture")
            .ok_or_else(|| Error::bad("general.architecture is missing"))?
            .to_owned();
        let (norm, rope, activation) = match architecture.as_str() {
            "llama" => (Norm::Rms, Rope::Neighbours, Activation::Silu),
            "qwen2" | "qwen3" | "phi3" => (Norm::Rms, Rope::Halves, Activation::Silu),
            "phi2" => (Norm::Layer, Rope::Halves, Activation::Gelu),
            "gemma" => (Norm::Rms, Rope::Halves, Activation::Gelu),
            other => return Err(Error::Unsupported(format!("architecture {other}"))),
        };
        let key = |name: &str| format!("{architecture}.{name}");
        let size = |name: &str, limit| gguf.size(&key(name), limit);
        let optional = |name: &str, limit, default| match gguf.number(&key(name)) {
            Some(_) => size(name, limit),
            None => Ok(default),
        };
        if gguf
            .number(&key("expert_count"))
            .is_some_and(|count| count > 0)
        {
            return Err(Error::Unsupported("mixtures of experts".to_owned()));
        }
        let width = size("embedding_length", limits::WIDTH)?;
        let heads = size("attention.head_count", limits::HEADS)?;
        let kv_heads = optional("attention.head_count_kv", limits::HEADS, heads)?;
        if heads % kv_heads != 0 {
            return Err(Error::bad(format!(
                "{kv_heads} key heads do not divide {heads} heads"
            )));
        }
        let head = optional("attention.key_length", limits::WIDTH, width / heads)?;
        if optional("attention.value_length", limits::WIDTH, head)? != head {
            return Err(Error::Unsupported(
                "keys and values of different sizes".to_owned(),
            ));
        }
        let rope_dims = optional("rope.dimension_count", limits::WIDTH, head)?;
        if head == 0 || head * heads > limits::WIDTH || rope_dims > head || rope_dims % 2 != 0 {
            return Err(Error::bad(format!(
                "{heads} heads of {head} channels, {rope_dims} of them turning, do not fit"
            )));
        }
        let epsilon_key = match norm {
            Norm::Rms => key("attention.layer_norm_rms_epsilon"),
            Norm::Layer => key("attention.layer_norm_epsilon"),
        };
        let scaling = gguf.text(&key("rope.scaling.type")).unwrap_or("none");
        let rope_scale = match scaling {
            "linear" => gguf.real(&key("rope.scaling.factor")).unwrap_or(1.0),
            // Long-context tables of phi-3 and YaRN change nothing within the original context.
            _ => 1.0,
        };
        let mut context = size("context_length", usize::MAX)?.min(limits::CONTEXT);
        if !matches!(scaling, "linear" | "none")
            && let Some(original) = gguf.number(&key("rope.scaling.original_context_length"))
        {
            context = context
                .min(usize::try_from(original).unwrap_or(context))
                .max(1);
        }
        let shape = Shape {
            layers: size("block_count", limits::LAYERS)?,
            width,
            heads,
            kv_heads,
            head,
            feed: size("feed_forward_length", limits::WIDTH)?,
            vocabulary: 0,
            context,
            norm,
            epsilon: gguf.real(&epsilon_key).unwrap_or(1e-5),
            rope,
            rope_dims,
            rope_base: gguf.real(&key("rope.freq_base")).unwrap_or(10_000.0),
            rope_scale,
            activation,
            embedding_scale: if architecture == "gemma" {
                (width as f32).sqrt()
            } else {
                1.0
            },
            architecture,
        };
        let positive = [shape.epsilon, shape.rope_base, shape.rope_scale];
        if positive
            .iter()
            .any(|value| !value.is_finite() || *value <= 0.0)
        {
            return Err(Error::bad(
                "epsilon, rope base and rope factor must be positive",
            ));
        }
        Ok(shape)
    }

    /// Channels of all query heads.
    pub fn q_width(&self) -> usize {
        self.heads * self.head
    }

    /// Channels of all key (or value) heads.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head
    }
}
