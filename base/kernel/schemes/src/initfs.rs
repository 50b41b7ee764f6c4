//! `initfs`: the archive that the loader brought, read-only.

use alloc::string::String;
use alloc::vec::Vec;

use kernel_core::io::file::ROOT;
use kernel_core::kernel::{Kernel, Outcome, Stop};
use kernel_core::machine::Machine;
use kernel_core::mem::copy::Buffer;
use kernel_core::scheme::kernel_scheme::{Entry, KernelScheme, Opened};
use kernel_core::task::thread::Caller;
use valence_abi::errno::{EBADF, EISDIR, ENOENT, ENOTDIR, EROFS, Errno};
use valence_abi::flags::{
    EVENT_READ, MODE_DIR, MODE_FILE, MODE_TYPE, O_CREAT, O_DIRECTORY, O_TRUNC, O_WRONLY,
};
use valence_abi::layout::{Stat, dirent};

use crate::bytes::read_at;
use crate::cpio::{Archive, Node};

/// The scheme. A handle is a node number.
pub(crate) struct Initfs {
    bytes: &'static [u8],
    archive: Archive,
}

impl Initfs {
    /// The scheme over an archive.
    pub(crate) fn new(bytes: &'static [u8], archive: Archive) -> Self {
        Self { bytes, archive }
    }

    fn node(&self, handle: u64) -> Result<&Node, Errno> {
        self.archive.nodes.get(handle as usize).ok_or(EBADF)
    }
}

fn kind(mode: u16) -> u8 {
    match mode & MODE_TYPE {
        MODE_DIR => dirent::DIR,
        MODE_FILE => dirent::FILE,
        _ => dirent::SYMLINK,
    }
}

impl<M: Machine> KernelScheme<M> for Initfs {
    fn name(&self) -> &'static str {
        "initfs"
    }

    fn open(
        &mut self,
        _kernel: &mut Kernel<M>,
        _who: &Caller,
        dir: u64,
        path: &str,
        flags: usize,
    ) -> Result<Opened, Stop> {
        let from = if dir == ROOT { 0 } else { dir as usize };
        let node = self
            .archive
            .find(from, path)
            .ok_or::<Errno>(match flags & O_CREAT {
                0 => ENOENT,
                _ => EROFS,
            })?;
        if flags & (O_WRONLY | O_TRUNC) != 0 {
            return Err(if self.archive.is_dir(node) {
                EISDIR
            } else {
                EROFS
            }
            .into());
        }
        if flags & O_DIRECTORY != 0 && !self.archive.is_dir(node) {
            return Err(ENOTDIR.into());
        }
        Ok(Opened::positioned(node as u64))
    }

    fn read(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        handle: u64,
        buffer: Buffer,
        offset: u64,
        _flags: usize,
    ) -> Outcome {
        let node = self.node(handle)?;
        if node.mode & MODE_TYPE == MODE_DIR {
            return Err(EISDIR.into());
        }
        let content = self
            .bytes
            .get(node.start..node.start + node.len)
            .unwrap_or(&[]);
        read_at(kernel, content, buffer, offset)
    }

    fn size(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<u64, Errno> {
        Ok(self.node(handle)?.len as u64)
    }

    fn stat(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<Stat, Errno> {
        let node = self.node(handle)?;
        Ok(Stat {
            ino: handle + 1,
            mode: node.mode & !0o222,
            nlink: 1,
            size: node.len as u64,
            blksize: 4096,
            blocks: (node.len as u64).div_ceil(512),
            ..Stat::default()
        })
    }

    fn path(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<String, Errno> {
        Ok(self.node(handle)?.path.clone())
    }

    fn entries(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<Vec<Entry>, Errno> {
        if !self.archive.is_dir(handle as usize) {
            return Err(ENOTDIR);
        }
        let children = &self.node(handle)?.children;
        Ok(children
            .iter()
            .map(|(name, node)| Entry {
                name: name.clone(),
                kind: kind(self.archive.nodes.get(*node).map_or(0, |node| node.mode)),
            })
            .collect())
    }

    fn ready(&mut self, _kernel: &mut Kernel<M>, _handle: u64) -> Result<usize, Errno> {
        Ok(EVENT_READ)
    }
}
