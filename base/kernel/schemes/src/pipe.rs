//! `pipe`: opening "" gives the reading end, `dup(end, "write")` the writing end. "pair" and `dup(end, "other")` make a
//! two-way pair (used by `SOCKETPAIR`).

use alloc::string::String;
use alloc::vec::Vec;

use kernel_core::io::file::Target;
use kernel_core::kernel::{FileId, Kernel, Outcome, PipeId, Stop};
use kernel_core::limits::PIPES_MAX;
use kernel_core::machine::Machine;
use kernel_core::mem::copy::Buffer;
use kernel_core::scheme::kernel_scheme::{KernelScheme, Opened};
use kernel_core::slab::{Id, Slab};
use kernel_core::task::thread::Caller;
use valence_abi::errno::{EBADF, EINVAL, EMFILE, ENOENT, Errno};
use valence_abi::flags::{EVENT_READ, EVENT_WRITE, MODE_FIFO, MODE_SOCK};
use valence_abi::layout::Stat;

/// What a handle can do.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    read: Option<PipeId>,
    write: Option<PipeId>,
    /// A pair whose other end has not been asked for.
    lonely: bool,
}

/// The scheme.
pub(crate) struct Pipes {
    index: usize,
    ends: Slab<End>,
}

impl Pipes {
    /// The scheme at this index.
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            ends: Slab::new(PIPES_MAX * 2),
        }
    }

    fn end(&self, handle: u64) -> Result<End, Errno> {
        self.ends.get(Id::from_raw(handle)).copied().ok_or(EBADF)
    }

    /// Adds a handle and makes its pipes report to it.
    fn add<M: Machine>(&mut self, kernel: &mut Kernel<M>, end: End) -> Result<Opened, Stop> {
        let handle = self.ends.insert(end).map_err::<Errno, _>(|_| EMFILE)?.raw();
        let place = Some((Target::Kernel(self.index), handle));
        if let Some(pipe) = end.read.and_then(|id| kernel.pipes.get_mut(id)) {
            pipe.read_end = place;
            pipe.readers += 1;
        }
        if let Some(pipe) = end.write.and_then(|id| kernel.pipes.get_mut(id)) {
            pipe.write_end = place;
            pipe.writers += 1;
        }
        Ok(Opened::stream(handle))
    }
}

impl<M: Machine> KernelScheme<M> for Pipes {
    fn name(&self) -> &'static str {
        "pipe"
    }

    fn open(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        _dir: u64,
        path: &str,
        _flags: usize,
    ) -> Result<Opened, Stop> {
        match path.trim_start_matches('/') {
            "" => {
                let read = Some(kernel.pipe_new()?);
                self.add(
                    kernel,
                    End {
                        read,
                        ..End::default()
                    },
                )
            }
            "pair" => {
                let (read, write) = (kernel.pipe_new()?, kernel.pipe_new()?);
                self.add(
                    kernel,
                    End {
                        read: Some(read),
                        write: Some(write),
                        lonely: true,
                    },
                )
            }
            _ => Err(ENOENT.into()),
        }
    }

    fn dup(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        handle: u64,
        text: &[u8],
    ) -> Result<Opened, Stop> {
        let end = self.end(handle)?;
        match text {
            b"write" if end.read.is_some() && end.write.is_none() => self.add(
                kernel,
                End {
                    write: end.read,
                    ..End::default()
                },
            ),
            b"other" if end.lonely => {
                if let Some(end) = self.ends.get_mut(Id::from_raw(handle)) {
                    end.lonely = false;
                }
                self.add(
                    kernel,
                    End {
                        read: end.write,
                        write: end.read,
                        lonely: false,
                    },
                )
            }
            _ => Err(EINVAL.into()),
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
        let id = self.end(handle)?.read.ok_or::<Errno>(EBADF)?;
        kernel.pipe_read(id, buffer, flags)
    }

    fn write(
        &mut self,
        kernel: &mut Kernel<M>,
        who: &Caller,
        handle: u64,
        buffer: Buffer,
        _offset: u64,
        flags: usize,
    ) -> Outcome {
        let id = self.end(handle)?.write.ok_or::<Errno>(EBADF)?;
        kernel.pipe_write(who, id, buffer, flags)
    }

    fn stat(&mut self, kernel: &mut Kernel<M>, handle: u64) -> Result<Stat, Errno> {
        let end = self.end(handle)?;
        let two_way = end.read.is_some() && end.write.is_some();
        let mode = if two_way { MODE_SOCK } else { MODE_FIFO } | 0o600;
        let waiting = end
            .read
            .and_then(|id| kernel.pipes.get(id))
            .map_or(0, |pipe| pipe.len());
        Ok(Stat {
            mode,
            nlink: 1,
            ino: handle,
            size: waiting as u64,
            ..Stat::default()
        })
    }

    // No name opens this pipe again: "pipe" alone would make a new one, and a program that resolves /dev/stdin would read
    // that instead of its input.
    fn path(&mut self, _kernel: &mut Kernel<M>, _handle: u64) -> Result<String, Errno> {
        Err(ENOENT)
    }

    fn ready(&mut self, kernel: &mut Kernel<M>, handle: u64) -> Result<usize, Errno> {
        let end = self.end(handle)?;
        let readable = end
            .read
            .and_then(|id| kernel.pipes.get(id))
            .is_some_and(|pipe| pipe.readable());
        let writable = end
            .write
            .and_then(|id| kernel.pipes.get(id))
            .is_some_and(|pipe| pipe.writable());
        let bit = |holds: bool, bit: usize| if holds { bit } else { 0 };
        Ok(bit(readable, EVENT_READ) | bit(writable, EVENT_WRITE))
    }

    fn send_files(
        &mut self,
        kernel: &mut Kernel<M>,
        handle: u64,
        files: &[FileId],
    ) -> Result<(), Stop> {
        let id = self.end(handle)?.write.ok_or::<Errno>(EBADF)?;
        kernel.pipe_send_files(id, files)
    }

    fn receive_files(
        &mut self,
        kernel: &mut Kernel<M>,
        handle: u64,
        count: usize,
        flags: usize,
    ) -> Result<Vec<FileId>, Stop> {
        let id = self.end(handle)?.read.ok_or::<Errno>(EBADF)?;
        kernel.pipe_receive_files(id, count, flags)
    }

    fn close(&mut self, kernel: &mut Kernel<M>, handle: u64) {
        let Some(end) = self.ends.remove(Id::from_raw(handle)) else {
            return;
        };
        if let Some(id) = end.read {
            kernel.pipe_close_reader(id);
        }
        if let Some(id) = end.write {
            kernel.pipe_close_writer(id);
        }
    }
}
