//! Dot products, the one hot loop of the engine.
//!
//! The loops are plain safe Rust that the compiler turns into vector code. `pulp` (the crate below the matrix products
//! that `ai:` uses) compiles them once per instruction set and picks one at run time, so there is no unsafe code here
//! and no second version to keep equal: every instruction set runs the same source. On a processor with none of the
//! extensions (the emulated guest) the SSE2 version runs. Integer sums are exact, so they are equal everywhere.

use pulp::{Arch, WithSimd};

/// Instruction set chosen at start; cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Kernel(Arch);

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

#[inline(always)]
fn dot_i8_loop(a: &[i8], b: &[i8]) -> i32 {
    a.iter()
        .zip(b)
        .map(|(&x, &y)| i32::from(x) * i32::from(y))
        .sum()
}

/// Independent sums of the float product: float addition may not be reordered by the compiler.
const LANES: usize = 16;

#[inline(always)]
fn dot_fine_loop(query: &[f32], high: &[i8], low: &[i8]) -> f32 {
    let mut sums = [0f32; LANES];
    let (q, q_rest) = query.as_chunks::<LANES>();
    let (h, h_rest) = high.as_chunks::<LANES>();
    let (l, l_rest) = low.as_chunks::<LANES>();
    for ((q, h), l) in q.iter().zip(h).zip(l) {
        for i in 0..LANES {
            let fine = i32::from(h[i]) * 256 + i32::from(l[i]);
            sums[i] += q[i] * fine as f32;
        }
    }
    let mut sum: f32 = sums.iter().sum();
    for ((q, h), l) in q_rest.iter().zip(h_rest).zip(l_rest) {
        sum += q * (i32::from(*h) * 256 + i32::from(*l)) as f32;
    }
    sum
}

struct Gather<'a> {
    query: &'a [i8],
    codes: &'a [i8],
    ids: &'a [u32],
    out: &'a mut Vec<i32>,
}

impl WithSimd for Gather<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let dims = self.query.len();
        for &id in self.ids {
            let at = id as usize * dims;
            self.out
                .push(dot_i8_loop(self.query, &self.codes[at..at + dims]));
        }
    }
}

struct Sweep<'a> {
    query: &'a [i8],
    codes: &'a [i8],
    out: &'a mut Vec<i32>,
}

impl WithSimd for Sweep<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        for row in self.codes.chunks_exact(self.query.len()) {
            self.out.push(dot_i8_loop(self.query, row));
        }
    }
}

struct Fine<'a> {
    query: &'a [f32],
    high: &'a [i8],
    low: &'a [i8],
}

impl WithSimd for Fine<'_> {
    type Output = f32;
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> f32 {
        dot_fine_loop(self.query, self.high, self.low)
    }
}

impl Kernel {
    /// Looks at the processor once.
    pub fn new() -> Self {
        Self(Arch::new())
    }

    /// Appends to `out` the products of `query` with the rows `ids` of `codes`.
    #[inline]
    pub fn gather(self, query: &[i8], codes: &[i8], ids: &[u32], out: &mut Vec<i32>) {
        out.clear();
        self.0.dispatch(Gather {
            query,
            codes,
            ids,
            out,
        });
    }

    /// Puts into `out` the products of `query` with every row of `codes`.
    pub fn sweep(self, query: &[i8], codes: &[i8], out: &mut Vec<i32>) {
        out.clear();
        if !query.is_empty() {
            self.0.dispatch(Sweep { query, codes, out });
        }
    }

    /// The product of a float query with one row of 16-bit fixed point (`high * 256 + low`).
    pub fn fine(self, query: &[f32], high: &[i8], low: &[i8]) -> f32 {
        self.0.dispatch(Fine { query, high, low })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_agrees_with_the_plain_sum() {
        let kernel = Kernel::new();
        for len in [1usize, 7, 31, 32, 33, 384, 385] {
            let a: Vec<i8> = (0..len).map(|i| (i * 37 % 255) as u8 as i8).collect();
            let b: Vec<i8> = (0..len).map(|i| (i * 91 % 251) as u8 as i8).collect();
            let plain: i32 = a
                .iter()
                .zip(&b)
                .map(|(x, y)| i32::from(*x) * i32::from(*y))
                .sum();
            let mut out = Vec::new();
            kernel.gather(&a, &b, &[0], &mut out);
            assert_eq!(out, [plain]);
            kernel.sweep(&a, &b, &mut out);
            assert_eq!(out, [plain]);
            let q: Vec<f32> = a.iter().map(|&x| f32::from(x)).collect();
            let zeros = vec![0i8; len];
            let fine = kernel.fine(&q, &b, &zeros);
            assert!((fine - plain as f32 * 256.0).abs() <= plain.abs() as f32 * 0.1 + 1024.0);
        }
    }
}
