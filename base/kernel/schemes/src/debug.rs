//! `debug`: the serial ports, raw. "" is the console (COM1), "1" the second port.

use kernel_core::io::file::Target;
use kernel_core::kernel::{Kernel, Outcome, Stop};
use kernel_core::machine::{Interrupt, Machine};
use kernel_core::mem::copy::Buffer;
use kernel_core::scheme::kernel_scheme::{KernelScheme, Opened};
use kernel_core::task::thread::{Caller, WaitKey};
use valence_abi::errno::{EBADF, ENOENT, Errno};
use valence_abi::flags::{EVENT_READ, EVENT_WRITE};

use crate::bytes::Ring;

/// Longest piece written at once: the port is slow and the kernel must not be held.
const WRITE_MAX: usize = 2048;

/// The scheme. A handle is a port number.
#[derive(Default)]
pub(crate) struct Debug {
    index: usize,
    ports: [Ring; 2],
}

impl Debug {
    /// The scheme at this index.
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            ..Self::default()
        }
    }
}

impl<M: Machine> KernelScheme<M> for Debug {
    fn name(&self) -> &'static str {
        "debug"
    }

    fn open(
        &mut self,
        _kernel: &mut Kernel<M>,
        _who: &Caller,
        _dir: u64,
        path: &str,
        _flags: usize,
    ) -> Result<Opened, Stop> {
        match path.trim_start_matches('/') {
            "" | "0" | "no-preserve" => Ok(Opened::stream(0)),
            "1" => Ok(Opened::stream(1)),
            _ => Err(ENOENT.into()),
        }
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
        let ring = self.ports.get_mut(handle as usize).ok_or::<Errno>(EBADF)?;
        ring.read(kernel, buffer, flags, WaitKey::Scheme(self.index, handle))
    }

    fn write(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        handle: u64,
        buffer: Buffer,
        _offset: u64,
        _flags: usize,
    ) -> Outcome {
        let bytes = kernel.read_buffer(buffer.first(WRITE_MAX))?;
        kernel.machine.serial_write(handle as usize, &bytes);
        Ok(bytes.len())
    }

    fn ready(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<usize, Errno> {
        let ring = self.ports.get(handle as usize).ok_or(EBADF)?;
        Ok(if ring.is_empty() {
            EVENT_WRITE
        } else {
            EVENT_READ | EVENT_WRITE
        })
    }

    fn interrupt(&mut self, kernel: &mut Kernel<M>, interrupt: Interrupt) {
        let Interrupt::Serial(port) = interrupt else {
            return;
        };
        let Some(ring) = self.ports.get_mut(port) else {
            return;
        };
        while let Some(byte) = kernel.machine.serial_read(port) {
            ring.push(byte);
        }
        if !ring.is_empty() {
            kernel.wake(WaitKey::Scheme(self.index, port as u64));
            kernel.notify(Target::Kernel(self.index), port as u64, EVENT_READ);
        }
    }
}
