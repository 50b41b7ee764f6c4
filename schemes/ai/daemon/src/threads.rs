//! The engine's thread pool, and how many processors there are.

use ai_engine::pool::{Pool, Serial};
use std::sync::Arc;

/// Processors of this machine. On the Redox target std always says one, so the kernel's table is read there.
pub(crate) fn processors() -> usize {
    let listed = std::fs::read_to_string("/scheme/sys/cpu").map(|text| {
        text.lines()
            .filter(|line| line.trim_start().starts_with("CPU"))
            .count()
    });
    match listed {
        Ok(count) if count > 0 => count,
        _ => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Workers that sleep when there is nothing to do.
struct Workers(rayon::ThreadPool);

impl Pool for Workers {
    fn threads(&self) -> usize {
        self.0.current_num_threads()
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        self.0.scope(|scope| {
            for index in 0..parts {
                scope.spawn(move |_| part(index));
            }
        });
    }
}

/// A pool of so many threads; where they cannot be started, the calling thread.
pub(crate) fn pool(threads: usize) -> Arc<dyn Pool> {
    if threads <= 1 {
        return Arc::new(Serial);
    }
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
    match builder.thread_name(|index| format!("aid-{index}")).build() {
        Ok(pool) => Arc::new(Workers(pool)),
        Err(_) => Arc::new(Serial),
    }
}
