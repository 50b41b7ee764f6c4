//! The disk contract over a [`Medium`].

use valence_daemon::syscall::data::Stat;
use valence_daemon::syscall::dirent::DirentKind;
use valence_daemon::syscall::error::{
    EACCES, EBADF, EINVAL, EIO, EISDIR, ENOENT, ENOLCK, ENOSPC, EROFS, Error, Result,
};
use valence_daemon::syscall::flag::{MODE_DIR, MODE_FILE, O_STAT, O_WRONLY};
use valence_daemon::{Caller, Entry, Opened, Service, read_at};

use crate::{BLOCK_BYTES, Medium, Partition, read_table};

/// A disk, its partitions, and which of them are open.
pub struct DiskScheme<M> {
    name: String,
    medium: M,
    /// The whole disk, then the partitions.
    parts: Vec<Partition>,
    locked: Vec<bool>,
}

/// What one handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// The listing.
    Root,
    /// The disk (0) or a partition (n + 1); whether this handle holds it.
    Part {
        /// Index in the list of parts.
        index: usize,
        /// Handles that only look at the metadata do not.
        holds: bool,
    },
}

impl<M: Medium> DiskScheme<M> {
    /// Reads the partition table and makes the scheme.
    pub fn new(name: String, mut medium: M) -> std::io::Result<Self> {
        let mut parts = vec![Partition {
            start: 0,
            blocks: medium.blocks(),
        }];
        parts.extend(read_table(&mut medium)?);
        let locked = vec![false; parts.len()];
        Ok(DiskScheme {
            name,
            medium,
            parts,
            locked,
        })
    }

    /// Number of partitions.
    pub fn partitions(&self) -> usize {
        self.parts.len() - 1
    }

    fn names(&self) -> Vec<String> {
        (0..self.parts.len()).map(name_of).collect()
    }

    fn part(&self, node: &Node) -> Result<Partition> {
        match node {
            Node::Part { index, holds: true } => Ok(self.parts[*index]),
            Node::Part { holds: false, .. } => Err(Error::new(EBADF)),
            Node::Root => Err(Error::new(EISDIR)),
        }
    }

    fn bytes(&self, node: &Node) -> u64 {
        match node {
            Node::Root => self.listing().len() as u64,
            Node::Part { index, .. } => self.parts[*index].blocks * BLOCK_BYTES as u64,
        }
    }

    /// The older form of a directory: one name a line.
    fn listing(&self) -> String {
        self.names()
            .iter()
            .map(|name| format!("{name}\n"))
            .collect()
    }
}

fn name_of(index: usize) -> String {
    match index.checked_sub(1) {
        None => "0".into(),
        Some(partition) => format!("0p{partition}"),
    }
}

/// First block and the bytes that fit, for a transfer of `len` bytes at `offset`.
fn span(part: Partition, offset: u64, len: usize) -> Result<(u64, usize)> {
    let block = BLOCK_BYTES as u64;
    if !offset.is_multiple_of(block) || !len.is_multiple_of(BLOCK_BYTES) {
        return Err(Error::new(EINVAL));
    }
    let first = offset / block;
    let left = part.blocks.saturating_sub(first).saturating_mul(block);
    let fits = usize::try_from(left).unwrap_or(usize::MAX).min(len);
    Ok((part.start.saturating_add(first), fits))
}

fn io_error(error: std::io::Error) -> Error {
    valence_daemon::log!("disk: {error}");
    Error::new(EIO)
}

impl<M: Medium> Service for DiskScheme<M> {
    type Node = Node;

    fn name(&self) -> &str {
        &self.name
    }

    fn open(
        &mut self,
        base: Option<&Node>,
        path: &str,
        flags: usize,
        caller: &Caller,
    ) -> Result<Opened<Node>> {
        if caller.uid != 0 {
            return Err(Error::new(EACCES));
        }
        if !matches!(base, None | Some(Node::Root)) {
            return Err(Error::new(valence_daemon::syscall::error::ENOTDIR));
        }
        if path.is_empty() {
            return Ok(Opened::Positioned(Node::Root));
        }
        let index = self
            .names()
            .iter()
            .position(|name| name == path)
            .ok_or(Error::new(ENOENT))?;
        let holds = flags & O_STAT == 0;
        if holds && flags & O_WRONLY != 0 && self.medium.is_read_only() {
            return Err(Error::new(EROFS));
        }
        if holds && self.locked[index] {
            return Err(Error::new(ENOLCK));
        }
        self.locked[index] |= holds;
        Ok(Opened::Positioned(Node::Part { index, holds }))
    }

    fn read(&mut self, node: &mut Node, buf: &mut [u8], offset: u64) -> Result<usize> {
        if *node == Node::Root {
            return Ok(read_at(self.listing().as_bytes(), buf, offset));
        }
        let (block, len) = span(self.part(node)?, offset, buf.len())?;
        if len > 0 {
            self.medium.read(block, &mut buf[..len]).map_err(io_error)?;
        }
        Ok(len)
    }

    fn write(&mut self, node: &mut Node, buf: &[u8], offset: u64, _flags: usize) -> Result<usize> {
        let (block, len) = span(self.part(node)?, offset, buf.len())?;
        if self.medium.is_read_only() {
            return Err(Error::new(EROFS));
        }
        if len == 0 && !buf.is_empty() {
            return Err(Error::new(ENOSPC));
        }
        if len > 0 {
            self.medium.write(block, &buf[..len]).map_err(io_error)?;
        }
        Ok(len)
    }

    fn stat(&mut self, node: &Node, stat: &mut Stat) -> Result<()> {
        stat.st_mode = match node {
            Node::Root => MODE_DIR | 0o700,
            Node::Part { .. } => MODE_FILE | 0o600,
        };
        stat.st_size = self.bytes(node);
        stat.st_blksize = BLOCK_BYTES as u32;
        stat.st_blocks = stat.st_size / BLOCK_BYTES as u64;
        Ok(())
    }

    fn path(&self, node: &Node) -> String {
        match node {
            Node::Root => String::new(),
            Node::Part { index, .. } => name_of(*index),
        }
    }

    fn size(&mut self, node: &Node) -> Result<u64> {
        Ok(self.bytes(node))
    }

    fn entries(&mut self, node: &Node) -> Result<Vec<Entry>> {
        if *node != Node::Root {
            return Err(Error::new(valence_daemon::syscall::error::ENOTDIR));
        }
        let entry = |name| Entry {
            inode: 0,
            kind: DirentKind::BlockDev,
            name,
        };
        Ok(self.names().into_iter().map(entry).collect())
    }

    fn sync(&mut self, node: &mut Node) -> Result<()> {
        match node {
            Node::Root => Ok(()),
            Node::Part { .. } => self.medium.flush().map_err(io_error),
        }
    }

    fn close(&mut self, node: Node) {
        if let Node::Part { index, holds: true } = node {
            self.locked[index] = false;
        }
    }
}
