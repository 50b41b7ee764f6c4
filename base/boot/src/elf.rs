//! Checking the kernel file (ELF64) and finding what to load.
//!
//! Only what our own linker script produces is accepted: a fixed-address x86_64 executable in the kernel's address range,
//! its segments in order on pages of their own, none both writable and executable.

use core::fmt;

use valence_abi::PAGE_SIZE;
use valence_abi::boot::KERNEL_BASE;

use crate::limits::{KERNEL_MEMORY_MAX, SEGMENTS_MAX};

/// A part of the file to load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file.
    pub offset: usize,
    /// Bytes in the file.
    pub file_len: usize,
    /// Virtual address, on a page boundary.
    pub address: u64,
    /// Bytes in memory; those past `file_len` are zero.
    pub memory_len: u64,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
}

/// A kernel file that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    segments: [Segment; SEGMENTS_MAX],
    count: usize,
    /// Entry address.
    pub entry: u64,
}

impl Kernel {
    /// The segments in ascending order.
    pub fn segments(&self) -> &[Segment] {
        self.segments.get(..self.count).unwrap_or_default()
    }

    /// First address.
    pub fn start(&self) -> u64 {
        self.segments().first().map_or(0, |s| s.address)
    }

    /// Bytes from the first address to the end of the last page.
    pub fn len(&self) -> u64 {
        let end = self
            .segments()
            .last()
            .map_or(0, |s| s.address + s.memory_len);
        (end - self.start()).next_multiple_of(PAGE_SIZE as u64)
    }

    /// Never true: a kernel without segments is refused.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Why a kernel file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// No ELF file for this processor.
    NotKernel,
    /// It ends before what its headers name.
    Truncated,
    /// Segment of this number is not as the linker script makes it.
    Segment(usize),
    /// The entry is not in executable memory of it.
    Entry,
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKernel => write!(f, "is not a kernel (an x86_64 ELF executable)"),
            Self::Truncated => write!(f, "is cut short"),
            Self::Segment(n) => write!(f, "is damaged: segment {n} is impossible"),
            Self::Entry => write!(f, "is damaged: its entry lies outside of its code"),
        }
    }
}

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

/// Checks a kernel file.
pub fn check(file: &[u8]) -> Result<Kernel, ElfError> {
    // 64-bit, little endian, version 1; then, at 16, executable for x86_64.
    const IDENTITY: &[u8] = &[0x7F, b'E', b'L', b'F', 2, 1, 1];
    const EXECUTABLE_X86_64: &[u8] = &[2, 0, 62, 0];
    let header = file.get(..HEADER).ok_or(ElfError::NotKernel)?;
    if !header.starts_with(IDENTITY) || header.get(16..20) != Some(EXECUTABLE_X86_64) {
        return Err(ElfError::NotKernel);
    }
    let table = usize::try_from(word(header, 32)?).map_err(|_| ElfError::Truncated)?;
    let (size, count) = (half(header, 54)?, half(header, 56)?);
    if usize::from(size) != PROGRAM_HEADER {
        return Err(ElfError::NotKernel);
    }
    let mut kernel = Kernel {
        segments: [Segment::default(); SEGMENTS_MAX],
        count: 0,
        entry: word(header, 24)?,
    };
    for i in 0..usize::from(count) {
        let at = table
            .checked_add(i * PROGRAM_HEADER)
            .ok_or(ElfError::Truncated)?;
        let end = at.checked_add(PROGRAM_HEADER).ok_or(ElfError::Truncated)?;
        let entry = file.get(at..end).ok_or(ElfError::Truncated)?;
        add(&mut kernel, file, entry, i)?;
    }
    let in_code =
        |s: &Segment| s.execute && (s.address..s.address + s.memory_len).contains(&kernel.entry);
    if kernel.segments().iter().any(in_code) {
        Ok(kernel)
    } else {
        Err(ElfError::Entry)
    }
}

fn add(kernel: &mut Kernel, file: &[u8], entry: &[u8], number: usize) -> Result<(), ElfError> {
    const LOAD: u64 = 1;
    const EXECUTE: u64 = 1;
    const WRITE: u64 = 2;
    let kind_and_flags = word(entry, 0)?;
    let (kind, flags) = (kind_and_flags & 0xFFFF_FFFF, kind_and_flags >> 32);
    if kind != LOAD {
        return Ok(());
    }
    let bad = ElfError::Segment(number);
    let offset = usize::try_from(word(entry, 8)?).map_err(|_| bad)?;
    let file_len = usize::try_from(word(entry, 32)?).map_err(|_| bad)?;
    let segment = Segment {
        offset,
        file_len,
        address: word(entry, 16)?,
        memory_len: word(entry, 40)?,
        write: flags & WRITE != 0,
        execute: flags & EXECUTE != 0,
    };
    let end = offset.checked_add(file_len).ok_or(ElfError::Truncated)?;
    file.get(offset..end).ok_or(ElfError::Truncated)?;
    let after_last = kernel
        .segments()
        .last()
        .map_or(KERNEL_BASE as u64, |s| s.address + s.memory_len);
    let start = kernel
        .segments()
        .first()
        .map_or(segment.address, |s| s.address);
    let memory_end = segment.address.checked_add(segment.memory_len).ok_or(bad)?;
    let good = segment.address.is_multiple_of(PAGE_SIZE as u64)
        && segment.address >= after_last.next_multiple_of(PAGE_SIZE as u64)
        && segment.memory_len > 0
        && segment.memory_len >= file_len as u64
        && memory_end - start <= KERNEL_MEMORY_MAX
        && !(segment.write && segment.execute);
    let slot = kernel
        .segments
        .get_mut(kernel.count)
        .filter(|_| good)
        .ok_or(bad)?;
    *slot = segment;
    kernel.count += 1;
    Ok(())
}

fn half(bytes: &[u8], at: usize) -> Result<u16, ElfError> {
    let field = bytes.get(at..at + 2).and_then(|b| b.try_into().ok());
    field.map(u16::from_le_bytes).ok_or(ElfError::Truncated)
}

fn word(bytes: &[u8], at: usize) -> Result<u64, ElfError> {
    let field = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
    field.map(u64::from_le_bytes).ok_or(ElfError::Truncated)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const BASE: u64 = KERNEL_BASE as u64;

    /// (flags, address, bytes in the file, bytes in memory)
    fn file(entry: u64, segments: &[(u32, u64, u64, u64)]) -> Vec<u8> {
        let mut f = vec![0; HEADER];
        f[..7].copy_from_slice(&[0x7F, b'E', b'L', b'F', 2, 1, 1]);
        f[16..20].copy_from_slice(&[2, 0, 62, 0]);
        f[24..32].copy_from_slice(&entry.to_le_bytes());
        f[32..40].copy_from_slice(&64u64.to_le_bytes());
        f[54..56].copy_from_slice(&56u16.to_le_bytes());
        f[56..58].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        for &(flags, address, file_len, memory_len) in segments {
            f.extend_from_slice(&1u32.to_le_bytes());
            f.extend_from_slice(&flags.to_le_bytes());
            for value in [0, address, 0, file_len, memory_len, 0x1000] {
                f.extend_from_slice(&value.to_le_bytes());
            }
        }
        f
    }

    fn good() -> Vec<u8> {
        file(
            BASE + 0x10,
            &[(5, BASE, 60, 60), (6, BASE + 0x1000, 10, 0x2800)],
        )
    }

    #[test]
    fn the_linker_scripts_shape_is_accepted() {
        let kernel = check(&good()).unwrap();
        assert_eq!(kernel.segments().len(), 2);
        assert_eq!((kernel.start(), kernel.len()), (BASE, 0x4000));
        assert!(kernel.segments()[0].execute && !kernel.segments()[0].write);
    }

    #[test]
    fn every_cut_of_the_file_is_refused() {
        let whole = good();
        for len in 0..whole.len() {
            assert!(check(&whole[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn writable_code_is_refused() {
        assert_eq!(
            check(&file(BASE, &[(7, BASE, 1, 1)])),
            Err(ElfError::Segment(0))
        );
    }

    #[test]
    fn impossible_addresses_and_sizes_are_refused() {
        let odd = [
            (5, 0x1000, 1, 1),
            (5, BASE + 1, 1, 1),
            (5, BASE, 2, 1),
            (5, BASE, 0, 0),
            (5, BASE, 1, u64::MAX),
            (5, BASE, 1, KERNEL_MEMORY_MAX + 1),
        ];
        for segment in odd {
            assert_eq!(
                check(&file(BASE, &[segment])),
                Err(ElfError::Segment(0)),
                "{segment:?}"
            );
        }
    }

    #[test]
    fn overlapping_segments_are_refused() {
        let f = file(BASE, &[(5, BASE, 1, 0x1001), (6, BASE + 0x1000, 1, 1)]);
        assert_eq!(check(&f), Err(ElfError::Segment(1)));
    }

    #[test]
    fn an_entry_outside_of_code_is_refused() {
        let f = file(BASE + 0x1000, &[(5, BASE, 1, 1), (6, BASE + 0x1000, 1, 1)]);
        assert_eq!(check(&f), Err(ElfError::Entry));
        assert_eq!(check(&file(BASE, &[])), Err(ElfError::Entry));
    }

    #[test]
    fn other_files_are_not_kernels() {
        assert_eq!(check(b"#!/bin/sh"), Err(ElfError::NotKernel));
        let mut other = good();
        other[18] = 3;
        assert_eq!(check(&other), Err(ElfError::NotKernel));
    }
}
