//! The initfs archive: cpio in the "newc" form. Pure: bytes in, a tree of nodes out.
//!
//! Damage ends the reading: what came before is served. Names with `..` are skipped.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use valence_abi::flags::{MODE_DIR, MODE_FILE, MODE_TYPE};

const HEADER: usize = 110;

/// A file or directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Kind and permissions.
    pub mode: u16,
    /// Where its bytes are in the archive.
    pub start: usize,
    /// How many.
    pub len: usize,
    /// Names of a directory's entries with their nodes.
    pub children: BTreeMap<String, usize>,
    /// Full path without leading slash.
    pub path: String,
}

/// The archive's tree; node 0 is the root directory.
#[derive(Clone, Debug)]
pub struct Archive {
    /// All nodes.
    pub nodes: Vec<Node>,
}

fn hex(field: &[u8]) -> Option<usize> {
    let text = core::str::from_utf8(field).ok()?;
    usize::from_str_radix(text, 16).ok()
}

impl Archive {
    /// Reads an archive.
    pub fn parse(bytes: &[u8]) -> Self {
        let root = Node {
            mode: MODE_DIR | 0o755,
            ..Node::default()
        };
        let mut archive = Self {
            nodes: alloc::vec![root],
        };
        let mut at = 0;
        while let Some(next) = archive.entry(bytes, at) {
            at = next;
        }
        archive
    }

    /// Reads the entry at `at`; the place of the next one.
    fn entry(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let header = bytes.get(at..at.checked_add(HEADER)?)?;
        if header.get(..6)? != b"070701" && header.get(..6)? != b"070702" {
            return None;
        }
        let field = |n: usize| hex(header.get(6 + n * 8..14 + n * 8)?);
        let (mode, len, name_len) = (field(1)?, field(6)?, field(11)?);
        let name_end = at.checked_add(HEADER)?.checked_add(name_len)?;
        let name = bytes.get(at + HEADER..name_end.checked_sub(1)?)?;
        let start = name_end.next_multiple_of(4);
        let end = start.checked_add(len)?;
        bytes.get(start..end)?;
        let name = core::str::from_utf8(name).ok()?;
        if name == "TRAILER!!!" {
            return None;
        }
        self.add(name, mode as u16, start, len);
        Some(end.next_multiple_of(4))
    }

    fn add(&mut self, name: &str, mode: u16, start: usize, len: usize) {
        let parts: Vec<&str> = name
            .split('/')
            .filter(|p| !p.is_empty() && *p != ".")
            .collect();
        if parts.contains(&"..") {
            return;
        }
        let mut at = 0;
        for part in parts {
            at = self.child_or_new(at, part);
        }
        if at != 0
            && let Some(node) = self.nodes.get_mut(at)
        {
            (node.mode, node.start, node.len) = (mode, start, len);
        }
    }

    fn child_or_new(&mut self, dir: usize, name: &str) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(dir) else {
            return 0;
        };
        if let Some(known) = node.children.get(name) {
            return *known;
        }
        node.children.insert(name.to_string(), next);
        let path = match node.path.as_str() {
            "" => name.to_string(),
            above => alloc::format!("{above}/{name}"),
        };
        self.nodes.push(Node {
            mode: MODE_DIR | 0o755,
            path,
            ..Node::default()
        });
        next
    }

    /// The node of a path below `dir`. `..` goes up, but never above the root.
    pub fn find(&self, dir: usize, path: &str) -> Option<usize> {
        let mut trail: Vec<&str> = self.nodes.get(dir)?.path.split('/').collect();
        trail.retain(|part| !part.is_empty());
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    trail.pop();
                }
                name => trail.push(name),
            }
        }
        let mut at = 0;
        for part in trail {
            at = *self.nodes.get(at)?.children.get(part)?;
        }
        Some(at)
    }

    /// Whether a node is a directory.
    pub fn is_dir(&self, index: usize) -> bool {
        self.nodes
            .get(index)
            .is_some_and(|node| node.mode & MODE_TYPE == MODE_DIR)
    }

    /// Bytes of a file.
    pub fn content<'a>(&self, bytes: &'a [u8], path: &str) -> Option<&'a [u8]> {
        let node = self.nodes.get(self.find(0, path)?)?;
        if node.mode & MODE_TYPE != MODE_FILE {
            return None;
        }
        bytes.get(node.start..node.start + node.len)
    }
}

/// An archive with these files, for tests.
#[cfg(test)]
pub(crate) fn sample(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in files.iter().copied().chain([("TRAILER!!!", &b""[..])]) {
        let mut fields = [0usize; 13];
        (fields[1], fields[6], fields[11]) = (0o100_755, content.len(), name.len() + 1);
        out.extend(b"070701");
        for field in fields {
            out.extend(alloc::format!("{field:08x}").as_bytes());
        }
        out.extend(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(content);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_their_directories_are_found() {
        let bytes = sample(&[("bin/init", b"elf"), ("./lib/init.d/00_a", b"unit")]);
        let archive = Archive::parse(&bytes);
        assert_eq!(archive.content(&bytes, "bin/init"), Some(&b"elf"[..]));
        assert_eq!(
            archive.content(&bytes, "/lib/../lib/./init.d/00_a"),
            Some(&b"unit"[..])
        );
        assert_eq!(archive.content(&bytes, "../../bin/init"), Some(&b"elf"[..]));
        assert_eq!(archive.content(&bytes, "bin"), None);
        let bin = archive.find(0, "bin").unwrap();
        assert!(archive.is_dir(bin) && archive.find(bin, "init").is_some());
    }

    #[test]
    fn damage_never_panics_and_keeps_what_came_before() {
        let bytes = sample(&[("a", b"1"), ("b", b"22")]);
        for at in 0..bytes.len() {
            for value in [0, b'0', b'f', 0xFF] {
                let mut bad = bytes.clone();
                bad[at] = value;
                let archive = Archive::parse(&bad);
                archive
                    .nodes
                    .iter()
                    .for_each(|node| assert!(node.start + node.len <= bad.len()));
                let _ = Archive::parse(&bytes[..at]);
            }
        }
    }
}
