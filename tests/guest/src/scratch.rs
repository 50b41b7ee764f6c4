//! A folder of its own for each test, removed when the test ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::OrFail;

/// A new empty folder.
pub struct Scratch {
    path: PathBuf,
}

/// Where scratch folders lie: the root file system, not the temporary one, because the root is what is tested.
const PARENT: &str = "/var/guest-tests";

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Scratch {
    /// Makes a folder whose name no other test of this run has.
    pub fn new() -> Result<Scratch, String> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(PARENT).join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&path).or_fail("cannot make a scratch folder")?;
        Ok(Scratch { path })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name in the folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
