//! The file system through its scheme.

use valence_daemon::syscall::data::{Stat, TimeSpec};
use valence_daemon::syscall::error::*;
use valence_daemon::syscall::flag::*;
use valence_daemon::{Caller, Opened, Service};

use crate::limits::{LINKS_FOLLOWED_MAX, NAME_BYTES, VOLUME_BYTES};
use crate::{Node, RamScheme};

const ROOT: Caller = Caller {
    pid: 1,
    uid: 0,
    gid: 0,
};
const USER: Caller = Caller {
    pid: 2,
    uid: 1000,
    gid: 1000,
};
const OTHER: Caller = Caller {
    pid: 3,
    uid: 1001,
    gid: 1001,
};

fn scheme() -> RamScheme {
    RamScheme::new("tmp".into(), || TimeSpec {
        tv_sec: 7,
        tv_nsec: 0,
    })
}

fn open_as(ram: &mut RamScheme, path: &str, flags: usize, caller: &Caller) -> Result<Node> {
    match ram.open(None, path, flags, caller)? {
        Opened::Positioned(node) | Opened::Stream(node) => Ok(node),
    }
}

fn can(ram: &mut RamScheme, path: &str, flags: usize, caller: &Caller) {
    let node = open_as(ram, path, flags, caller).unwrap();
    ram.close(node);
}

fn open(ram: &mut RamScheme, path: &str, flags: usize) -> Result<Node> {
    open_as(ram, path, flags, &ROOT)
}

fn errno<T: std::fmt::Debug>(result: Result<T>) -> i32 {
    result.unwrap_err().errno
}

fn mkdir(ram: &mut RamScheme, path: &str) {
    let flags = O_CREAT | O_EXCL | O_DIRECTORY | O_RDONLY | 0o755;
    let node = open(ram, path, flags).unwrap();
    ram.close(node);
}

fn put(ram: &mut RamScheme, path: &str, text: &str) {
    let mut node = open(ram, path, O_CREAT | O_TRUNC | O_RDWR | 0o644).unwrap();
    assert_eq!(ram.write(&mut node, text.as_bytes(), 0, 0), Ok(text.len()));
    ram.close(node);
}

fn get(ram: &mut RamScheme, path: &str) -> Result<String> {
    let mut node = open(ram, path, O_RDONLY)?;
    let mut buf = [0; 100];
    let len = ram.read(&mut node, &mut buf, 0)?;
    ram.close(node);
    Ok(String::from_utf8_lossy(&buf[..len]).into_owned())
}

fn symlink(ram: &mut RamScheme, target: &str, path: &str) {
    let mut node = open(ram, path, O_CREAT | O_EXCL | O_SYMLINK | O_RDWR | 0o777).unwrap();
    ram.write(&mut node, target.as_bytes(), 0, 0).unwrap();
    ram.close(node);
}

fn names(ram: &mut RamScheme, path: &str) -> Vec<String> {
    let node = open(ram, path, O_RDONLY | O_DIRECTORY).unwrap();
    let names = ram
        .entries(&node)
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    ram.close(node);
    names
}

fn rename(ram: &mut RamScheme, from: &str, to: &str) -> Result<()> {
    let mut node = open(ram, from, O_STAT | O_NOFOLLOW)?;
    let result = ram.rename(&mut node, to, &ROOT);
    ram.close(node);
    result
}

fn stat(ram: &mut RamScheme, path: &str, flags: usize) -> Stat {
    let node = open(ram, path, O_STAT | flags).unwrap();
    let mut stat = Stat::default();
    ram.stat(&node, &mut stat).unwrap();
    ram.close(node);
    stat
}

#[test]
fn files_are_written_read_appended_and_cut() {
    let mut ram = scheme();
    put(&mut ram, "a", "hello");
    let mut node = open(&mut ram, "a", O_RDWR | O_APPEND).unwrap();
    ram.write(&mut node, b" world", 0, O_APPEND).unwrap();
    assert_eq!(get(&mut ram, "a").unwrap(), "hello world");
    ram.truncate(&mut node, 3).unwrap();
    ram.truncate(&mut node, 5).unwrap();
    assert_eq!(get(&mut ram, "a").unwrap(), "hel\0\0");
    ram.write(&mut node, b"x", 5000, 0).unwrap();
    assert_eq!(ram.size(&node), Ok(5001));
    let mut buf = [1; 8];
    assert_eq!(ram.read(&mut node, &mut buf, 4998), Ok(3));
    assert_eq!(buf[..3], [0, 0, b'x']);
}

#[test]
fn creation_follows_its_flags() {
    let mut ram = scheme();
    assert_eq!(errno(open(&mut ram, "a", O_RDONLY)), ENOENT);
    put(&mut ram, "a", "x");
    assert_eq!(
        errno(open(&mut ram, "a", O_CREAT | O_EXCL | O_WRONLY)),
        EEXIST
    );
    assert_eq!(errno(open(&mut ram, "a", O_DIRECTORY | O_RDONLY)), ENOTDIR);
    assert_eq!(errno(open(&mut ram, "no/b", O_CREAT | O_WRONLY)), ENOENT);
    assert_eq!(errno(open(&mut ram, "a/b", O_CREAT | O_WRONLY)), ENOTDIR);
    mkdir(&mut ram, "d");
    assert_eq!(errno(open(&mut ram, "d", O_WRONLY)), EISDIR);
    let long = "n".repeat(NAME_BYTES + 1);
    assert_eq!(
        errno(open(&mut ram, &long, O_CREAT | O_WRONLY)),
        ENAMETOOLONG
    );
    let mut node = open(&mut ram, "a", O_RDONLY).unwrap();
    assert_eq!(errno(ram.write(&mut node, b"x", 0, 0)), EBADF);
}

#[test]
fn directories_are_made_listed_and_removed_when_empty() {
    let mut ram = scheme();
    mkdir(&mut ram, "d");
    mkdir(&mut ram, "d/e");
    put(&mut ram, "d/f", "x");
    assert_eq!(names(&mut ram, "d"), ["e", "f"]);
    assert_eq!(errno(ram.unlink(None, "d", AT_REMOVEDIR, &ROOT)), ENOTEMPTY);
    assert_eq!(errno(ram.unlink(None, "d/f", AT_REMOVEDIR, &ROOT)), ENOTDIR);
    assert_eq!(errno(ram.unlink(None, "d/e", 0, &ROOT)), EISDIR);
    ram.unlink(None, "d/e", AT_REMOVEDIR, &ROOT).unwrap();
    ram.unlink(None, "d/f", 0, &ROOT).unwrap();
    ram.unlink(None, "d", AT_REMOVEDIR, &ROOT).unwrap();
    assert!(names(&mut ram, "").is_empty());
    assert_eq!(ram.volume().used(), 0);
}

#[test]
fn paths_may_go_up_and_start_at_a_directory_handle() {
    let mut ram = scheme();
    mkdir(&mut ram, "d");
    put(&mut ram, "d/f", "x");
    assert_eq!(get(&mut ram, "d/./../d//f").unwrap(), "x");
    assert_eq!(get(&mut ram, "../../d/f").unwrap(), "x");
    let dir = open(&mut ram, "d", O_RDONLY).unwrap();
    let Opened::Positioned(file) = ram.open(Some(&dir), "f", O_RDONLY, &ROOT).unwrap() else {
        panic!()
    };
    assert_eq!(ram.path(&file), "d/f");
    assert_eq!(ram.path(&dir), "d");
}

#[test]
fn a_removed_file_lives_until_its_last_handle() {
    let mut ram = scheme();
    put(&mut ram, "a", "still here");
    let mut node = open(&mut ram, "a", O_RDONLY).unwrap();
    ram.unlink(None, "a", 0, &ROOT).unwrap();
    let mut buf = [0; 5];
    assert_eq!(ram.read(&mut node, &mut buf, 0), Ok(5));
    assert_ne!(ram.volume().used(), 0);
    ram.close(node);
    assert_eq!(ram.volume().used(), 0);
}

#[test]
fn renaming_replaces_what_it_may() {
    let mut ram = scheme();
    mkdir(&mut ram, "d");
    mkdir(&mut ram, "d/sub");
    mkdir(&mut ram, "empty");
    put(&mut ram, "a", "1");
    put(&mut ram, "b", "2");
    rename(&mut ram, "a", "b").unwrap();
    assert_eq!(get(&mut ram, "b").unwrap(), "1");
    assert_eq!(errno(rename(&mut ram, "a", "c")), ENOENT);
    assert_eq!(errno(rename(&mut ram, "b", "d")), EISDIR);
    assert_eq!(errno(rename(&mut ram, "d", "b")), ENOTDIR);
    assert_eq!(errno(rename(&mut ram, "empty", "d")), ENOTEMPTY);
    assert_eq!(errno(rename(&mut ram, "d", "d/sub/x")), EINVAL);
    rename(&mut ram, "d", "empty").unwrap();
    rename(&mut ram, "b", "empty/sub/b").unwrap();
    rename(&mut ram, "empty/sub/b", "empty/sub/b").unwrap();
    assert_eq!(get(&mut ram, "empty/sub/b").unwrap(), "1");
    assert_eq!(get(&mut ram, "empty/sub/../sub/b").unwrap(), "1");
    assert_eq!(names(&mut ram, ""), ["empty"]);
}

#[test]
fn links_are_followed_kept_or_refused() {
    let mut ram = scheme();
    mkdir(&mut ram, "d");
    put(&mut ram, "d/f", "x");
    symlink(&mut ram, "d/f", "l");
    symlink(&mut ram, "../d", "d/self");
    symlink(&mut ram, "/etc/passwd", "out");
    symlink(&mut ram, "loop", "loop");
    assert_eq!(get(&mut ram, "l").unwrap(), "x");
    assert_eq!(get(&mut ram, "d/self/self/f").unwrap(), "x");
    assert_eq!(errno(get(&mut ram, "out")), EXDEV);
    assert_eq!(errno(get(&mut ram, "loop")), ELOOP);
    assert_eq!(errno(open(&mut ram, "l", O_RDONLY | O_NOFOLLOW)), ELOOP);
    let mut link = open(&mut ram, "l", O_RDONLY | O_SYMLINK).unwrap();
    let mut buf = [0; 10];
    assert_eq!(ram.read(&mut link, &mut buf, 0), Ok(3));
    assert_eq!(&buf[..3], b"d/f");
    assert_eq!(
        stat(&mut ram, "l", O_NOFOLLOW).st_mode & MODE_TYPE,
        MODE_SYMLINK
    );
    assert_eq!(stat(&mut ram, "l", 0).st_mode & MODE_TYPE, MODE_FILE);
    for number in 0..=LINKS_FOLLOWED_MAX {
        symlink(&mut ram, &format!("c{}", number + 1), &format!("c{number}"));
    }
    put(&mut ram, &format!("c{}", LINKS_FOLLOWED_MAX + 1), "end");
    assert_eq!(errno(get(&mut ram, "c0")), ELOOP);
    assert_eq!(get(&mut ram, "c1").unwrap(), "end");
}

#[test]
fn hard_links_share_the_file() {
    let mut ram = scheme();
    put(&mut ram, "a", "x");
    let node = open(&mut ram, "a", O_STAT).unwrap();
    ram.link(&node, "b", &ROOT).unwrap();
    assert_eq!(errno(ram.link(&node, "b", &ROOT)), EEXIST);
    ram.close(node);
    assert_eq!(stat(&mut ram, "b", 0).st_nlink, 2);
    ram.unlink(None, "a", 0, &ROOT).unwrap();
    assert_eq!(get(&mut ram, "b").unwrap(), "x");
}

#[test]
fn permissions_hold_for_all_but_root() {
    let mut ram = scheme();
    let mut node = open_as(&mut ram, "mine", O_CREAT | O_WRONLY | 0o640, &USER).unwrap();
    can(&mut ram, "mine", O_RDONLY, &USER);
    assert_eq!(errno(open_as(&mut ram, "mine", O_RDONLY, &OTHER)), EACCES);
    assert_eq!(errno(ram.unlink(None, "mine", 0, &OTHER)), EPERM);
    assert_eq!(errno(ram.set_mode(&mut node, 0o666, &OTHER)), EPERM);
    assert_eq!(
        errno(ram.set_owner(&mut node, 1001, u32::MAX, &USER)),
        EPERM
    );
    ram.set_mode(&mut node, 0o444, &USER).unwrap();
    can(&mut ram, "mine", O_RDONLY, &OTHER);
    assert_eq!(errno(open_as(&mut ram, "mine", O_WRONLY, &USER)), EACCES);
    can(&mut ram, "mine", O_WRONLY, &ROOT);
    mkdir(&mut ram, "d");
    assert_eq!(
        errno(open_as(&mut ram, "d/x", O_CREAT | O_WRONLY, &USER)),
        EACCES
    );
    ram.unlink(None, "mine", 0, &USER).unwrap();
}

#[test]
fn a_full_volume_refuses_and_gets_its_room_back() {
    let mut ram = scheme();
    let mut node = open(&mut ram, "a", O_CREAT | O_RDWR).unwrap();
    assert_eq!(errno(ram.truncate(&mut node, VOLUME_BYTES + 1)), ENOSPC);
    assert_eq!(errno(ram.write(&mut node, b"x", u64::MAX, 0)), EFBIG);
    ram.truncate(&mut node, 1 << 20).unwrap();
    assert_eq!(ram.volume().used(), 1 << 20);
    ram.truncate(&mut node, 0).unwrap();
    assert_eq!(ram.volume().used(), 0);
}

#[test]
fn a_mapped_file_does_not_move() {
    let mut ram = scheme();
    put(&mut ram, "a", "mapped");
    let mut node = open(&mut ram, "a", O_RDWR).unwrap();
    let shared = MapFlags::PROT_READ | MapFlags::PROT_WRITE | MapFlags::MAP_SHARED;
    let address = ram.map(&mut node, 0, 8192, shared).unwrap();
    assert_eq!(address % 4096, 0);
    assert_eq!(errno(ram.map(&mut node, 5, 1, shared)), EINVAL);
    assert_eq!(errno(ram.truncate(&mut node, 64 << 20)), EBUSY);
    ram.truncate(&mut node, 1).unwrap();
    assert_eq!(ram.map(&mut node, 0, 4096, shared), Ok(address));
    ram.unmap(&mut node, 0, 8192).unwrap();
    ram.unmap(&mut node, 0, 4096).unwrap();
    ram.truncate(&mut node, 1 << 20).unwrap();
    let mut reader = open(&mut ram, "a", O_RDONLY).unwrap();
    assert_eq!(errno(ram.map(&mut reader, 0, 4096, shared)), EACCES);
}

#[test]
fn times_follow_what_happens() {
    let mut ram = scheme();
    put(&mut ram, "a", "x");
    assert_eq!(stat(&mut ram, "a", 0).st_mtime, 7);
    let mut node = open(&mut ram, "a", O_WRONLY).unwrap();
    let time = |tv_sec| TimeSpec { tv_sec, tv_nsec: 5 };
    let times = valence_daemon::Times {
        accessed: time(1),
        modified: time(2),
    };
    ram.set_times(&mut node, times).unwrap();
    let stat = stat(&mut ram, "a", 0);
    assert_eq!(
        (stat.st_atime, stat.st_mtime, stat.st_mtime_nsec),
        (1, 2, 5)
    );
}
