//! A client over plain files: works on `/scheme/memory` and on a FUSE mount alike.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::route::{SearchOptions, encode_name};
use crate::wire::{ContextPart, ContextRequest, Found, HistoryLine};

/// Where the scheme is mounted, when it is not the system's.
pub const MOUNT_VARIABLE: &str = "VALENCE_MEMORY";

/// The scheme's files below one directory.
#[derive(Clone, Debug)]
pub struct Client {
    root: PathBuf,
}

impl Default for Client {
    /// The directory that the environment names, or the system's scheme.
    fn default() -> Self {
        let mount = std::env::var_os(MOUNT_VARIABLE);
        Self::at(Path::new(&mount.unwrap_or_else(|| "/scheme/memory".into())))
    }
}

fn invalid(error: serde_json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Client {
    /// The scheme at `root`.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// A path below the root.
    pub fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// Collections that the caller sees.
    ///
    /// # Errors
    /// The scheme's.
    pub fn collections(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Makes a collection unless it is there.
    ///
    /// # Errors
    /// The scheme's.
    pub fn make_collection(&self, name: &str) -> io::Result<()> {
        match fs::create_dir(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Stores a document and, if given, its metadata.
    ///
    /// # Errors
    /// The scheme's.
    pub fn put(
        &self,
        collection: &str,
        path: &str,
        content: &[u8],
        metadata: Option<&str>,
    ) -> io::Result<()> {
        let target = self.path(collection).join(path);
        write(&target, content)?;
        metadata.map_or(Ok(()), |text| {
            write(
                &self.path(collection).join(".meta").join(path),
                text.as_bytes(),
            )
        })
    }

    /// Reads a file of a collection as text.
    ///
    /// # Errors
    /// The scheme's.
    pub fn read(&self, collection: &str, path: &str) -> io::Result<String> {
        fs::read_to_string(self.path(collection).join(path))
    }

    /// Writes a control file of a collection.
    ///
    /// # Errors
    /// The scheme's.
    pub fn control(&self, collection: &str, file: &str, text: &str) -> io::Result<()> {
        write(&self.path(collection).join(file), text.as_bytes())
    }

    /// Forgets a document.
    ///
    /// # Errors
    /// The scheme's.
    pub fn forget(&self, collection: &str, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(collection).join(path))
    }

    /// Searches; best first.
    ///
    /// # Errors
    /// The scheme's; `InvalidData` for a reply that is not what it should be.
    pub fn search(
        &self,
        collection: &str,
        question: &str,
        options: &SearchOptions,
    ) -> io::Result<Vec<Found>> {
        let file = format!(".search?{}", options.to_query());
        let reply = ask(&self.path(collection).join(file), question)?;
        reply
            .lines()
            .map(|line| serde_json::from_str(line).map_err(invalid))
            .collect()
    }

    /// A prompt context.
    ///
    /// # Errors
    /// As [`Client::search`].
    pub fn context(&self, request: &ContextRequest) -> io::Result<Vec<ContextPart>> {
        let request = serde_json::to_string(request).map_err(invalid)?;
        let reply = ask(&self.path("context"), &request)?;
        reply
            .lines()
            .map(|line| serde_json::from_str(line).map_err(invalid))
            .collect()
    }

    /// What changed, oldest first.
    ///
    /// # Errors
    /// As [`Client::search`].
    pub fn history(&self, collection: &str) -> io::Result<Vec<HistoryLine>> {
        let text = self.read(collection, ".history")?;
        text.lines()
            .map(|line| serde_json::from_str(line).map_err(invalid))
            .collect()
    }

    /// Path of the directory of the best documents for a question.
    pub fn best_path(&self, collection: &str, question: &str, k: usize) -> PathBuf {
        self.path(collection)
            .join(format!("?q={}&k={k}", encode_name(question)))
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.write_all(content)?;
    // What was refused or could not be kept shows here; close would swallow it.
    file.sync_all()
}

/// Writes a request to a file open for both and reads the reply.
fn ask(path: &Path, request: &str) -> io::Result<String> {
    let mut file: File = OpenOptions::new().read(true).write(true).open(path)?;
    file.write_all(request.as_bytes())?;
    let mut reply = String::new();
    file.read_to_string(&mut reply)?;
    Ok(reply)
}
