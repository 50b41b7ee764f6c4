//! `filesystem.toml`: what is on the image, in the format of Redox's installer (facts, section 8.1), as types.
//!
//! Unknown keys are errors. Keys of the format that this tool cannot obey (an encrypted disk, a live disk, …) are known
//! and refused with a message, because an image that silently lacks what was asked for is worse than none. Included
//! files are merged in order, the including file last.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::limits;

/// One configuration, with its includes merged.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Files to merge first, relative to this one.
    #[serde(default)]
    pub include: Vec<PathBuf>,
    /// Sizes and kinds.
    #[serde(default)]
    pub general: General,
    /// Packages to install.
    #[serde(default)]
    pub packages: BTreeMap<String, PackageChoice>,
    /// Files, folders and links to make.
    #[serde(default)]
    pub files: Vec<FileEntry>,
    /// Users by name.
    #[serde(default)]
    pub users: BTreeMap<String, User>,
    /// Groups by name.
    #[serde(default)]
    pub groups: BTreeMap<String, Group>,
}

/// The `[general]` table.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the keys of the format, under their own names
pub struct General {
    /// Size of the whole disk, MiB.
    pub filesystem_size: Option<u64>,
    /// Size of the EFI partition, MiB.
    pub efi_partition_size: Option<u64>,
    pub skip_partitions: Option<bool>,
    pub encrypt_disk: Option<String>,
    pub live_disk: Option<bool>,
    pub write_bootloader: Option<PathBuf>,
    pub no_mount: Option<bool>,
    pub cookbook: Option<String>,
    pub prompt: Option<bool>,
}

/// The value of a package: how it was to be got. All but "ignore" mean the local repository here.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum PackageChoice {
    /// `name = "source"`, `"local"`, `"binary"` or `"ignore"`.
    Word(PackageWord),
    /// `name = {}` or with details.
    Details(PackageDetails),
}

/// The words a package may have as its value.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the values of the format, under their own names
pub enum PackageWord {
    Source,
    Local,
    Binary,
    Ignore,
}

/// The details a package may have as its value; none of them changes what is installed here.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the keys of the format, under their own names
pub struct PackageDetails {
    pub version: Option<String>,
    pub git: Option<String>,
    pub path: Option<String>,
}

/// One `[[files]]` entry.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Absolute path on the image.
    pub path: String,
    /// Content, or target of a link.
    #[serde(default)]
    pub data: String,
    /// A symbolic link to `data`.
    #[serde(default)]
    pub symlink: bool,
    /// A folder.
    #[serde(default)]
    pub directory: bool,
    /// Permission bits; 0o644 for files and 0o755 for folders when absent.
    pub mode: Option<u32>,
    /// Owner, root when absent.
    pub uid: Option<u32>,
    /// Group, root's when absent.
    pub gid: Option<u32>,
    /// Give everything below the path the same owner.
    #[serde(default)]
    pub recursive_chown: bool,
    /// Write it after the packages, over what they installed.
    #[serde(default)]
    pub postinstall: bool,
}

/// One `[users.NAME]` table.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Plain text, hashed on the image; "" means no password; absent means no login by password.
    pub password: Option<String>,
    /// Number; the next free one from 1000 when absent.
    pub uid: Option<u32>,
    /// Group; the same number as `uid` when absent.
    pub gid: Option<u32>,
    /// Name for people.
    pub name: Option<String>,
    /// Home folder; /home/NAME when absent.
    pub home: Option<String>,
    /// Shell; /bin/sh when absent.
    pub shell: Option<String>,
}

/// One `[groups.NAME]` table.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Number.
    pub gid: Option<u32>,
    /// Names of users.
    #[serde(default)]
    pub members: Vec<String>,
}

impl Config {
    /// Reads a configuration and all it includes.
    pub fn read(path: &Path) -> Result<Config> {
        let config = Config::read_at_depth(path, 0)?;
        config
            .check()
            .with_context(|| format!("in {}", path.display()))?;
        Ok(config)
    }

    fn read_at_depth(path: &Path, depth: usize) -> Result<Config> {
        if depth > limits::MAX_INCLUDE_DEPTH {
            bail!(
                "{}: includes go too deep (do files include each other?)",
                path.display()
            );
        }
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let own: Config =
            toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut merged = Config::default();
        for include in &own.include {
            merged.merge(Config::read_at_depth(&folder.join(include), depth + 1)?);
        }
        merged.merge(own);
        Ok(merged)
    }

    /// Takes over everything that `other` says.
    fn merge(&mut self, other: Config) {
        let (mine, theirs) = (&mut self.general, other.general);
        mine.filesystem_size = theirs.filesystem_size.or(mine.filesystem_size);
        mine.efi_partition_size = theirs.efi_partition_size.or(mine.efi_partition_size);
        mine.skip_partitions = theirs.skip_partitions.or(mine.skip_partitions);
        mine.encrypt_disk = theirs.encrypt_disk.or(mine.encrypt_disk.take());
        mine.live_disk = theirs.live_disk.or(mine.live_disk);
        mine.write_bootloader = theirs.write_bootloader.or(mine.write_bootloader.take());
        mine.no_mount = theirs.no_mount.or(mine.no_mount);
        mine.cookbook = theirs.cookbook.or(mine.cookbook.take());
        mine.prompt = theirs.prompt; // not inherited, as upstream
        self.packages.extend(other.packages);
        self.files.extend(other.files);
        self.users.extend(other.users);
        self.groups.extend(other.groups);
    }

    fn check(&self) -> Result<()> {
        let general = &self.general;
        if general
            .encrypt_disk
            .as_ref()
            .is_some_and(|password| !password.is_empty())
        {
            bail!("encrypt_disk is not supported by this tool");
        }
        if general.skip_partitions == Some(true) || general.live_disk == Some(true) {
            bail!("skip_partitions and live_disk are not supported by this tool");
        }
        for file in &self.files {
            if file.symlink && file.directory {
                bail!("{}: a file cannot be a symlink and a directory", file.path);
            }
        }
        Ok(())
    }

    /// Names of the packages to install.
    pub fn package_names(&self) -> Vec<String> {
        let is_wanted =
            |choice: &PackageChoice| *choice != PackageChoice::Word(PackageWord::Ignore);
        self.packages
            .iter()
            .filter(|(_, choice)| is_wanted(choice))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn every_key_of_the_format_parses() {
        let temp = tempfile::tempdir().unwrap();
        let path = write(
            temp.path(),
            "a.toml",
            r#"
            [general]
            filesystem_size = 128
            efi_partition_size = 16
            prompt = false
            [packages]
            init = {}
            shell = "source"
            games = "ignore"
            tool = { version = "1" }
            [[files]]
            path = "/etc/motd"
            data = "hi"
            mode = 0o600
            uid = 1
            gid = 2
            postinstall = true
            [users.root]
            password = ""
            uid = 0
            gid = 0
            name = "root"
            home = "/root"
            shell = "/bin/sh"
            [groups.sudo]
            gid = 1
            members = ["user"]
            "#,
        );
        let config = Config::read(&path).unwrap();
        assert_eq!(config.package_names(), ["init", "shell", "tool"]);
        assert_eq!(config.files[0].mode, Some(0o600));
        assert_eq!(config.groups["sudo"].members, ["user"]);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_file_and_the_key() {
        let temp = tempfile::tempdir().unwrap();
        let path = write(temp.path(), "a.toml", "[general]\nfilesystem_sice = 1\n");
        let message = format!("{:#}", Config::read(&path).unwrap_err());
        assert!(
            message.contains("a.toml") && message.contains("filesystem_sice"),
            "{message}"
        );
    }

    #[test]
    fn includes_are_merged_with_the_including_file_last() {
        let temp = tempfile::tempdir().unwrap();
        write(
            temp.path(),
            "base.toml",
            "[general]\nfilesystem_size = 1\nefi_partition_size = 2\n[packages]\na = {}\nb = {}\n",
        );
        let text = "include = [\"base.toml\"]\n[general]\nfilesystem_size = 3\n[packages]\nb = \"ignore\"\nc = {}\n";
        let config = Config::read(&write(temp.path(), "top.toml", text)).unwrap();
        assert_eq!(config.general.filesystem_size, Some(3));
        assert_eq!(config.general.efi_partition_size, Some(2));
        assert_eq!(config.package_names(), ["a", "c"]);
    }

    #[test]
    fn files_that_include_each_other_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = write(temp.path(), "a.toml", "include = [\"a.toml\"]\n");
        assert!(format!("{:#}", Config::read(&path).unwrap_err()).contains("too deep"));
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = write(temp.path(), "a.toml", "[general]\nencrypt_disk = \"x\"\n");
        assert!(Config::read(&path).is_err());
    }
}
