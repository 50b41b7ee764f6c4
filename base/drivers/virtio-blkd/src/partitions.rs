//! Partition tables: GPT (UEFI 2.10, chapter 5) with MBR as the older form.
//!
//! A table is outside data: everything is checked against the disk's size, entries that do not fit are left
//! out, and a table that does not read as one means a disk without partitions. Checksums are not verified:
//! a wrong entry leads to blocks of the same disk, which its only user may read anyway.

use crate::{BLOCK_BYTES, Medium};

/// A range of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// First block.
    pub start: u64,
    /// Number of blocks.
    pub blocks: u64,
}

/// Entries read from a GPT at most; the format's usual size.
const GPT_ENTRIES_MAX: u64 = 128;
const GPT_SIGNATURE: &[u8] = b"EFI PART";
const MBR_ENTRIES: usize = 446;
const MBR_PROTECTIVE: u8 = 0xee;

/// The partitions of a disk, in table order.
pub fn read_table(disk: &mut impl Medium) -> std::io::Result<Vec<Partition>> {
    let mut first = [0; BLOCK_BYTES];
    if disk.blocks() < 2 {
        return Ok(Vec::new());
    }
    disk.read(0, &mut first)?;
    let mut second = [0; BLOCK_BYTES];
    disk.read(1, &mut second)?;
    if second.starts_with(GPT_SIGNATURE) {
        return gpt(disk, &second);
    }
    Ok(mbr(&first, disk.blocks()))
}

fn gpt(disk: &mut impl Medium, header: &[u8]) -> std::io::Result<Vec<Partition>> {
    let entries_at = u64_at(header, 72);
    let count = u64::from(u32_at(header, 80)).min(GPT_ENTRIES_MAX);
    let size = u64::from(u32_at(header, 84));
    let fits = (128..=4096).contains(&size) && size.is_power_of_two();
    let blocks = (count * size).div_ceil(BLOCK_BYTES as u64);
    let end = entries_at.checked_add(blocks);
    if !fits || entries_at < 2 || end.is_none_or(|end| end > disk.blocks()) {
        return Ok(Vec::new());
    }
    let mut table = vec![0; blocks as usize * BLOCK_BYTES];
    disk.read(entries_at, &mut table)?;
    let total = disk.blocks();
    Ok(table
        .chunks_exact(size as usize)
        .take(count as usize)
        .filter(|entry| entry[..16].iter().any(|byte| *byte != 0))
        .filter_map(|entry| {
            let (start, last) = (u64_at(entry, 32), u64_at(entry, 40));
            let blocks = last.checked_sub(start)?.checked_add(1)?;
            inside(Partition { start, blocks }, total)
        })
        .collect())
}

fn mbr(block: &[u8], total: u64) -> Vec<Partition> {
    if block[510..512] != [0x55, 0xaa] {
        return Vec::new();
    }
    block[MBR_ENTRIES..510]
        .chunks_exact(16)
        .filter(|entry| entry[4] != 0 && entry[4] != MBR_PROTECTIVE)
        .filter_map(|entry| {
            let (start, blocks) = (u64::from(u32_at(entry, 8)), u64::from(u32_at(entry, 12)));
            inside(Partition { start, blocks }, total)
        })
        .collect()
}

fn inside(partition: Partition, total: u64) -> Option<Partition> {
    let end = partition.start.checked_add(partition.blocks)?;
    (partition.blocks > 0 && partition.start > 0 && end <= total).then_some(partition)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
