//! The memory transport under the suite, and what only it can show: cancellation, events, callers.

use std::time::Duration;

use scheme_server::memory::{File, Memory};
use scheme_server::{Caller, Errno, Kind, OpenFlags, Ready, Result, Stat};

use crate::sample::Sample;
use crate::{Client, ClientFile, cases};

#[expect(clippy::unnecessary_wraps, reason = "other transports may be missing")]
fn connect() -> Option<Memory<Sample>> {
    Some(Memory::start(Sample::default()))
}

cases::suite!(connect);

impl Client for Memory<Sample> {
    type File = File<Sample>;
    fn open(&self, path: &str, how: OpenFlags) -> Result<Self::File> {
        Memory::open(self, path, how)
    }
    fn stat(&self, path: &str) -> Result<Stat> {
        Memory::stat(self, path)
    }
    fn names(&self, path: &str) -> Result<Vec<String>> {
        Ok(self
            .list(path)?
            .into_iter()
            .map(|entry| entry.name)
            .collect())
    }
    fn make_dir(&self, path: &str) -> Result<()> {
        Memory::make_dir(self, path)
    }
    fn remove(&self, path: &str, kind: Kind) -> Result<()> {
        Memory::remove(self, path, kind)
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        Memory::rename(self, from, to)
    }
    fn open_handles(&self) -> usize {
        self.with_service(|sample| sample.open)
    }
}

impl ClientFile for File<Sample> {
    fn read(&mut self, len: usize) -> Result<Vec<u8>> {
        File::read(self, len)
    }
    fn write(&mut self, data: &[u8]) -> Result<usize> {
        File::write(self, data)
    }
    fn sync(&mut self) -> Result<()> {
        File::sync(self)
    }
    fn seek(&mut self, at: u64) -> Result<()> {
        File::seek(self, at);
        Ok(())
    }
}

#[test]
fn a_cancelled_read_is_answered_and_later_bytes_go_to_the_next() {
    let scheme = Memory::start(Sample::default());
    let file = scheme.open("upper", OpenFlags::READ_WRITE).unwrap();
    let read = file.start_read(10);
    assert!(read.is_waiting());
    read.cancel();
    assert_eq!(read.data(), Err(Errno::ECANCELED));
    file.write(b"later").unwrap();
    assert_eq!(file.read(10).unwrap(), b"LATER");
}

#[test]
fn closing_a_handle_answers_what_waits_on_it() {
    let scheme = Memory::start(Sample::default());
    let file = scheme.open("upper", OpenFlags::READ).unwrap();
    let read = file.start_read(10);
    drop(file);
    assert_eq!(read.data(), Err(Errno::ECANCELED));
}

#[test]
fn readiness_is_told_when_asked_and_when_it_changes() {
    let scheme = Memory::start(Sample::default());
    let file = scheme.open("upper", OpenFlags::READ_WRITE).unwrap();
    let read = Ready {
        read: true,
        write: false,
    };
    assert_eq!(file.poll(read), Ok(Ready::NONE));
    file.write(b"x").unwrap();
    assert_eq!(
        scheme.next_event(Duration::from_secs(5)),
        Ok((file.id(), read))
    );
    assert_eq!(file.poll(Ready::BOTH), Ok(Ready::BOTH));
}

#[test]
fn permission_bits_are_for_the_caller_who_asks() {
    let scheme = Memory::start(Sample::default());
    let user = |uid| {
        scheme.as_caller(Caller {
            pid: 1,
            uid,
            gid: uid,
        })
    };
    assert!(user(7).open("secret", OpenFlags::READ).is_ok());
    assert!(user(0).open("secret", OpenFlags::READ).is_ok());
    assert_eq!(
        user(8).open("secret", OpenFlags::READ).err(),
        Some(Errno::EACCES)
    );
    let stat_only = OpenFlags {
        stat_only: true,
        ..OpenFlags::default()
    };
    assert_eq!(
        user(8)
            .open("secret", stat_only)
            .unwrap()
            .stat()
            .unwrap()
            .uid,
        7
    );
}

#[test]
fn dup_makes_an_independent_handle() {
    let scheme = Memory::start(Sample::default());
    let file = scheme.open("upper", OpenFlags::READ_WRITE).unwrap();
    file.write(b"ab").unwrap();
    let fork = file.dup("fork").unwrap();
    assert_eq!(file.read(9).unwrap(), b"AB");
    assert_eq!(fork.read(9).unwrap(), b"AB");
    assert_eq!(file.dup("spoon").err(), Some(Errno::EINVAL));
}
