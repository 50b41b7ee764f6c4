//! The first key: what the CPU's own generator gives and what the timing of this program's run gives.
//!
//! Each source is XORed into the key through a ChaCha20 step, so that a weak source cannot undo a good one.

use std::time::Instant;

use crate::{KEY_BYTES, Random};

/// Clock samples folded in; a few bits of jitter each at worst.
const TIMING_SAMPLES: usize = 512;

/// A key from every source there is, and whether the CPU's generator was one of them.
pub fn gather() -> ([u8; KEY_BYTES], bool) {
    let mut pool = Random::new([0; KEY_BYTES]);
    pool.mix(&timing());
    let cpu = cpu_bytes();
    if let Some(bytes) = &cpu {
        pool.mix(bytes);
    }
    let mut key = [0; KEY_BYTES];
    pool.fill(&mut key);
    (key, cpu.is_some())
}

/// Nanosecond differences between clock readings with a little work between them.
fn timing() -> Vec<u8> {
    let start = Instant::now();
    let mut samples = Vec::with_capacity(TIMING_SAMPLES * 8);
    let mut state = u64::from(std::process::id());
    for _ in 0..TIMING_SAMPLES {
        for _ in 0..(state & 31) {
            state = std::hint::black_box(
                state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
        }
        state ^= start.elapsed().as_nanos() as u64;
        samples.extend_from_slice(&state.to_le_bytes());
    }
    samples
}

/// Bytes of RDSEED and RDRAND; none when the CPU has neither.
#[cfg(target_arch = "x86_64")]
fn cpu_bytes() -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(2 * KEY_BYTES);
    if let Ok(seed) = rdrand::RdSeed::new() {
        bytes.extend(
            (0..4)
                .filter_map(|_| seed.try_next_u64().ok())
                .flat_map(u64::to_le_bytes),
        );
    }
    if let Ok(rand) = rdrand::RdRand::new() {
        bytes.extend(
            (0..4)
                .filter_map(|_| rand.try_next_u64().ok())
                .flat_map(u64::to_le_bytes),
        );
    }
    (bytes.len() >= KEY_BYTES).then_some(bytes)
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_bytes() -> Option<Vec<u8>> {
    None
}

#[cfg(test)]
mod tests {
    use super::gather;

    #[test]
    fn two_keys_are_never_the_same() {
        assert_ne!(gather().0, gather().0);
    }
}
