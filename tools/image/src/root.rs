//! The root partition: a redoxfs filesystem, written and read by the redoxfs crate itself.

use std::collections::HashMap;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use redoxfs::{Disk, DiskIo, FileSystem, Node as FsNode, Transaction, TreePtr};

use crate::disk::Slice;
use crate::limits::MIB;
use crate::tree::{Kind, Node, Tree};

/// Files are written in pieces of this size: bounded memory, whole records.
const PIECE_BYTES: usize = 1024 * 1024;

/// A filesystem under construction.
pub struct Root {
    filesystem: FileSystem<DiskIo<Slice>>,
    size_bytes: u64,
    now: (u64, u32),
}

impl Root {
    /// Formats the partition.
    pub fn format(slice: Slice, size_bytes: u64) -> Result<Root> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = (now.as_secs(), now.subsec_nanos());
        let filesystem = FileSystem::create(DiskIo(slice), None, now.0, now.1)
            .map_err(|error| anyhow!("cannot format the root partition: {error}"))?;
        Ok(Root {
            filesystem,
            size_bytes,
            now,
        })
    }

    /// The filesystem's own number, by which the mount daemon finds it.
    pub fn uuid(&self) -> String {
        uuid::Uuid::from_bytes(self.filesystem.header.uuid())
            .hyphenated()
            .to_string()
    }

    /// Writes the tree.
    pub fn write(&mut self, tree: &Tree) -> Result<()> {
        let total = tree.size_bytes()?;
        let available = self.size_bytes;
        if total >= available {
            return Err(too_small(total, available));
        }
        let mut pointers: HashMap<PathBuf, TreePtr<FsNode>> = HashMap::new();
        pointers.insert("/".into(), TreePtr::root());
        for (path, node) in tree.iter() {
            let parent = path
                .parent()
                .and_then(|parent| pointers.get(parent))
                .copied();
            let parent = parent.with_context(|| format!("{} has no parent", path.display()))?;
            let bytes = content(node)?;
            let now = self.now;
            let written = self
                .filesystem
                .tx(|tx| write_node(tx, parent, path, node, &bytes, now));
            match written {
                Ok(pointer) => {
                    if node.kind == Kind::Folder {
                        pointers.insert(path.to_path_buf(), pointer);
                    }
                }
                Err(error) if error.errno == syscall::ENOSPC => {
                    return Err(too_small(total, available));
                }
                Err(error) => return Err(anyhow!("cannot write {}: {error}", path.display())),
            }
        }
        self.filesystem
            .cleanup()
            .map_err(|error| anyhow!("cannot finish the root partition: {error}"))
    }
}

/// One entry of a folder, as [`Reader::list`] gives it.
pub struct Found {
    /// Permission bits and kind, as redoxfs keeps them.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Name without its folder.
    pub name: String,
}

/// An existing root filesystem, read only.
pub struct Reader<D: Disk>(FileSystem<D>);

impl<T: Read + Write + Seek> Reader<DiskIo<T>> {
    /// Opens the filesystem on a partition.
    pub fn open(partition: T) -> Result<Self> {
        let filesystem = FileSystem::open(DiskIo(partition), None, Some(0), false);
        Ok(Reader(filesystem.map_err(|error| {
            anyhow!("no redoxfs on the root partition: {error}")
        })?))
    }

    fn find(&mut self, path: &str) -> Result<TreePtr<FsNode>> {
        let mut at = TreePtr::root();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let node = self.0.tx(|tx| tx.find_node(at, name));
            at = node.map_err(|error| anyhow!("{path}: {error}"))?.ptr();
        }
        Ok(at)
    }

    /// The entries of a folder, sorted by name.
    pub fn list(&mut self, path: &str) -> Result<Vec<Found>> {
        let folder = self.find(path)?;
        let entries = self.0.tx(|tx| {
            let mut children = Vec::new();
            tx.child_nodes(folder, &mut children)?;
            let mut found = Vec::new();
            for child in children {
                let node = tx.read_tree(child.node_ptr())?;
                let (data, name) = (node.data(), child.name().unwrap_or_default().to_string());
                let (mode, uid, gid, size) = (data.mode(), data.uid(), data.gid(), data.size());
                found.push(Found {
                    mode,
                    uid,
                    gid,
                    size,
                    name,
                });
            }
            Ok(found)
        });
        let mut entries = entries.map_err(|error| anyhow!("{path}: {error}"))?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The bytes of a file or the target of a link.
    pub fn read_file(&mut self, path: &str) -> Result<Vec<u8>> {
        let pointer = self.find(path)?;
        let bytes = self.0.tx(|tx| {
            let mut bytes = vec![0; tx.read_tree(pointer)?.data().size() as usize];
            let mut at = 0;
            while at < bytes.len() {
                match tx.read_node(pointer, at as u64, &mut bytes[at..], 0, 0)? {
                    0 => break,
                    count => at += count,
                }
            }
            bytes.truncate(at);
            Ok(bytes)
        });
        bytes.map_err(|error| anyhow!("{path}: {error}"))
    }
}

fn content(node: &Node) -> Result<Vec<u8>> {
    match &node.kind {
        Kind::Folder => Ok(Vec::new()),
        Kind::Bytes(bytes) | Kind::Link(bytes) => Ok(bytes.clone()),
        Kind::HostFile(host) => {
            std::fs::read(host).with_context(|| format!("cannot read {}", host.display()))
        }
    }
}

fn too_small(total: u64, available: u64) -> anyhow::Error {
    anyhow!(
        "the files need {} MiB and room for the filesystem itself, but the root partition has {} MiB; raise filesystem_size",
        total.div_ceil(MIB),
        available / MIB
    )
}

fn write_node<D: Disk>(
    tx: &mut Transaction<D>,
    parent: TreePtr<FsNode>,
    path: &Path,
    node: &Node,
    bytes: &[u8],
    now: (u64, u32),
) -> syscall::Result<TreePtr<FsNode>> {
    let kind = match node.kind {
        Kind::Folder => FsNode::MODE_DIR,
        Kind::Link(_) => FsNode::MODE_SYMLINK,
        Kind::Bytes(_) | Kind::HostFile(_) => FsNode::MODE_FILE,
    };
    let mode = kind | (node.mode as u16 & FsNode::MODE_PERM);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let mut created = tx.create_node(parent, name, mode, now.0, now.1)?;
    let pointer = created.ptr();
    if node.uid != 0 || node.gid != 0 || created.data().uid() != 0 || created.data().gid() != 0 {
        created.data_mut().set_uid(node.uid);
        created.data_mut().set_gid(node.gid);
        tx.sync_tree(created)?;
    }
    for (index, piece) in bytes.chunks(PIECE_BYTES).enumerate() {
        tx.write_node(pointer, (index * PIECE_BYTES) as u64, piece, now.0, now.1)?;
    }
    Ok(pointer)
}
