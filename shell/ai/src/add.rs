//! `ai add`: copies a model file into the user's folder and notes its hash beside it, which the daemon checks.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub(crate) fn add(file: &Path, name: Option<&str>, folder: Option<&Path>) -> io::Result<()> {
    let stem = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let name = name.map(str::to_owned).or(stem).unwrap_or_default();
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(io::Error::other(format!("{name:?} is no name for a model")));
    }
    let mut source = File::open(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    let mut magic = [0; 4];
    source
        .read_exact(&mut magic)
        .and_then(|()| {
            if &magic == b"GGUF" {
                Ok(())
            } else {
                Err(io::Error::other("it does not begin with GGUF"))
            }
        })
        .map_err(|error| {
            io::Error::other(format!("{} is no GGUF file: {error}", file.display()))
        })?;

    let folder = match folder {
        Some(folder) => folder.to_owned(),
        None => {
            PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join("models")
        }
    };
    fs::create_dir_all(&folder)?;
    let target = folder.join(format!("{name}.gguf"));
    let beside = folder.join(format!(".{name}.part"));
    let copied = copy(magic, source, &beside);
    let hash = match copied {
        Ok(hash) => hash,
        Err(error) => {
            // Half a file is of no use to anybody.
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
    };
    fs::write(
        folder.join(format!("{name}.gguf.sha256")),
        format!("{hash}  {name}.gguf\n"),
    )?;
    fs::rename(&beside, &target)?;
    println!("{name}: {} ({hash})", target.display());
    Ok(())
}

/// Copies, hashes, and reads back what was written.
fn copy(magic: [u8; 4], mut source: File, target: &Path) -> io::Result<String> {
    let mut out = File::create(target)?;
    let mut hasher = Sha256::new();
    out.write_all(&magic)?;
    hasher.update(magic);
    let mut buf = vec![0; 1 << 20];
    loop {
        let count = source.read(&mut buf)?;
        if count == 0 {
            break;
        }
        out.write_all(&buf[..count])?;
        hasher.update(&buf[..count]);
    }
    out.sync_all()?;
    let hash = hex(hasher);
    let mut check = Sha256::new();
    let mut written = File::open(target)?;
    loop {
        let count = written.read(&mut buf)?;
        if count == 0 {
            break;
        }
        check.update(&buf[..count]);
    }
    if hex(check) == hash {
        Ok(hash)
    } else {
        Err(io::Error::other("the copy differs from the file"))
    }
}

fn hex(hasher: Sha256) -> String {
    hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
