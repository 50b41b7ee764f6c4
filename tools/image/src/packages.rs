//! The local repository: which packages to install, and their files after the signature was checked.
//!
//! Formats: facts, section 8.4. A package that is listed but not in the repository, or whose bytes do not match its
//! `NAME.toml` or the key, is an error that says how to cook it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::limits;

/// The part of `NAME.toml` that installing needs.
#[derive(Debug, Deserialize)]
struct PackageInfo {
    blake3: String,
    #[serde(default)]
    depends: Vec<String>,
}

/// A folder of packages and the key they are signed with.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Folder with NAME.pkgar and NAME.toml.
    pub folder: PathBuf,
    /// File of the public key.
    pub key: PathBuf,
}

impl Repository {
    /// The named packages and all they depend on, sorted.
    pub fn closure(&self, names: &[String]) -> Result<Vec<String>> {
        let mut found = BTreeSet::new();
        let mut open = names.to_vec();
        while let Some(name) = open.pop() {
            if found.len() > limits::MAX_PACKAGES {
                bail!("more than {} packages", limits::MAX_PACKAGES);
            }
            if found.insert(name.clone()) {
                open.extend(self.info(&name)?.depends);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Hash of a package's file as the repository records it.
    pub fn hash(&self, name: &str) -> Result<String> {
        Ok(self.info(name)?.blake3)
    }

    fn info(&self, name: &str) -> Result<PackageInfo> {
        let path = self.folder.join(format!("{name}.toml"));
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "package {name} is not in the repository ({}); cook it first: `make build`",
                path.display()
            )
        })?;
        toml::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Checks a package and unpacks it into a folder of its own below `work`.
    pub fn unpack(&self, name: &str, work: &Path) -> Result<PathBuf> {
        let info = self.info(name)?;
        let archive = self.folder.join(format!("{name}.pkgar"));
        let bytes =
            fs::read(&archive).with_context(|| format!("cannot read {}", archive.display()))?;
        if blake3::hash(&bytes).to_hex().as_str() != info.blake3 {
            bail!(
                "{} is damaged: it does not match its .toml; remove both and run `make build`",
                archive.display()
            );
        }
        let folder = work.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        pkgar::extract(&self.key, &archive, &folder).with_context(|| {
            format!(
                "{} cannot be unpacked (was it signed with {}?)",
                archive.display(),
                self.key.display()
            )
        })?;
        Ok(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(packages: &[(&str, &str)]) -> (tempfile::TempDir, Repository) {
        let temp = tempfile::tempdir().unwrap();
        for (name, depends) in packages {
            let text = format!("name = \"{name}\"\nblake3 = \"00\"\ndepends = [{depends}]\n");
            fs::write(temp.path().join(format!("{name}.toml")), text).unwrap();
        }
        let repository = Repository {
            folder: temp.path().into(),
            key: temp.path().join("key"),
        };
        (temp, repository)
    }

    #[test]
    fn dependencies_are_installed_too_even_if_they_need_each_other() {
        let (_temp, repository) =
            repository(&[("a", "\"b\""), ("b", "\"a\", \"c\""), ("c", ""), ("d", "")]);
        assert_eq!(repository.closure(&["a".into()]).unwrap(), ["a", "b", "c"]);
    }

    #[test]
    fn a_missing_package_says_what_to_do() {
        let (_temp, repository) = repository(&[("a", "\"b\"")]);
        let message = format!("{:#}", repository.closure(&["a".into()]).unwrap_err());
        assert!(
            message.contains("package b") && message.contains("make build"),
            "{message}"
        );
    }

    #[test]
    fn a_damaged_package_is_refused() {
        let (temp, repository) = repository(&[("a", "")]);
        fs::write(temp.path().join("a.pkgar"), "nonsense").unwrap();
        let message = format!("{:#}", repository.unpack("a", temp.path()).unwrap_err());
        assert!(message.contains("damaged"), "{message}");
    }
}
