//! The small operations between matrix products, in plain f32.

use super::{Activation, Norm, Rope, Scale};

/// Normalises `x` into `out`.
pub(crate) fn normalise(norm: Norm, epsilon: f32, scale: &Scale, x: &[f32], out: &mut [f32]) {
    let count = x.len() as f32;
    let mean = match norm {
        Norm::Rms => 0.0,
        Norm::Layer => x.iter().sum::<f32>() / count,
    };
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / count;
    let factor = 1.0 / (variance + epsilon).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(&scale.weight) {
        *out = (x - mean) * factor * weight;
    }
    if let Some(bias) = &scale.bias {
        for (out, bias) in out.iter_mut().zip(bias) {
            *out += bias;
        }
    }
}

/// The bend of one value.
pub fn bend(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => {
            const ROOT: f32 = 0.797_884_6;
            0.5 * x * (1.0 + (ROOT * (x + 0.044_715 * x * x * x)).tanh())
        }
    }
}

/// The exact bend of BERT: `x / 2 * (1 + erf(x / sqrt 2))`. The error function is formula 7.1.26 of Abramowitz and
/// Stegun, whose error is below 1.5e-7.
pub fn gelu(x: f32) -> f32 {
    let z = x.abs() * core::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = ((((1.061_405_4 * t - 1.453_152_1) * t + 1.421_413_8) * t - 0.284_496_72) * t
        + 0.254_829_6)
        * t;
    let erf = 1.0 - series * (-z * z).exp();
    0.5 * x * (1.0 + erf.copysign(x))
}

/// Turns the first `2 * angles.len()` channels of a head by `(cos, sin)` angles.
pub fn turn(rope: Rope, angles: &[(f32, f32)], head: &mut [f32]) {
    let pairs = angles.len();
    for (index, (cos, sin)) in angles.iter().enumerate() {
        let (a, b) = match rope {
            Rope::Neighbours => (2 * index, 2 * index + 1),
            Rope::Halves => (index, index + pairs),
        };
        let (x, y) = (head[a], head[b]);
        head[a] = x * cos - y * sin;
        head[b] = x * sin + y * cos;
    }
}

/// Turns scores into weights that add up to one.
pub fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        total += *score;
    }
    let factor = if total > 0.0 { 1.0 / total } else { 0.0 };
    scores.iter_mut().for_each(|score| *score *= factor);
}
