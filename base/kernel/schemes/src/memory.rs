//! `memory`: anonymous memory, memory for devices, physical memory, addresses.
//!
//! "" and "zeroed": plain memory by `mmap`. "zeroed@wb?phys_contiguous": adjoining frames for DMA. "physical", with `@wb`, `@wc`,
//! `@uc` or `@dev`: `mmap` at a physical offset, device memory and firmware tables only. "translation": `CALL` with
//! `READ | WRITE` turns the virtual address in an 8-byte payload into a physical one. All but the plain kinds are for user 0.

use kernel_core::kernel::{Kernel, Outcome, Stop};
use kernel_core::limits::MAPPING_PAGES_MAX;
use kernel_core::machine::{Cache, Frame, Machine};
use kernel_core::mem::copy::Buffer;
use kernel_core::mem::map::Source;
use kernel_core::scheme::kernel_scheme::{KernelScheme, Opened};
use kernel_core::task::thread::Caller;
use valence_abi::PAGE_SIZE;
use valence_abi::errno::{EACCES, EBADF, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP, EPERM, Errno};
use valence_abi::layout::StatVfs;

/// Longest path.
const PATH_MAX: usize = 64;

const PLAIN: u64 = 0;
const CONTIGUOUS: u64 = 1;
const TRANSLATION: u64 = 2;
const PHYSICAL_WB: u64 = 4;
const PHYSICAL_WC: u64 = 5;
const PHYSICAL_UC: u64 = 6;

/// The scheme. A handle is one of the kinds above.
pub(crate) struct Memory;

fn kind_of(path: &str) -> Result<u64, Errno> {
    let (path, option) = path.split_once('?').unwrap_or((path, ""));
    let (name, cache) = path.split_once('@').unwrap_or((path, "wb"));
    match (name, cache, option) {
        ("" | "zeroed", "wb", "") => Ok(PLAIN),
        ("zeroed", "wb" | "uc" | "wc", "phys_contiguous") => Ok(CONTIGUOUS),
        ("translation", "wb", "") => Ok(TRANSLATION),
        ("physical", "wb", "") => Ok(PHYSICAL_WB),
        ("physical", "wc", "") => Ok(PHYSICAL_WC),
        ("physical", "uc" | "dev", "") => Ok(PHYSICAL_UC),
        _ => Err(ENOENT),
    }
}

impl<M: Machine> KernelScheme<M> for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn open(
        &mut self,
        _kernel: &mut Kernel<M>,
        who: &Caller,
        _dir: u64,
        path: &str,
        _flags: usize,
    ) -> Result<Opened, Stop> {
        if path.len() > PATH_MAX {
            return Err(ENOENT.into());
        }
        let kind = kind_of(path.trim_start_matches('/'))?;
        if kind != PLAIN && who.uid != 0 {
            return Err(EACCES.into());
        }
        Ok(Opened::stream(kind))
    }

    fn statvfs(&mut self, kernel: &mut Kernel<M>, _handle: u64) -> Result<StatVfs, Errno> {
        let free = kernel.frames.free_count() as u64;
        let blocks = kernel.frames.total_count() as u64;
        Ok(StatVfs {
            bsize: PAGE_SIZE as u32,
            blocks,
            bfree: free,
            bavail: free,
        })
    }

    fn map(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        handle: u64,
        len: usize,
        offset: u64,
        _flags: usize,
    ) -> Result<Source, Errno> {
        let pages = len.div_ceil(PAGE_SIZE);
        if pages > MAPPING_PAGES_MAX {
            return Err(ENOMEM);
        }
        let cache = match handle {
            PLAIN => return Ok(Source::Anonymous),
            CONTIGUOUS => {
                let first = kernel.frames.take_run(pages).ok_or(ENOMEM)?;
                for frame in first.0..first.0 + pages as u64 {
                    kernel.machine.frame_mut(Frame(frame)).fill(0);
                }
                return Ok(Source::Frames {
                    first,
                    cache: Cache::WriteBack,
                });
            }
            PHYSICAL_WB => Cache::WriteBack,
            PHYSICAL_WC => Cache::WriteCombine,
            PHYSICAL_UC => Cache::Uncached,
            _ => return Err(EBADF),
        };
        let bytes = (pages * PAGE_SIZE) as u64;
        if offset.checked_add(bytes).is_none() || !kernel.machine.is_physical(offset, bytes) {
            return Err(EINVAL);
        }
        let first = Frame(offset / PAGE_SIZE as u64);
        if (first.0..first.0 + pages as u64).any(|frame| kernel.frames.is_ram(Frame(frame))) {
            return Err(EPERM);
        }
        Ok(Source::Frames { first, cache })
    }

    fn call(
        &mut self,
        kernel: &mut Kernel<M>,
        who: &Caller,
        handle: u64,
        payload: Buffer,
        _flags: usize,
        _metadata: [u64; 3],
    ) -> Outcome {
        if handle != TRANSLATION {
            return Err(EOPNOTSUPP.into());
        }
        if payload.len < 8 {
            return Err(EINVAL.into());
        }
        let addr = kernel.read_u64(payload.space, payload.addr)? as usize;
        let frame = kernel.frame_of(who.space, addr)?;
        let physical = frame.0 * PAGE_SIZE as u64 + (addr % PAGE_SIZE) as u64;
        kernel.write_u64(payload.space, payload.addr, physical)?;
        Ok(8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_kinds() {
        assert_eq!(kind_of("zeroed@wb?phys_contiguous"), Ok(CONTIGUOUS));
        assert_eq!(kind_of("physical@dev"), Ok(PHYSICAL_UC));
        assert_eq!(kind_of("physical"), Ok(PHYSICAL_WB));
        assert_eq!(kind_of(""), Ok(PLAIN));
        assert_eq!(kind_of("physical@xx"), Err(ENOENT));
    }
}
