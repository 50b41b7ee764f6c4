//! Copies between the kernel and any address space, page by page through the page tables. Nothing here can fault.

use alloc::vec::Vec;

use valence_abi::PAGE_SIZE;
use valence_abi::USER_END;
use valence_abi::errno::{EFAULT, EINVAL, Errno};

use crate::kernel::{Kernel, SpaceId};
use crate::machine::Machine;
use crate::mem::fault::Access;

/// User memory that a call named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Whose memory.
    pub space: SpaceId,
    /// Where it begins.
    pub addr: usize,
    /// Bytes.
    pub len: usize,
}

impl Buffer {
    /// The same memory without its first `n` bytes.
    pub fn skip(self, n: usize) -> Self {
        let n = n.min(self.len);
        Self {
            addr: self.addr.wrapping_add(n),
            len: self.len - n,
            ..self
        }
    }

    /// The first `n` bytes at most.
    pub fn first(self, n: usize) -> Self {
        Self {
            len: self.len.min(n),
            ..self
        }
    }
}

fn check(addr: usize, len: usize) -> Result<(), Errno> {
    if len > isize::MAX as usize {
        return Err(EINVAL);
    }
    match addr.checked_add(len) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(EFAULT),
    }
}

/// The piece of `addr..addr + left` in the page of `addr`: (offset in page, length).
fn piece(addr: usize, left: usize) -> (usize, usize) {
    let offset = addr % PAGE_SIZE;
    (offset, left.min(PAGE_SIZE - offset))
}

impl<M: Machine> Kernel<M> {
    /// Copies user memory into `into`.
    pub fn copy_in(&mut self, space: SpaceId, addr: usize, into: &mut [u8]) -> Result<(), Errno> {
        check(addr, into.len())?;
        let mut done = 0;
        while done < into.len() {
            let at = addr + done;
            let (offset, len) = piece(at, into.len() - done);
            let frame = self.resolve(space, Self::user_page(at)?, Access::Read)?;
            into[done..done + len]
                .copy_from_slice(&self.machine.frame(frame)[offset..offset + len]);
            done += len;
        }
        Ok(())
    }

    /// Copies `from` into user memory.
    pub fn copy_out(&mut self, space: SpaceId, addr: usize, from: &[u8]) -> Result<(), Errno> {
        check(addr, from.len())?;
        let mut done = 0;
        while done < from.len() {
            let at = addr + done;
            let (offset, len) = piece(at, from.len() - done);
            let frame = self.resolve(space, Self::user_page(at)?, Access::Write)?;
            self.machine.frame_mut(frame)[offset..offset + len]
                .copy_from_slice(&from[done..done + len]);
            done += len;
        }
        Ok(())
    }

    /// A buffer of zeros.
    pub fn zero_out(&mut self, buffer: Buffer) -> Result<(), Errno> {
        check(buffer.addr, buffer.len)?;
        let mut done = 0;
        while done < buffer.len {
            let at = buffer.addr + done;
            let (offset, len) = piece(at, buffer.len - done);
            let frame = self.resolve(buffer.space, Self::user_page(at)?, Access::Write)?;
            self.machine.frame_mut(frame)[offset..offset + len].fill(0);
            done += len;
        }
        Ok(())
    }

    /// The buffer's bytes; the caller has bounded its length.
    pub fn read_buffer(&mut self, buffer: Buffer) -> Result<Vec<u8>, Errno> {
        check(buffer.addr, buffer.len)?;
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(buffer.len)
            .map_err(|_| valence_abi::errno::ENOMEM)?;
        bytes.resize(buffer.len, 0);
        self.copy_in(buffer.space, buffer.addr, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes as much of `bytes` as fits and tells how much.
    pub fn fill_buffer(&mut self, buffer: Buffer, bytes: &[u8]) -> Result<usize, Errno> {
        let len = bytes.len().min(buffer.len);
        self.copy_out(buffer.space, buffer.addr, &bytes[..len])?;
        Ok(len)
    }

    /// One word.
    pub fn read_u64(&mut self, space: SpaceId, addr: usize) -> Result<u64, Errno> {
        let mut bytes = [0; 8];
        self.copy_in(space, addr, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// One word.
    pub fn write_u64(&mut self, space: SpaceId, addr: usize, value: u64) -> Result<(), Errno> {
        self.copy_out(space, addr, &value.to_le_bytes())
    }

    /// The frame behind a byte of user memory, made present.
    pub fn frame_of(
        &mut self,
        space: SpaceId,
        addr: usize,
    ) -> Result<crate::machine::Frame, Errno> {
        self.resolve(space, Self::user_page(addr)?, Access::Read)
    }

    /// One half word.
    pub fn read_u32(&mut self, space: SpaceId, addr: usize) -> Result<u32, Errno> {
        let mut bytes = [0; 4];
        self.copy_in(space, addr, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}
