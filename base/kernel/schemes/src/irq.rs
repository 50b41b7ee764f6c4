//! `irq`: message-signalled interrupts for drivers (user 0). Opening "msi" allocates a vector; `CALL` with `READ` gives
//! address and data to program into the device (16 bytes); reading gives how often it came since the last read.

use alloc::collections::BTreeMap;

use kernel_core::io::file::Target;
use kernel_core::kernel::{Kernel, Outcome, Stop, wait_for};
use kernel_core::machine::{Interrupt, Machine, MsiMessage};
use kernel_core::mem::copy::Buffer;
use kernel_core::scheme::kernel_scheme::{KernelScheme, Opened};
use kernel_core::task::thread::{Caller, WaitKey};
use valence_abi::errno::{EACCES, EAGAIN, EBADF, EBUSY, EINVAL, ENOENT, EOPNOTSUPP, Errno};
use valence_abi::flags::{EVENT_READ, O_NONBLOCK, call};

struct Vector {
    message: MsiMessage,
    count: u64,
}

/// The scheme. A handle is the machine's number of the vector.
pub(crate) struct Irq {
    index: usize,
    vectors: BTreeMap<u64, Vector>,
}

impl Irq {
    /// The scheme at this index.
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            vectors: BTreeMap::new(),
        }
    }
}

impl<M: Machine> KernelScheme<M> for Irq {
    fn name(&self) -> &'static str {
        "irq"
    }

    fn open(
        &mut self,
        kernel: &mut Kernel<M>,
        who: &Caller,
        _dir: u64,
        path: &str,
        _flags: usize,
    ) -> Result<Opened, Stop> {
        if who.uid != 0 {
            return Err(EACCES.into());
        }
        if path.trim_start_matches('/') != "msi" {
            return Err(ENOENT.into());
        }
        let (number, message) = kernel.machine.msi_allocate().ok_or::<Errno>(EBUSY)?;
        self.vectors
            .insert(number as u64, Vector { message, count: 0 });
        Ok(Opened::stream(number as u64))
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
        let vector = self.vectors.get_mut(&handle).ok_or::<Errno>(EBADF)?;
        if buffer.len < 8 {
            return Err(EINVAL.into());
        }
        if vector.count == 0 {
            return Err(match flags & O_NONBLOCK {
                0 => wait_for(WaitKey::Scheme(self.index, handle)),
                _ => EAGAIN.into(),
            });
        }
        kernel.write_u64(buffer.space, buffer.addr, vector.count)?;
        vector.count = 0;
        Ok(8)
    }

    fn ready(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<usize, Errno> {
        let vector = self.vectors.get(&handle).ok_or(EBADF)?;
        Ok(if vector.count > 0 { EVENT_READ } else { 0 })
    }

    fn call(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        handle: u64,
        payload: Buffer,
        flags: usize,
        _metadata: [u64; 3],
    ) -> Outcome {
        let vector = self.vectors.get(&handle).ok_or::<Errno>(EBADF)?;
        if flags & call::READ == 0 {
            return Err(EOPNOTSUPP.into());
        }
        if payload.len < 16 {
            return Err(EINVAL.into());
        }
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&vector.message.address.to_le_bytes());
        bytes[8..12].copy_from_slice(&vector.message.data.to_le_bytes());
        Ok(kernel.fill_buffer(payload, &bytes)?)
    }

    fn close(&mut self, kernel: &mut Kernel<M>, handle: u64) {
        if self.vectors.remove(&handle).is_some() {
            kernel.machine.msi_free(handle as usize);
            kernel.wake_last(WaitKey::Scheme(self.index, handle));
        }
    }

    fn interrupt(&mut self, kernel: &mut Kernel<M>, interrupt: Interrupt) {
        let Interrupt::Msi(number) = interrupt else {
            return;
        };
        let handle = number as u64;
        if let Some(vector) = self.vectors.get_mut(&handle) {
            vector.count = vector.count.saturating_add(1);
            kernel.wake(WaitKey::Scheme(self.index, handle));
            kernel.notify(Target::Kernel(self.index), handle, EVENT_READ);
        }
    }
}
