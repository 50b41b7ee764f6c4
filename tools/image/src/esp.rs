//! Fills the EFI partition: a FAT filesystem with the boot files.
//!
//! It is made in memory and then written without its empty sectors, so the image file stays sparse.

use std::io::{Cursor, Seek, SeekFrom, Write};

use anyhow::{Context, Result, bail};

use crate::limits::MIB;

/// Blocks of zeros of this size are not written.
const BLOCK_BYTES: usize = 64 * 1024;
const VOLUME_LABEL: [u8; 11] = *b"VALENCE EFI";

/// Writes a FAT filesystem of `size_bytes` with these files (path, bytes) to `out`, which reads as zeros so far.
pub fn write<W: Write + Seek>(
    out: &mut W,
    size_bytes: u64,
    files: &[(&str, Vec<u8>)],
) -> Result<()> {
    let needed: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    if needed + MIB > size_bytes {
        bail!(
            "the boot files need {} MiB but the EFI partition has {} MiB; raise efi_partition_size",
            needed / MIB + 2,
            size_bytes / MIB
        );
    }
    let mut disk = Cursor::new(vec![0; usize::try_from(size_bytes)?]);
    fatfs::format_volume(
        &mut disk,
        fatfs::FormatVolumeOptions::new().volume_label(VOLUME_LABEL),
    )
    .context("cannot format the EFI partition")?;
    let volume = fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new())?;
    for (path, bytes) in files {
        write_file(&volume.root_dir(), path, bytes)
            .with_context(|| format!("cannot write {path} to the EFI partition"))?;
    }
    volume.unmount()?;
    for (index, block) in disk.get_ref().chunks(BLOCK_BYTES).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            out.seek(SeekFrom::Start((index * BLOCK_BYTES) as u64))?;
            out.write_all(block)?;
        }
    }
    Ok(())
}

fn write_file<T: std::io::Read + Write + Seek>(
    root: &fatfs::Dir<'_, T>,
    path: &str,
    bytes: &[u8],
) -> Result<()> {
    for (at, _) in path.match_indices('/') {
        root.create_dir(&path[..at])?;
    }
    let mut file = root.create_file(path)?;
    file.write_all(bytes)?;
    file.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn files_can_be_read_back() {
        let mut out = Cursor::new(vec![0; 8 * MIB as usize]);
        let data: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        write(
            &mut out,
            8 * MIB,
            &[
                ("EFI/BOOT/BOOTX64.EFI", data.clone()),
                ("valence/kernel", b"k".to_vec()),
            ],
        )
        .unwrap();
        out.set_position(0);
        let volume = fatfs::FileSystem::new(out, fatfs::FsOptions::new()).unwrap();
        let mut read = Vec::new();
        volume
            .root_dir()
            .open_file("efi/boot/bootx64.efi")
            .unwrap()
            .read_to_end(&mut read)
            .unwrap();
        assert_eq!(read, data);
        assert!(volume.root_dir().open_file("valence/kernel").is_ok());
    }

    #[test]
    fn too_much_for_the_partition_says_so() {
        let mut out = Cursor::new(Vec::new());
        let error = write(&mut out, 2 * MIB, &[("a", vec![0; 3 * MIB as usize])]).unwrap_err();
        assert!(error.to_string().contains("efi_partition_size"));
    }
}
