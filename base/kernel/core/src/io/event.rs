//! Event queues.
//!
//! A subscription watches a description for one queue. What is ready at that time is queued at once; later
//! the source reports changes (`notify`), which add to the flags waiting for delivery. Reading delivers and clears.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use valence_abi::errno::{EAGAIN, EBADF, EBUSY, EINVAL, ENOMEM, ENOSYS, EOPNOTSUPP, EPERM, Errno};
use valence_abi::flags::{EVENT_READ, EVENT_WRITE, O_NONBLOCK};
use valence_abi::layout::Event;
use valence_abi::scheme::opcode;

use crate::io::file::Target;
use crate::kernel::{FileId, Kernel, Outcome, QueueId, Stop, wait_for};
use crate::limits::SUBSCRIPTIONS_MAX;
use crate::machine::Machine;
use crate::mem::copy::Buffer;
use crate::scheme::request::{Call, Completion};
use crate::task::thread::{Caller, WaitKey, Waiting};

/// Bytes of an event record.
pub const EVENT_SIZE: usize = size_of::<Event>();

/// A subscription.
#[derive(Clone, Copy, Debug)]
struct Subscription {
    file: FileId,
    source: (Target, u64),
    wanted: usize,
    data: usize,
    /// Flags waiting for delivery.
    pending: usize,
}

/// An event queue.
#[derive(Debug, Default)]
pub struct Queue {
    subscriptions: BTreeMap<usize, Subscription>,
    /// Descriptors with pending flags, oldest first.
    order: VecDeque<usize>,
    /// The queue's own identity, for queues that watch it.
    pub end: Option<(Target, u64)>,
}

impl Queue {
    /// Whether a read would give something.
    pub fn readable(&self) -> bool {
        !self.order.is_empty()
    }

    fn take(&mut self) -> Option<Event> {
        while let Some(id) = self.order.pop_front() {
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                let flags = core::mem::take(&mut subscription.pending);
                if flags != 0 {
                    return Some(Event {
                        id,
                        flags,
                        data: subscription.data,
                    });
                }
            }
        }
        None
    }
}

fn event_bytes(event: &Event) -> [u8; EVENT_SIZE] {
    let mut bytes = [0; EVENT_SIZE];
    for (chunk, word) in bytes
        .chunks_exact_mut(8)
        .zip([event.id, event.flags, event.data])
    {
        chunk.copy_from_slice(&(word as u64).to_le_bytes());
    }
    bytes
}

impl<M: Machine> Kernel<M> {
    /// Something is ready: every subscription that wants it gets it.
    pub fn notify(&mut self, target: Target, handle: u64, flags: usize) {
        if self.subscriptions.is_empty() {
            return;
        }
        let Some(list) = self.subscriptions.get(&(target, handle)) else {
            return;
        };
        for (queue, id) in list.clone() {
            self.post(queue, id, flags);
        }
    }

    fn post(&mut self, queue_id: QueueId, id: usize, flags: usize) {
        let Some(queue) = self.queues.get_mut(queue_id) else {
            return;
        };
        let Some(subscription) = queue.subscriptions.get_mut(&id) else {
            return;
        };
        let new = flags & subscription.wanted;
        if new == 0 {
            return;
        }
        let first = subscription.pending == 0;
        subscription.pending |= new;
        if first {
            queue.order.push_back(id);
            let end = queue.end;
            self.wake(WaitKey::Queue(queue_id));
            if let Some((target, handle)) = end {
                self.notify(target, handle, EVENT_READ);
            }
        }
    }

    /// Reads events: whole records. `EAGAIN` or a wait when there is none.
    pub fn queue_read(&mut self, id: QueueId, buffer: Buffer, flags: usize) -> Outcome {
        let count = self.queue_take(id, buffer, buffer.len / EVENT_SIZE)?;
        match count {
            0 if flags & O_NONBLOCK != 0 => Err(EAGAIN.into()),
            0 => Err(wait_for(WaitKey::Queue(id))),
            _ => Ok(count * EVENT_SIZE),
        }
    }

    fn queue_take(&mut self, id: QueueId, buffer: Buffer, room: usize) -> Result<usize, Errno> {
        if room == 0 {
            return Err(EINVAL);
        }
        let mut count = 0;
        while count < room {
            let Some(event) = self.queues.get_mut(id).ok_or(EBADF)?.take() else {
                break;
            };
            let addr = buffer.addr.wrapping_add(count * EVENT_SIZE);
            if let Err(errno) = self.copy_out(buffer.space, addr, &event_bytes(&event)) {
                self.post(id, event.id, event.flags);
                return if count > 0 { Ok(count) } else { Err(errno) };
            }
            count += 1;
        }
        Ok(count)
    }

    /// `EVENT_WAIT`.
    pub(crate) fn event_wait(
        &mut self,
        who: &Caller,
        id: QueueId,
        (addr, room): (usize, usize),
        deadline: u64,
    ) -> Outcome {
        if room > isize::MAX as usize / EVENT_SIZE {
            return Err(EINVAL.into());
        }
        let buffer = Buffer {
            space: who.space,
            addr,
            len: room * EVENT_SIZE,
        };
        let count = self.queue_take(id, buffer, room)?;
        if count > 0 || deadline <= self.machine.now_ns() {
            return Ok(count);
        }
        Err(Stop::Wait(Waiting::Key(WaitKey::Queue(id)), deadline))
    }

    /// Writes a subscription record to a queue.
    pub fn queue_subscribe(&mut self, who: &Caller, id: QueueId, buffer: Buffer) -> Outcome {
        if buffer.len < EVENT_SIZE {
            return Err(EINVAL.into());
        }
        let mut words = [0; 3];
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.read_u64(buffer.space, buffer.addr.wrapping_add(index * 8))? as usize;
        }
        let event = Event {
            id: words[0],
            flags: words[1] & (EVENT_READ | EVENT_WRITE),
            data: words[2],
        };
        if event.flags == 0 {
            self.unsubscribe(id, event.id);
            return Ok(EVENT_SIZE);
        }
        let file_id = self.fd_file(who.process, event.id)?;
        let file = self.file(file_id)?;
        let ready = match file.target {
            Target::Kernel(index) => {
                let queue_end = self.queues.get(id).and_then(|queue| queue.end);
                if queue_end == Some((file.target, file.handle)) {
                    return Err(EINVAL.into());
                }
                self.with_scheme(index, |scheme, kernel| scheme.ready(kernel, file.handle))
                    .unwrap_or_else(|| self.ready_while_busy(file.handle))?
            }
            Target::Socket(scheme) => match self.schemes.get(scheme) {
                Some(scheme) if !scheme.has_work() => EVENT_WRITE,
                _ => EVENT_READ | EVENT_WRITE,
            },
            Target::User(scheme) => {
                // Subscribed before it is asked, so that a report between question and answer is not lost.
                self.subscribe(id, file_id, event)?;
                let args = [file.handle, event.flags as u64, 0, 0, 0, 0];
                let completion = Completion::Subscribe {
                    queue: id,
                    file: file_id,
                    event,
                    value: EVENT_SIZE,
                };
                return self.request(
                    who,
                    scheme,
                    Call::new(opcode::FEVENT, file_id, args, completion),
                );
            }
        };
        self.subscribe(id, file_id, event)?;
        self.post(id, event.id, ready);
        Ok(EVENT_SIZE)
    }

    /// The event scheme itself is busy: a queue is watched by a queue.
    fn ready_while_busy(&mut self, handle: u64) -> Result<usize, Errno> {
        let queue = self.queues.get(QueueId::from_raw(handle)).ok_or(EBUSY)?;
        Ok(if queue.readable() { EVENT_READ } else { 0 })
    }

    fn subscribe(&mut self, id: QueueId, file_id: FileId, event: Event) -> Result<(), Errno> {
        self.unsubscribe(id, event.id);
        let file = self.file(file_id)?;
        let source = (file.target, file.handle);
        let queue = self.queues.get_mut(id).ok_or(EBADF)?;
        if queue.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(ENOMEM);
        }
        let subscription = Subscription {
            file: file_id,
            source,
            wanted: event.flags,
            data: event.data,
            pending: 0,
        };
        queue.subscriptions.insert(event.id, subscription);
        self.subscriptions
            .entry(source)
            .or_default()
            .push((id, event.id));
        Ok(())
    }

    /// The answer to the readiness question of a subscription.
    pub(crate) fn complete_subscribe(
        &mut self,
        queue: QueueId,
        file: FileId,
        event: Event,
        result: Result<usize, Errno>,
    ) -> Result<(), Errno> {
        match result {
            Ok(ready) => {
                let current = self
                    .queues
                    .get(queue)
                    .and_then(|q| q.subscriptions.get(&event.id));
                if current.is_some_and(|subscription| subscription.file == file) {
                    self.post(queue, event.id, ready);
                }
                Ok(())
            }
            Err(errno) => {
                self.unsubscribe(queue, event.id);
                Err(if matches!(errno, EOPNOTSUPP | ENOSYS) {
                    EPERM
                } else {
                    errno
                })
            }
        }
    }

    fn unsubscribe(&mut self, id: QueueId, event_id: usize) {
        let Some(queue) = self.queues.get_mut(id) else {
            return;
        };
        let Some(old) = queue.subscriptions.remove(&event_id) else {
            return;
        };
        queue.order.retain(|waiting| *waiting != event_id);
        if let Some(list) = self.subscriptions.get_mut(&old.source) {
            list.retain(|entry| *entry != (id, event_id));
            if list.is_empty() {
                self.subscriptions.remove(&old.source);
            }
        }
    }

    /// A description is gone: nobody watches it any more.
    pub(crate) fn unsubscribe_file(&mut self, target: Target, handle: u64, file: FileId) {
        if self.subscriptions.is_empty() {
            return;
        }
        let Some(list) = self.subscriptions.get(&(target, handle)) else {
            return;
        };
        for (queue, id) in list.clone() {
            let watched = self
                .queues
                .get(queue)
                .and_then(|queue| queue.subscriptions.get(&id));
            if watched.is_some_and(|subscription| subscription.file == file) {
                self.unsubscribe(queue, id);
            }
        }
    }

    /// A queue is gone.
    pub fn queue_close(&mut self, id: QueueId) {
        let ids: Vec<usize> = match self.queues.get(id) {
            Some(queue) => queue.subscriptions.keys().copied().collect(),
            None => return,
        };
        ids.into_iter()
            .for_each(|event| self.unsubscribe(id, event));
        self.queues.remove(id);
        self.wake_last(WaitKey::Queue(id));
    }
}
