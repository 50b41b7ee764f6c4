//! Threads, as the engine sees them: something that runs the parts of a job and returns when all are done.
//!
//! The engine starts no thread. A daemon hands it a pool of its own; [`Serial`] serves tests and single processors.

use std::sync::{Mutex, PoisonError};

/// Runs jobs in parts.
pub trait Pool: Send + Sync {
    /// How many parts run at the same time at best.
    fn threads(&self) -> usize;

    /// Calls `part(0)` to `part(parts - 1)`, in any order and on any thread, and returns when all have returned.
    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync));
}

/// The calling thread.
pub struct Serial;

impl Pool for Serial {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        (0..parts).for_each(part);
    }
}

/// Runs `work` on every item, each by one thread.
pub(crate) fn for_each<T: Send>(pool: &dyn Pool, items: Vec<T>, work: impl Fn(T) + Sync) {
    if pool.threads() == 1 || items.len() <= 1 {
        return items.into_iter().for_each(work);
    }
    let items: Vec<Mutex<Option<T>>> = items
        .into_iter()
        .map(|item| Mutex::new(Some(item)))
        .collect();
    pool.run(items.len(), &|index| {
        let item = items[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(item) = item {
            work(item);
        }
    });
}
