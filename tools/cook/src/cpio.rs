//! Writer of the initfs image: a `cpio` archive in the `newc` form, which the kernel serves read-only.
//!
//! Format: per entry a header of ASCII `070701` and 13 hexadecimal numbers of 8 digits, the name with a final NUL, zeros
//! up to a multiple of 4, the data, zeros up to a multiple of 4; the entry named `TRAILER!!!` ends the archive.
//! Names are relative, without a leading `./`; folders come before what is in them; order is by name, times and owners
//! are zero, so equal trees give equal bytes.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

const MAGIC: &[u8] = b"070701";
const TRAILER: &[u8] = b"TRAILER!!!";
const MODE_DIR: u32 = 0o040_000;
const MODE_FILE: u32 = 0o100_000;
const MODE_SYMLINK: u32 = 0o120_000;

/// Builds an archive entry by entry.
pub struct Archive<W: Write> {
    out: W,
    next_inode: u32,
}

impl<W: Write> Archive<W> {
    /// An empty archive that writes to `out`.
    pub fn new(out: W) -> Archive<W> {
        Archive { out, next_inode: 1 }
    }

    /// Adds everything below `folder`; `prefix` is the name of `folder` in the archive, empty for its root.
    pub fn add_tree(&mut self, folder: &Path, prefix: &[u8]) -> Result<()> {
        let read = || format!("cannot read {}", folder.display());
        let mut entries = fs::read_dir(folder)
            .and_then(|dir| dir.collect::<Result<Vec<_>, _>>())
            .with_context(read)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let mut name = prefix.to_vec();
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend_from_slice(entry.file_name().as_bytes());
            let metadata = entry
                .metadata()
                .with_context(|| format!("cannot read {}", path.display()))?;
            let mode = metadata.permissions().mode() & 0o7777;
            if metadata.is_dir() {
                self.add(&name, MODE_DIR | mode, &[])?;
                self.add_tree(&path, &name)?;
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path)?;
                self.add(&name, MODE_SYMLINK | 0o777, target.as_os_str().as_bytes())?;
            } else if metadata.is_file() {
                let data =
                    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                self.add(&name, MODE_FILE | mode, &data)?;
            } else {
                bail!("{} is no file, folder or symbolic link", path.display());
            }
        }
        Ok(())
    }

    /// Writes the end mark and gives the writer back.
    pub fn finish(mut self) -> Result<W> {
        self.next_inode = 0;
        self.add(TRAILER, 0, &[])?;
        Ok(self.out)
    }

    fn add(&mut self, name: &[u8], mode: u32, data: &[u8]) -> Result<()> {
        let size = u32::try_from(data.len())
            .context("a file of 4 GiB or more does not fit in an initfs")?;
        let links = if mode & MODE_DIR == MODE_DIR { 2 } else { 1 };
        let name_size = name.len() as u32 + 1;
        // inode mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let fields = [
            self.next_inode,
            mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        self.next_inode += 1;

        let mut header = MAGIC.to_vec();
        for field in fields {
            write!(header, "{field:08x}")?;
        }
        header.extend_from_slice(name);
        header.push(0);
        pad(&mut header);
        self.out.write_all(&header)?;
        self.out.write_all(data)?;
        self.out.write_all(&[0; 3][..padding(data.len())])?;
        Ok(())
    }
}

fn padding(len: usize) -> usize {
    len.next_multiple_of(4) - len
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Writes the tree below `folder` as an initfs image to the file `out`.
pub fn write_initfs(folder: &Path, out: &Path) -> Result<()> {
    let mut archive = Archive::new(Vec::new());
    archive.add_tree(folder, b"")?;
    let bytes = archive.finish()?;
    if let Some(parent) = out.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(out, bytes).with_context(|| format!("cannot write {}", out.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_archive_is_one_trailer() {
        let bytes = Archive::new(Vec::new()).finish().unwrap();
        assert_eq!(
            bytes.len(),
            (6 + 13 * 8 + TRAILER.len() + 1usize).next_multiple_of(4)
        );
        assert!(bytes.starts_with(b"07070100000000"));
        assert_eq!(&bytes[110..121], b"TRAILER!!!\0");
    }

    #[test]
    fn a_file_has_its_size_name_and_padded_data() {
        let mut archive = Archive::new(Vec::new());
        archive
            .add(b"bin/init", MODE_FILE | 0o755, b"hello")
            .unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(&bytes[14..22], b"000081ed");
        assert_eq!(&bytes[54..62], b"00000005");
        assert_eq!(&bytes[94..102], b"00000009");
        assert_eq!(&bytes[110..119], b"bin/init\0");
        assert_eq!(&bytes[120..125], b"hello");
        assert_eq!(&bytes[125..128], &[0; 3]);
        assert_eq!(&bytes[128..134], MAGIC);
    }

    #[test]
    fn a_tree_is_archived_folders_first_and_sorted() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("lib/init.d")).unwrap();
        fs::create_dir(temp.path().join("bin")).unwrap();
        fs::write(temp.path().join("bin/b"), "b").unwrap();
        fs::write(temp.path().join("bin/a"), "a").unwrap();
        std::os::unix::fs::symlink("a", temp.path().join("bin/c")).unwrap();
        let mut archive = Archive::new(Vec::new());
        archive.add_tree(temp.path(), b"").unwrap();
        let bytes = archive.finish().unwrap();
        let find = |name: &[u8]| {
            bytes
                .windows(name.len())
                .position(|window| window == name)
                .unwrap()
        };
        let order = [
            &b"bin\0"[..],
            b"bin/a\0",
            b"bin/b\0",
            b"bin/c\0",
            b"lib\0",
            b"lib/init.d\0",
        ];
        assert!(order.windows(2).all(|pair| find(pair[0]) < find(pair[1])));
    }
}
