//! `mem index`: a directory as documents, again and again with little work.
//!
//! A file is sent when there is no document of its path, or the sizes differ, or the file is newer than the document;
//! the scheme itself then stores and embeds only what changed. Hidden files and what ignore files name are left out,
//! as are files that are no documents (larger than the scheme takes): those are reported and passed over.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use memory_api::Client;

use crate::args::Args;
use crate::commands::document_path;

#[derive(Default)]
struct Counts {
    stored: usize,
    unchanged: usize,
    refused: usize,
    forgotten: usize,
}

/// Indexes `dir`; says whether every file was taken.
pub(crate) fn index(
    args: &Args,
    client: &Client,
    dir: &Path,
    out: &mut dyn Write,
) -> io::Result<bool> {
    client.make_collection(args.target())?;
    let shows_progress = io::stderr().is_terminal();
    let mut counts = Counts::default();
    let mut seen = Vec::new();
    for entry in ignore::WalkBuilder::new(dir).require_git(false).build() {
        let entry = entry.map_err(io::Error::other)?;
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let path = document_path(entry.path().strip_prefix(dir).unwrap_or(entry.path()));
        if path.is_empty() {
            continue;
        }
        let target = client.path(args.target()).join(&path);
        if is_current(entry.path(), &target) {
            counts.unchanged += 1;
        } else {
            match store(client, args, entry.path(), &path) {
                Ok(()) => counts.stored += 1,
                Err(error) => {
                    counts.refused += 1;
                    writeln!(out, "{}: {error}", entry.path().display())?;
                }
            }
        }
        seen.push(path);
        if shows_progress {
            eprint!("\r{} stored, {} unchanged", counts.stored, counts.unchanged);
        }
    }
    if shows_progress {
        eprintln!();
    }
    if args.prune {
        counts.forgotten = prune(client, args.target(), &seen)?;
    }
    let Counts {
        stored,
        unchanged,
        refused,
        forgotten,
    } = counts;
    writeln!(
        out,
        "{stored} stored, {unchanged} unchanged, {refused} refused, {forgotten} forgotten"
    )?;
    Ok(refused == 0)
}

fn is_current(file: &Path, target: &Path) -> bool {
    let (Ok(file), Ok(document)) = (fs::metadata(file), fs::metadata(target)) else {
        return false;
    };
    let times = (file.modified(), document.modified());
    // The document's time has whole seconds: a file of the same second may be newer.
    let is_older = matches!(times, (Ok(file), Ok(document)) if file < document);
    file.len() == document.len() && is_older
}

fn store(client: &Client, args: &Args, file: &Path, path: &str) -> io::Result<()> {
    let metadata = (!args.metadata.is_empty()).then(|| args.metadata.join("\n"));
    make_folders(client, args.target(), path)?;
    client.put(args.target(), path, &fs::read(file)?, metadata.as_deref())
}

/// The scheme makes folders by itself; other filesystems, and Linux's FUSE, look each of them up first.
fn make_folders(client: &Client, collection: &str, path: &str) -> io::Result<()> {
    match path.rsplit_once('/') {
        Some((folder, _)) => fs::create_dir_all(client.path(collection).join(folder)),
        None => Ok(()),
    }
}

fn prune(client: &Client, collection: &str, seen: &[String]) -> io::Result<usize> {
    let root = client.path(collection);
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    let mut forgotten = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let path = entry
                .path()
                .strip_prefix(&root)
                .map(document_path)
                .unwrap_or_default();
            if !path.is_empty() && !seen.contains(&path) {
                client.forget(collection, &path)?;
                forgotten += 1;
            }
        }
    }
    Ok(forgotten)
}
