//! Metadata: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/stat.html>. Translates the kernel's 104-byte
//! `Stat` to C's 144-byte struct.

use super::resolve::{Last, across_links, c_path, open_located};
use super::{AT_FDCWD, Fd, open_at};
use crate::path::Location;
use crate::types::*;
use crate::{Errno, e, error, identity};
use valence_abi::flags::*;
use valence_abi::layout::{Stat, StatVfs};

const AT_SYMLINK_NOFOLLOW: c_int = 0x200;
const AT_EMPTY_PATH: c_int = 0x4000;
const AT_EACCESS: c_int = 0x400;
const R_OK: c_int = 4;
const W_OK: c_int = 2;
const X_OK: c_int = 1;
/// `st_blocks` counts these.
const NAME_MAX: u64 = 255;

pub(crate) fn fstat_raw(fd: usize) -> Result<Stat, Errno> {
    let mut stat = Stat::default();
    // SAFETY: the struct is the one the kernel writes.
    unsafe { syscall!(FSTAT, fd, &raw mut stat)? };
    Ok(stat)
}

pub(super) fn is_directory(fd: usize) -> Result<bool, Errno> {
    Ok(fstat_raw(fd)?.mode & MODE_TYPE == MODE_DIR)
}

/// True when the location itself is a symbolic link.
pub(super) fn is_link(location: &Location) -> bool {
    let fd = across_links(location, Last::Keep, |location| {
        open_located(location, O_STAT | O_NOFOLLOW | O_CLOEXEC)
    });
    fd.is_ok_and(|fd| fstat_raw(Fd(fd).0).is_ok_and(|stat| stat.mode & MODE_TYPE == MODE_SYMLINK))
}

pub(crate) fn is_executable_file(fd: usize) -> Result<Stat, Errno> {
    let stat = fstat_raw(fd)?;
    if stat.mode & MODE_TYPE != MODE_FILE || stat.mode & 0o111 == 0 {
        return Err(e::EACCES);
    }
    Ok(stat)
}

pub(crate) fn exists(path: &[u8]) -> bool {
    open_at(AT_FDCWD, path, O_STAT | O_CLOEXEC, 0).is_ok_and(|fd| {
        drop(Fd(fd));
        true
    })
}

pub(crate) fn to_c(stat: &Stat) -> CStat {
    let time = |sec: u64, nsec: u32| Timespec {
        sec: sec as i64,
        nsec: i64::from(nsec),
    };
    CStat {
        dev: stat.dev,
        ino: stat.ino,
        nlink: u64::from(stat.nlink),
        mode: i32::from(stat.mode),
        uid: stat.uid as i32,
        gid: stat.gid as i32,
        rdev: 0,
        size: stat.size as i64,
        blksize: i64::from(stat.blksize),
        blocks: stat.blocks as i64,
        atime: time(stat.atime, stat.atime_nsec),
        mtime: time(stat.mtime, stat.mtime_nsec),
        ctime: time(stat.ctime, stat.ctime_nsec),
        pad: [0; 24],
    }
}

pub(crate) fn statvfs_of(fd: usize) -> Result<CStatVfs, Errno> {
    let mut stat = StatVfs::default();
    // SAFETY: the struct is the one the kernel writes.
    unsafe { syscall!(FSTATVFS, fd, &raw mut stat)? };
    Ok(CStatVfs {
        bsize: u64::from(stat.bsize),
        frsize: u64::from(stat.bsize),
        blocks: stat.blocks,
        bfree: stat.bfree,
        bavail: stat.bavail,
        namemax: NAME_MAX,
        ..CStatVfs::default()
    })
}

fn open_to_stat(dirfd: c_int, path: &[u8], follow: bool) -> Result<Fd, Errno> {
    let nofollow = if follow { 0 } else { O_NOFOLLOW };
    open_at(dirfd, path, O_STAT | O_CLOEXEC | nofollow, 0).map(Fd)
}

fn stat_at(dirfd: c_int, path: &[u8], flags: c_int) -> Result<Stat, Errno> {
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 && dirfd != AT_FDCWD {
        return fstat_raw(dirfd as usize);
    }
    fstat_raw(open_to_stat(dirfd, path, flags & AT_SYMLINK_NOFOLLOW == 0)?.0)
}

/// # Safety
/// `out` must be valid.
unsafe fn give(out: *mut CStat, stat: Result<Stat, Errno>) -> c_int {
    error::int(stat.map(|stat| {
        // SAFETY: the caller's struct.
        unsafe { out.write(to_c(&stat)) };
        0
    }))
}

fn access_at(dirfd: c_int, path: &[u8], wanted: c_int, flags: c_int) -> Result<usize, Errno> {
    if wanted & !(R_OK | W_OK | X_OK) != 0 {
        return Err(e::EINVAL);
    }
    let stat = stat_at(dirfd, path, flags & AT_SYMLINK_NOFOLLOW)?;
    let meta = identity::meta(0)?;
    let (uid, gid) = if flags & AT_EACCESS != 0 {
        (meta.euid, meta.egid)
    } else {
        (meta.ruid, meta.rgid)
    };
    let mode = c_int::from(stat.mode);
    let granted = if uid == 0 {
        // The superuser may do everything, but run only what is a program for somebody.
        let runs = mode & 0o111 != 0 || stat.mode & MODE_TYPE == MODE_DIR;
        if runs {
            R_OK | W_OK | X_OK
        } else {
            R_OK | W_OK
        }
    } else if stat.uid == uid {
        mode >> 6
    } else if stat.gid == gid {
        mode >> 3
    } else {
        mode
    };
    if wanted & !granted == 0 {
        Ok(0)
    } else {
        Err(e::EACCES)
    }
}

c_api! {
    fn fstat(fd: c_int, out: *mut CStat) -> c_int {
        give(out, fstat_raw(fd as usize))
    }
    fn stat(path: *const u8, out: *mut CStat) -> c_int {
        give(out, c_path(path).and_then(|path| stat_at(AT_FDCWD, path, 0)))
    }
    fn lstat(path: *const u8, out: *mut CStat) -> c_int {
        give(out, c_path(path).and_then(|path| stat_at(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)))
    }
    fn fstatat(dirfd: c_int, path: *const u8, out: *mut CStat, flags: c_int) -> c_int {
        give(out, c_path(path).and_then(|path| stat_at(dirfd, path, flags)))
    }
    fn fstat64(fd: c_int, out: *mut CStat) -> c_int {
        fstat(fd, out)
    }
    fn stat64(path: *const u8, out: *mut CStat) -> c_int {
        stat(path, out)
    }
    fn lstat64(path: *const u8, out: *mut CStat) -> c_int {
        lstat(path, out)
    }
    fn fstatvfs(fd: c_int, out: *mut CStatVfs) -> c_int {
        error::int(statvfs_of(fd as usize).map(|stat| {
            out.write(stat);
            0
        }))
    }
    fn statvfs(path: *const u8, out: *mut CStatVfs) -> c_int {
        let stat = c_path(path).and_then(|path| open_to_stat(AT_FDCWD, path, true)).and_then(|fd| statvfs_of(fd.0));
        error::int(stat.map(|stat| {
            out.write(stat);
            0
        }))
    }
    fn access(path: *const u8, wanted: c_int) -> c_int {
        error::int(c_path(path).and_then(|path| access_at(AT_FDCWD, path, wanted, 0)))
    }
    fn eaccess(path: *const u8, wanted: c_int) -> c_int {
        error::int(c_path(path).and_then(|path| access_at(AT_FDCWD, path, wanted, AT_EACCESS)))
    }
    fn euidaccess(path: *const u8, wanted: c_int) -> c_int {
        eaccess(path, wanted)
    }
    fn faccessat(dirfd: c_int, path: *const u8, wanted: c_int, flags: c_int) -> c_int {
        error::int(c_path(path).and_then(|path| access_at(dirfd, path, wanted, flags)))
    }
    fn pathconf(_path: *const u8, name: c_int) -> c_long {
        fpathconf(0, name)
    }
    fn fpathconf(_fd: c_int, name: c_int) -> c_long {
        const LINK_MAX: c_long = 127;
        const PIPE_BUF: c_long = 4096;
        match name {
            0 => LINK_MAX,
            1 | 2 => NAME_MAX as c_long,
            3 => NAME_MAX as c_long,
            4 => valence_abi::PATH_MAX as c_long,
            5 => PIPE_BUF,
            6 | 7 => 1,
            8 => 0,
            13 => 64,
            19 => valence_abi::PATH_MAX as c_long - 1,
            _ => error::long(Err(e::EINVAL)) as c_long,
        }
    }
}

/// Opens for a change that needs the node, not its content.
pub(super) fn open_node(dirfd: c_int, path: &[u8], follow: bool) -> Result<Fd, Errno> {
    open_to_stat(dirfd, path, follow)
}

/// Opens the location itself, links not followed.
pub(super) fn open_itself(location: &Location) -> Result<Fd, Errno> {
    open_located(location, O_STAT | O_NOFOLLOW | O_CLOEXEC).map(Fd)
}
