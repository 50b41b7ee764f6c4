//! Vector kernels for x86-64: the only unsafe module of the engine.
//!
//! Two builds of the same loops: `avx2` (AVX2, FMA, F16C) and `vnni` (the same with the AVX-512 VNNI byte products on
//! 256-bit registers). Each is checked for at run time before its table is handed out, and held to
//! [`super::reference`] within [`super::BUDGET`] by tests over every format.
//!
//! Soundness, once for all blocks below:
//! * every function with a target feature is reached only through a [`Kernel`] that [`available`] gives out after
//!   `is_x86_feature_detected!` has seen its features;
//! * every load takes its address from a slice or array of at least the loaded length: `load*` take fixed-size array
//!   references, which the safe code around cuts by `as_chunks`, `chunks_exact` or indexing.

use core::arch::x86_64::*;
use core::ops::Range;

use super::{ActRow, Acts, Kernel, Weights};
use crate::quant::{self, BLOCK, Format};

/// Activation rows that share one reading of the weights.
const TILE: usize = 4;
/// Weight rows that stay in the first-level cache while the batch passes over them.
const ROW_TILE: usize = 16;

/// The kernels that this processor can run.
pub(super) fn available() -> Vec<&'static dyn Kernel> {
    let mut kernels: Vec<&'static dyn Kernel> = Vec::new();
    let base = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    if base {
        kernels.push(&avx2::Build);
        if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl") {
            kernels.push(&vnni::Build);
        }
    }
    kernels
}

macro_rules! build {
    ($build:ident, $features:literal, $name:literal, $products:item, $signed:item) => {
        mod $build {
            use super::*;

            pub(super) struct Build;

            /// Four neighbouring products of unsigned and signed bytes, summed into the lane's 32 bits.
            #[target_feature(enable = $features)]
            #[inline]
            $products

            /// The same for two signed vectors.
            #[target_feature(enable = $features)]
            #[inline]
            $signed

            impl Kernel for Build {
                fn name(&self) -> &'static str {
                    $name
                }

                fn multiply(&self, weights: Weights<'_>, rows: Range<usize>, acts: &Acts, out: &mut [f32]) {
                    // SAFETY: the module's first rule: this build's features were seen.
                    unsafe { multiply(weights, rows, acts, out) }
                }

                fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
                    // SAFETY: as above.
                    unsafe { dot(a, b) }
                }

                fn add_scaled(&self, factor: f32, x: &[f32], y: &mut [f32]) {
                    // SAFETY: as above.
                    unsafe { add_scaled(factor, x, y) }
                }
            }

            #[target_feature(enable = $features)]
            fn multiply(weights: Weights<'_>, rows: Range<usize>, acts: &Acts, out: &mut [f32]) {
                let batch = acts.rows;
                let mut first = rows.start;
                for out in out.chunks_mut(ROW_TILE * batch) {
                    let count = out.len() / batch;
                    let mut at = 0;
                    while at + TILE <= batch {
                        let tile = core::array::from_fn(|i| acts.row(at + i));
                        for row in 0..count {
                            let sums = products::<TILE>(weights.format, weights.row(first + row), tile);
                            out[row * batch + at..][..TILE].copy_from_slice(&sums);
                        }
                        at += TILE;
                    }
                    while at < batch {
                        let tile = [acts.row(at)];
                        for row in 0..count {
                            out[row * batch + at] = products::<1>(weights.format, weights.row(first + row), tile)[0];
                        }
                        at += 1;
                    }
                    first += count;
                }
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn products<const N: usize>(format: Format, row: &[u8], x: [ActRow<'_>; N]) -> [f32; N] {
                match format {
                    Format::F32 => floats::<N, 4>(row, x),
                    Format::F16 => halves::<N>(row, x),
                    Format::BF16 => floats::<N, 2>(row, x),
                    Format::Q4_0 => q4_0(row, x),
                    Format::Q8_0 => q8_0(row, x),
                    Format::Q4_K => q4_k(row, x),
                    Format::Q6_K => q6_k(row, x),
                    _ => any(format, row, x),
                }
            }

            #[target_feature(enable = $features)]
            fn q4_0<const N: usize>(row: &[u8], x: [ActRow<'_>; N]) -> [f32; N] {
                let mut acc = [_mm256_setzero_ps(); N];
                let low = _mm256_set1_epi8(15);
                for (index, block) in row.as_chunks::<18>().0.iter().enumerate() {
                    let [d0, d1, nibbles @ ..] = block;
                    let d = half([*d0, *d1]);
                    let packed = load16(nibbles);
                    let both = _mm256_set_m128i(_mm_srli_epi16::<4>(packed), packed);
                    let w = _mm256_and_si256(both, low);
                    for n in 0..N {
                        // Weights are stored plus 8; the eight lanes take back one sum of the activations each.
                        let start = _mm256_set1_epi32(x[n].negated_sum[index]);
                        let sums = byte_products(start, w, act(x[n], index));
                        let scale = _mm256_set1_ps(d * x[n].scale[index]);
                        acc[n] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scale, acc[n]);
                    }
                }
                acc.map(|acc| total(acc))
            }

            #[target_feature(enable = $features)]
            fn q8_0<const N: usize>(row: &[u8], x: [ActRow<'_>; N]) -> [f32; N] {
                let mut acc = [_mm256_setzero_ps(); N];
                for (index, block) in row.as_chunks::<34>().0.iter().enumerate() {
                    let [d0, d1, bytes @ ..] = block;
                    let d = half([*d0, *d1]);
                    let w = load32(bytes);
                    for n in 0..N {
                        let sums = signed_products(w, act(x[n], index), x[n].negated_sum[index]);
                        let scale = _mm256_set1_ps(d * x[n].scale[index]);
                        acc[n] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scale, acc[n]);
                    }
                }
                acc.map(|acc| total(acc))
            }

            #[target_feature(enable = $features)]
            fn q4_k<const N: usize>(row: &[u8], x: [ActRow<'_>; N]) -> [f32; N] {
                let mut acc = [_mm256_setzero_ps(); N];
                let mut mins = [_mm256_setzero_ps(); N];
                let low = _mm256_set1_epi8(15);
                for (index, block) in row.as_chunks::<144>().0.iter().enumerate() {
                    let (head, nibbles) = block.split_at(16);
                    let d = _mm256_set1_ps(half([head[0], head[1]]));
                    let dmin = _mm256_set1_ps(half([head[2], head[3]]));
                    let (scale, min) = k4(&head[4..16]);
                    let scale = _mm256_mul_ps(d, scale);
                    let min = _mm256_mul_ps(dmin, min);
                    let mut scales = [[0.0; 8]; N];
                    for n in 0..N {
                        let by_group = |values: &[f32]| load8(values[8 * index..][..8].as_chunks::<8>().0[0]);
                        store8(&mut scales[n], _mm256_mul_ps(scale, by_group(x[n].scale)));
                        mins[n] = _mm256_fmadd_ps(min, by_group(x[n].scaled_sum), mins[n]);
                    }
                    for (pair, packed) in nibbles.as_chunks::<32>().0.iter().enumerate() {
                        let packed = load32(packed);
                        let first = _mm256_and_si256(packed, low);
                        let second = _mm256_and_si256(_mm256_srli_epi16::<4>(packed), low);
                        for n in 0..N {
                            let group = 8 * index + 2 * pair;
                            let zero = _mm256_setzero_si256();
                            let sums = byte_products(zero, first, act(x[n], group));
                            let factor = _mm256_set1_ps(scales[n][2 * pair]);
                            acc[n] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), factor, acc[n]);
                            let sums = byte_products(zero, second, act(x[n], group + 1));
                            let factor = _mm256_set1_ps(scales[n][2 * pair + 1]);
                            acc[n] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), factor, acc[n]);
                        }
                    }
                }
                core::array::from_fn(|n| total(acc[n]) - total(mins[n]))
            }

            #[target_feature(enable = $features)]
            fn q6_k<const N: usize>(row: &[u8], x: [ActRow<'_>; N]) -> [f32; N] {
                let mut acc = [_mm256_setzero_ps(); N];
                let mut mins = [_mm256_setzero_ps(); N];
                let (low, two) = (_mm256_set1_epi8(15), _mm256_set1_epi8(3));
                for (index, block) in row.as_chunks::<210>().0.iter().enumerate() {
                    let d = half([block[208], block[209]]);
                    let mut scales = [0.0; 16];
                    for (scale, byte) in scales.iter_mut().zip(&block[192..208]) {
                        *scale = d * f32::from(*byte as i8);
                    }
                    for n in 0..N {
                        for (part, scales) in scales.as_chunks::<8>().0.iter().enumerate() {
                            let sums = &x[n].half_sum[16 * index + 8 * part..][..8];
                            mins[n] = _mm256_fmadd_ps(load8(*scales), load8(sums.as_chunks::<8>().0[0]), mins[n]);
                        }
                    }
                    for half in 0..2 {
                        let low0 = load32(&block[64 * half..].as_chunks::<32>().0[0]);
                        let low1 = load32(&block[64 * half + 32..].as_chunks::<32>().0[0]);
                        let high = load32(&block[128 + 32 * half..].as_chunks::<32>().0[0]);
                        let bits = |shifted: __m256i| {
                            _mm256_slli_epi16::<4>(_mm256_and_si256(shifted, two))
                        };
                        let quarters = [
                            _mm256_or_si256(_mm256_and_si256(low0, low), bits(high)),
                            _mm256_or_si256(_mm256_and_si256(low1, low), bits(_mm256_srli_epi16::<2>(high))),
                            _mm256_or_si256(
                                _mm256_and_si256(_mm256_srli_epi16::<4>(low0), low),
                                bits(_mm256_srli_epi16::<4>(high)),
                            ),
                            _mm256_or_si256(
                                _mm256_and_si256(_mm256_srli_epi16::<4>(low1), low),
                                bits(_mm256_srli_epi16::<6>(high)),
                            ),
                        ];
                        for (quarter, w) in quarters.into_iter().enumerate() {
                            let sub = 4 * half + quarter;
                            let scale = two_halves(scales[2 * sub], scales[2 * sub + 1]);
                            for n in 0..N {
                                let group = 8 * index + sub;
                                let sums = byte_products(_mm256_setzero_si256(), w, act(x[n], group));
                                let factor = _mm256_mul_ps(scale, _mm256_set1_ps(x[n].scale[group]));
                                acc[n] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), factor, acc[n]);
                            }
                        }
                    }
                }
                // Weights are stored plus 32.
                core::array::from_fn(|n| total(acc[n]) - 32.0 * total(mins[n]))
            }

            /// Every other block format, through its unpacked form.
            #[target_feature(enable = $features)]
            fn any<const N: usize>(format: Format, row: &[u8], x: [ActRow<'_>; N]) -> [f32; N] {
                let mut acc = [_mm256_setzero_ps(); N];
                let mut mins = [0.0; N];
                let groups = x.first().map_or(0, |x| x.scale.len());
                for index in 0..groups {
                    let block = quant::unpack(format, row, index);
                    let w = load32(&block.q.map(|q| q as u8));
                    let scale = two_halves(block.scale[0], block.scale[1]);
                    for n in 0..N {
                        let sums = signed_products(w, act(x[n], index), x[n].negated_sum[index]);
                        let factor = _mm256_mul_ps(scale, _mm256_set1_ps(x[n].scale[index]));
                        acc[n] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), factor, acc[n]);
                        mins[n] += block.min[0] * x[n].half_sum[2 * index] + block.min[1] * x[n].half_sum[2 * index + 1];
                    }
                }
                core::array::from_fn(|n| total(acc[n]) - mins[n])
            }

            /// Rows of f32 (`SIZE` 4) or bfloat16 (`SIZE` 2).
            #[target_feature(enable = $features)]
            fn floats<const N: usize, const SIZE: usize>(row: &[u8], x: [ActRow<'_>; N]) -> [f32; N] {
                let mut acc = [_mm256_setzero_ps(); N];
                let cols = row.len() / SIZE;
                for at in (0..cols).step_by(8) {
                    let mut w = [0.0; 8];
                    for (w, bytes) in w.iter_mut().zip(row[at * SIZE..].chunks_exact(SIZE)) {
                        let mut wide = [0; 4];
                        wide[4 - SIZE..].copy_from_slice(bytes);
                        *w = f32::from_le_bytes(wide);
                    }
                    let w = load8(w);
                    for n in 0..N {
                        acc[n] = _mm256_fmadd_ps(w, load8(padded(&x[n].plain[at..])), acc[n]);
                    }
                }
                acc.map(|acc| total(acc))
            }

            #[target_feature(enable = $features)]
            fn halves<const N: usize>(row: &[u8], x: [ActRow<'_>; N]) -> [f32; N] {
                let mut acc = [_mm256_setzero_ps(); N];
                let cols = row.len() / 2;
                for at in (0..cols).step_by(8) {
                    let mut bytes = [0; 16];
                    let rest = &row[2 * at..];
                    let count = rest.len().min(16);
                    bytes[..count].copy_from_slice(&rest[..count]);
                    let w = _mm256_cvtph_ps(load16(&bytes));
                    for n in 0..N {
                        acc[n] = _mm256_fmadd_ps(w, load8(padded(&x[n].plain[at..])), acc[n]);
                    }
                }
                acc.map(|acc| total(acc))
            }

            #[target_feature(enable = $features)]
            fn dot(a: &[f32], b: &[f32]) -> f32 {
                let (a, a_rest) = a.as_chunks::<8>();
                let (b, b_rest) = b.as_chunks::<8>();
                let mut acc = [_mm256_setzero_ps(); 2];
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    acc[index % 2] = _mm256_fmadd_ps(load8(*a), load8(*b), acc[index % 2]);
                }
                let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
                total(_mm256_add_ps(acc[0], acc[1])) + rest
            }

            #[target_feature(enable = $features)]
            fn add_scaled(factor: f32, x: &[f32], y: &mut [f32]) {
                let (x, x_rest) = x.as_chunks::<8>();
                let (y, y_rest) = y.as_chunks_mut::<8>();
                let factors = _mm256_set1_ps(factor);
                for (y, x) in y.iter_mut().zip(x) {
                    let sum = _mm256_fmadd_ps(factors, load8(*x), load8(*y));
                    store8(y, sum);
                }
                for (y, x) in y_rest.iter_mut().zip(x_rest) {
                    *y += factor * x;
                }
            }
        }
    };
}

build!(
    avx2,
    "avx2,fma,f16c",
    "avx2",
    fn byte_products(start: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
        let pairs = _mm256_maddubs_epi16(unsigned, signed);
        _mm256_add_epi32(start, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    },
    fn signed_products(w: __m256i, x: __m256i, _negated_sum: i32) -> __m256i {
        // |w| is at most 128 and |x| at most 127, so that a pair's sum fits 16 bits.
        let zero = _mm256_setzero_si256();
        byte_products(zero, _mm256_sign_epi8(w, w), _mm256_sign_epi8(x, w))
    }
);

build!(
    vnni,
    "avx2,fma,f16c,avx512f,avx512vl,avx512vnni",
    "avx512-vnni",
    fn byte_products(start: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
        _mm256_dpbusd_epi32(start, unsigned, signed)
    },
    fn signed_products(w: __m256i, x: __m256i, _negated_sum: i32) -> __m256i {
        let zero = _mm256_setzero_si256();
        byte_products(zero, _mm256_sign_epi8(w, w), _mm256_sign_epi8(x, w))
    }
);

#[target_feature(enable = "avx2")]
#[inline]
fn load32(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the reference is to 32 bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the reference is to 16 bytes; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load8(values: [f32; 8]) -> __m256 {
    // SAFETY: the array holds eight floats; the load needs no alignment.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store8(values: &mut [f32; 8], vector: __m256) {
    // SAFETY: the array holds eight floats; the store needs no alignment.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), vector) }
}

/// Group `index` of an activation row.
#[target_feature(enable = "avx2")]
#[inline]
fn act(x: ActRow<'_>, index: usize) -> __m256i {
    let bytes: &[i8; BLOCK] = &x.q.as_chunks::<BLOCK>().0[index];
    // SAFETY: the reference is to 32 bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn two_halves(low: f32, high: f32) -> __m256 {
    _mm256_set_m128(_mm_set1_ps(high), _mm_set1_ps(low))
}

#[target_feature(enable = "avx2")]
#[inline]
fn total(vector: __m256) -> f32 {
    let four = _mm_add_ps(
        _mm256_castps256_ps128(vector),
        _mm256_extractf128_ps::<1>(vector),
    );
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn half(bytes: [u8; 2]) -> f32 {
    _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(
        u16::from_le_bytes(bytes),
    ))))
}

/// The eight scales and eight minima of a Q4_K block as floats.
#[target_feature(enable = "avx2")]
#[inline]
fn k4(packed: &[u8]) -> (__m256, __m256) {
    let word = |at: usize| {
        u32::from_le_bytes([packed[at], packed[at + 1], packed[at + 2], packed[at + 3]])
    };
    let (a, b, c) = (word(0), word(4), word(8));
    let scales = [a & 0x3f3f_3f3f, c & 0x0f0f_0f0f | a >> 2 & 0x3030_3030];
    let mins = [b & 0x3f3f_3f3f, c >> 4 & 0x0f0f_0f0f | b >> 2 & 0x3030_3030];
    let floats = |words: [u32; 2]| {
        let bytes = _mm_set_epi32(0, 0, words[1] as i32, words[0] as i32);
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))
    };
    (floats(scales), floats(mins))
}

/// The first eight values, zeros where there are fewer.
#[inline]
fn padded(values: &[f32]) -> [f32; 8] {
    match values.as_chunks::<8>().0.first() {
        Some(eight) => *eight,
        None => core::array::from_fn(|i| values.get(i).copied().unwrap_or(0.0)),
    }
}
