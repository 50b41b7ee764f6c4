//! The image file and its partitions: GPT with an EFI partition and the root partition.
//!
//! [`Slice`] is a part of the file that looks like a file of its own, so the writers of the two filesystems can neither
//! see nor touch anything outside their partition.

use std::fs::File;
use std::io::{Read, Result as IoResult, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use gpt::partition_types;

use crate::limits::{ALIGNMENT, MIB, MIN_ROOT_SIZE_MIB, SECTOR};

/// Where a partition lies, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub len: u64,
}

/// The two partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions {
    /// The EFI partition.
    pub esp: Span,
    /// The root partition.
    pub root: Span,
}

/// Divides a disk; sizes in MiB.
pub fn plan(disk_mib: u64, esp_mib: u64) -> Result<Partitions> {
    // One unit in front for the partition table, one at the end for its copy.
    let fixed = esp_mib + 2;
    let Some(root_mib) = disk_mib
        .checked_sub(fixed)
        .filter(|size| *size >= MIN_ROOT_SIZE_MIB)
    else {
        bail!(
            "the disk of {disk_mib} MiB is too small for an EFI partition of {esp_mib} MiB and a root; raise filesystem_size"
        );
    };
    let esp = Span {
        start: ALIGNMENT,
        len: esp_mib * MIB,
    };
    let root = Span {
        start: esp.start + esp.len,
        len: root_mib * MIB,
    };
    Ok(Partitions { esp, root })
}

/// Makes the image file with its partition table.
pub fn create(path: &Path, disk_mib: u64, partitions: &Partitions) -> Result<File> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    let size = disk_mib * MIB;
    file.set_len(size)
        .with_context(|| format!("cannot make a file of {disk_mib} MiB"))?;
    let sectors = u32::try_from(size / SECTOR - 1).unwrap_or(u32::MAX);
    gpt::mbr::ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(&mut file)?;
    let mut table = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(gpt::disk::LogicalBlockSize::Lb512)
        .create_from_device(&mut file, None)?;
    let spans = [
        ("EFI", partitions.esp, partition_types::EFI),
        ("REDOX", partitions.root, partition_types::LINUX_FS),
    ];
    for (id, (name, span, kind)) in (1..).zip(spans) {
        table.add_partition_at(name, id, span.start / SECTOR, span.len / SECTOR, kind, 0)?;
    }
    table.write()?;
    Ok(file)
}

/// Finds the partitions of an image that [`create`] made.
pub fn read_partitions(file: &mut File) -> Result<Partitions> {
    let table = gpt::GptConfig::new()
        .writable(false)
        .open_from_device(file)
        .context("no partition table")?;
    let span = |kind| {
        let partition = table
            .partitions()
            .values()
            .find(|partition| partition.part_type_guid == kind)?;
        let len = (partition.last_lba + 1 - partition.first_lba) * SECTOR;
        Some(Span {
            start: partition.first_lba * SECTOR,
            len,
        })
    };
    Ok(Partitions {
        esp: span(partition_types::EFI).context("no EFI partition")?,
        root: span(partition_types::LINUX_FS).context("no root partition")?,
    })
}

/// A part of a file.
#[derive(Debug)]
pub struct Slice {
    file: File,
    span: Span,
    at: u64,
}

impl Slice {
    /// The part of `file` that `span` names.
    pub fn new(file: &File, span: Span) -> IoResult<Slice> {
        Ok(Slice {
            file: file.try_clone()?,
            span,
            at: 0,
        })
    }

    fn prepare(&mut self, wanted: usize) -> IoResult<usize> {
        let left = self.span.len.saturating_sub(self.at);
        self.file.seek(SeekFrom::Start(self.span.start + self.at))?;
        Ok(usize::try_from(left).map_or(wanted, |left| left.min(wanted)))
    }
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        let len = self.prepare(buffer.len())?;
        let count = self.file.read(&mut buffer[..len])?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Write for Slice {
    fn write(&mut self, buffer: &[u8]) -> IoResult<usize> {
        let len = self.prepare(buffer.len())?;
        let count = self.file.write(&buffer[..len])?;
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> IoResult<()> {
        self.file.flush()
    }
}

impl Seek for Slice {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.span.len.checked_add_signed(by),
        };
        self.at = target.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_too_small_says_so() {
        assert!(
            plan(64, 64)
                .unwrap_err()
                .to_string()
                .contains("raise filesystem_size")
        );
        assert!(plan(64, 32).is_ok());
    }

    #[test]
    fn the_partition_table_can_be_read_back() {
        let temp = tempfile::tempdir().unwrap();
        let partitions = plan(16, 4).unwrap();
        let mut file = create(&temp.path().join("disk"), 16, &partitions).unwrap();
        assert_eq!(read_partitions(&mut file).unwrap(), partitions);
    }

    #[test]
    fn a_slice_ends_where_its_partition_ends() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        file.set_len(30).unwrap();
        let mut slice = Slice::new(&file, Span { start: 10, len: 10 }).unwrap();
        slice.seek(SeekFrom::End(-4)).unwrap();
        assert_eq!(slice.write(b"123456").unwrap(), 4);
        assert_eq!(slice.write(b"56").unwrap(), 0);
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(&bytes[16..22], b"1234\0\0");
    }
}
