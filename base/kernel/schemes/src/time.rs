//! `time`: clocks "1" (wall) and "4" (since boot). Reading gives the time; writing an absolute time arms a timer, which makes
//! the handle ready to read when it comes. "/getres" after the number reads the resolution.

use kernel_core::io::file::Target;
use kernel_core::kernel::{Kernel, Outcome, Stop};
use kernel_core::limits::FILES_MAX;
use kernel_core::machine::Machine;
use kernel_core::mem::copy::Buffer;
use kernel_core::scheme::kernel_scheme::{KernelScheme, Opened};
use kernel_core::slab::{Id, Slab};
use kernel_core::task::thread::Caller;
use kernel_core::task::timer::Timer;
use valence_abi::errno::{EBADF, EINVAL, EMFILE, ENOENT, Errno};
use valence_abi::flags::{CLOCK_MONOTONIC, CLOCK_REALTIME, EVENT_READ, EVENT_WRITE};

const SECOND: u64 = 1_000_000_000;
/// Bytes of a `TimeSpec`.
const SIZE: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Clock {
    wall: bool,
    resolution: bool,
    timer: Option<(u64, u64)>,
    fired: bool,
}

/// The scheme.
pub(crate) struct Time {
    index: usize,
    clocks: Slab<Clock>,
}

impl Time {
    /// The scheme at this index.
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            clocks: Slab::new(FILES_MAX),
        }
    }
}

impl<M: Machine> KernelScheme<M> for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn open(
        &mut self,
        _kernel: &mut Kernel<M>,
        _who: &Caller,
        _dir: u64,
        path: &str,
        _flags: usize,
    ) -> Result<Opened, Stop> {
        let path = path.trim_start_matches('/');
        let (number, rest) = path.split_once('/').unwrap_or((path, ""));
        let wall = match number.parse::<usize>() {
            Ok(CLOCK_REALTIME) => true,
            Ok(CLOCK_MONOTONIC) => false,
            _ => return Err(ENOENT.into()),
        };
        let resolution = match rest {
            "" | "gettime" | "timer" => false,
            "getres" => true,
            _ => return Err(ENOENT.into()),
        };
        let clock = Clock {
            wall,
            resolution,
            timer: None,
            fired: false,
        };
        let id = self.clocks.insert(clock).map_err::<Errno, _>(|_| EMFILE)?;
        Ok(Opened::stream(id.raw()))
    }

    fn read(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        handle: u64,
        buffer: Buffer,
        _offset: u64,
        _flags: usize,
    ) -> Outcome {
        let clock = self
            .clocks
            .get_mut(Id::from_raw(handle))
            .ok_or::<Errno>(EBADF)?;
        if buffer.len < SIZE {
            return Err(EINVAL.into());
        }
        clock.fired = false;
        let base = if clock.wall {
            kernel.machine.boot_time_ns()
        } else {
            0
        };
        let nanos = if clock.resolution {
            1
        } else {
            base.saturating_add(kernel.machine.now_ns())
        };
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&(nanos / SECOND).to_le_bytes());
        bytes[8..12].copy_from_slice(&((nanos % SECOND) as u32).to_le_bytes());
        Ok(kernel.fill_buffer(buffer, &bytes)?)
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
        if buffer.len < SIZE {
            return Err(EINVAL.into());
        }
        let seconds = kernel.read_u64(buffer.space, buffer.addr)? as i64;
        let nanos = kernel.read_u32(buffer.space, buffer.addr.wrapping_add(8))?;
        let clock = self
            .clocks
            .get_mut(Id::from_raw(handle))
            .ok_or::<Errno>(EBADF)?;
        if u64::from(nanos) >= SECOND {
            return Err(EINVAL.into());
        }
        let at = u64::try_from(seconds).map_or(0, |s| {
            s.saturating_mul(SECOND).saturating_add(u64::from(nanos))
        });
        let base = if clock.wall {
            kernel.machine.boot_time_ns()
        } else {
            0
        };
        if let Some(key) = clock.timer.take() {
            kernel.timer_remove(key);
        }
        clock.fired = false;
        let timer = Timer::Scheme(self.index, handle);
        clock.timer = Some(kernel.timer_add(at.saturating_sub(base), timer));
        Ok(SIZE)
    }

    fn ready(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<usize, Errno> {
        let clock = self.clocks.get(Id::from_raw(handle)).ok_or(EBADF)?;
        Ok(if clock.fired {
            EVENT_READ | EVENT_WRITE
        } else {
            EVENT_WRITE
        })
    }

    fn close(&mut self, kernel: &mut Kernel<M>, handle: u64) {
        if let Some(clock) = self.clocks.remove(Id::from_raw(handle))
            && let Some(key) = clock.timer
        {
            kernel.timer_remove(key);
        }
    }

    fn timer(&mut self, kernel: &mut Kernel<M>, handle: u64) {
        if let Some(clock) = self.clocks.get_mut(Id::from_raw(handle)) {
            clock.timer = None;
            clock.fired = true;
            kernel.notify(Target::Kernel(self.index), handle, EVENT_READ);
        }
    }
}
