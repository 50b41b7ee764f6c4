//! Model files with random weights: what tests and benchmarks run on, so that neither needs a download.
//!
//! The vocabulary is byte-level: the 256 bytes, some merges of letters, and the special tokens of a ChatML template.

use crate::gguf::Writer;
use crate::quant::Format;
use crate::random::{Random, block_bytes};
use crate::tokenizer::bytes_to_text;

/// What to invent.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are those of Shape")]
pub struct Recipe {
    pub architecture: &'static str,
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub feed: usize,
    pub vocabulary: usize,
    pub context: usize,
    pub format: Format,
    pub seed: u64,
}

impl Recipe {
    /// The smallest model that exercises everything: 2 layers, 256 channels.
    pub fn tiny(architecture: &'static str, format: Format) -> Recipe {
        Recipe {
            architecture,
            layers: 2,
            width: 256,
            heads: 4,
            kv_heads: 2,
            feed: 512,
            vocabulary: 320,
            context: 512,
            format,
            seed: 1,
        }
    }

    /// The shapes of the benchmarks: about 15 million, 110 million and 1.1 billion weights.
    pub fn named(shape: &str, format: Format) -> Option<Recipe> {
        let tiny = Recipe::tiny("llama", format);
        let (layers, width, heads, kv_heads, feed) = match shape {
            "tiny" => return Some(tiny),
            "15m" => (6, 256, 8, 8, 768),
            "110m" => (12, 768, 12, 12, 2048),
            "1b" => (22, 2048, 32, 4, 5632),
            _ => return None,
        };
        let vocabulary = 32_000;
        let context = 2048;
        Some(Recipe {
            layers,
            width,
            heads,
            kv_heads,
            feed,
            vocabulary,
            context,
            ..tiny
        })
    }

    /// The file.
    pub fn file(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.metadata(&mut writer);
        vocabulary(&mut writer, self.vocabulary);
        self.tensors(&mut writer);
        writer.finish()
    }

    fn metadata(&self, writer: &mut Writer) {
        let architecture = self.architecture;
        writer.text("general.architecture", architecture);
        writer.text("general.name", &format!("random-{architecture}"));
        writer.text("general.license", "MIT");
        let mut number = |name: &str, value: usize| {
            writer.number(&format!("{architecture}.{name}"), value as u32);
        };
        number("block_count", self.layers);
        number("embedding_length", self.width);
        number("attention.head_count", self.heads);
        number("attention.head_count_kv", self.kv_heads);
        number("feed_forward_length", self.feed);
        number("context_length", self.context);
        if architecture == "phi2" {
            number("rope.dimension_count", self.width / self.heads / 2);
            writer.real("phi2.attention.layer_norm_epsilon", 1e-5);
        } else {
            writer.real(
                &format!("{architecture}.attention.layer_norm_rms_epsilon"),
                1e-5,
            );
        }
    }

    fn tensors(&self, writer: &mut Writer) {
        let mut random = Random::new(self.seed);
        let (width, feed) = (self.width, self.feed);
        let head = width / self.heads;
        let kv = head * self.kv_heads;
        let mut matrix = |writer: &mut Writer, name: &str, cols: usize, rows: usize| {
            let size = 1.4 / (cols as f32).sqrt();
            let data = block_bytes(&mut random, self.format, cols, rows, size);
            writer.tensor(name, self.format, cols, rows, data);
        };
        let mut noise = Random::new(self.seed ^ 0x5eed);
        let mut vector = |writer: &mut Writer, name: &str, len: usize, middle: f32| {
            let data = (0..len).flat_map(|_| (middle + 0.1 * noise.normal()).to_le_bytes());
            writer.tensor(name, Format::F32, len, 1, data.collect());
        };
        matrix(writer, "token_embd.weight", width, self.vocabulary);
        for layer in 0..self.layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            vector(writer, &name("attn_norm.weight"), width, 1.0);
            matrix(writer, &name("attn_output.weight"), width, width);
            match self.architecture {
                "phi2" => {
                    vector(writer, &name("attn_norm.bias"), width, 0.0);
                    vector(writer, &name("attn_qkv.bias"), width + 2 * kv, 0.0);
                    vector(writer, &name("attn_output.bias"), width, 0.0);
                    vector(writer, &name("ffn_up.bias"), feed, 0.0);
                    vector(writer, &name("ffn_down.bias"), width, 0.0);
                    matrix(writer, &name("attn_qkv.weight"), width, width + 2 * kv);
                    matrix(writer, &name("ffn_up.weight"), width, feed);
                }
                "phi3" => {
                    vector(writer, &name("ffn_norm.weight"), width, 1.0);
                    matrix(writer, &name("attn_qkv.weight"), width, width + 2 * kv);
                    matrix(writer, &name("ffn_up.weight"), width, 2 * feed);
                }
                family => {
                    vector(writer, &name("ffn_norm.weight"), width, 1.0);
                    for (part, rows) in [("q", width), ("k", kv), ("v", kv)] {
                        matrix(writer, &name(&format!("attn_{part}.weight")), width, rows);
                        if family == "qwen2" {
                            vector(writer, &name(&format!("attn_{part}.bias")), rows, 0.0);
                        }
                    }
                    if family == "qwen3" {
                        vector(writer, &name("attn_q_norm.weight"), head, 1.0);
                        vector(writer, &name("attn_k_norm.weight"), head, 1.0);
                    }
                    matrix(writer, &name("ffn_gate.weight"), width, feed);
                    matrix(writer, &name("ffn_up.weight"), width, feed);
                }
            }
            matrix(writer, &name("ffn_down.weight"), feed, width);
        }
        vector(writer, "output_norm.weight", width, 1.0);
        if self.architecture == "phi2" {
            vector(writer, "output_norm.bias", width, 0.0);
        }
        if !matches!(self.architecture, "gemma" | "qwen2") {
            matrix(writer, "output.weight", width, self.vocabulary);
        }
    }
}

/// The chat template of an invented model.
pub const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

fn vocabulary(writer: &mut Writer, size: usize) {
    let mut tokens: Vec<String> = (0..=255u8).map(|byte| bytes_to_text(&[byte])).collect();
    let mut merges = Vec::new();
    let letters = "etaoinshrdlu";
    'fill: for a in letters.chars() {
        for b in letters.chars() {
            if tokens.len() + 3 >= size {
                break 'fill;
            }
            merges.push(format!("{a} {b}"));
            tokens.push(format!("{a}{b}"));
        }
    }
    let mut filler = 0;
    while tokens.len() + 3 < size {
        tokens.push(format!("<filler{filler}>"));
        filler += 1;
    }
    let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let first_special = tokens.len();
    tokens.extend(special.map(str::to_owned));
    let types: Vec<f32> = (0..tokens.len())
        .map(|at| if at >= first_special { 3.0 } else { 1.0 })
        .collect();
    writer.text("tokenizer.ggml.model", "gpt2");
    writer.text("tokenizer.ggml.pre", "gpt-2");
    writer.texts(
        "tokenizer.ggml.tokens",
        tokens.into_iter().map(String::into_bytes),
    );
    writer.texts(
        "tokenizer.ggml.merges",
        merges.into_iter().map(String::into_bytes),
    );
    writer.numbers("tokenizer.ggml.token_type", &types);
    writer.number("tokenizer.ggml.bos_token_id", first_special as u32);
    writer.number("tokenizer.ggml.eos_token_id", first_special as u32 + 2);
    writer.flag("tokenizer.ggml.add_bos_token", false);
    writer.text("tokenizer.chat_template", TEMPLATE);
}
