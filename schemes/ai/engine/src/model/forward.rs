//! The forward pass over a batch of rows, each the next token of some sequence.
//!
//! Rows of one sequence stand together, in order, beginning where its cache ends. All rows go through a layer
//! together; only attention looks at a row's own cache. So many sequences, and the pieces of a long prompt, cost one
//! pass over the weights.

use super::{Cache, Expand, Inputs, Linear, Model, Scale, ops};
use crate::kernel::{Acts, Kernel};
use crate::pool::{self, Pool};

/// One token of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The token.
    pub token: u32,
    /// Index of its sequence's cache.
    pub cache: usize,
    /// Whether its logits are wanted.
    pub logits: bool,
}

/// Buffers that live between steps.
#[derive(Default)]
pub struct Scratch {
    acts: Acts,
    product: Vec<f32>,
}

/// What a pass works with.
struct Pass<'a> {
    model: &'a Model,
    kernel: &'a dyn Kernel,
    pool: &'a dyn Pool,
    scratch: &'a mut Scratch,
    batch: usize,
}

/// Weight rows times batch rows below which a product is not worth splitting.
const SPLIT_WORK: usize = 1 << 16;
/// Parts per thread: enough that one slow thread does not hold up the rest.
const PARTS_PER_THREAD: usize = 4;

impl Model {
    /// Runs a batch, extends the caches, and gives the logits of the rows that want them, one after the other.
    pub fn forward(
        &self,
        kernel: &dyn Kernel,
        pool: &dyn Pool,
        rows: &[Row],
        caches: &mut [&mut Cache],
        scratch: &mut Scratch,
    ) -> Vec<f32> {
        let shape = &self.shape;
        let width = shape.width;
        let mut positions = Vec::with_capacity(rows.len());
        for row in rows {
            let cache = &mut *caches[row.cache];
            positions.push(cache.len());
            cache.extend(shape, [row.token].into_iter());
        }
        let angles: Vec<Vec<(f32, f32)>> = positions
            .iter()
            .map(|position| self.angles(*position))
            .collect();
        let mut x = self.embed(rows);
        let mut pass = Pass {
            model: self,
            kernel,
            pool,
            scratch,
            batch: rows.len(),
        };
        for index in 0..self.layers.len() {
            pass.layer(index, rows, &positions, &angles, caches, &mut x);
        }

        let wanted: Vec<usize> = (0..rows.len())
            .filter(|index| rows[*index].logits)
            .collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        let mut last = vec![0.0; wanted.len() * width];
        for (index, out) in wanted.iter().zip(last.chunks_exact_mut(width)) {
            let row = &x[index * width..][..width];
            ops::normalise(shape.norm, shape.epsilon, &self.output_norm, row, out);
        }
        pass.batch = wanted.len();
        let mut logits = Vec::new();
        pass.multiply(&last, &mut [(&self.output, &mut logits)]);
        logits
    }

    fn angles(&self, position: usize) -> Vec<(f32, f32)> {
        let turn = |speed: &f32| {
            let angle = position as f32 * speed;
            (angle.cos(), angle.sin())
        };
        self.rotation.iter().map(turn).collect()
    }

    fn embed(&self, rows: &[Row]) -> Vec<f32> {
        let mut x = vec![0.0; rows.len() * self.shape.width];
        let weights = self.weights(&self.embedding);
        for (row, out) in rows.iter().zip(x.chunks_exact_mut(self.shape.width)) {
            let token = (row.token as usize).min(self.shape.vocabulary - 1);
            crate::quant::dequantise(weights.format, weights.row(token), out);
            if self.shape.embedding_scale != 1.0 {
                out.iter_mut()
                    .for_each(|value| *value *= self.shape.embedding_scale);
            }
        }
        x
    }
}

impl Pass<'_> {
    fn layer(
        &mut self,
        index: usize,
        rows: &[Row],
        positions: &[usize],
        angles: &[Vec<(f32, f32)>],
        caches: &mut [&mut Cache],
        x: &mut [f32],
    ) {
        let model = self.model;
        let (shape, layer) = (&model.shape, &model.layers[index]);
        let normed = self.normalise(&layer.attention_norm, x);
        let (mut q, mut k, v) = self.inputs(&layer.inputs, &normed);
        for (row, angles) in angles.iter().enumerate() {
            let heads = q[row * shape.q_width()..][..shape.q_width()].chunks_exact_mut(shape.head);
            heads.for_each(|head| self.prepare(layer.q_norm.as_ref(), angles, head));
            let heads =
                k[row * shape.kv_width()..][..shape.kv_width()].chunks_exact_mut(shape.head);
            heads.for_each(|head| self.prepare(layer.k_norm.as_ref(), angles, head));
        }
        let kv = shape.kv_width();
        for (at, row) in rows.iter().enumerate() {
            let (k, v) = (&k[at * kv..][..kv], &v[at * kv..][..kv]);
            caches[row.cache].write(shape, index, positions[at], k, v);
        }
        let mixed = self.attend(index, rows, positions, caches, &q);
        let mut attended = Vec::new();
        self.multiply(&mixed, &mut [(&layer.output, &mut attended)]);
        match &layer.feed_norm {
            Some(norm) => {
                add(x, &attended);
                let normed = self.normalise(norm, x);
                let fed = self.feed(&layer.expand, &layer.down, &normed);
                add(x, &fed);
            }
            None => {
                let fed = self.feed(&layer.expand, &layer.down, &normed);
                add(x, &attended);
                add(x, &fed);
            }
        }
    }

    fn normalise(&self, scale: &Scale, x: &[f32]) -> Vec<f32> {
        let shape = &self.model.shape;
        let mut out = vec![0.0; x.len()];
        for (x, out) in x
            .chunks_exact(shape.width)
            .zip(out.chunks_exact_mut(shape.width))
        {
            ops::normalise(shape.norm, shape.epsilon, scale, x, out);
        }
        out
    }

    fn inputs(&mut self, inputs: &Inputs, x: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let (mut q, mut k, mut v) = (Vec::new(), Vec::new(), Vec::new());
        match inputs {
            Inputs::Apart {
                q: wq,
                k: wk,
                v: wv,
            } => {
                self.multiply(x, &mut [(wq, &mut q), (wk, &mut k), (wv, &mut v)]);
            }
            Inputs::Fused(all) => {
                let mut fused = Vec::new();
                self.multiply(x, &mut [(all, &mut fused)]);
                let (qw, kvw) = (self.model.shape.q_width(), self.model.shape.kv_width());
                for row in fused.chunks_exact(qw + 2 * kvw) {
                    q.extend_from_slice(&row[..qw]);
                    k.extend_from_slice(&row[qw..qw + kvw]);
                    v.extend_from_slice(&row[qw + kvw..]);
                }
            }
        }
        (q, k, v)
    }

    /// Normalises (where the model does) and turns one head of a query or key.
    fn prepare(&self, norm: Option<&Scale>, angles: &[(f32, f32)], head: &mut [f32]) {
        let shape = &self.model.shape;
        if let Some(norm) = norm {
            let plain = head.to_vec();
            ops::normalise(shape.norm, shape.epsilon, norm, &plain, head);
        }
        ops::turn(shape.rope, angles, head);
    }

    fn attend(
        &self,
        layer: usize,
        rows: &[Row],
        positions: &[usize],
        caches: &[&mut Cache],
        q: &[f32],
    ) -> Vec<f32> {
        let shape = &self.model.shape;
        let (head, group) = (shape.head, shape.heads / shape.kv_heads);
        let factor = 1.0 / (head as f32).sqrt();
        let mut out = vec![0.0; q.len()];
        let work = |(at, out): (usize, &mut [f32])| {
            let (row, of) = (at / shape.heads, at % shape.heads);
            let cache = &*caches[rows[row].cache];
            let end = positions[row] + 1;
            let query = &q[at * head..][..head];
            let mut scores = Vec::with_capacity(end);
            for keys in cache.head(shape, layer, 0, of / group, end) {
                let keys = keys.chunks_exact(head);
                scores.extend(keys.map(|key| self.kernel.dot(query, key) * factor));
            }
            ops::softmax(&mut scores);
            let mut weights = scores.iter();
            for values in cache.head(shape, layer, 1, of / group, end) {
                for (value, weight) in values.chunks_exact(head).zip(&mut weights) {
                    self.kernel.add_scaled(*weight, value, out);
                }
            }
        };
        let cost: usize = positions
            .iter()
            .map(|position| (position + 1) * shape.q_width())
            .sum();
        let heads = out.chunks_exact_mut(head).enumerate();
        if cost < SPLIT_WORK {
            heads.for_each(work);
        } else {
            // Neighbouring heads share keys; a part takes some of them together.
            let parts = (self.pool.threads() * PARTS_PER_THREAD).max(1);
            let all: Vec<_> = heads.collect();
            let per_part = all.len().div_ceil(parts);
            let mut groups: Vec<Vec<_>> = Vec::with_capacity(parts);
            for item in all {
                match groups.last_mut() {
                    Some(group) if group.len() < per_part => group.push(item),
                    _ => groups.push(vec![item]),
                }
            }
            pool::for_each(self.pool, groups, |group| group.into_iter().for_each(&work));
        }
        out
    }

    fn feed(&mut self, expand: &Expand, down: &Linear, x: &[f32]) -> Vec<f32> {
        let shape = &self.model.shape;
        let mut inner = Vec::new();
        match expand {
            Expand::Gated { gate, up } => {
                let mut ups = Vec::new();
                self.multiply(x, &mut [(gate, &mut inner), (up, &mut ups)]);
                self.bend(&mut inner, Some(&ups));
            }
            Expand::FusedGated(both) => {
                let mut fused = Vec::new();
                self.multiply(x, &mut [(both, &mut fused)]);
                let mut ups = Vec::with_capacity(fused.len() / 2);
                for row in fused.chunks_exact(2 * shape.feed) {
                    inner.extend_from_slice(&row[..shape.feed]);
                    ups.extend_from_slice(&row[shape.feed..]);
                }
                self.bend(&mut inner, Some(&ups));
            }
            Expand::Plain(up) => {
                self.multiply(x, &mut [(up, &mut inner)]);
                self.bend(&mut inner, None);
            }
        }
        let mut out = Vec::new();
        self.multiply(&inner, &mut [(down, &mut out)]);
        out
    }

    fn bend(&self, values: &mut [f32], factors: Option<&[f32]>) {
        let activation = self.model.shape.activation;
        let size = values.len().div_ceil(self.pool.threads()).max(1 << 13);
        let parts: Vec<_> = match factors {
            Some(factors) => values
                .chunks_mut(size)
                .zip(factors.chunks(size).map(Some))
                .collect(),
            None => values.chunks_mut(size).map(|part| (part, None)).collect(),
        };
        pool::for_each(self.pool, parts, |(values, factors)| {
            values
                .iter_mut()
                .for_each(|value| *value = ops::bend(activation, *value));
            if let Some(factors) = factors {
                values
                    .iter_mut()
                    .zip(factors)
                    .for_each(|(value, factor)| *value *= factor);
            }
        });
    }

    /// Multiplies the batch with some matrices of the same input: `out[batch row][matrix row]` for each.
    fn multiply(&mut self, x: &[f32], products: &mut [(&Linear, &mut Vec<f32>)]) {
        let (batch, model, kernel) = (self.batch, self.model, self.kernel);
        let cols = products.first().map_or(1, |(linear, _)| linear.matrix.cols);
        let rows: usize = products.iter().map(|(linear, _)| linear.matrix.rows).sum();
        let Scratch { acts, product } = &mut *self.scratch;
        acts.set(x, cols, kernel.form());
        product.clear();
        product.resize(rows * batch, 0.0);

        let whole = self.pool.threads() == 1 || rows * cols * batch < SPLIT_WORK;
        let parts = if whole {
            1
        } else {
            self.pool.threads() * PARTS_PER_THREAD
        };
        let per_part = rows.div_ceil(parts).next_multiple_of(16);
        let mut jobs = Vec::with_capacity(parts + products.len());
        let mut rest = product.as_mut_slice();
        for (linear, _) in products.iter() {
            let mut first = 0;
            while first < linear.matrix.rows {
                let count = per_part.min(linear.matrix.rows - first);
                let (part, after) = rest.split_at_mut(count * batch);
                jobs.push((&linear.matrix, first..first + count, part));
                rest = after;
                first += count;
            }
        }
        let acts = &*acts;
        pool::for_each(self.pool, jobs, |(matrix, range, out)| {
            kernel.multiply(model.weights(matrix), range, acts, out);
        });

        let mut from = product.as_slice();
        for (linear, out) in products.iter_mut() {
            let rows = linear.matrix.rows;
            let (part, after) = from.split_at(rows * batch);
            transpose(part, batch, rows, out);
            if let Some(bias) = &linear.bias {
                out.chunks_exact_mut(rows).for_each(|row| add(row, bias));
            }
            from = after;
        }
    }
}

/// From `[matrix row][batch row]` to `[batch row][matrix row]`.
fn transpose(part: &[f32], batch: usize, rows: usize, out: &mut Vec<f32>) {
    out.clear();
    if batch == 1 {
        out.extend_from_slice(part);
        return;
    }
    out.resize(rows * batch, 0.0);
    for (row, values) in part.chunks_exact(batch).enumerate() {
        for (index, value) in values.iter().enumerate() {
            out[index * rows + row] = *value;
        }
    }
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}
