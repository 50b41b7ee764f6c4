//! Reading ELF64 files: static executables for x86_64. Pure: bytes in, a checked plan out.
//!
//! A plan's segments lie in user space, do not overlap in pages, are in order, and none is writable and executable.

use alloc::vec::Vec;

use valence_abi::PAGE_SIZE;
use valence_abi::errno::{ENOEXEC, Errno};

use crate::limits::{PROGRAM_HEADERS_MAX, USER_START};
use crate::mem::space::Rights;

/// Bytes of the file header.
pub const HEADER_SIZE: usize = 64;
/// Bytes of a program header.
pub const PROGRAM_HEADER_SIZE: usize = 56;
/// No segment reaches this address: above are stack and mappings.
const SEGMENTS_END: u64 = 0x6000_0000_0000;

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_PHDR: u32 = 6;
const ET_EXEC: u16 = 2;
const EM_X86_64: u16 = 0x3E;

/// A range of the file to map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it goes.
    pub addr: u64,
    /// Where it comes from.
    pub offset: u64,
    /// Bytes of the file.
    pub file_len: u64,
    /// Bytes in memory.
    pub memory_len: u64,
    /// What it may be used for.
    pub rights: Rights,
}

impl Segment {
    /// First page.
    pub fn first_page(&self) -> u64 {
        self.addr / PAGE_SIZE as u64
    }
    /// First page after it.
    pub fn end_page(&self) -> u64 {
        (self.addr + self.memory_len).div_ceil(PAGE_SIZE as u64)
    }
}

/// What to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// First instruction.
    pub entry: u64,
    /// Address of the program headers in the image, 0 if they are not loaded.
    pub headers_addr: u64,
    /// Count of program headers.
    pub header_count: u16,
    /// Segments in address order.
    pub segments: Vec<Segment>,
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Errno> {
    bytes
        .get(at..at + N)
        .and_then(|b| b.try_into().ok())
        .ok_or(ENOEXEC)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Errno> {
    Ok(u16::from_le_bytes(word(bytes, at)?))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Errno> {
    Ok(u32::from_le_bytes(word(bytes, at)?))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Errno> {
    Ok(u64::from_le_bytes(word(bytes, at)?))
}

/// Where the program headers are: (offset, count), after checking the file header.
pub fn headers(file: &[u8]) -> Result<(u64, u16), Errno> {
    let ident = file.get(..16).ok_or(ENOEXEC)?;
    if ident[..7] != [0x7F, b'E', b'L', b'F', 2, 1, 1] {
        return Err(ENOEXEC);
    }
    let count = u16_at(file, 56)?;
    let good = u16_at(file, 16)? == ET_EXEC
        && u16_at(file, 18)? == EM_X86_64
        && u16_at(file, 54)? as usize == PROGRAM_HEADER_SIZE
        && count > 0
        && count as usize <= PROGRAM_HEADERS_MAX;
    if good {
        Ok((u64_at(file, 32)?, count))
    } else {
        Err(ENOEXEC)
    }
}

/// Checks everything and makes the plan. `table` holds the program headers; `file_len` is the length of the file.
pub fn plan(file: &[u8], table: &[u8], file_len: u64) -> Result<Plan, Errno> {
    let (table_offset, header_count) = headers(file)?;
    let entry = u64_at(file, 24)?;
    let mut segments = Vec::new();
    let mut headers_addr = 0;
    for header in table
        .chunks_exact(PROGRAM_HEADER_SIZE)
        .take(header_count as usize)
    {
        match u32_at(header, 0)? {
            PT_LOAD => {
                if let Some(segment) = segment(header, file_len)? {
                    segments.push(segment);
                }
            }
            PT_INTERP => return Err(ENOEXEC),
            PT_PHDR => headers_addr = u64_at(header, 16)?,
            _ => {}
        }
    }
    segments.sort_by_key(|segment: &Segment| segment.addr);
    let apart = segments
        .windows(2)
        .all(|pair| pair[0].end_page() <= pair[1].first_page());
    let enterable = segments.iter().any(|segment| {
        segment.rights.execute && entry >= segment.addr && entry - segment.addr < segment.memory_len
    });
    if !apart || !enterable {
        return Err(ENOEXEC);
    }
    let table_end = table_offset + u64::from(header_count) * PROGRAM_HEADER_SIZE as u64;
    let holder = segments
        .iter()
        .find(|s| s.offset <= table_offset && table_end <= s.offset + s.file_len);
    if let Some(segment) = holder {
        headers_addr = segment.addr + (table_offset - segment.offset);
    }
    Ok(Plan {
        entry,
        headers_addr,
        header_count,
        segments,
    })
}

fn segment(header: &[u8], file_len: u64) -> Result<Option<Segment>, Errno> {
    let flags = u32_at(header, 4)?;
    let segment = Segment {
        offset: u64_at(header, 8)?,
        addr: u64_at(header, 16)?,
        file_len: u64_at(header, 32)?,
        memory_len: u64_at(header, 40)?,
        rights: Rights {
            read: flags & 7 != 0,
            write: flags & 2 != 0,
            execute: flags & 1 != 0,
        },
    };
    let in_file = segment
        .offset
        .checked_add(segment.file_len)
        .is_some_and(|end| end <= file_len);
    let end = segment
        .addr
        .checked_add(segment.memory_len)
        .ok_or(ENOEXEC)?;
    if !in_file
        || segment.file_len > segment.memory_len
        || segment.addr < USER_START as u64
        || end > SEGMENTS_END
        || segment.rights.write && segment.rights.execute
    {
        return Err(ENOEXEC);
    }
    Ok(if segment.memory_len == 0 {
        None
    } else {
        Some(segment)
    })
}

/// A small valid program for tests: header, one executable and one data segment.
#[cfg(test)]
pub(crate) fn sample(code: &[u8]) -> Vec<u8> {
    let mut file = alloc::vec![0u8; 0x2000];
    file[..7].copy_from_slice(&[0x7F, b'E', b'L', b'F', 2, 1, 1]);
    file[16..18].copy_from_slice(&2u16.to_le_bytes());
    file[18..20].copy_from_slice(&0x3Eu16.to_le_bytes());
    file[24..32].copy_from_slice(&0x40_1000u64.to_le_bytes());
    file[32..40].copy_from_slice(&64u64.to_le_bytes());
    file[54..56].copy_from_slice(&56u16.to_le_bytes());
    file[56..58].copy_from_slice(&3u16.to_le_bytes());
    let mut header = |index: usize, flags: u32, words: [u64; 6]| {
        let at = 64 + index * 56;
        file[at..at + 4].copy_from_slice(&1u32.to_le_bytes());
        file[at + 4..at + 8].copy_from_slice(&flags.to_le_bytes());
        for (n, word) in words.iter().enumerate() {
            file[at + 8 + n * 8..at + 16 + n * 8].copy_from_slice(&word.to_le_bytes());
        }
    };
    header(0, 4, [0, 0x40_0000, 0x40_0000, 0x1000, 0x1000, 0x1000]);
    header(1, 5, [0x1000, 0x40_1000, 0x40_1000, 0x1000, 0x1000, 0x1000]);
    header(2, 6, [0x1F00, 0x40_2F00, 0x40_2F00, 0x100, 0x2100, 0x1000]);
    file[0x1000..0x1000 + code.len()].copy_from_slice(code);
    file[0x1F00..0x1F04].copy_from_slice(b"data");
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(file: &[u8]) -> Result<Plan, Errno> {
        let (offset, count) = headers(file)?;
        let end = offset as usize + count as usize * PROGRAM_HEADER_SIZE;
        plan(
            file,
            file.get(offset as usize..end).ok_or(ENOEXEC)?,
            file.len() as u64,
        )
    }

    #[test]
    fn a_static_program_is_planned() {
        let plan = plan_of(&sample(&[])).unwrap();
        assert_eq!(
            (plan.entry, plan.headers_addr, plan.segments.len()),
            (0x40_1000, 0x40_0040, 3)
        );
        assert_eq!(
            (plan.segments[2].first_page(), plan.segments[2].end_page()),
            (0x402, 0x405)
        );
    }

    #[test]
    fn damage_anywhere_in_the_headers_is_an_error_or_a_checked_plan() {
        let good = sample(&[]);
        for at in 0..64 + 3 * 56 {
            for value in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut bad = good.clone();
                bad[at] = value;
                if let Ok(plan) = plan_of(&bad) {
                    for segment in &plan.segments {
                        assert!(!(segment.rights.write && segment.rights.execute));
                        assert!(segment.addr + segment.memory_len <= SEGMENTS_END);
                        assert!(segment.offset + segment.file_len <= good.len() as u64);
                    }
                }
            }
        }
    }

    #[test]
    fn writable_code_and_overlaps_are_refused() {
        let mut file = sample(&[]);
        file[64 + 56 + 4] = 7;
        assert_eq!(plan_of(&file), Err(ENOEXEC));
        let mut file = sample(&[]);
        file[64 + 2 * 56 + 16..64 + 2 * 56 + 24].copy_from_slice(&0x40_1F00u64.to_le_bytes());
        assert_eq!(plan_of(&file), Err(ENOEXEC));
    }
}
