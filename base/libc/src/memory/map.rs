//! `mmap` and its relatives: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/mmap.html>.
//!
//! C's `PROT_*` are the kernel's shifted down by 16 (EXEC 1, WRITE 2, READ 4: not Linux's order), and `MAP_*` are the
//! kernel's, except `MAP_ANON`, which the kernel spells as "no descriptor".

use crate::types::*;
use crate::{Errno, e, error};
use valence_abi::PAGE_SIZE;

const PROT_MASK: usize = 7;
const PROT_SHIFT: usize = 16;
const MAP_ANON: usize = 0x20;
/// SHARED, PRIVATE, FIXED, FIXED_NOREPLACE.
const MAP_MASK: usize = 0xF;
const MREMAP_MAYMOVE: c_int = 1;
const ADVICE_MAX: c_int = 4;
const MADV_DONTNEED: c_int = 4;

/// `fd` all-ones means anonymous, as in `redox_mmap_v1`.
pub(crate) fn map(
    address: usize,
    len: usize,
    prot: usize,
    flags: usize,
    fd: usize,
    offset: u64,
) -> Result<usize, Errno> {
    if len == 0 || prot & !PROT_MASK != 0 {
        return Err(e::EINVAL);
    }
    let anonymous = flags & MAP_ANON != 0 || fd == usize::MAX;
    let fd = if anonymous { usize::MAX } else { fd };
    let offset = if anonymous { 0 } else { offset };
    let kernel_flags = (prot << PROT_SHIFT) | (flags & MAP_MASK);
    // SAFETY: only MAP_FIXED changes memory in use, which is then what the caller asked for.
    unsafe { syscall!(MMAP, address, len, kernel_flags, fd, offset) }
}

pub(crate) fn unmap(address: usize, len: usize) -> Result<usize, Errno> {
    if len == 0 || !address.is_multiple_of(PAGE_SIZE) {
        return Err(e::EINVAL);
    }
    // SAFETY: the caller gives up the range.
    unsafe { syscall!(MUNMAP, address, len) }
}

c_api! {
    fn mmap(address: usize, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> isize {
        error::long(map(address, len, prot as usize, flags as usize, fd as isize as usize, offset as u64))
    }
    fn munmap(address: usize, len: usize) -> c_int {
        error::int(unmap(address, len))
    }
    fn mprotect(address: usize, len: usize, prot: c_int) -> c_int {
        error::int(syscall!(MPROTECT, address, len, (prot as usize & PROT_MASK) << PROT_SHIFT).map(|_| 0))
    }
    fn mremap(address: usize, old_len: usize, new_len: usize, flags: c_int) -> isize {
        error::long(syscall!(MREMAP, address, old_len, new_len, flags & MREMAP_MAYMOVE))
    }
    /// Mappings of files are the scheme's own pages: they are written out with the file, by `fsync` on a descriptor,
    /// which a mapping does not have (CAVEATS.md).
    fn msync(_address: usize, _len: usize, _flags: c_int) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    /// Advice may be ignored; "not needed" may not, because it promises zeros afterwards.
    fn madvise(_address: usize, _len: usize, advice: c_int) -> c_int {
        error::int(match advice {
            MADV_DONTNEED => Err(e::ENOSYS),
            0..=ADVICE_MAX => Ok(0),
            _ => Err(e::EINVAL),
        })
    }
    fn posix_madvise(_address: usize, _len: usize, _advice: c_int) -> c_int {
        0
    }
    fn mlock(_address: usize, _len: usize) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn munlock(_address: usize, _len: usize) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn getpagesize() -> c_int {
        PAGE_SIZE as c_int
    }
}
