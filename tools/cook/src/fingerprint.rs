//! Fingerprints: what a package was made from, as a list of named hashes.
//!
//! A recipe is up to date when the list is the same as at the last cook. Hashes are of contents (names, executable bit,
//! bytes), never of times, so a fresh checkout or a touched file builds nothing again. The list is kept as text, one
//! `hash name` per line, so that one can see what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use ignore::WalkBuilder;
use serde::Deserialize;

/// Named hashes of everything a package is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs(BTreeMap<String, String>);

impl Inputs {
    /// Adds one input.
    pub fn add(&mut self, name: impl Into<String>, hash: impl ToString) {
        self.0.insert(name.into(), hash.to_string());
    }

    /// Parses what [`Inputs::to_text`] wrote; unreadable lines are dropped, which only means one more build.
    pub fn parse(text: &str) -> Inputs {
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        Inputs(
            pairs
                .map(|(hash, name)| (name.to_string(), hash.to_string()))
                .collect(),
        )
    }

    /// The list as text.
    pub fn to_text(&self) -> String {
        self.0
            .iter()
            .map(|(name, hash)| format!("{hash} {name}\n"))
            .collect()
    }

    /// Names of the inputs that differ between the two lists.
    pub fn changed_since(&self, old: &Inputs) -> Vec<String> {
        let names: BTreeSet<_> = self.0.keys().chain(old.0.keys()).collect();
        names
            .into_iter()
            .filter(|name| self.0.get(*name) != old.0.get(*name))
            .cloned()
            .collect()
    }
}

/// Which files of a tree count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// Every file.
    All,
    /// Only those that git does not ignore.
    NotIgnored,
}

/// Hash of one file's bytes.
pub fn file_hash(path: &Path) -> Result<blake3::Hash> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(blake3::hash(&bytes))
}

/// Hash of a tree: relative names, kinds, executable bits, contents and link targets, in order of names.
pub fn tree_hash(root: &Path, files: Files) -> Result<blake3::Hash> {
    let mut walk = WalkBuilder::new(root);
    walk.hidden(false).sort_by_file_path(Path::cmp);
    walk.standard_filters(files == Files::NotIgnored)
        .require_git(false);
    walk.hidden(false)
        .filter_entry(|entry| entry.file_name() != ".git");
    let mut hasher = blake3::Hasher::new();
    for entry in walk.build() {
        let entry = entry.with_context(|| format!("cannot read {}", root.display()))?;
        let path = entry.path();
        let Ok(name) = path.strip_prefix(root) else {
            continue;
        };
        let metadata = fs::symlink_metadata(path)?;
        hasher.update(name.as_os_str().as_bytes());
        if metadata.is_symlink() {
            hasher
                .update(b"\0link\0")
                .update(fs::read_link(path)?.as_os_str().as_bytes());
        } else if metadata.is_file() {
            let is_program = metadata.permissions().mode() & 0o111 != 0;
            hasher.update(if is_program {
                b"\0program\0"
            } else {
                b"\0file\0"
            });
            hasher.update(file_hash(path)?.as_bytes());
        } else {
            hasher.update(b"\0dir\0");
        }
    }
    Ok(hasher.finalize())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<MetadataDependency>,
}

#[derive(Deserialize)]
struct MetadataDependency {
    path: Option<PathBuf>,
}

/// The crates of a cargo workspace and the folders that each depends on.
pub struct Workspace {
    folders: BTreeMap<String, PathBuf>,
    edges: BTreeMap<PathBuf, Vec<PathBuf>>,
}

impl Workspace {
    /// Asks cargo.
    pub fn read(root: &Path) -> Result<Workspace> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "metadata",
                "--format-version",
                "1",
                "--no-deps",
                "--offline",
            ])
            .current_dir(root)
            .output()
            .context("cannot run cargo metadata")?;
        if !output.status.success() {
            bail!(
                "cargo metadata failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
        let mut workspace = Workspace {
            folders: BTreeMap::new(),
            edges: BTreeMap::new(),
        };
        for package in metadata.packages {
            let Some(folder) = package.manifest_path.parent() else {
                continue;
            };
            let edges = package
                .dependencies
                .into_iter()
                .filter_map(|dependency| dependency.path);
            workspace
                .edges
                .insert(folder.to_path_buf(), edges.collect());
            workspace.folders.insert(package.name, folder.to_path_buf());
        }
        Ok(workspace)
    }

    /// Folder of a crate.
    pub fn folder(&self, name: &str) -> Result<&Path> {
        match self.folders.get(name) {
            Some(folder) => Ok(folder),
            None => bail!("the workspace has no package {name:?}"),
        }
    }

    /// The folders of these crates and of all path dependencies below them.
    pub fn closure(&self, starts: impl IntoIterator<Item = PathBuf>) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut open: Vec<PathBuf> = starts.into_iter().collect();
        while let Some(folder) = open.pop() {
            if found.insert(folder.clone()) {
                open.extend(self.edges.get(&folder).into_iter().flatten().cloned());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_hash_sees_names_contents_and_the_executable_bit() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("a");
        fs::write(&file, "1").unwrap();
        let first = tree_hash(temp.path(), Files::All).unwrap();
        fs::write(&file, "1").unwrap();
        assert_eq!(tree_hash(temp.path(), Files::All).unwrap(), first);
        fs::write(&file, "2").unwrap();
        let second = tree_hash(temp.path(), Files::All).unwrap();
        assert_ne!(second, first);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let third = tree_hash(temp.path(), Files::All).unwrap();
        assert_ne!(third, second);
        fs::rename(&file, temp.path().join("b")).unwrap();
        assert_ne!(tree_hash(temp.path(), Files::All).unwrap(), third);
    }

    #[test]
    fn ignored_files_count_only_when_asked_for() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(".gitignore"), "out\n").unwrap();
        let first = tree_hash(temp.path(), Files::NotIgnored).unwrap();
        fs::write(temp.path().join("out"), "1").unwrap();
        assert_eq!(tree_hash(temp.path(), Files::NotIgnored).unwrap(), first);
        let all = tree_hash(temp.path(), Files::All).unwrap();
        fs::write(temp.path().join("out"), "2").unwrap();
        assert_ne!(tree_hash(temp.path(), Files::All).unwrap(), all);
    }

    #[test]
    fn a_closure_follows_path_dependencies_once() {
        let path = PathBuf::from;
        let edges = [
            ("/a", vec!["/b", "/c"]),
            ("/b", vec!["/c"]),
            ("/c", vec!["/a"]),
            ("/d", vec![]),
        ];
        let edges = edges.map(|(from, to)| (path(from), to.into_iter().map(path).collect()));
        let workspace = Workspace {
            folders: BTreeMap::new(),
            edges: edges.into_iter().collect(),
        };
        let found: Vec<_> = workspace.closure([path("/a")]).into_iter().collect();
        assert_eq!(found, ["/a", "/b", "/c"].map(path));
    }

    #[test]
    fn inputs_survive_text_and_name_what_changed() {
        let mut old = Inputs::default();
        old.add("recipe", "1");
        old.add("libc", "2");
        assert_eq!(Inputs::parse(&old.to_text()), old);
        let mut new = old.clone();
        new.add("libc", "3");
        new.add("source", "4");
        assert_eq!(new.changed_since(&old), ["libc", "source"]);
    }
}
