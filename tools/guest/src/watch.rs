//! Watches the log of the first serial line: shows it when something went wrong, and sees a boot
//! or a kernel that gave up.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// What the loader, the kernel and init print when they give up, in lower case.
const SIGNS_OF_DEATH: [&str; 3] = [
    "valence cannot start",
    "kernel panic",
    "init: the root file system could not be mounted",
];
/// Bytes of the log that are shown.
const TAIL_BYTES: usize = 6 * 1024;

/// The log file and how far it was read.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    read: u64,
    line: String,
}

impl Watch {
    /// Watches a log from its beginning; it need not exist yet.
    pub fn new(path: PathBuf) -> Watch {
        Watch {
            path,
            read: 0,
            line: String::new(),
        }
    }

    /// The line that says that the kernel is dead, if the log has one by now.
    pub fn death(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(self.read)).ok()?;
        self.read += file.read_to_end(&mut bytes).ok()? as u64;
        self.line += &String::from_utf8_lossy(&bytes);
        let death = self
            .line
            .lines()
            .find(|line| is_death(line))
            .map(|line| line.trim().to_string());
        let last = self.line.rfind('\n').map_or(0, |at| at + 1);
        self.line.drain(..last);
        death
    }

    /// The end of the log, for a person.
    pub fn tail(&self) -> String {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        let text =
            String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]).into_owned();
        text.lines()
            .map(|line| format!("  | {}\n", line.trim_end()))
            .collect()
    }
}

fn is_death(line: &str) -> bool {
    let line = line.to_lowercase();
    SIGNS_OF_DEATH.iter().any(|sign| line.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_seen_even_if_its_line_comes_in_two_parts() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        let mut watch = Watch::new(path.clone());
        assert_eq!(watch.death(), None);
        std::fs::write(&path, "boot\nKERNEL PA").unwrap();
        assert_eq!(watch.death(), None);
        std::fs::write(&path, "boot\nKERNEL PANIC: out of luck\r\n").unwrap();
        assert_eq!(watch.death().as_deref(), Some("KERNEL PANIC: out of luck"));
    }

    #[test]
    fn a_program_that_panics_is_no_dead_kernel() {
        assert!(!is_death("thread 'main' panicked at src/main.rs:1:1"));
    }
}
