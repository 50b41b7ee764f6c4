//! The trait of a scheme that the kernel serves itself.
//!
//! Every verb has a default that says "not supported" with the error a program expects. A verb that must wait returns
//! `Stop::Wait`; it is called again when its key is woken, so it must not have changed anything before.

use alloc::string::String;
use alloc::vec::Vec;

use valence_abi::errno::{
    EACCES, EBADF, EINVAL, ENODEV, ENOTDIR, EOPNOTSUPP, EPERM, ESPIPE, Errno,
};
use valence_abi::layout::{Stat, StatVfs};

use crate::kernel::{FileId, Kernel, Outcome, Stop};
use crate::machine::{Interrupt, Machine};
use crate::mem::copy::Buffer;
use crate::mem::map::Source;
use crate::task::thread::Caller;

/// What opening gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A handle of this scheme.
    Handle {
        /// Its number, not `ROOT`.
        handle: u64,
        /// Whether the kernel keeps a cursor.
        positioned: bool,
    },
    /// An existing description; one reference passes to the caller.
    File(FileId),
}

impl Opened {
    /// A handle without cursor.
    pub fn stream(handle: u64) -> Self {
        Self::Handle {
            handle,
            positioned: false,
        }
    }
    /// A handle with cursor.
    pub fn positioned(handle: u64) -> Self {
        Self::Handle {
            handle,
            positioned: true,
        }
    }
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// `dirent::*` kind.
    pub kind: u8,
}

/// A scheme of the kernel. `M` is the machine.
pub trait KernelScheme<M: Machine>: Send {
    /// Its name in namespaces.
    fn name(&self) -> &'static str;

    /// Opens `path` relative to `dir` (`file::ROOT` for the scheme's root).
    fn open(
        &mut self,
        kernel: &mut Kernel<M>,
        who: &Caller,
        dir: u64,
        path: &str,
        flags: usize,
    ) -> Result<Opened, Stop>;

    /// A handle made from another by a word.
    fn dup(
        &mut self,
        _kernel: &mut Kernel<M>,
        _who: &Caller,
        _handle: u64,
        _text: &[u8],
    ) -> Result<Opened, Stop> {
        Err(EINVAL.into())
    }

    /// Reads at `offset` (`NO_OFFSET` for streams); `flags` are the description's.
    fn read(
        &mut self,
        _kernel: &mut Kernel<M>,
        _who: &Caller,
        _handle: u64,
        _buffer: Buffer,
        _offset: u64,
        _flags: usize,
    ) -> Outcome {
        Err(EBADF.into())
    }

    /// Writes.
    fn write(
        &mut self,
        _kernel: &mut Kernel<M>,
        _who: &Caller,
        _handle: u64,
        _buffer: Buffer,
        _offset: u64,
        _flags: usize,
    ) -> Outcome {
        Err(EBADF.into())
    }

    /// Size, for `SEEK_END`.
    fn size(&mut self, _kernel: &mut Kernel<M>, _handle: u64) -> Result<u64, Errno> {
        Err(ESPIPE)
    }

    /// Metadata.
    fn stat(&mut self, _kernel: &mut Kernel<M>, _handle: u64) -> Result<Stat, Errno> {
        Ok(Stat {
            mode: valence_abi::flags::MODE_CHR | 0o666,
            nlink: 1,
            ..Stat::default()
        })
    }

    /// Totals.
    fn statvfs(&mut self, _kernel: &mut Kernel<M>, _handle: u64) -> Result<StatVfs, Errno> {
        Err(EOPNOTSUPP)
    }

    /// Path within the scheme.
    fn path(&mut self, _kernel: &mut Kernel<M>, _handle: u64) -> Result<String, Errno> {
        Ok(String::new())
    }

    /// All entries of a directory, in a stable order.
    fn entries(&mut self, _kernel: &mut Kernel<M>, _handle: u64) -> Result<Vec<Entry>, Errno> {
        Err(ENOTDIR)
    }

    /// Which of `EVENT_*` hold now. `EPERM`: cannot be waited for.
    fn ready(&mut self, _kernel: &mut Kernel<M>, _handle: u64) -> Result<usize, Errno> {
        Err(EPERM)
    }

    /// The generic call.
    fn call(
        &mut self,
        _kernel: &mut Kernel<M>,
        _who: &Caller,
        _handle: u64,
        _payload: Buffer,
        _flags: usize,
        _metadata: [u64; 3],
    ) -> Outcome {
        Err(EOPNOTSUPP.into())
    }

    /// Takes descriptions that a caller passes; their references pass to the scheme only on success.
    fn send_files(
        &mut self,
        _kernel: &mut Kernel<M>,
        _handle: u64,
        _files: &[FileId],
    ) -> Result<(), Stop> {
        Err(EOPNOTSUPP.into())
    }

    /// Gives up to `count` descriptions; their references pass to the caller.
    fn receive_files(
        &mut self,
        _kernel: &mut Kernel<M>,
        _handle: u64,
        _count: usize,
        _flags: usize,
    ) -> Result<Vec<FileId>, Stop> {
        Err(EOPNOTSUPP.into())
    }

    /// What `mmap` of the handle maps.
    fn map(
        &mut self,
        _kernel: &mut Kernel<M>,
        _who: &Caller,
        _handle: u64,
        _len: usize,
        _offset: u64,
        _flags: usize,
    ) -> Result<Source, Errno> {
        Err(ENODEV)
    }

    /// Changes the length.
    fn truncate(&mut self, _kernel: &mut Kernel<M>, _handle: u64, _len: u64) -> Result<(), Errno> {
        Err(EINVAL)
    }

    /// Removes a name.
    fn unlink(
        &mut self,
        _kernel: &mut Kernel<M>,
        _who: &Caller,
        _dir: u64,
        _path: &str,
        _flags: usize,
    ) -> Result<(), Errno> {
        Err(EACCES)
    }

    /// The last reference of a handle is gone.
    fn close(&mut self, _kernel: &mut Kernel<M>, _handle: u64) {}

    /// A device interrupted; every scheme is asked.
    fn interrupt(&mut self, _kernel: &mut Kernel<M>, _interrupt: Interrupt) {}

    /// A timer of this scheme is due.
    fn timer(&mut self, _kernel: &mut Kernel<M>, _handle: u64) {}
}

impl<M: Machine> Kernel<M> {
    /// Adds a scheme of the kernel; its index.
    pub fn add_scheme(&mut self, scheme: alloc::boxed::Box<dyn KernelScheme<M>>) -> usize {
        self.scheme_names.push(scheme.name());
        self.kernel_schemes.push(Some(scheme));
        self.kernel_schemes.len() - 1
    }

    /// Names of the kernel's schemes by index.
    pub fn scheme_names(&self) -> Vec<&'static str> {
        self.scheme_names.clone()
    }

    /// Index of a scheme of the kernel.
    pub fn scheme_index(&self, name: &str) -> Option<usize> {
        self.scheme_names.iter().position(|known| *known == name)
    }

    /// Runs something on a kernel scheme, unless it is running already.
    pub fn with_scheme<R>(
        &mut self,
        index: usize,
        work: impl FnOnce(&mut dyn KernelScheme<M>, &mut Self) -> R,
    ) -> Option<R> {
        let mut scheme = self.kernel_schemes.get_mut(index)?.take()?;
        let result = work(scheme.as_mut(), self);
        if let Some(place) = self.kernel_schemes.get_mut(index) {
            *place = Some(scheme);
        }
        Some(result)
    }

    /// Hands a device interrupt to the schemes.
    pub(crate) fn interrupt(&mut self, interrupt: Interrupt) {
        for index in 0..self.kernel_schemes.len() {
            self.with_scheme(index, |scheme, kernel| scheme.interrupt(kernel, interrupt));
        }
    }
}
