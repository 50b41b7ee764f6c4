//! Every kernel against the reference, over every format, and the rule that a batch changes nothing.

use super::*;
use crate::quant;
use crate::random::{Random, block_bytes};

const COLS: usize = 512;
const ROWS: usize = 19;

fn weights(format: Format, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    block_bytes(&mut random, format, COLS, ROWS, 0.05)
}

fn acts(rows: usize, form: ActForm) -> Acts {
    let mut random = Random::new(7);
    let values: Vec<f32> = (0..rows * COLS).map(|_| random.normal()).collect();
    let mut acts = Acts::default();
    acts.set(&values, COLS, form);
    acts
}

fn length(values: impl Iterator<Item = f32>) -> f32 {
    values.map(|value| value * value).sum::<f32>().sqrt()
}

#[test]
fn every_kernel_is_within_its_budget_of_the_reference() {
    for kernel in all() {
        let acts = acts(7, kernel.form());
        let budget = if kernel.form() == ActForm::Integer {
            SWAR_BUDGET
        } else {
            BUDGET
        };
        for format in Format::ALL {
            let data = weights(format, 3);
            let weights = Weights {
                format,
                cols: COLS,
                data: &data,
            };
            let mut out = vec![0.0; ROWS * 7];
            kernel.multiply(weights, 0..ROWS, &acts, &mut out);
            for row in 0..ROWS {
                let mut plain = vec![0.0; COLS];
                quant::dequantise(format, weights.row(row), &mut plain);
                for index in 0..7 {
                    let x = acts.row(index);
                    let want = reference::product(format, weights.row(row), x);
                    let size = length(plain.iter().copied()) * length(x.plain.iter().copied());
                    let error = (out[row * 7 + index] - want).abs() / size;
                    assert!(error < budget, "{} {format:?}: {error}", kernel.name());
                }
            }
        }
    }
}

#[test]
fn eight_bit_activations_stay_close_to_the_exact_product() {
    for form in [ActForm::Scaled, ActForm::Integer] {
        let acts = acts(1, form);
        for format in Format::ALL {
            let data = weights(format, 5);
            let weights = Weights {
                format,
                cols: COLS,
                data: &data,
            };
            let mut plain = vec![0.0; COLS];
            quant::dequantise(format, weights.row(0), &mut plain);
            let x = acts.row(0);
            let exact: f32 = plain.iter().zip(x.plain).map(|(w, x)| w * x).sum();
            let got = reference::product(format, weights.row(0), x);
            let size = length(plain.iter().copied()) * length(x.plain.iter().copied());
            assert!(
                (got - exact).abs() / size < 5e-3,
                "{format:?}: {got} for {exact}"
            );
        }
    }
}

#[test]
fn the_batch_does_not_change_a_result() {
    for kernel in all() {
        let many = acts(6, kernel.form());
        for format in Format::ALL {
            let data = weights(format, 11);
            let weights = Weights {
                format,
                cols: COLS,
                data: &data,
            };
            let mut together = vec![0.0; ROWS * 6];
            kernel.multiply(weights, 0..ROWS, &many, &mut together);
            for index in 0..6 {
                let mut one = Acts::default();
                one.set(many.row(index).plain, COLS, kernel.form());
                let mut alone = vec![0.0; ROWS];
                kernel.multiply(weights, 0..ROWS, &one, &mut alone);
                for row in 0..ROWS {
                    assert_eq!(
                        alone[row].to_bits(),
                        together[row * 6 + index].to_bits(),
                        "{} {format:?}",
                        kernel.name()
                    );
                }
            }
        }
    }
}

#[test]
fn odd_lengths_of_plain_vectors_are_summed_whole() {
    for kernel in all() {
        for len in [1, 7, 8, 9, 31, 64, 65] {
            let ones = vec![1.0; len];
            assert_eq!(kernel.dot(&ones, &ones), len as f32, "{}", kernel.name());
            let mut y = vec![1.0; len];
            kernel.add_scaled(2.0, &ones, &mut y);
            assert!(y.iter().all(|y| *y == 3.0));
        }
    }
}

#[test]
fn picking_takes_the_kernel_with_the_least_time() {
    let mut now = 0;
    let mut calls = 0;
    let kernel = pick(&[Format::Q4_0], &mut || {
        calls += 1;
        // The second kernel's six readings come close together.
        now += if (7..=12).contains(&calls) { 1 } else { 1000 };
        now
    });
    assert_eq!(kernel.name(), all()[1].name());
}
