//! The inner loops: products of weight rows with activations, in several builds of which the fastest is picked.
//!
//! A [`Kernel`] multiplies rows of a weight matrix with a batch of activation rows. There are three kinds:
//! [`reference`] (plain, the measure of the others), [`swar`] (64-bit integer arithmetic only, for machines where
//! vector and floating-point instructions are slow, such as an emulated one) and [`simd`] (x86-64 vectors, the only
//! unsafe module of the engine). [`pick`] times them and takes the best (D-0702).
//!
//! Invariant that the scheduler rests on: a result does not depend on which other rows are in the batch. Every kernel
//! computes each product with the same operations in the same order whatever the batch size is.

pub mod reference;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the one module with vector instructions")]
mod simd;
pub mod swar;
#[cfg(test)]
mod tests;

use core::ops::Range;

use crate::quant::{BLOCK, Format};

/// How far a fast kernel may be from the reference, relative to the product of the vectors' lengths. The sums are
/// of the same integers; only the order of the floating-point additions differs.
pub const BUDGET: f32 = 2e-6;
/// The same for [`swar`], whose activations carry coarser block scales.
pub const SWAR_BUDGET: f32 = 4e-3;

/// Rows of weights in one format.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    /// Element type.
    pub format: Format,
    /// Weights per row.
    pub cols: usize,
    /// The rows' bytes, one after the other.
    pub data: &'a [u8],
}

impl<'a> Weights<'a> {
    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.format.row_bytes(self.cols).unwrap_or(0)
    }

    /// One row.
    pub fn row(&self, index: usize) -> &'a [u8] {
        let bytes = self.row_bytes();
        &self.data[index * bytes..][..bytes]
    }
}

/// Activations of a batch: plain, and in eight bits with one scale per 32.
#[derive(Default)]
pub struct Acts {
    /// Rows of the batch.
    pub rows: usize,
    /// Values per row.
    pub cols: usize,
    plain: Vec<f32>,
    q: Vec<i8>,
    scale: Vec<f32>,
    negated_sum: Vec<i32>,
    scaled_sum: Vec<f32>,
    half_sum: Vec<f32>,
    lanes: Vec<u64>,
    multiple: Vec<i32>,
    unit: Vec<f32>,
}

/// One row of [`Acts`]; every slice is per group of 32 unless it says otherwise.
#[derive(Clone, Copy)]
pub struct ActRow<'a> {
    /// The values as they are.
    pub plain: &'a [f32],
    /// The values divided by their scale, per value.
    pub q: &'a [i8],
    /// Scale.
    pub scale: &'a [f32],
    /// Minus the sum of `q`.
    pub negated_sum: &'a [i32],
    /// `scale` times the sum of `q`.
    pub scaled_sum: &'a [f32],
    /// The same per 16 values.
    pub half_sum: &'a [f32],
    /// For [`swar`]: see there. Eight words per group.
    pub lanes: &'a [u64],
    /// For [`swar`]: `scale = unit * multiple`.
    pub multiple: &'a [i32],
    /// For [`swar`].
    pub unit: f32,
}

/// How a kernel wants its activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActForm {
    /// A real scale per group.
    Scaled,
    /// A scale that is a whole multiple of the row's unit, and lanes for 64-bit products.
    Integer,
}

/// Largest multiple of a row's unit in [`ActForm::Integer`].
const MULTIPLES: f32 = 4095.0;

impl Acts {
    /// Takes a batch of `rows` rows of `cols` values. `form` is what the kernel asks for.
    pub fn set(&mut self, values: &[f32], cols: usize, form: ActForm) {
        self.cols = cols;
        self.rows = values.len() / cols;
        self.plain.clear();
        self.plain.extend_from_slice(values);
        for buffer in [
            &mut self.scale,
            &mut self.scaled_sum,
            &mut self.half_sum,
            &mut self.unit,
        ] {
            buffer.clear();
        }
        self.q.clear();
        self.negated_sum.clear();
        self.lanes.clear();
        self.multiple.clear();
        if !cols.is_multiple_of(BLOCK) {
            return;
        }
        for row in values.chunks_exact(cols) {
            let unit = match form {
                ActForm::Scaled => 0.0,
                ActForm::Integer => largest(row) / 127.0 / MULTIPLES,
            };
            self.unit.push(unit);
            for group in row.chunks_exact(BLOCK) {
                self.group(group, unit, form);
            }
        }
    }

    fn group(&mut self, group: &[f32], unit: f32, form: ActForm) {
        let mut scale = largest(group) / 127.0;
        if form == ActForm::Integer {
            let multiple = if unit > 0.0 {
                (scale / unit).ceil().min(MULTIPLES)
            } else {
                0.0
            };
            self.multiple.push(multiple as i32);
            scale = unit * multiple;
        }
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let at = self.q.len();
        // A NaN activation (a broken model) becomes 0 here, and cannot crash anything.
        self.q.extend(
            group
                .iter()
                .map(|value| (value * inverse).round_ties_even().clamp(-127.0, 127.0) as i8),
        );
        let q = &self.q[at..];
        let sum = |part: &[i8]| part.iter().map(|q| i32::from(*q)).sum::<i32>();
        let halves = [sum(&q[..16]), sum(&q[16..])];
        let total = halves[0] + halves[1];
        self.scale.push(scale);
        self.negated_sum.push(-total);
        self.scaled_sum.push(scale * total as f32);
        self.half_sum.extend(halves.map(|half| scale * half as f32));
        if form == ActForm::Integer {
            let lanes = swar::lanes(q);
            self.lanes.extend(lanes);
        }
    }

    /// One row of the batch.
    pub fn row(&self, index: usize) -> ActRow<'_> {
        let groups = self.scale.len() / self.rows.max(1);
        let part = index * groups..(index + 1) * groups;
        let times = |n: usize| {
            let range: Range<usize> = part.start * n..part.end * n;
            range
        };
        ActRow {
            plain: &self.plain[index * self.cols..][..self.cols],
            q: &self.q[times(BLOCK)],
            scale: &self.scale[part.clone()],
            negated_sum: &self.negated_sum[part.clone()],
            scaled_sum: &self.scaled_sum[part.clone()],
            half_sum: &self.half_sum[times(2)],
            lanes: self.lanes.get(times(swar::LANES)).unwrap_or(&[]),
            multiple: self.multiple.get(part.clone()).unwrap_or(&[]),
            unit: self.unit.get(index).copied().unwrap_or(0.0),
        }
    }
}

fn largest(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()))
}

/// One build of the inner loops.
pub trait Kernel: Send + Sync {
    /// What it is called in `status` and benchmarks.
    fn name(&self) -> &'static str;

    /// The form of activations that [`Kernel::multiply`] takes.
    fn form(&self) -> ActForm {
        ActForm::Scaled
    }

    /// Multiplies weight rows with every activation row: `out[(row - rows.start) * batch + i]` is row times
    /// activation `i`.
    fn multiply(&self, weights: Weights<'_>, rows: Range<usize>, acts: &Acts, out: &mut [f32]);

    /// The product of two plain vectors of one length.
    fn dot(&self, a: &[f32], b: &[f32]) -> f32;

    /// Adds `factor * x` to `y`.
    fn add_scaled(&self, factor: f32, x: &[f32], y: &mut [f32]);
}

/// Every kernel that this machine can run, the reference first.
pub fn all() -> Vec<&'static dyn Kernel> {
    let mut kernels: Vec<&'static dyn Kernel> = vec![&reference::Reference, &swar::Swar];
    #[cfg(target_arch = "x86_64")]
    kernels.extend(simd::available());
    kernels
}

/// Times every kernel on a row of each format that `formats` names and takes the one with the least total.
/// `nanoseconds` is the caller's clock: the engine has none.
pub fn pick(formats: &[Format], nanoseconds: &mut dyn FnMut() -> u64) -> &'static dyn Kernel {
    const COLS: usize = 512;
    const ROWS: usize = 64;
    const ROUNDS: usize = 3;
    let values: Vec<f32> = (0..COLS)
        .map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0)
        .collect();
    let time = |kernel: &'static dyn Kernel, nanoseconds: &mut dyn FnMut() -> u64| {
        let mut acts = Acts::default();
        acts.set(&values, COLS, kernel.form());
        let mut out = vec![0.0; ROWS];
        let mut total = 0;
        for format in formats {
            let bytes = format.row_bytes(COLS).unwrap_or(0) * ROWS;
            let data: Vec<u8> = (0..bytes).map(|i| (i * 29 % 61) as u8).collect();
            let weights = Weights {
                format: *format,
                cols: COLS,
                data: &data,
            };
            let best = (0..ROUNDS).map(|_| {
                let start = nanoseconds();
                kernel.multiply(weights, 0..ROWS, &acts, &mut out);
                nanoseconds().saturating_sub(start)
            });
            total += best.min().unwrap_or(u64::MAX);
        }
        total
    };
    let mut best: Option<(u64, &'static dyn Kernel)> = None;
    for kernel in all() {
        let took = time(kernel, nanoseconds);
        if best.is_none_or(|(least, _)| took < least) {
            best = Some((took, kernel));
        }
    }
    best.map_or(&reference::Reference, |(_, kernel)| kernel)
}
