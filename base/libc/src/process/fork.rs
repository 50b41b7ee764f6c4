//! `fork` and `pthread_atfork`: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/fork.html>.
//!
//! Only the calling thread exists in the child, so every lock of the library is taken before and reset after: none can be
//! left held by a thread that is not there.

use crate::sync::{Lock, Mutex};
use crate::types::*;
use crate::{Errno, e, environment, error, fs, memory, poll, thread};

const HANDLERS_MAX: usize = 32;

type Handler = Option<extern "C" fn()>;

#[derive(Clone, Copy)]
struct Handlers {
    prepare: Handler,
    parent: Handler,
    child: Handler,
}

struct List {
    entries: [Handlers; HANDLERS_MAX],
    len: usize,
}

static HANDLERS: Mutex<List> = Mutex::new(List {
    entries: [Handlers {
        prepare: None,
        parent: None,
        child: None,
    }; HANDLERS_MAX],
    len: 0,
});

/// The library's locks, in the order in which they are taken.
fn locks() -> [&'static Lock; 4] {
    [
        environment::lock(),
        fs::cwd_lock(),
        poll::lock(),
        memory::heap_lock(),
    ]
}

fn fork_process() -> Result<usize, Errno> {
    let (entries, len) = {
        let list = HANDLERS.lock();
        (list.entries, list.len)
    };
    let run = |handler: Handler| {
        if let Some(handler) = handler {
            handler();
        }
    };
    entries[..len]
        .iter()
        .rev()
        .for_each(|handlers| run(handlers.prepare));
    for lock in locks() {
        lock.lock();
    }
    // SAFETY: no pointers.
    let result = unsafe { syscall!(FORK) };
    let in_child = result == Ok(0);
    for lock in locks().iter().rev() {
        if in_child {
            lock.reset()
        } else {
            lock.unlock()
        }
    }
    if in_child {
        thread::renew_tid();
    }
    for handlers in &entries[..len] {
        run(if in_child {
            handlers.child
        } else {
            handlers.parent
        });
    }
    result
}

c_api! {
    fn fork() -> c_int {
        error::int(fork_process())
    }
    /// Shares nothing with the parent, unlike the old call: a correct program cannot tell.
    fn vfork() -> c_int {
        error::int(fork_process())
    }
    fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int {
        let mut list = HANDLERS.lock();
        let len = list.len;
        if len == HANDLERS_MAX {
            return c_int::from(e::ENOMEM.0);
        }
        list.entries[len] = Handlers { prepare, parent, child };
        list.len += 1;
        0
    }
}
