//! Packing: a stage folder becomes a signed pkgar file with its `NAME.toml`, and the repository gets its index.
//!
//! Formats: facts, section 8.4. Packages are not compressed: they are read once, on the machine that made them. Empty
//! folders are not part of the format; `filesystem.toml` makes those.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use pkgar_core::{Architecture, HeaderFlags, Packaging};
use pkgar_keys::SecretKeyFile;
use serde::{Deserialize, Serialize};

use crate::fingerprint;
use crate::layout::{Layout, TARGET};

/// `NAME.toml`: what the repository says about one package.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)] // the keys of the format, under their own names
pub struct PackageInfo {
    pub name: String,
    pub version: String,
    pub target: String,
    pub blake3: String,
    pub source_identifier: String,
    pub commit_identifier: String,
    pub time_identifier: String,
    pub storage_size: u64,
    pub network_size: u64,
    pub depends: Vec<String>,
}

#[derive(Default, Serialize)]
struct RepoIndex {
    packages: BTreeMap<String, String>,
}

/// Makes the pair of keys if there is none.
pub fn ensure_keys(layout: &Layout) -> Result<()> {
    if layout.secret_key().is_file() && layout.public_key().is_file() {
        return Ok(());
    }
    let (public, secret) = SecretKeyFile::new();
    secret
        .save(layout.secret_key())
        .context("cannot write the signing key")?;
    public
        .save(layout.public_key())
        .context("cannot write the public key")?;
    Ok(())
}

/// Packs a stage folder. The package file is replaced only when it is complete.
pub fn pack(layout: &Layout, name: &str, version: &str, depends: &[String]) -> Result<PackageInfo> {
    let stage = layout.cook(name).join("stage");
    let storage_size = check_stage(&stage)?;
    let target = layout.package(name);
    let draft = target.with_extension("pkgar.new");
    let flags = HeaderFlags::latest(Architecture::X86_64, Packaging::Uncompressed);
    fs::create_dir_all(layout.repo())?;
    pkgar::create_with_flags(layout.secret_key(), &draft, &stage, flags)
        .with_context(|| format!("cannot pack {}", stage.display()))?;
    let info = PackageInfo {
        name: name.into(),
        version: version.into(),
        target: TARGET.into(),
        blake3: fingerprint::file_hash(&draft)?.to_hex().to_string(),
        storage_size,
        network_size: fs::metadata(&draft)?.len(),
        depends: depends.to_vec(),
        ..PackageInfo::default()
    };
    fs::rename(&draft, &target)?;
    write_info(layout, &info)?;
    Ok(info)
}

/// Writes `NAME.toml`.
pub fn write_info(layout: &Layout, info: &PackageInfo) -> Result<()> {
    let text = toml::to_string(info)?;
    fs::write(layout.repo().join(format!("{}.toml", info.name)), text)?;
    Ok(())
}

/// Reads `NAME.toml`; none if the package was never packed.
pub fn read_info(layout: &Layout, name: &str) -> Option<PackageInfo> {
    let text = fs::read_to_string(layout.repo().join(format!("{name}.toml"))).ok()?;
    toml::from_str(&text).ok()
}

/// Writes `repo.toml` over the packages whose recipes exist, and removes the others.
pub fn write_index(layout: &Layout) -> Result<()> {
    let mut index = RepoIndex::default();
    for entry in fs::read_dir(layout.repo())? {
        let path = entry?.path();
        let stem = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        let Some(name) = stem.filter(|_| path.extension().is_some_and(|e| e == "pkgar")) else {
            continue;
        };
        if !layout.recipe(&name).join("recipe.toml").is_file() {
            fs::remove_file(&path)?;
            fs::remove_file(path.with_extension("toml")).ok();
        } else if let Some(info) = read_info(layout, &name) {
            index
                .packages
                .insert(name, format!("{}/{}", info.blake3, info.version));
        }
    }
    fs::write(layout.repo().join("repo.toml"), toml::to_string(&index)?)?;
    let public = layout
        .repo()
        .parent()
        .map(|repo| repo.join("id_ed25519.pub.toml"));
    if let Some(public) = public {
        fs::copy(layout.public_key(), public)?;
    }
    Ok(())
}

/// Extracts a package, after checking its signature, into a folder.
pub fn extract(layout: &Layout, name: &str, folder: &Path) -> Result<()> {
    let package = layout.package(name);
    pkgar::extract(layout.public_key(), &package, folder)
        .with_context(|| format!("cannot extract {}", package.display()))
}

/// Checks every file of a stage and gives the sum of their sizes.
fn check_stage(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            size += check_stage(&path)?;
        } else if metadata.is_file() {
            size += metadata.len();
            check_program(&path)?;
        }
    }
    Ok(size)
}

/// Refuses an ELF program with a dynamic loader: it was linked against the host's C library.
fn check_program(path: &Path) -> Result<()> {
    const PT_INTERP: u32 = 3;
    const MAX_HEADERS_BYTES: u64 = 64 * 1024;
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_HEADERS_BYTES)
        .read_to_end(&mut bytes)?;
    if program_header_types(&bytes).is_some_and(|types| types.contains(&PT_INTERP)) {
        bail!(
            "{} was linked for the host (it asks for a dynamic loader); \
             build it in the environment of tools/target-env.sh",
            path.display()
        );
    }
    Ok(())
}

/// Types of the program headers of a 64-bit little-endian ELF file, or none if it is something else.
fn program_header_types(bytes: &[u8]) -> Option<Vec<u32>> {
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let half =
        |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?) as usize);
    let table = u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?);
    let (entry_size, count) = (half(54)?, half(56)?);
    let mut types = Vec::new();
    for index in 0..count {
        let at = usize::try_from(table)
            .ok()?
            .checked_add(index * entry_size)?;
        types.push(u32::from_le_bytes(
            bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
        ));
    }
    Some(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_programs_are_refused() {
        assert!(check_program(Path::new("/bin/sh")).is_err());
    }

    #[test]
    fn other_files_and_cut_programs_pass() {
        assert_eq!(program_header_types(b"#!/bin/sh"), None);
        assert_eq!(program_header_types(b"\x7fELF\x02\x01"), None);
    }

    #[test]
    fn a_package_is_made_listed_and_extracted_as_it_was() {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout {
            root: temp.path().to_path_buf(),
        };
        fs::create_dir_all(layout.recipe("hello")).unwrap();
        fs::write(layout.recipe("hello").join("recipe.toml"), "").unwrap();
        let bin = layout.cook("hello").join("stage/usr/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("hello"), "#!/bin/sh\n").unwrap();
        std::os::unix::fs::symlink("hello", bin.join("hi")).unwrap();
        ensure_keys(&layout).unwrap();

        let info = pack(&layout, "hello", "0.1.0", &["base".into()]).unwrap();
        assert_eq!(info.storage_size, 10);
        assert_eq!(read_info(&layout, "hello"), Some(info.clone()));
        write_index(&layout).unwrap();
        let index = fs::read_to_string(layout.repo().join("repo.toml")).unwrap();
        assert!(
            index.contains(&format!("hello = \"{}/0.1.0\"", info.blake3)),
            "{index}"
        );

        let out = temp.path().join("out");
        extract(&layout, "hello", &out).unwrap();
        assert_eq!(
            fs::read_to_string(out.join("usr/bin/hello")).unwrap(),
            "#!/bin/sh\n"
        );
        assert_eq!(
            fs::read_link(out.join("usr/bin/hi")).unwrap(),
            Path::new("hello")
        );

        let mut bytes = fs::read(layout.package("hello")).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(layout.package("hello"), bytes).unwrap();
        assert!(extract(&layout, "hello", &out).is_err());
    }
}
