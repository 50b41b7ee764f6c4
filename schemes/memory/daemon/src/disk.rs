//! The little that storage asks of a filesystem, as two traits, and the real one.
//!
//! Nothing above this file calls `std::fs`, so every fault a disk can have can be played by `mem_disk`. Names are
//! relative, with `/`. What is written counts as kept only after `sync` of the file and, for a new or removed name,
//! `sync_dir` of its directory.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A directory tree.
pub trait Disk: Send {
    /// Names in a directory; directories end with `/`.
    ///
    /// # Errors
    /// The filesystem's.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Makes a directory and those above it; fine if it is there.
    ///
    /// # Errors
    /// The filesystem's.
    fn make_dir(&self, dir: &str) -> io::Result<()>;
    /// Removes an empty directory.
    ///
    /// # Errors
    /// The filesystem's.
    fn remove_dir(&self, dir: &str) -> io::Result<()>;
    /// Opens a file to read and write; `create` makes it if it is not there.
    ///
    /// # Errors
    /// The filesystem's.
    fn open(&self, path: &str, create: bool) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file over another.
    ///
    /// # Errors
    /// The filesystem's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// The filesystem's.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// The filesystem's.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send {
    /// Its length.
    ///
    /// # Errors
    /// The filesystem's.
    fn len(&mut self) -> io::Result<u64>;
    /// Whether it holds nothing.
    ///
    /// # Errors
    /// The filesystem's.
    fn is_empty(&mut self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads at a place until `buf` is full or the file ends; says how much.
    ///
    /// # Errors
    /// The filesystem's.
    fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `data` at a place.
    ///
    /// # Errors
    /// The filesystem's.
    fn write_at(&mut self, at: u64, data: &[u8]) -> io::Result<()>;
    /// Cuts the file to a length.
    ///
    /// # Errors
    /// The filesystem's.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Makes contents and length durable.
    ///
    /// # Errors
    /// The filesystem's.
    fn sync(&mut self) -> io::Result<()>;
}

/// Reads a whole file.
///
/// # Errors
/// The filesystem's.
pub fn read_all(disk: &dyn Disk, path: &str) -> io::Result<Vec<u8>> {
    let mut file = disk.open(path, false)?;
    let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; len];
    let got = file.read_at(0, &mut bytes)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// Replaces a small file as a whole: after a crash it has the old or the new content.
///
/// # Errors
/// The filesystem's; the old content stays then.
pub fn replace(disk: &dyn Disk, dir: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let (new, path) = (format!("{dir}/{name}.new"), format!("{dir}/{name}"));
    let write = || {
        let mut file = disk.open(&new, true)?;
        file.truncate(0)?;
        file.write_at(0, bytes)?;
        file.sync()
    };
    if let Err(error) = write() {
        let _ = disk.remove(&new);
        return Err(error);
    }
    disk.rename(&new, &path)?;
    disk.sync_dir(dir)
}

/// A directory of the real filesystem.
#[derive(Clone, Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Everything is kept below `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }
}

impl Disk for RealDisk {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(dir))? {
            let entry = entry?;
            if let Some(name) = entry.file_name().to_str() {
                let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
                names.push(format!("{name}{slash}"));
            }
        }
        names.sort();
        Ok(names)
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        fs::create_dir_all(self.root.join(dir))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        fs::remove_dir(self.root.join(dir))
    }

    fn open(&self, path: &str, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut options = fs::OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(create)
            .open(self.root.join(path))?;
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        match fs::File::open(self.root.join(dir))?.sync_all() {
            // Filesystems that keep names in order with contents may refuse to sync a directory.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        }
    }
}

struct RealFile(fs::File);

impl DiskFile for RealFile {
    fn len(&mut self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.seek(SeekFrom::Start(at))?;
        let mut got = 0;
        while got < buf.len() {
            match self.0.read(&mut buf[got..]) {
                Ok(0) => break,
                Ok(count) => got += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(got)
    }

    fn write_at(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(at))?;
        self.0.write_all(data)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
