//! Seeded random numbers, for sampling and for weights of test and benchmark models. PCG-XSH-RR 64/32: small, good
//! enough for sampling, and the same everywhere. Not for secrets.

use crate::quant::{Format, to_f16};

/// A generator.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Random {
        let mut random = Random {
            state: seed.wrapping_add(0x9e37_79b9_7f4a_7c15),
        };
        random.u32();
        random
    }

    /// Any 32-bit number.
    pub fn u32(&mut self) -> u32 {
        let state = self.state;
        self.state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mixed = ((state >> 18 ^ state) >> 27) as u32;
        mixed.rotate_right((state >> 59) as u32)
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f32 {
        (self.u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// A number of a bell curve around 0 with deviation 1, nearly (the sum of twelve uniform numbers).
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}

/// Random weights in any format whose values have about the deviation `size`. Block formats get random integers with
/// a fitting scale, so that every bit pattern of a block occurs.
pub fn block_bytes(
    random: &mut Random,
    format: Format,
    cols: usize,
    rows: usize,
    size: f32,
) -> Vec<u8> {
    let (weights, bytes) = format.block();
    let blocks = cols * rows / weights;
    let mut out = Vec::with_capacity(blocks * bytes);
    for _ in 0..blocks {
        let at = out.len();
        match format {
            Format::F32 => out.extend((random.normal() * size).to_le_bytes()),
            Format::F16 => out.extend(to_f16(random.normal() * size)),
            Format::BF16 => out.extend(&(random.normal() * size).to_bits().to_le_bytes()[2..]),
            _ => {
                while out.len() < at + bytes {
                    out.extend(random.u32().to_le_bytes());
                }
                out.truncate(at + bytes);
                for (offset, value) in scales(format, size) {
                    out[at + offset..at + offset + 2].copy_from_slice(&to_f16(value));
                }
            }
        }
    }
    out
}

/// Where a block keeps its half-float scales, and what to put there.
fn scales(format: Format, size: f32) -> Vec<(usize, f32)> {
    match format {
        Format::Q4_0 => vec![(0, size / 4.6)],
        Format::Q4_1 => vec![(0, size / 4.6), (2, -size * 7.5 / 4.6)],
        Format::Q5_0 => vec![(0, size / 9.2)],
        Format::Q5_1 => vec![(0, size / 9.2), (2, -size * 15.5 / 9.2)],
        Format::Q8_0 => vec![(0, size / 74.0)],
        Format::Q2_K => vec![(80, size / 8.0), (82, size / 8.0 * 1.5)],
        Format::Q3_K => vec![(108, size / 40.0)],
        Format::Q4_K => vec![(0, size / 160.0), (2, size / 160.0 * 7.5)],
        Format::Q5_K => vec![(0, size / 320.0), (2, size / 320.0 * 15.5)],
        Format::Q6_K => vec![(208, size / 1360.0)],
        Format::F32 | Format::F16 | Format::BF16 => Vec::new(),
    }
}
