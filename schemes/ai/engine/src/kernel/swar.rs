//! The kernel for machines whose vector and floating-point instructions are slow: whole-number arithmetic in 64-bit
//! registers ("SIMD within a register"). An emulated processor is one: there, a 64-bit multiplication costs about as
//! much as any other instruction, while each vector or floating-point one is a call.
//!
//! Four products at once: four weights `w0..w3` in the 16-bit lanes of one word, four activations in those of another
//! in reverse order. The top lane of the 128-bit-free, wrapping 64-bit product is then `w0*x0 + w1*x1 + w2*x2 +
//! w3*x3`. It is exact while no lane overflows: weights are at most 15, activations at most 255 (stored plus 128), so
//! a lane holds at most `4 * 15 * 255 = 15300` per product, and four products can be added before the shift.
//!
//! Scales are whole numbers too: a half float is a whole multiple of 2^-24, an activation's scale is a whole multiple
//! of its row's unit. So a row costs one floating-point multiplication in all.

use core::ops::Range;

use super::{ActForm, ActRow, Acts, Kernel, Weights, reference};
use crate::quant::{BLOCK, Format};

/// Words of activations per 32 values.
pub const LANES: usize = 8;
/// The low nibble of each 16-bit lane.
const NIBBLES: u64 = 0x000f_000f_000f_000f;
/// Multiplying by this adds up the four lanes in the top one.
const ONES: u64 = 0x0001_0001_0001_0001;
/// Weight scales at or past this (64.0 in units of 2^-24) could overflow the row's sum.
const SCALE_LIMIT: i64 = 1 << 30;

/// See the module's text.
pub struct Swar;

impl Kernel for Swar {
    fn name(&self) -> &'static str {
        "integer"
    }

    fn form(&self) -> ActForm {
        ActForm::Integer
    }

    fn multiply(&self, weights: Weights<'_>, rows: Range<usize>, acts: &Acts, out: &mut [f32]) {
        for (row, out) in rows.zip(out.chunks_exact_mut(acts.rows)) {
            let bytes = weights.row(row);
            for (index, value) in out.iter_mut().enumerate() {
                let x = acts.row(index);
                let fast = match weights.format {
                    Format::Q4_0 => q4_0(bytes, x),
                    Format::Q8_0 => q8_0(bytes, x),
                    _ => None,
                };
                *value = fast.unwrap_or_else(|| reference::product(weights.format, bytes, x));
            }
        }
    }

    fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        reference::Reference.dot(a, b)
    }

    fn add_scaled(&self, factor: f32, x: &[f32], y: &mut [f32]) {
        reference::Reference.add_scaled(factor, x, y);
    }
}

/// The activations of one group as words: word `4 * k + s` meets the nibbles that a shift of `4 * s` brings into the
/// low four bits of each lane of the group's `k`-th eight bytes.
pub(super) fn lanes(q: &[i8]) -> [u64; LANES] {
    core::array::from_fn(|word| {
        let (k, s) = (word / 4, word % 4);
        let first = 8 * k + 16 * (s % 2) + s / 2;
        (0..4).fold(0, |lanes, i| {
            let x = (i32::from(q[first + 2 * i]) + 128) as u64;
            lanes | x << (16 * (3 - i))
        })
    })
}

/// A half float in units of 2^-24; `None` for infinities and NaN.
fn units(half: [u8; 2]) -> Option<i64> {
    let half = u16::from_le_bytes(half);
    let exponent = half >> 10 & 0x1f;
    let mantissa = i64::from(half & 0x3ff);
    let size = match exponent {
        0 => mantissa,
        0x1f => return None,
        exponent => (mantissa | 0x400) << (exponent - 1),
    };
    Some(if half >> 15 == 1 { -size } else { size })
}

fn finish(sum: i64, unit: f32) -> f32 {
    const UNIT: f64 = 1.0 / (1 << 24) as f64;
    (sum as f64 * UNIT * f64::from(unit)) as f32
}

fn q4_0(row: &[u8], x: ActRow<'_>) -> Option<f32> {
    let mut total = 0i64;
    let blocks = row.as_chunks::<18>().0.iter();
    let groups = x.lanes.as_chunks::<LANES>().0.iter();
    for ((block, lanes), (multiple, negated)) in
        blocks.zip(groups).zip(x.multiple.iter().zip(x.negated_sum))
    {
        let [d0, d1, rest @ ..] = block;
        let [
            a0,
            a1,
            a2,
            a3,
            a4,
            a5,
            a6,
            a7,
            b0,
            b1,
            b2,
            b3,
            b4,
            b5,
            b6,
            b7,
        ] = *rest;
        let a = u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]);
        let b = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
        let [w0, w1, w2, w3] = [a, a >> 4, a >> 8, a >> 12].map(|word| word & NIBBLES);
        let [v0, v1, v2, v3] = [b, b >> 4, b >> 8, b >> 12].map(|word| word & NIBBLES);
        let first = w0
            .wrapping_mul(lanes[0])
            .wrapping_add(w1.wrapping_mul(lanes[1]))
            .wrapping_add(w2.wrapping_mul(lanes[2]))
            .wrapping_add(w3.wrapping_mul(lanes[3]));
        let second = v0
            .wrapping_mul(lanes[4])
            .wrapping_add(v1.wrapping_mul(lanes[5]))
            .wrapping_add(v2.wrapping_mul(lanes[6]))
            .wrapping_add(v3.wrapping_mul(lanes[7]));
        let weights = (w0 + w1 + w2 + w3 + v0 + v1 + v2 + v3).wrapping_mul(ONES) >> 48;
        // Activations were stored plus 128, weights are stored plus 8.
        let sum = ((first >> 48) + (second >> 48)) as i64 - 128 * weights as i64
            + 8 * i64::from(*negated);
        let scale = units([*d0, *d1]).filter(|scale| scale.abs() < SCALE_LIMIT)?;
        total += sum * scale * i64::from(*multiple);
    }
    Some(finish(total, x.unit))
}

fn q8_0(row: &[u8], x: ActRow<'_>) -> Option<f32> {
    let mut total = 0i64;
    let groups = x.q.as_chunks::<BLOCK>().0.iter().zip(x.multiple);
    for (block, (q, multiple)) in row.as_chunks::<34>().0.iter().zip(groups) {
        let pairs = block[2..].iter().zip(q);
        let sum: i32 = pairs
            .map(|(w, x)| i32::from(*w as i8) * i32::from(*x))
            .sum();
        let scale = units([block[0], block[1]]).filter(|scale| scale.abs() < SCALE_LIMIT)?;
        total += i64::from(sum) * scale * i64::from(*multiple);
    }
    Some(finish(total, x.unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_float_is_a_whole_number_of_units() {
        for bits in 0..=u16::MAX {
            let half = bits.to_le_bytes();
            match units(half) {
                Some(units) => assert_eq!(
                    units as f64 / f64::from(1 << 24),
                    f64::from(crate::quant::f16(half))
                ),
                None => assert!(!crate::quant::f16(half).is_finite()),
            }
        }
    }
}
