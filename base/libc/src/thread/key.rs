//! Thread-specific values and destructors of thread-local variables:
//! <https://pubs.opengroup.org/onlinepubs/9799919799/functions/pthread_key_create.html>.

use super::{KEYS_MAX, current};
use crate::e;
use crate::memory::{free, malloc};
use crate::types::*;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::*};

/// How often destructors that set values again are run again.
const DESTRUCTOR_ROUNDS: usize = 4;

/// A value, valid while the key's generation is the one it was set under.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    generation: usize,
    value: *mut c_void,
}

/// Per key: `generation << 1 | in_use`, and the destructor's address or 0.
struct Key {
    state: AtomicUsize,
    destructor: AtomicUsize,
}

static KEYS: [Key; KEYS_MAX] = [const {
    Key {
        state: AtomicUsize::new(0),
        destructor: AtomicUsize::new(0),
    }
}; KEYS_MAX];

fn create(destructor: usize) -> Option<usize> {
    for (number, key) in KEYS.iter().enumerate() {
        let state = key.state.load(Acquire);
        if state & 1 == 0
            && key
                .state
                .compare_exchange(state, (state + 2) | 1, AcqRel, Relaxed)
                .is_ok()
        {
            key.destructor.store(destructor, Release);
            return Some(number);
        }
    }
    None
}

/// Runs the destructors of the calling thread's values.
pub(super) fn run_key_destructors() {
    let this = current();
    for _ in 0..DESTRUCTOR_ROUNDS {
        let mut ran = false;
        for (key, slot) in KEYS.iter().zip(&this.keys) {
            let Slot { generation, value } = slot.get();
            let destructor = key.destructor.load(Acquire);
            if value.is_null()
                || generation != key.state.load(Acquire)
                || generation & 1 == 0
                || destructor == 0
            {
                continue;
            }
            slot.set(Slot {
                generation,
                value: ptr::null_mut(),
            });
            // SAFETY: the address was a function of this type when the key was made.
            let destructor: extern "C" fn(*mut c_void) =
                unsafe { core::mem::transmute(destructor) };
            destructor(value);
            ran = true;
        }
        if !ran {
            return;
        }
    }
}

/// A thread-local variable's destructor, in a list of the thread, newest first.
pub(super) struct Destructor {
    function: extern "C" fn(*mut c_void),
    argument: *mut c_void,
    next: *mut Destructor,
}

/// Runs and forgets the calling thread's destructors, also those that are registered meanwhile.
pub(crate) fn run_tls_destructors() {
    let list = &current().destructors;
    while !list.get().is_null() {
        let node = list.get();
        // SAFETY: nodes in the list are alive; this one leaves it here and is freed once.
        let (function, argument) = unsafe {
            list.set((*node).next);
            let taken = ((*node).function, (*node).argument);
            free(node.cast());
            taken
        };
        function(argument);
    }
}

c_api! {
    fn pthread_key_create(out: *mut usize, destructor: Option<extern "C" fn(*mut c_void)>) -> c_int {
        match create(destructor.map_or(0, |function| function as usize)) {
            Some(number) => {
                *out = number;
                0
            }
            None => c_int::from(e::EAGAIN.0),
        }
    }
    /// The name libgcc's unwinder asks for when it wants to know whether threads exist.
    fn __pthread_key_create(out: *mut usize, destructor: Option<extern "C" fn(*mut c_void)>) -> c_int {
        pthread_key_create(out, destructor)
    }
    fn pthread_key_delete(number: usize) -> c_int {
        let Some(key) = KEYS.get(number) else { return c_int::from(e::EINVAL.0) };
        key.destructor.store(0, Release);
        key.state.fetch_and(!1, AcqRel);
        0
    }
    fn pthread_getspecific(number: usize) -> *mut c_void {
        let (Some(key), Some(slot)) = (KEYS.get(number), current().keys.get(number)) else { return ptr::null_mut() };
        let Slot { generation, value } = slot.get();
        if generation == key.state.load(Acquire) { value } else { ptr::null_mut() }
    }
    fn pthread_setspecific(number: usize, value: *mut c_void) -> c_int {
        let (Some(key), Some(slot)) = (KEYS.get(number), current().keys.get(number)) else {
            return c_int::from(e::EINVAL.0);
        };
        let generation = key.state.load(Acquire);
        if generation & 1 == 0 {
            return c_int::from(e::EINVAL.0);
        }
        slot.set(Slot { generation, value });
        0
    }
    fn __cxa_thread_atexit_impl(
        function: extern "C" fn(*mut c_void), argument: *mut c_void, _dso: *mut c_void,
    ) -> c_int {
        let node = malloc(size_of::<Destructor>()).cast::<Destructor>();
        if node.is_null() {
            return -1;
        }
        node.write(Destructor { function, argument, next: current().destructors.get() });
        current().destructors.set(node);
        0
    }
}
