//! Futexes: threads that sleep until somebody says that a word changed.

use alloc::collections::VecDeque;

use valence_abi::PAGE_SIZE;
use valence_abi::errno::{EAGAIN, EFAULT, EINVAL, ENOSYS, ETIMEDOUT, Errno};

use crate::kernel::{Kernel, Outcome, SpaceId, Stop, ThreadId};
use crate::machine::Machine;
use crate::mem::fault::Access;
use crate::mem::space::Kind;
use crate::task::thread::{Caller, State, Waiting};

/// Names a word: by place for private memory, by frame for memory that others map too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FutexKey {
    /// Space and address.
    Private(SpaceId, usize),
    /// Frame number and offset.
    Shared(u64, usize),
}

impl<M: Machine> Kernel<M> {
    fn futex_key(&mut self, space: SpaceId, addr: usize) -> Result<FutexKey, Errno> {
        if !addr.is_multiple_of(4) {
            return Err(EINVAL);
        }
        let page = Self::user_page(addr)?;
        let kind = self
            .space_mut(space)?
            .find(page)
            .map(|(_, r)| r.kind)
            .ok_or(EFAULT)?;
        if kind == Kind::Private {
            return Ok(FutexKey::Private(space, addr));
        }
        let frame = self.resolve(space, page, Access::Read)?;
        Ok(FutexKey::Shared(frame.0, addr % PAGE_SIZE))
    }

    /// Waits while the word has the expected value.
    pub(crate) fn futex_wait(
        &mut self,
        who: &Caller,
        addr: usize,
        expected: u32,
        deadline: u64,
    ) -> Outcome {
        let key = self.futex_key(who.space, addr)?;
        if self.read_u32(who.space, addr)? != expected {
            return Err(EAGAIN.into());
        }
        if deadline <= self.machine.now_ns() {
            return Err(ETIMEDOUT.into());
        }
        self.futexes.entry(key).or_default().push_back(who.thread);
        Err(Stop::Wait(Waiting::Futex(key), deadline))
    }

    /// Wakes up to `count` threads.
    pub(crate) fn futex_wake(&mut self, space: SpaceId, addr: usize, count: usize) -> Outcome {
        let key = self.futex_key(space, addr)?;
        let mut woken = 0;
        while woken < count {
            let Some(thread) = self.futexes.get_mut(&key).and_then(VecDeque::pop_front) else {
                break;
            };
            let waits = self
                .threads
                .get(thread)
                .is_some_and(|thread| thread.state == State::Waiting(Waiting::Futex(key)));
            if waits {
                self.finish_wait(thread, 0);
                woken += 1;
            }
        }
        if self.futexes.get(&key).is_some_and(VecDeque::is_empty) {
            self.futexes.remove(&key);
        }
        Ok(woken)
    }

    /// A thread no longer waits.
    pub(crate) fn futex_forget(&mut self, thread: ThreadId, key: FutexKey) {
        if let Some(list) = self.futexes.get_mut(&key) {
            list.retain(|waiting| *waiting != thread);
            if list.is_empty() {
                self.futexes.remove(&key);
            }
        }
    }

    /// The raw call of `parking_lot_core`: op 0 waits with a relative time-out, op 1 wakes.
    pub(crate) fn futex_raw(
        &mut self,
        who: &Caller,
        addr: usize,
        op: usize,
        value: usize,
        timeout: usize,
    ) -> Outcome {
        match op {
            0 => {
                let mut deadline = u64::MAX;
                if timeout != 0 {
                    let seconds = self.read_u64(who.space, timeout)?;
                    let nanos = self.read_u32(who.space, timeout.wrapping_add(8))?;
                    deadline = seconds
                        .saturating_mul(1_000_000_000)
                        .saturating_add(u64::from(nanos))
                        .saturating_add(self.machine.now_ns());
                }
                self.futex_wait(who, addr, value as u32, deadline)
            }
            1 => self.futex_wake(who.space, addr, value),
            _ => Err(ENOSYS.into()),
        }
    }
}
