//! `serio`: raw PS/2 bytes. "0" is the keyboard, "1" the mouse. For drivers (user 0).

use kernel_core::io::file::Target;
use kernel_core::kernel::{Kernel, Outcome, Stop};
use kernel_core::machine::{Interrupt, Machine};
use kernel_core::mem::copy::Buffer;
use kernel_core::scheme::kernel_scheme::{KernelScheme, Opened};
use kernel_core::task::thread::{Caller, WaitKey};
use valence_abi::errno::{EACCES, EBADF, ENOENT, Errno};
use valence_abi::flags::EVENT_READ;

use crate::bytes::Ring;

/// The scheme. A handle is a port number.
#[derive(Default)]
pub(crate) struct Serio {
    index: usize,
    ports: [Ring; 2],
}

impl Serio {
    /// The scheme at this index.
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            ..Self::default()
        }
    }
}

impl<M: Machine> KernelScheme<M> for Serio {
    fn name(&self) -> &'static str {
        "serio"
    }

    fn open(
        &mut self,
        _kernel: &mut Kernel<M>,
        who: &Caller,
        _dir: u64,
        path: &str,
        _flags: usize,
    ) -> Result<Opened, Stop> {
        if who.uid != 0 {
            return Err(EACCES.into());
        }
        match path.trim_start_matches('/') {
            "0" => Ok(Opened::stream(0)),
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

    fn ready(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<usize, Errno> {
        let ring = self.ports.get(handle as usize).ok_or(EBADF)?;
        Ok(if ring.is_empty() { 0 } else { EVENT_READ })
    }

    fn interrupt(&mut self, kernel: &mut Kernel<M>, interrupt: Interrupt) {
        let Interrupt::Ps2 { port, byte } = interrupt else {
            return;
        };
        let Some(ring) = self.ports.get_mut(port) else {
            return;
        };
        ring.push(byte);
        kernel.wake(WaitKey::Scheme(self.index, port as u64));
        kernel.notify(Target::Kernel(self.index), port as u64, EVENT_READ);
    }
}
