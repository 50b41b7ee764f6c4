//! The FUSE transport under the suite, with the client's own file calls, and what only a mount can show.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scheme_server::fuse::{Mount, available, mount};
use scheme_server::{Errno, Kind, OpenFlags, Result, Stat};
use tempfile::TempDir;

use crate::sample::Sample;
use crate::{Client, ClientFile, cases};

/// O_NONBLOCK of Linux on every architecture that we build for.
const O_NONBLOCK: i32 = 0o4000;

#[derive(Clone)]
struct Mounted {
    // Fields drop in this order: the mount goes before its directory.
    mount: Arc<Mount<Sample>>,
    dir: Arc<TempDir>,
}

fn connect() -> Option<Mounted> {
    if let Err(reason) = available() {
        eprintln!("SKIPPED: no FUSE here: {reason}");
        return None;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    match mount(Sample::default(), "sample", dir.path()) {
        Ok(mount) => Some(Mounted {
            mount: Arc::new(mount),
            dir: Arc::new(dir),
        }),
        Err(reason) => {
            eprintln!("SKIPPED: FUSE is here, but mounting is refused: {reason}");
            None
        }
    }
}

cases::suite!(connect);

impl Mounted {
    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }
}

struct Opened {
    file: File,
    stream: bool,
}

impl Client for Mounted {
    type File = Opened;
    fn open(&self, path: &str, how: OpenFlags) -> Result<Opened> {
        let mut options = OpenOptions::new();
        options
            .read(how.read)
            .write(how.write)
            .truncate(how.truncate)
            .create(how.create);
        if how.exclusive {
            options.create_new(true);
        }
        if how.nonblock {
            options.custom_flags(O_NONBLOCK);
        }
        let file = options.open(self.at(path))?;
        Ok(Opened {
            file,
            stream: path == "upper",
        })
    }
    fn stat(&self, path: &str) -> Result<Stat> {
        let meta = fs::metadata(self.at(path))?;
        let mode = (meta.mode() & 0o777) as u16;
        Ok(if meta.is_dir() {
            Stat::dir(mode)
        } else {
            Stat::file(mode, meta.len())
        })
    }
    fn names(&self, path: &str) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.at(path))?;
        Ok(entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect())
    }
    fn make_dir(&self, path: &str) -> Result<()> {
        Ok(fs::create_dir(self.at(path))?)
    }
    fn remove(&self, path: &str, kind: Kind) -> Result<()> {
        Ok(match kind {
            Kind::Dir => fs::remove_dir(self.at(path)),
            Kind::File => fs::remove_file(self.at(path)),
        }?)
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        Ok(fs::rename(self.at(from), self.at(to))?)
    }
    fn open_handles(&self) -> usize {
        self.mount.with_service(|sample| sample.open)
    }
}

impl ClientFile for Opened {
    fn read(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut buf = vec![0; len];
        let count = self.file.read(&mut buf)?;
        buf.truncate(count);
        Ok(buf)
    }
    fn write(&mut self, data: &[u8]) -> Result<usize> {
        Ok(self.file.write(data)?)
    }
    fn sync(&mut self) -> Result<()> {
        Ok(self.file.sync_all()?)
    }
    fn seek(&mut self, at: u64) -> Result<()> {
        Ok(self.file.seek(SeekFrom::Start(at)).map(drop)?)
    }
}

#[test]
fn a_stream_cannot_be_sought() {
    let Some(client) = connect() else { return };
    let opened = client.open("upper", OpenFlags::READ_WRITE).unwrap();
    assert!(opened.stream);
    let error = opened.file.read_at(&mut [0; 1], 3).unwrap_err();
    assert_eq!(Errno::from(error), Errno::ESPIPE);
}

#[test]
fn a_client_killed_while_it_waits_leaves_nothing() {
    let Some(client) = connect() else { return };
    let mut child = Command::new("cat").arg(client.at("upper")).spawn().unwrap();
    let wait_for = |open: usize| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while client.open_handles() != open {
            assert!(
                Instant::now() < deadline,
                "still {} handles",
                client.open_handles()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for(1);
    std::thread::sleep(Duration::from_millis(20));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for(0);
}

#[test]
fn cat_and_echo_are_a_client() {
    let Some(client) = connect() else { return };
    let script =
        "echo one > submit && cat submitted && ls -d notes && printf hi > notes/n && cat notes/n";
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(client.dir.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "one\nnotes\nhi");
    assert!(output.status.success());
}
