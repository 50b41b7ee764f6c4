//! `event`: each open makes a queue. Writing an `Event` subscribes, reading delivers.

use kernel_core::io::event::Queue;
use kernel_core::io::file::Target;
use kernel_core::kernel::{Kernel, Outcome, QueueId, Stop};
use kernel_core::machine::Machine;
use kernel_core::mem::copy::Buffer;
use kernel_core::scheme::kernel_scheme::{KernelScheme, Opened};
use kernel_core::task::thread::Caller;
use valence_abi::errno::{EBADF, EMFILE, Errno};
use valence_abi::flags::{EVENT_READ, EVENT_WRITE};

/// The scheme. A handle is a queue id.
pub(crate) struct Events {
    index: usize,
}

impl Events {
    /// The scheme at this index.
    pub(crate) fn new(index: usize) -> Self {
        Self { index }
    }
}

impl<M: Machine> KernelScheme<M> for Events {
    fn name(&self) -> &'static str {
        "event"
    }

    fn open(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        _dir: u64,
        _path: &str,
        _flags: usize,
    ) -> Result<Opened, Stop> {
        let id = kernel
            .queues
            .insert(Queue::default())
            .map_err::<Errno, _>(|_| EMFILE)?;
        if let Some(queue) = kernel.queues.get_mut(id) {
            queue.end = Some((Target::Kernel(self.index), id.raw()));
        }
        Ok(Opened::stream(id.raw()))
    }

    fn read(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        handle: u64,
        buffer: Buffer,
        _offset: u64,
        flags: usize,
    ) -> Outcome {
        kernel.queue_read(QueueId::from_raw(handle), buffer, flags)
    }

    fn write(
        &mut self,
        kernel: &mut Kernel<M>,
        who: &Caller,
        handle: u64,
        buffer: Buffer,
        _offset: u64,
        _flags: usize,
    ) -> Outcome {
        kernel.queue_subscribe(who, QueueId::from_raw(handle), buffer)
    }

    fn ready(&mut self, kernel: &mut Kernel<M>, handle: u64) -> Result<usize, Errno> {
        let queue = kernel.queues.get(QueueId::from_raw(handle)).ok_or(EBADF)?;
        Ok(if queue.readable() {
            EVENT_READ | EVENT_WRITE
        } else {
            EVENT_WRITE
        })
    }

    fn close(&mut self, kernel: &mut Kernel<M>, handle: u64) {
        kernel.queue_close(QueueId::from_raw(handle));
    }
}
