//! The host part of the kit against a small service.

use syscall::data::Stat;
use syscall::dirent::{DirentBuf, DirentIter, DirentKind};
use syscall::error::{EBADF, EINVAL, ENAMETOOLONG, ENOENT, Error, Result};
use syscall::flag::{EventFlags, F_GETFL, F_SETFL, O_NONBLOCK, O_RDONLY, O_RDWR};

use crate::{Caller, Entry, Host, Opened, Service, read_at};

/// A directory of three names; the node is the name, and "bell" rings.
#[derive(Default)]
struct Toy {
    rings: u64,
    closed: Vec<String>,
}

impl Service for Toy {
    type Node = String;
    fn name(&self) -> &str {
        "toy"
    }
    fn open(
        &mut self,
        base: Option<&String>,
        path: &str,
        _flags: usize,
        _caller: &Caller,
    ) -> Result<Opened<String>> {
        match (base, path) {
            (None, "" | "a" | "b" | "bell") => Ok(Opened::Stream(path.to_owned())),
            _ => Err(Error::new(ENOENT)),
        }
    }
    fn stat(&mut self, _node: &String, stat: &mut Stat) -> Result<()> {
        stat.st_size = 3;
        Ok(())
    }
    fn path(&self, node: &String) -> String {
        node.clone()
    }
    fn entries(&mut self, _node: &String) -> Result<Vec<Entry>> {
        let entry = |name: &str| Entry {
            inode: 1,
            kind: DirentKind::Regular,
            name: name.into(),
        };
        Ok(["a", "b", "bell"].map(entry).to_vec())
    }
    fn ready(&mut self, node: &String) -> EventFlags {
        match node == "bell" && self.rings > 0 {
            true => EventFlags::EVENT_READ,
            false => EventFlags::empty(),
        }
    }
    fn activity(&self, _node: &String) -> u64 {
        self.rings
    }
    fn close(&mut self, node: String) {
        self.closed.push(node);
    }
}

fn toy() -> Host<Toy> {
    Host::new(Toy::default())
}

fn open(host: &mut Host<Toy>, path: &str) -> usize {
    host.open(0, path, O_RDONLY, &Caller::default())
        .map(|new| new.id)
        .unwrap()
}

#[test]
fn paths_lose_their_outer_slashes_and_fpath_names_the_scheme() {
    let mut host = toy();
    let id = open(&mut host, "/a");
    let mut buf = [0; 64];
    let len = host.path(id, &mut buf).unwrap();
    assert_eq!(&buf[..len], b"/scheme/toy/a");
    assert_eq!(host.path(id, &mut buf[..4]), Err(Error::new(ENAMETOOLONG)));
    let len = host.path(0, &mut buf).unwrap();
    assert_eq!(&buf[..len], b"/scheme/toy");
}

#[test]
fn a_closed_handle_number_is_not_reused() {
    let mut host = toy();
    let first = open(&mut host, "a");
    host.close(first);
    assert_ne!(open(&mut host, "b"), first);
    assert_eq!(host.fcntl(first, F_GETFL, 0), Err(Error::new(EBADF)));
    assert_eq!(host.service.closed, ["a"]);
    assert_eq!(host.open_handles(), 1);
}

#[test]
fn setfl_changes_flags_but_never_the_access_mode() {
    let mut host = toy();
    let id = open(&mut host, "a");
    host.fcntl(id, F_SETFL, O_NONBLOCK | O_RDWR).unwrap();
    assert_eq!(host.fcntl(id, F_GETFL, 0), Ok(O_RDONLY | O_NONBLOCK));
    assert!(host.nonblocking(id));
    assert_eq!(host.fcntl(id, 999, 0), Err(Error::new(EINVAL)));
}

#[test]
fn a_directory_can_be_listed_in_pieces() {
    let mut host = toy();
    let dir = open(&mut host, "");
    let mut names = Vec::new();
    let mut from = 0;
    loop {
        let mut space = [0u8; 40];
        let buf = DirentBuf::new(&mut space[..], 19).unwrap();
        let len = host.getdents(dir, buf, from).unwrap().finalize();
        if len == 0 {
            break;
        }
        for entry in DirentIter::new(&space[..len]) {
            let (header, name) = entry.unwrap();
            from = header.next_opaque_id;
            names.push(
                String::from_utf8_lossy(name)
                    .trim_end_matches('\0')
                    .to_owned(),
            );
        }
    }
    assert_eq!(names, ["a", "b", "bell"]);
}

#[test]
fn a_buffer_too_small_for_one_entry_is_an_error_not_the_end() {
    let mut host = toy();
    let dir = open(&mut host, "");
    let mut space = [0u8; 20];
    let buf = DirentBuf::new(&mut space[..], 19).unwrap();
    assert!(host.getdents(dir, buf, 0).is_err());
}

#[test]
fn events_are_posted_on_becoming_ready_and_on_every_later_change() {
    let mut host = toy();
    let id = open(&mut host, "bell");
    assert_eq!(
        host.interest(id, EventFlags::EVENT_READ),
        Ok(EventFlags::empty())
    );
    assert!(host.news().is_empty());
    host.service.rings = 1;
    assert_eq!(host.news(), [(id, EventFlags::EVENT_READ)]);
    assert!(host.news().is_empty());
    host.service.rings = 2;
    assert_eq!(host.news(), [(id, EventFlags::EVENT_READ)]);
}

#[test]
fn the_root_handle_is_a_directory_and_cannot_be_read() {
    let mut host = toy();
    let mut stat = Stat::default();
    host.stat(0, &mut stat).unwrap();
    assert_eq!(
        stat.st_mode & syscall::flag::MODE_TYPE,
        syscall::flag::MODE_DIR
    );
    assert!(host.with(0).is_err());
}

#[test]
fn reading_a_small_file_stops_at_its_end() {
    let mut buf = [0; 4];
    assert_eq!(read_at(b"hello", &mut buf, 3), 2);
    assert_eq!(&buf[..2], b"lo");
    assert_eq!(read_at(b"hello", &mut buf, u64::MAX), 0);
}
