//! Weight formats of GGUF: their sizes, and how a block of them is unpacked.
//!
//! Every quantised format is seen the same way: 32 weights are 32 small integers with one scale and one minimum per
//! 16 of them, `w = scale * q - min`. The reference kernels work on this view; the fast ones in [`crate::kernel`] read
//! the packed bytes themselves and are held to it by tests. The layouts are those of the GGUF specification and
//! ggml's block structures.

/// Weights in the unit that all kernels step by.
pub const BLOCK: usize = 32;

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the specification's")]
#[expect(non_camel_case_types, reason = "the names are the specification's")]
pub enum Format {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
}

impl Format {
    /// Every format, for tests and tables.
    pub const ALL: [Format; 13] = [
        Format::F32,
        Format::F16,
        Format::BF16,
        Format::Q4_0,
        Format::Q4_1,
        Format::Q5_0,
        Format::Q5_1,
        Format::Q8_0,
        Format::Q2_K,
        Format::Q3_K,
        Format::Q4_K,
        Format::Q5_K,
        Format::Q6_K,
    ];

    /// The number in GGUF files.
    pub fn number(self) -> u32 {
        match self {
            Format::F32 => 0,
            Format::F16 => 1,
            Format::Q4_0 => 2,
            Format::Q4_1 => 3,
            Format::Q5_0 => 6,
            Format::Q5_1 => 7,
            Format::Q8_0 => 8,
            Format::Q2_K => 10,
            Format::Q3_K => 11,
            Format::Q4_K => 12,
            Format::Q5_K => 13,
            Format::Q6_K => 14,
            Format::BF16 => 30,
        }
    }

    /// The format with that number, if it is one of ours.
    pub fn from_number(number: u32) -> Option<Format> {
        Format::ALL
            .into_iter()
            .find(|format| format.number() == number)
    }

    /// Weights and bytes of one block.
    pub fn block(self) -> (usize, usize) {
        match self {
            Format::F32 => (1, 4),
            Format::F16 | Format::BF16 => (1, 2),
            Format::Q4_0 => (32, 18),
            Format::Q4_1 => (32, 20),
            Format::Q5_0 => (32, 22),
            Format::Q5_1 => (32, 24),
            Format::Q8_0 => (32, 34),
            Format::Q2_K => (256, 84),
            Format::Q3_K => (256, 110),
            Format::Q4_K => (256, 144),
            Format::Q5_K => (256, 176),
            Format::Q6_K => (256, 210),
        }
    }

    /// Bytes of a row of `cols` weights, where they fill whole blocks.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        let (weights, bytes) = self.block();
        cols.is_multiple_of(weights).then(|| cols / weights * bytes)
    }

    /// Whether the weights are plain numbers rather than blocks.
    pub fn is_float(self) -> bool {
        matches!(self, Format::F32 | Format::F16 | Format::BF16)
    }
}

/// 32 weights as integers: `w[i] = scale[i / 16] * q[i] - min[i / 16]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unpacked {
    /// The integers.
    pub q: [i8; BLOCK],
    /// Scale of each half.
    pub scale: [f32; 2],
    /// Minimum of each half.
    pub min: [f32; 2],
}

/// A little-endian half float as f32.
pub fn f16(bytes: [u8; 2]) -> f32 {
    let half = u16::from_le_bytes(bytes);
    let sign = u32::from(half >> 15) << 31;
    let exponent = u32::from(half >> 10) & 0x1f;
    let mantissa = u32::from(half) & 0x3ff;
    let bits = match (exponent, mantissa) {
        (0, 0) => sign,
        (0, mantissa) => {
            let shift = mantissa.leading_zeros() - 21;
            sign | (113 - shift) << 23 | (mantissa << shift & 0x3ff) << 13
        }
        (0x1f, mantissa) => sign | 0x7f80_0000 | mantissa << 13,
        (exponent, mantissa) => sign | (exponent + 112) << 23 | mantissa << 13,
    };
    f32::from_bits(bits)
}

/// An f32 as the nearest half float, little-endian.
pub fn to_f16(value: f32) -> [u8; 2] {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let exponent = (bits >> 23 & 0xff) as i32 - 112;
    let mantissa = bits & 0x7f_ffff;
    let half = if bits & 0x7fff_ffff > 0x7f80_0000 {
        0x7e00
    } else if exponent >= 0x1f {
        0x7c00
    } else if exponent <= 0 {
        let full = mantissa | 0x80_0000;
        let shift = (14 - exponent) as u32;
        if shift > 24 {
            0
        } else {
            round_shift(full, shift) as u16
        }
    } else {
        // A mantissa that rounds over carries into the exponent, which is right.
        (((exponent as u32) << 10) + round_shift(mantissa, 13)) as u16
    };
    (sign | half).to_le_bytes()
}

fn round_shift(value: u32, shift: u32) -> u32 {
    let half = 1 << (shift - 1);
    let rest = value & ((1 << shift) - 1);
    let whole = value >> shift;
    whole + u32::from(rest > half || (rest == half && whole & 1 == 1))
}

/// A little-endian bfloat16 as f32.
pub fn bf16(bytes: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
}

fn f16_at(block: &[u8], at: usize) -> f32 {
    f16([block[at], block[at + 1]])
}

/// Scale and minimum number `j` of the twelve packed bytes of Q4_K and Q5_K.
pub fn k4_scale_min(j: usize, packed: &[u8]) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (
            packed[j + 4] & 15 | packed[j - 4] >> 6 << 4,
            packed[j + 4] >> 4 | packed[j] >> 6 << 4,
        )
    }
}

/// The sixteen signed scales of Q3_K.
pub fn q3_scales(packed: &[u8]) -> [i8; 16] {
    core::array::from_fn(|i| {
        let low = if i < 8 {
            packed[i] & 15
        } else {
            packed[i - 8] >> 4
        };
        let high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
        (low | high << 4) as i8 - 32
    })
}

/// Unpacks group `index` (of 32 weights) of a row. `row` must be a whole row of a quantised format.
pub fn unpack(format: Format, row: &[u8], index: usize) -> Unpacked {
    let (weights, bytes) = format.block();
    let per_block = weights / BLOCK;
    let block = &row[index / per_block * bytes..][..bytes];
    let sub = index % per_block;
    let mut out = Unpacked::default();
    match format {
        Format::Q4_0 | Format::Q4_1 | Format::Q5_0 | Format::Q5_1 => {
            unpack_small(format, block, &mut out)
        }
        Format::Q8_0 => {
            out.scale = [f16_at(block, 0); 2];
            for (q, &byte) in out.q.iter_mut().zip(&block[2..]) {
                *q = byte as i8;
            }
        }
        Format::Q2_K => unpack_q2(block, sub, &mut out),
        Format::Q3_K => unpack_q3(block, sub, &mut out),
        Format::Q4_K | Format::Q5_K => unpack_q45(format, block, sub, &mut out),
        Format::Q6_K => unpack_q6(block, sub, &mut out),
        Format::F32 | Format::F16 | Format::BF16 => unreachable!("floats are not unpacked"),
    }
    out
}

fn unpack_small(format: Format, block: &[u8], out: &mut Unpacked) {
    let d = f16_at(block, 0);
    out.scale = [d; 2];
    let (high_at, nibbles_at, offset) = match format {
        Format::Q4_0 => (None, 2, 8),
        Format::Q4_1 => (None, 4, 0),
        Format::Q5_0 => (Some(2), 6, 16),
        _ => (Some(4), 8, 0),
    };
    if offset == 0 {
        out.min = [-f16_at(block, 2); 2];
    }
    let high = high_at.map_or(0, |at| {
        u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
    });
    let nibbles = &block[nibbles_at..nibbles_at + 16];
    for (j, &byte) in nibbles.iter().enumerate() {
        let bit = |i: usize| ((high >> i & 1) << 4) as i8;
        out.q[j] = ((byte & 15) as i8 | bit(j)) - offset;
        out.q[j + 16] = ((byte >> 4) as i8 | bit(j + 16)) - offset;
    }
}

fn unpack_q2(block: &[u8], sub: usize, out: &mut Unpacked) {
    let (scales, qs) = (&block[..16], &block[16..80]);
    let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
    let shift = 2 * (sub % 4);
    for (q, &byte) in out.q.iter_mut().zip(&qs[sub / 4 * 32..]) {
        *q = (byte >> shift & 3) as i8;
    }
    for half in 0..2 {
        let packed = scales[2 * sub + half];
        out.scale[half] = d * f32::from(packed & 15);
        out.min[half] = dmin * f32::from(packed >> 4);
    }
}

fn unpack_q3(block: &[u8], sub: usize, out: &mut Unpacked) {
    let (mask, qs) = (&block[..32], &block[32..96]);
    let scales = q3_scales(&block[96..108]);
    let d = f16_at(block, 108);
    let shift = 2 * (sub % 4);
    for (l, q) in out.q.iter_mut().enumerate() {
        let low = (qs[sub / 4 * 32 + l] >> shift & 3) as i8;
        *q = low - if mask[l] >> sub & 1 == 1 { 0 } else { 4 };
    }
    out.scale = [0, 1].map(|half| d * f32::from(scales[2 * sub + half]));
}

fn unpack_q45(format: Format, block: &[u8], sub: usize, out: &mut Unpacked) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let (scale, min) = k4_scale_min(sub, &block[4..16]);
    out.scale = [d * f32::from(scale); 2];
    out.min = [dmin * f32::from(min); 2];
    let (high, nibbles) = match format {
        Format::Q4_K => (None, &block[16..]),
        _ => (Some(&block[16..48]), &block[48..]),
    };
    let nibbles = &nibbles[sub / 2 * 32..][..32];
    for (l, q) in out.q.iter_mut().enumerate() {
        let low = nibbles[l] >> (4 * (sub % 2)) & 15;
        let bit = high.map_or(0, |high| (high[l] >> sub & 1) << 4);
        *q = (low | bit) as i8;
    }
}

fn unpack_q6(block: &[u8], sub: usize, out: &mut Unpacked) {
    let half = sub / 4;
    let (low, high) = (&block[64 * half..], &block[128 + 32 * half..]);
    let scales = &block[192 + 8 * half..];
    let d = f16_at(block, 208);
    let quarter = sub % 4;
    for (l, q) in out.q.iter_mut().enumerate() {
        let nibble = low[l + 32 * (quarter % 2)] >> (4 * (quarter / 2)) & 15;
        let bits = high[l] >> (2 * quarter) & 3;
        *q = (nibble | bits << 4) as i8 - 32;
    }
    out.scale = [0, 1].map(|part| d * f32::from(scales[2 * quarter + part] as i8));
}

/// A whole row as plain numbers.
pub fn dequantise(format: Format, row: &[u8], out: &mut [f32]) {
    match format {
        Format::F32 => {
            for (value, bytes) in out.iter_mut().zip(row.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*bytes);
            }
        }
        Format::F16 => {
            for (value, bytes) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                *value = f16(*bytes);
            }
        }
        Format::BF16 => {
            for (value, bytes) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                *value = bf16(*bytes);
            }
        }
        _ => {
            for (index, group) in out.chunks_exact_mut(BLOCK).enumerate() {
                let block = unpack(format, row, index);
                for (i, value) in group.iter_mut().enumerate() {
                    *value = block.scale[i / 16] * f32::from(block.q[i]) - block.min[i / 16];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_floats_survive_the_round_trip() {
        for bits in 0..=u16::MAX {
            let value = f16(bits.to_le_bytes());
            if value.is_nan() {
                assert!(f16(to_f16(value)).is_nan());
            } else {
                assert_eq!(u16::from_le_bytes(to_f16(value)), bits, "{value}");
            }
        }
        assert_eq!(f16(to_f16(1e9)), f32::INFINITY);
        assert_eq!(f16(to_f16(1e-9)), 0.0);
    }

    #[test]
    fn rows_have_the_sizes_of_the_specification() {
        assert_eq!(Format::Q4_0.row_bytes(64), Some(36));
        assert_eq!(Format::Q6_K.row_bytes(512), Some(420));
        assert_eq!(Format::Q4_K.row_bytes(32), None);
        for format in Format::ALL {
            assert_eq!(Format::from_number(format.number()), Some(format));
        }
    }

    /// Written out bit by bit from the specification, independent of the loops above.
    #[test]
    fn known_blocks_unpack_to_known_weights() {
        let mut block = vec![0u8; 18];
        block[..2].copy_from_slice(&to_f16(2.0));
        block[2] = 0xf0;
        let mut out = [0.0; 32];
        dequantise(Format::Q4_0, &block, &mut out);
        assert_eq!((out[0], out[16], out[1]), (-16.0, 14.0, -16.0));

        let mut block = vec![0u8; 210];
        block[208..].copy_from_slice(&to_f16(1.0));
        block[192..208].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        let mut out = [0.0; 256];
        dequantise(Format::Q6_K, &block, &mut out);
        let scales: Vec<f32> = out.chunks(16).map(|part| part[0] / -32.0).collect();
        assert_eq!(scales, (1..=16).map(|i| i as f32).collect::<Vec<_>>());
    }
}
