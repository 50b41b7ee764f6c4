//! The forward pass against a plain one written here: f32 everywhere, the whole context computed anew for every token,
//! no cache, no batch. Only one thing is shared by definition: the input of a product with quantised weights is rounded
//! to eight bits per 32 values.

use std::sync::Arc;

use super::*;
use crate::invent::Recipe;
use crate::kernel::{self, Kernel};
use crate::pool::Serial;
use crate::quant;

const FAMILIES: [&str; 6] = ["llama", "qwen2", "qwen3", "phi2", "phi3", "gemma"];

struct Plain<'a> {
    gguf: &'a Gguf,
    file: &'a [u8],
    shape: &'a Shape,
}

impl Plain<'_> {
    fn rows(&self, name: &str) -> Option<(Format, Vec<Vec<f32>>)> {
        let info = self.gguf.tensors.get(name)?;
        let bytes = info.format.row_bytes(info.cols).unwrap();
        let data = &self.file[info.offset..][..info.len];
        let rows = data.chunks(bytes).map(|row| {
            let mut out = vec![0.0; info.cols];
            quant::dequantise(info.format, row, &mut out);
            out
        });
        Some((info.format, rows.collect()))
    }

    fn vector(&self, name: &str) -> Option<Vec<f32>> {
        Some(self.rows(name)?.1.remove(0))
    }

    fn times(&self, name: &str, x: &[f32]) -> Vec<f32> {
        let (format, rows) = self.rows(&format!("{name}.weight")).unwrap();
        let x: Vec<f32> = if format.is_float() {
            x.to_vec()
        } else {
            x.chunks(32).flat_map(rounded).collect()
        };
        let mut out: Vec<f32> = rows
            .iter()
            .map(|row| row.iter().zip(&x).map(|(w, x)| w * x).sum())
            .collect();
        if let Some(bias) = self.vector(&format!("{name}.bias")) {
            out.iter_mut()
                .zip(bias)
                .for_each(|(out, bias)| *out += bias);
        }
        out
    }

    fn norm(&self, name: &str, x: &[f32]) -> Vec<f32> {
        let weight = self.vector(&format!("{name}.weight")).unwrap();
        let bias = self
            .vector(&format!("{name}.bias"))
            .unwrap_or(vec![0.0; x.len()]);
        let n = x.len() as f32;
        let mean = if self.shape.norm == Norm::Layer {
            x.iter().sum::<f32>() / n
        } else {
            0.0
        };
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n;
        let root = (variance + self.shape.epsilon).sqrt();
        (0..x.len())
            .map(|i| (x[i] - mean) / root * weight[i] + bias[i])
            .collect()
    }

    fn turned(&self, mut x: Vec<f32>, position: usize, norm: &str) -> Vec<f32> {
        let (head, dims) = (self.shape.head, self.shape.rope_dims);
        for part in x.chunks_mut(head) {
            if self.gguf.tensors.contains_key(&format!("{norm}.weight")) {
                let normed = self.norm(norm, part);
                part.copy_from_slice(&normed);
            }
            let old = part.to_vec();
            for i in 0..dims / 2 {
                let (a, b) = match self.shape.rope {
                    Rope::Neighbours => (2 * i, 2 * i + 1),
                    Rope::Halves => (i, i + dims / 2),
                };
                let angle =
                    position as f32 * self.shape.rope_base.powf(-2.0 * i as f32 / dims as f32);
                part[a] = old[a] * angle.cos() - old[b] * angle.sin();
                part[b] = old[a] * angle.sin() + old[b] * angle.cos();
            }
        }
        x
    }

    /// Logits behind the last of these tokens.
    fn logits(&self, tokens: &[u32]) -> Vec<f32> {
        let shape = self.shape;
        let embedding = self.rows("token_embd.weight").unwrap().1;
        let mut xs: Vec<Vec<f32>> = tokens
            .iter()
            .map(|token| {
                embedding[*token as usize]
                    .iter()
                    .map(|x| x * shape.embedding_scale)
                    .collect()
            })
            .collect();
        for layer in 0..shape.layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            let normed: Vec<Vec<f32>> = xs
                .iter()
                .map(|x| self.norm(&name("attn_norm"), x))
                .collect();
            let parts: Vec<[Vec<f32>; 3]> = normed
                .iter()
                .enumerate()
                .map(|(at, x)| {
                    let [q, k, v] = if self.gguf.tensors.contains_key(&name("attn_qkv.weight")) {
                        let all = self.times(&name("attn_qkv"), x);
                        let (q, kv) = (shape.q_width(), shape.kv_width());
                        [
                            all[..q].to_vec(),
                            all[q..q + kv].to_vec(),
                            all[q + kv..].to_vec(),
                        ]
                    } else {
                        ["attn_q", "attn_k", "attn_v"].map(|part| self.times(&name(part), x))
                    };
                    [
                        self.turned(q, at, &name("attn_q_norm")),
                        self.turned(k, at, &name("attn_k_norm")),
                        v,
                    ]
                })
                .collect();
            for at in 0..xs.len() {
                let mut mixed = Vec::new();
                for head in 0..shape.heads {
                    let of = |x: &[f32], head: usize| x[head * shape.head..][..shape.head].to_vec();
                    let kv = head / (shape.heads / shape.kv_heads);
                    let q = of(&parts[at][0], head);
                    let mut scores: Vec<f32> = (0..=at)
                        .map(|to| {
                            let k = of(&parts[to][1], kv);
                            q.iter().zip(&k).map(|(q, k)| q * k).sum::<f32>()
                                / (shape.head as f32).sqrt()
                        })
                        .collect();
                    ops::softmax(&mut scores);
                    let mut out = vec![0.0; shape.head];
                    for (to, score) in scores.iter().enumerate() {
                        out.iter_mut()
                            .zip(of(&parts[to][2], kv))
                            .for_each(|(out, v)| *out += score * v);
                    }
                    mixed.extend(out);
                }
                let attended = self.times(&name("attn_output"), &mixed);
                let x = &mut xs[at];
                let parallel = !self.gguf.tensors.contains_key(&name("ffn_norm.weight"));
                if !parallel {
                    x.iter_mut().zip(&attended).for_each(|(x, y)| *x += y);
                }
                let input = if parallel {
                    normed[at].clone()
                } else {
                    self.norm(&name("ffn_norm"), x)
                };
                let up = self.times(&name("ffn_up"), &input);
                let bend = |x: f32| ops::bend(shape.activation, x);
                let inner: Vec<f32> = if self.gguf.tensors.contains_key(&name("ffn_gate.weight")) {
                    let gate = self.times(&name("ffn_gate"), &input);
                    gate.iter()
                        .zip(&up)
                        .map(|(gate, up)| bend(*gate) * up)
                        .collect()
                } else if up.len() == 2 * shape.feed {
                    (0..shape.feed)
                        .map(|i| bend(up[i]) * up[shape.feed + i])
                        .collect()
                } else {
                    up.iter().map(|up| bend(*up)).collect()
                };
                let down = self.times(&name("ffn_down"), &inner);
                if parallel {
                    x.iter_mut().zip(&attended).for_each(|(x, y)| *x += y);
                }
                x.iter_mut().zip(&down).for_each(|(x, y)| *x += y);
            }
        }
        let last = self.norm("output_norm", xs.last().unwrap());
        let output = if self.gguf.tensors.contains_key("output.weight") {
            "output"
        } else {
            "token_embd"
        };
        self.times(output, &last)
    }
}

fn rounded(group: &[f32]) -> Vec<f32> {
    let scale = group.iter().fold(0.0f32, |a, x| a.max(x.abs())) / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    group
        .iter()
        .map(|x| (x * inverse).round_ties_even() * scale)
        .collect()
}

fn best(logits: &[f32]) -> u32 {
    let better = |a: &(usize, &f32), b: &(usize, &f32)| a.1.total_cmp(b.1).then(b.0.cmp(&a.0));
    logits.iter().enumerate().max_by(better).unwrap().0 as u32
}

fn load(file: &[u8]) -> Model {
    let gguf = Gguf::read(file).unwrap();
    Model::load(&gguf, Arc::new(file.to_vec())).unwrap()
}

fn fastest() -> &'static dyn Kernel {
    *kernel::all().last().unwrap()
}

fn feed(model: &Model, cache: &mut Cache, tokens: &[u32]) -> Vec<f32> {
    let last = tokens.len() - 1;
    let rows: Vec<Row> = tokens
        .iter()
        .enumerate()
        .map(|(at, token)| Row {
            token: *token,
            cache: 0,
            logits: at == last,
        })
        .collect();
    model.forward(
        fastest(),
        &Serial,
        &rows,
        &mut [cache],
        &mut Scratch::default(),
    )
}

fn greedy_matches(architecture: &'static str, format: Format, tokens: usize) {
    let file = Recipe::tiny(architecture, format).file();
    let gguf = Gguf::read(&file).unwrap();
    let model = load(&file);
    let plain = Plain {
        gguf: &gguf,
        file: &file,
        shape: &model.shape,
    };
    let mut context = vec![5, 70, 133, 9];
    let mut cache = Cache::default();
    let mut logits = feed(&model, &mut cache, &context);
    for _ in 0..tokens {
        let want = plain.logits(&context);
        let size = want.iter().map(|x| x * x).sum::<f32>().sqrt();
        let error = want
            .iter()
            .zip(&logits)
            .map(|(a, b)| (a - b).powi(2))
            .sum::<f32>()
            .sqrt()
            / size;
        assert!(
            error < 2e-2,
            "{architecture} {format:?}: logits differ by {error}"
        );
        assert_eq!(best(&logits), best(&want), "{architecture} {format:?}");
        context.push(best(&want));
        logits = feed(&model, &mut cache, &context[context.len() - 1..]);
    }
}

#[test]
fn greedy_output_equals_the_plain_pass_in_every_family() {
    for family in FAMILIES {
        greedy_matches(family, Format::Q8_0, 6);
    }
}

#[test]
fn greedy_output_equals_the_plain_pass_in_every_format() {
    for format in Format::ALL {
        greedy_matches("llama", format, 4);
    }
}

#[test]
fn a_prompt_in_pieces_gives_the_same_bits_as_whole_and_beside_others() {
    let model = load(&Recipe::tiny("llama", Format::Q4_K).file());
    let tokens: Vec<u32> = (0..70).map(|i| i * 3 % 250).collect();
    let mut whole = Cache::default();
    let want = feed(&model, &mut whole, &tokens);
    let mut pieces = Cache::default();
    feed(&model, &mut pieces, &tokens[..33]);
    feed(&model, &mut pieces, &tokens[33..69]);
    // The last token beside rows of two other sequences.
    let (mut a, mut b) = (Cache::default(), Cache::default());
    let rows = [
        (3, 0, false),
        (tokens[69], 1, true),
        (7, 2, true),
        (8, 2, true),
    ]
    .map(|(token, cache, logits)| Row {
        token,
        cache,
        logits,
    });
    let got = model.forward(
        fastest(),
        &Serial,
        &rows,
        &mut [&mut a, &mut pieces, &mut b],
        &mut Scratch::default(),
    );
    assert!(
        want.iter()
            .zip(&got)
            .all(|(a, b)| a.to_bits() == b.to_bits())
    );
}

#[test]
fn a_fork_shares_pages_and_changes_nothing_for_the_other() {
    let model = load(&Recipe::tiny("qwen3", Format::Q4_0).file());
    let tokens: Vec<u32> = (0..40).collect();
    let mut first = Cache::default();
    feed(&model, &mut first, &tokens);
    let mut fork = first.clone();
    let mut alone = first.clone();
    feed(&model, &mut fork, &[200, 201]);
    assert!(Arc::ptr_eq(&fork.pages()[0], &first.pages()[0]));
    assert!(!Arc::ptr_eq(&fork.pages()[1], &first.pages()[1]));
    assert_eq!(
        feed(&model, &mut first, &[9]),
        feed(&model, &mut alone, &[9])
    );
    fork.truncate(40);
    assert_eq!(fork.tokens().collect::<Vec<_>>(), tokens);
    alone.truncate(40);
    assert_eq!(
        feed(&model, &mut fork, &[9]),
        feed(&model, &mut alone, &[9])
    );
}

#[test]
fn files_with_wrong_shapes_are_refused() {
    let recipes = [
        Recipe {
            kv_heads: 3,
            ..Recipe::tiny("llama", Format::Q8_0)
        },
        Recipe {
            architecture: "mamba",
            ..Recipe::tiny("llama", Format::Q8_0)
        },
    ];
    for recipe in recipes {
        let file = recipe.file();
        let gguf = Gguf::read(&file).unwrap();
        assert!(Model::load(&gguf, Arc::new(file)).is_err());
    }
    let file = Recipe::tiny("llama", Format::Q8_0).file();
    let mut gguf = Gguf::read(&file).unwrap();
    gguf.tensors.get_mut("blk.1.ffn_down.weight").unwrap().rows = 7;
    let error = Model::load(&gguf, Arc::new(file)).err().unwrap();
    assert!(
        error.to_string().contains("blk.1.ffn_down.weight"),
        "{error}"
    );
}
