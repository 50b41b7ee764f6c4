//! The random scheme: reading gives random bytes of any length, writing mixes bytes into the state.
//!
//! Generator: ChaCha20 from `rand_chacha`, with its key replaced from its own output after every read, so
//! that what was given out cannot be computed from a later state. Seeding: RDSEED, RDRAND and the jitter of
//! a monotonic clock, all folded into one key; any one of them being good is enough. Mixing is XOR of input
//! and generator output, which cannot lower what the state already holds.
//!
//! Not done: estimating entropy or blocking until there is some. The generator is seeded before the scheme
//! exists, or the daemon does not start. No `HashMap` here: the standard library's would read this scheme.
#![forbid(unsafe_code)]

pub mod seed;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use valence_daemon::syscall::data::Stat;
use valence_daemon::syscall::error::{EACCES, ENOENT, Error, Result};
use valence_daemon::syscall::flag::{MODE_CHR, O_WRONLY};
use valence_daemon::{Caller, Opened, Service};

/// Bytes of one generator key.
pub const KEY_BYTES: usize = 32;

/// The generator and the scheme over it.
pub struct Random {
    generator: ChaCha20Rng,
}

impl Random {
    /// A generator that starts from `key`.
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        Random {
            generator: ChaCha20Rng::from_seed(key),
        }
    }

    /// Fills `buf` and then forgets the key that made it.
    pub fn fill(&mut self, buf: &mut [u8]) {
        self.generator.fill_bytes(buf);
        self.rekey(&[]);
    }

    /// Folds `input` into the state.
    pub fn mix(&mut self, input: &[u8]) {
        for chunk in input.chunks(KEY_BYTES) {
            self.rekey(chunk);
        }
    }

    fn rekey(&mut self, input: &[u8]) {
        let mut key = [0; KEY_BYTES];
        self.generator.fill_bytes(&mut key);
        for (byte, extra) in key.iter_mut().zip(input) {
            *byte ^= extra;
        }
        self.generator = ChaCha20Rng::from_seed(key);
    }
}

impl Service for Random {
    type Node = ();

    fn name(&self) -> &str {
        "rand"
    }

    fn open(
        &mut self,
        _base: Option<&()>,
        path: &str,
        flags: usize,
        caller: &Caller,
    ) -> Result<Opened<()>> {
        // `urandom` is the name some programs append; it is the same generator.
        if !matches!(path, "" | "urandom") {
            return Err(Error::new(ENOENT));
        }
        // Mode 0644: anyone reads, root mixes in.
        if flags & O_WRONLY != 0 && caller.uid != 0 {
            return Err(Error::new(EACCES));
        }
        Ok(Opened::Stream(()))
    }

    fn read(&mut self, _node: &mut (), buf: &mut [u8], _offset: u64) -> Result<usize> {
        self.fill(buf);
        Ok(buf.len())
    }

    fn write(&mut self, _node: &mut (), buf: &[u8], _offset: u64, _flags: usize) -> Result<usize> {
        self.mix(buf);
        Ok(buf.len())
    }

    fn stat(&mut self, _node: &(), stat: &mut Stat) -> Result<()> {
        stat.st_mode = MODE_CHR | 0o644;
        Ok(())
    }

    fn path(&self, _node: &()) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(random: &mut Random, count: usize) -> Vec<u8> {
        let mut buf = vec![0; count];
        random.fill(&mut buf);
        buf
    }

    #[test]
    fn two_reads_differ_and_so_do_two_keys() {
        let mut one = Random::new([1; KEY_BYTES]);
        let mut two = Random::new([2; KEY_BYTES]);
        let first = bytes(&mut one, 64);
        assert_ne!(first, bytes(&mut one, 64));
        assert_ne!(first, bytes(&mut two, 64));
    }

    #[test]
    fn the_state_after_a_read_does_not_hold_its_key() {
        // A fresh generator with the same key gives the same first block; one that has been read does not.
        let mut used = Random::new([1; KEY_BYTES]);
        let first = bytes(&mut used, 32);
        assert_eq!(first, bytes(&mut Random::new([1; KEY_BYTES]), 32));
        assert_ne!(first, bytes(&mut used, 32));
    }

    #[test]
    fn mixing_changes_what_follows() {
        let mut plain = Random::new([1; KEY_BYTES]);
        let mut mixed = Random::new([1; KEY_BYTES]);
        mixed.mix(b"a line of any length, longer than one key of the generator");
        assert_ne!(bytes(&mut plain, 32), bytes(&mut mixed, 32));
    }

    #[test]
    fn a_long_read_has_about_as_many_ones_as_zeros() {
        let ones: u32 = bytes(&mut Random::new([3; KEY_BYTES]), 100_000)
            .iter()
            .map(|byte| byte.count_ones())
            .sum();
        assert!((396_000..404_000).contains(&ones), "{ones}");
    }

    #[test]
    fn only_root_may_write() {
        let mut random = Random::new([1; KEY_BYTES]);
        let user = Caller {
            pid: 9,
            uid: 1000,
            gid: 1000,
        };
        assert_eq!(
            random.open(None, "", O_WRONLY, &user).unwrap_err(),
            Error::new(EACCES)
        );
        assert!(random.open(None, "", O_WRONLY, &Caller::default()).is_ok());
    }
}
