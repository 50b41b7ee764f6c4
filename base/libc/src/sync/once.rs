//! `pthread_once`: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/pthread_once.html>.

use super::{FOREVER, wait, wake};
use crate::types::*;
use core::sync::atomic::{AtomicU32, Ordering::*};

const NEW: u32 = 0;
const RUNNING: u32 = 1;
const DONE: u32 = 2;

/// Runs a function once; zero bytes are the fresh state.
#[repr(transparent)]
struct Once(AtomicU32);

impl Once {
    fn call(&self, routine: impl FnOnce()) {
        loop {
            match self.0.compare_exchange(NEW, RUNNING, Acquire, Acquire) {
                Ok(_) => break,
                Err(DONE) => return,
                Err(_) => drop(wait(&self.0, RUNNING, FOREVER)),
            }
        }
        routine();
        self.0.store(DONE, Release);
        wake(&raw const self.0, usize::MAX >> 1);
    }
}

c_api! {
    fn pthread_once(once: *mut Once, routine: extern "C" fn()) -> c_int {
        (*once).call(|| routine());
        0
    }
}
