//! The plain kernel: what every other is measured against, and what runs where no other does. Written to be read.

use core::ops::Range;

use super::{ActRow, Acts, Kernel, Weights};
use crate::quant::{self, BLOCK, Format};

/// See the module's text.
pub struct Reference;

impl Kernel for Reference {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn multiply(&self, weights: Weights<'_>, rows: Range<usize>, acts: &Acts, out: &mut [f32]) {
        for (row, out) in rows.zip(out.chunks_exact_mut(acts.rows)) {
            for (index, value) in out.iter_mut().enumerate() {
                *value = product(weights.format, weights.row(row), acts.row(index));
            }
        }
    }

    fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn add_scaled(&self, factor: f32, x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += factor * x;
        }
    }
}

/// One weight row times one activation row.
pub fn product(format: Format, row: &[u8], x: ActRow<'_>) -> f32 {
    if format.is_float() {
        let mut plain = vec![0.0; x.plain.len()];
        quant::dequantise(format, row, &mut plain);
        return plain.iter().zip(x.plain).map(|(w, x)| w * x).sum();
    }
    let mut total = 0.0;
    for (index, q) in x.q.chunks_exact(BLOCK).enumerate() {
        let block = quant::unpack(format, row, index);
        for half in 0..2 {
            let part = 16 * half..16 * (half + 1);
            let pairs = block.q[part.clone()].iter().zip(&q[part]);
            let sum: i32 = pairs.map(|(w, x)| i32::from(*w) * i32::from(*x)).sum();
            total += block.scale[half] * x.scale[index] * sum as f32
                - block.min[half] * x.half_sum[2 * index + half];
        }
    }
    total
}
