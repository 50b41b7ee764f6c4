//! The root filesystem before it is written: paths with kind, owner and mode, in memory.
//!
//! Paths are absolute and normal (`/usr/bin/sh`: no `.`, `..` or empty parts). Parents exist before their children and are
//! folders, never links, so nothing can be written beside the place its path names. A second file at the same path is an
//! error that names both origins, unless it may replace (`postinstall` files).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Mode of folders that nobody described.
const DEFAULT_FOLDER_MODE: u32 = 0o755;

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file with these bytes.
    Bytes(Vec<u8>),
    /// A file with the bytes of a file on the host.
    HostFile(PathBuf),
    /// A symbolic link.
    Link(Vec<u8>),
}

/// One path of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Who put it here: a package's name or the configuration.
    pub origin: String,
    /// Whether somebody described it, or it is only the parent of something.
    is_implied: bool,
}

impl Node {
    /// A node of root's.
    pub fn new(kind: Kind, mode: u32, origin: &str) -> Node {
        Node {
            kind,
            mode,
            uid: 0,
            gid: 0,
            origin: origin.into(),
            is_implied: false,
        }
    }
}

/// Whether an existing file may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// A second file at a path is an error.
    No,
    /// The later file wins.
    Yes,
}

/// All paths of the root filesystem below `/`.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    nodes: BTreeMap<PathBuf, Node>,
}

impl Tree {
    /// An empty root.
    pub fn new() -> Tree {
        Tree::default()
    }

    /// Puts a node at a path and makes the folders above it.
    pub fn insert(&mut self, path: &Path, node: Node, replace: Replace) -> Result<()> {
        let path = normal(path)?;
        self.insert_parents(&path, &node.origin)?;
        if let Some(old) = self.nodes.get(&path) {
            let both_folders = old.kind == Kind::Folder && node.kind == Kind::Folder;
            let is_other_kind = (old.kind == Kind::Folder) != (node.kind == Kind::Folder);
            if is_other_kind || (!both_folders && replace == Replace::No) {
                bail!(
                    "{} comes from {} and from {}",
                    path.display(),
                    old.origin,
                    node.origin
                );
            }
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    fn insert_parents(&mut self, path: &Path, origin: &str) -> Result<()> {
        let parents: Vec<_> = path
            .ancestors()
            .skip(1)
            .filter(|parent| *parent != Path::new("/"))
            .collect();
        for parent in parents.into_iter().rev() {
            match self.nodes.get(parent) {
                Some(Node {
                    kind: Kind::Folder, ..
                }) => {}
                Some(Node {
                    kind: Kind::Link(target),
                    origin: other,
                    ..
                }) => bail!(
                    "{} (from {origin}) lies below {}, which is a link to {} (from {other}); use the path that the link names",
                    path.display(),
                    parent.display(),
                    String::from_utf8_lossy(target)
                ),
                Some(other) => bail!(
                    "{} (from {origin}) lies below {}, which is a file (from {})",
                    path.display(),
                    parent.display(),
                    other.origin
                ),
                None => {
                    let mut folder = Node::new(Kind::Folder, DEFAULT_FOLDER_MODE, origin);
                    folder.is_implied = true;
                    self.nodes.insert(parent.to_path_buf(), folder);
                }
            }
        }
        Ok(())
    }

    /// Adds the files of an unpacked package.
    pub fn add_host_folder(&mut self, folder: &Path, origin: &str) -> Result<()> {
        self.add_host_folder_at(folder, Path::new("/"), origin)
    }

    fn add_host_folder_at(&mut self, folder: &Path, at: &Path, origin: &str) -> Result<()> {
        let entries = fs::read_dir(folder).and_then(|dir| dir.collect::<Result<Vec<_>, _>>());
        for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
            let (host, path) = (entry.path(), at.join(entry.file_name()));
            let metadata = entry.metadata()?;
            let mode = metadata.permissions().mode() & 0o7777;
            if metadata.is_dir() {
                self.add_host_folder_at(&host, &path, origin)?;
            } else if metadata.is_symlink() {
                let target = fs::read_link(&host)?.as_os_str().as_bytes().to_vec();
                self.insert(
                    &path,
                    Node::new(Kind::Link(target), 0o777, origin),
                    Replace::No,
                )?;
            } else {
                self.insert(
                    &path,
                    Node::new(Kind::HostFile(host), mode, origin),
                    Replace::No,
                )?;
            }
        }
        Ok(())
    }

    /// The node at a path.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(Path::new(path))
    }

    /// Changes the owner of a path and, if asked, of everything below it.
    pub fn set_owner(
        &mut self,
        path: &Path,
        uid: u32,
        gid: u32,
        everything_below: bool,
    ) -> Result<()> {
        let path = normal(path)?;
        for (name, node) in self.nodes.range_mut(path.clone()..) {
            if *name == path || (everything_below && name.starts_with(&path)) {
                (node.uid, node.gid) = (uid, gid);
            }
        }
        Ok(())
    }

    /// Makes a folder unless something is there.
    pub fn ensure_folder(
        &mut self,
        path: &str,
        mode: u32,
        uid: u32,
        gid: u32,
        origin: &str,
    ) -> Result<()> {
        if self.get(path).is_some_and(|node| !node.is_implied) {
            return Ok(());
        }
        let node = Node {
            uid,
            gid,
            ..Node::new(Kind::Folder, mode, origin)
        };
        self.insert(Path::new(path), node, Replace::No)
    }

    /// Bytes of a file: none if there is no file at the path.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.get(path).map(|node| &node.kind) {
            Some(Kind::Bytes(bytes)) => Ok(Some(bytes.clone())),
            Some(Kind::HostFile(host)) => {
                Ok(Some(fs::read(host).with_context(|| {
                    format!("cannot read {}", host.display())
                })?))
            }
            _ => Ok(None),
        }
    }

    /// All paths, parents first.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_path(), node))
    }

    /// Sum of the sizes of all files.
    pub fn size_bytes(&self) -> Result<u64> {
        let size = |node: &Node| match &node.kind {
            Kind::Folder => Ok(0),
            Kind::Bytes(bytes) | Kind::Link(bytes) => Ok(bytes.len() as u64),
            Kind::HostFile(host) => Ok(fs::metadata(host)?.len()),
        };
        self.nodes.values().map(size).sum()
    }
}

/// The path as it is kept, or an error for one that is relative, names the root or has odd parts.
fn normal(path: &Path) -> Result<PathBuf> {
    use std::path::Component::{Normal, RootDir};
    let mut parts = path.components();
    let is_normal = parts.next() == Some(RootDir) && parts.all(|part| matches!(part, Normal(_)));
    if !is_normal || path == Path::new("/") || path.to_str().is_none() {
        bail!(
            "{:?} is not a path of a file: it must be absolute, with no '..'",
            path
        );
    }
    Ok(path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, origin: &str) -> Node {
        Node::new(Kind::Bytes(text.into()), 0o644, origin)
    }

    #[test]
    fn parents_come_before_children() {
        let mut tree = Tree::new();
        tree.insert(Path::new("/usr/bin/ls"), file("", "a"), Replace::No)
            .unwrap();
        tree.insert(Path::new("/etc/motd"), file("", "a"), Replace::No)
            .unwrap();
        let paths: Vec<_> = tree
            .iter()
            .map(|(path, _)| path.to_str().unwrap())
            .collect();
        assert_eq!(
            paths,
            ["/etc", "/etc/motd", "/usr", "/usr/bin", "/usr/bin/ls"]
        );
    }

    #[test]
    fn a_file_of_two_packages_is_refused_unless_it_may_replace() {
        let mut tree = Tree::new();
        let path = Path::new("/a");
        tree.insert(path, file("1", "one"), Replace::No).unwrap();
        let message = tree
            .insert(path, file("2", "two"), Replace::No)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("one") && message.contains("two"),
            "{message}"
        );
        tree.insert(path, file("3", "config"), Replace::Yes)
            .unwrap();
        assert_eq!(tree.read("/a").unwrap().unwrap(), b"3");
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let mut tree = Tree::new();
        tree.insert(
            Path::new("/bin"),
            Node::new(Kind::Link(b"usr/bin".to_vec()), 0o777, "c"),
            Replace::No,
        )
        .unwrap();
        let error = tree
            .insert(Path::new("/bin/sh"), file("", "p"), Replace::No)
            .unwrap_err();
        assert!(error.to_string().contains("link to usr/bin"));
    }

    #[test]
    fn odd_paths_are_refused() {
        for path in ["a", "/", "", "/a/../b", ".."] {
            assert!(
                Tree::new()
                    .insert(Path::new(path), file("", ""), Replace::No)
                    .is_err(),
                "{path}"
            );
        }
    }

    #[test]
    fn owners_can_be_given_to_everything_below() {
        let mut tree = Tree::new();
        for path in ["/home/user/a/b", "/home/user2"] {
            tree.insert(Path::new(path), file("", ""), Replace::No)
                .unwrap();
        }
        tree.set_owner(Path::new("/home/user"), 1000, 1000, true)
            .unwrap();
        assert_eq!(tree.get("/home/user/a/b").unwrap().uid, 1000);
        assert_eq!(tree.get("/home/user2").unwrap().uid, 0);
    }

    #[test]
    fn a_described_folder_keeps_its_mode() {
        let mut tree = Tree::new();
        tree.insert(
            Path::new("/tmp"),
            Node::new(Kind::Folder, 0o1777, "c"),
            Replace::No,
        )
        .unwrap();
        tree.insert(Path::new("/tmp/x"), file("", "p"), Replace::No)
            .unwrap();
        tree.ensure_folder("/tmp", 0o700, 1, 1, "u").unwrap();
        assert_eq!(tree.get("/tmp").unwrap().mode, 0o1777);
    }
}
