//! Memory that is more than memory: device registers and buffers that a device reads and writes.

use std::io;
use std::ptr::NonNull;

use libredox::Fd;
use libredox::call::MmapArgs;
use libredox::flag::{MAP_SHARED, O_CLOEXEC, O_RDWR, PROT_READ, PROT_WRITE};
use syscall::flag::CallFlags;

use crate::PAGE_BYTES;

/// How the CPU may cache a physical mapping.
#[derive(Clone, Copy, Debug)]
pub enum Caching {
    /// Every access reaches the device: registers.
    Uncached,
    /// Writes may be combined: framebuffers.
    WriteCombining,
}

/// A mapped range of physical addresses, for the life of the program.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

macro_rules! accessors {
    ($($read:ident $write:ident $int:ty),* $(,)?) => {$(
        /// Reads the register at a byte offset; panics outside the mapping, which is a driver's mistake.
        pub fn $read(&self, offset: usize) -> $int {
            let place = self.place(offset, size_of::<$int>()).cast::<$int>();
            // SAFETY: `place` checked that the access is inside the mapping and aligned.
            unsafe { place.read_volatile() }
        }

        /// Writes the register at a byte offset; panics outside the mapping.
        pub fn $write(&self, offset: usize, value: $int) {
            let place = self.place(offset, size_of::<$int>()).cast::<$int>();
            // SAFETY: `place` checked that the access is inside the mapping and aligned.
            unsafe { place.write_volatile(value) }
        }
    )*};
}

impl Mapping {
    /// Maps `len` bytes of physical addresses from `base`.
    pub fn physical(base: u64, len: usize, caching: Caching) -> io::Result<Mapping> {
        let path = match caching {
            Caching::Uncached => "/scheme/memory/physical@uc",
            Caching::WriteCombining => "/scheme/memory/physical@wc",
        };
        let fd = Fd::open(path, O_CLOEXEC | O_RDWR, 0)?;
        let lead = (base % PAGE_BYTES as u64) as usize;
        let pages = map(&fd, base - lead as u64, lead + len, MAP_SHARED)?;
        // SAFETY: `map` gave at least lead + len bytes, so the sum stays inside that mapping.
        let start = unsafe { pages.add(lead) };
        Ok(Mapping { start, len })
    }

    /// Bytes in the mapping.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    accessors!(read8 write8 u8, read16 write16 u16, read32 write32 u32, read64 write64 u64);

    fn place(&self, offset: usize, size: usize) -> NonNull<u8> {
        let inside = offset.checked_add(size).is_some_and(|end| end <= self.len);
        assert!(
            inside,
            "register {offset:#x} is outside a mapping of {:#x} bytes",
            self.len
        );
        // SAFETY: the offset is inside the mapping, as just checked.
        let place = unsafe { self.start.add(offset) };
        assert!(
            place.addr().get() % size == 0,
            "register {offset:#x} is not aligned"
        );
        place
    }

    /// The first byte, for code of this crate that hands the range to a driver library.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

// SAFETY: a mapping is a range of device registers; which thread accesses it makes no difference.
unsafe impl Send for Mapping {}

/// Zeroed, physically contiguous memory, for the life of the program.
#[derive(Debug)]
pub struct Dma {
    start: NonNull<u8>,
    physical: u64,
    len: usize,
}

// SAFETY: the value owns its memory alone; nothing about it belongs to one thread.
unsafe impl Send for Dma {}
// SAFETY: shared references give out addresses and lengths only.
unsafe impl Sync for Dma {}

impl Dma {
    /// Allocates at least `bytes`, rounded up to pages.
    pub fn new(bytes: usize) -> io::Result<Dma> {
        let len = bytes.next_multiple_of(PAGE_BYTES);
        let path = "/scheme/memory/zeroed@wb?phys_contiguous";
        let fd = Fd::open(path, O_CLOEXEC | O_RDWR, 0)?;
        let start = map(&fd, 0, len, MAP_SHARED)?;
        let physical = physical_address(start.addr().get())?;
        Ok(Dma {
            start,
            physical,
            len,
        })
    }

    /// Address that a device uses for the first byte.
    pub fn physical(&self) -> u64 {
        self.physical
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Address of the first byte in this process.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

fn map(fd: &Fd, offset: u64, len: usize, flags: u32) -> io::Result<NonNull<u8>> {
    let args = MmapArgs {
        addr: std::ptr::null_mut(),
        length: len.next_multiple_of(PAGE_BYTES),
        prot: PROT_READ | PROT_WRITE,
        flags,
        fd: fd.raw(),
        offset,
    };
    // SAFETY: no address is asked for, so the new mapping cannot replace memory that is in use.
    let address = unsafe { libredox::call::mmap(args) }?;
    NonNull::new(address.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))
}

/// Physical address behind an address of this process.
fn physical_address(address: usize) -> io::Result<u64> {
    let fd = Fd::open("/scheme/memory/translation", O_CLOEXEC, 0)?;
    let mut word = address.to_le_bytes();
    fd.call_ro(&mut word, CallFlags::empty(), &[])?;
    Ok(u64::from_le_bytes(word))
}
