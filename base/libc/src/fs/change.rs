//! Making, removing, renaming and changing entries:
//! <https://pubs.opengroup.org/onlinepubs/9799919799/functions/rename.html> and neighbours.

use super::resolve::{
    Last, across_links, c_path, canonical_of_fd, locate_at, open_located, read_link,
};
use super::stat::{open_itself, open_node};
use super::{AT_FDCWD, Fd, cwd, open_at, write_all};
use crate::memory::malloc;
use crate::path::{self, Location, PathBuf};
use crate::types::*;
use crate::{Errno, e, error};
use core::{ptr, slice};
use valence_abi::PATH_MAX;
use valence_abi::flags::*;
use valence_abi::syscall::AT_NAMESPACE;

const AT_SYMLINK_NOFOLLOW: c_int = 0x200;
const AT_SYMLINK_FOLLOW: c_int = 0x2000;
const RENAME_NOREPLACE: c_uint = 1;
const PERMISSION_BITS: u32 = 0o7777;
/// Links have no permissions of their own; this is what they show.
const LINK_MODE: usize = 0o777;

fn unlink_at(dirfd: c_int, path: &[u8], flags: usize) -> Result<usize, Errno> {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(e::EINVAL);
    }
    if dirfd != AT_FDCWD
        && !path::is_absolute(path)
        && !path.is_empty()
        && !path::has_parent_part(path)
    {
        // SAFETY: the path is as long as stated.
        match unsafe { syscall!(UNLINKAT, dirfd, path.as_ptr(), path.len(), flags) } {
            Err(e::EXDEV | e::EOPNOTSUPP | e::ENOSYS) => {}
            result => return result,
        }
    }
    across_links(&locate_at(dirfd, path)?, Last::Keep, |location| {
        let text = location.as_bytes();
        // SAFETY: the path is as long as stated.
        unsafe { syscall!(UNLINKAT, AT_NAMESPACE, text.as_ptr(), text.len(), flags) }
    })
}

fn make_directory(dirfd: c_int, path: &[u8], mode: u32) -> Result<usize, Errno> {
    let mut location = locate_at(dirfd, path)?;
    location.names_directory = false;
    let mode = (mode & PERMISSION_BITS & !cwd::mask()) as usize;
    let flags = O_CREAT | O_EXCL | O_DIRECTORY | O_CLOEXEC | mode;
    drop(Fd(open_located(&location, flags)?));
    Ok(0)
}

fn make_link_text(target: &[u8], dirfd: c_int, path: &[u8]) -> Result<usize, Errno> {
    if target.is_empty() || target.len() >= PATH_MAX {
        return Err(if target.is_empty() {
            e::ENOENT
        } else {
            e::ENAMETOOLONG
        });
    }
    let flags = O_CREAT | O_EXCL | O_SYMLINK | O_WRONLY | O_CLOEXEC | LINK_MODE;
    let fd = Fd(open_located(&locate_at(dirfd, path)?, flags)?);
    write_all(fd.0, target)?;
    Ok(0)
}

fn read_link_at(dirfd: c_int, path: &[u8], buf: &mut [u8]) -> Result<usize, Errno> {
    across_links(&locate_at(dirfd, path)?, Last::Keep, |location| {
        read_link(location, buf)
    })
}

fn rename_at(
    old_dir: c_int,
    old: &[u8],
    new_dir: c_int,
    new: &[u8],
    flags: c_uint,
) -> Result<usize, Errno> {
    if flags & !RENAME_NOREPLACE != 0 {
        return Err(e::EINVAL);
    }
    let target = locate_at(new_dir, new)?;
    if flags & RENAME_NOREPLACE != 0 && open_itself(&target).is_ok() {
        return Err(e::EEXIST);
    }
    let node = open_itself(&locate_at(old_dir, old)?)?;
    across_links(&target, Last::Keep, |target| {
        let text = target.as_bytes();
        // SAFETY: the path is as long as stated.
        unsafe { syscall!(FRENAME, node.0, text.as_ptr(), text.len()) }
    })
}

fn link_at(
    old_dir: c_int,
    old: &[u8],
    new_dir: c_int,
    new: &[u8],
    follow: bool,
) -> Result<usize, Errno> {
    let target = locate_at(new_dir, new)?;
    if open_itself(&target).is_ok() {
        return Err(e::EEXIST);
    }
    let node = open_node(old_dir, old, follow)?;
    across_links(&target, Last::Keep, |target| {
        let text = target.as_bytes();
        // SAFETY: the path is as long as stated.
        unsafe { syscall!(FLINK, node.0, text.as_ptr(), text.len()) }
    })
}

fn change_mode(dirfd: c_int, path: &[u8], mode: u32, flags: c_int) -> Result<usize, Errno> {
    let node = open_node(dirfd, path, flags & AT_SYMLINK_NOFOLLOW == 0)?;
    // SAFETY: no pointers.
    unsafe { syscall!(FCHMOD, node.0, mode & PERMISSION_BITS) }
}

fn change_owner(
    dirfd: c_int,
    path: &[u8],
    uid: u32,
    gid: u32,
    follow: bool,
) -> Result<usize, Errno> {
    let node = open_node(dirfd, path, follow)?;
    // SAFETY: no pointers.
    unsafe { syscall!(FCHOWN, node.0, uid, gid) }
}

/// The canonical path of what `location` leads to. What its scheme has no path for, a pipe under `/dev/fd`, keeps its name.
fn real_path(location: &Location) -> Result<PathBuf, Errno> {
    let directory = if location.names_directory {
        O_DIRECTORY
    } else {
        0
    };
    let fd = Fd(open_located(location, O_STAT | O_CLOEXEC | directory)?);
    canonical_of_fd(fd.0).or_else(|_| location.canonical())
}

c_api! {
    fn unlink(path: *const u8) -> c_int {
        error::int(c_path(path).and_then(|path| unlink_at(AT_FDCWD, path, 0)))
    }
    fn rmdir(path: *const u8) -> c_int {
        error::int(c_path(path).and_then(|path| unlink_at(AT_FDCWD, path, AT_REMOVEDIR)))
    }
    fn unlinkat(dirfd: c_int, path: *const u8, flags: c_int) -> c_int {
        error::int(c_path(path).and_then(|path| unlink_at(dirfd, path, flags as usize)))
    }
    fn remove(path: *const u8) -> c_int {
        error::int(c_path(path).and_then(|path| match unlink_at(AT_FDCWD, path, 0) {
            Err(e::EISDIR | e::EPERM) => unlink_at(AT_FDCWD, path, AT_REMOVEDIR),
            result => result,
        }))
    }
    fn mkdir(path: *const u8, mode: c_uint) -> c_int {
        error::int(c_path(path).and_then(|path| make_directory(AT_FDCWD, path, mode)))
    }
    fn mkdirat(dirfd: c_int, path: *const u8, mode: c_uint) -> c_int {
        error::int(c_path(path).and_then(|path| make_directory(dirfd, path, mode)))
    }
    /// No scheme of ours has named pipes or device nodes.
    fn mkfifo(_path: *const u8, _mode: c_uint) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn mkfifoat(_dirfd: c_int, _path: *const u8, _mode: c_uint) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn mknod(_path: *const u8, _mode: c_uint, _device: u64) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn mknodat(_dirfd: c_int, _path: *const u8, _mode: c_uint, _device: u64) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn symlink(target: *const u8, path: *const u8) -> c_int {
        symlinkat(target, AT_FDCWD, path)
    }
    fn symlinkat(target: *const u8, dirfd: c_int, path: *const u8) -> c_int {
        error::int(c_path(target).and_then(|target| make_link_text(target, dirfd, c_path(path)?)))
    }
    fn readlink(path: *const u8, buf: *mut u8, len: usize) -> isize {
        readlinkat(AT_FDCWD, path, buf, len)
    }
    fn readlinkat(dirfd: c_int, path: *const u8, buf: *mut u8, len: usize) -> isize {
        let buf = slice::from_raw_parts_mut(buf, len.min(isize::MAX as usize));
        error::long(c_path(path).and_then(|path| read_link_at(dirfd, path, buf)))
    }
    fn rename(old: *const u8, new: *const u8) -> c_int {
        renameat2(AT_FDCWD, old, AT_FDCWD, new, 0)
    }
    fn renameat(old_dir: c_int, old: *const u8, new_dir: c_int, new: *const u8) -> c_int {
        renameat2(old_dir, old, new_dir, new, 0)
    }
    fn renameat2(old_dir: c_int, old: *const u8, new_dir: c_int, new: *const u8, flags: c_uint) -> c_int {
        error::int(c_path(old).and_then(|old| rename_at(old_dir, old, new_dir, c_path(new)?, flags)))
    }
    fn link(old: *const u8, new: *const u8) -> c_int {
        linkat(AT_FDCWD, old, AT_FDCWD, new, 0)
    }
    fn linkat(old_dir: c_int, old: *const u8, new_dir: c_int, new: *const u8, flags: c_int) -> c_int {
        let follow = flags & AT_SYMLINK_FOLLOW != 0;
        error::int(c_path(old).and_then(|old| link_at(old_dir, old, new_dir, c_path(new)?, follow)))
    }
    fn chmod(path: *const u8, mode: c_uint) -> c_int {
        fchmodat(AT_FDCWD, path, mode, 0)
    }
    fn lchmod(path: *const u8, mode: c_uint) -> c_int {
        fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW)
    }
    fn fchmodat(dirfd: c_int, path: *const u8, mode: c_uint, flags: c_int) -> c_int {
        error::int(c_path(path).and_then(|path| change_mode(dirfd, path, mode, flags)))
    }
    fn fchmod(fd: c_int, mode: c_uint) -> c_int {
        error::int(syscall!(FCHMOD, fd, mode & PERMISSION_BITS))
    }
    fn chown(path: *const u8, uid: u32, gid: u32) -> c_int {
        error::int(c_path(path).and_then(|path| change_owner(AT_FDCWD, path, uid, gid, true)))
    }
    fn lchown(path: *const u8, uid: u32, gid: u32) -> c_int {
        error::int(c_path(path).and_then(|path| change_owner(AT_FDCWD, path, uid, gid, false)))
    }
    fn fchownat(dirfd: c_int, path: *const u8, uid: u32, gid: u32, flags: c_int) -> c_int {
        let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
        error::int(c_path(path).and_then(|path| change_owner(dirfd, path, uid, gid, follow)))
    }
    fn fchown(fd: c_int, uid: u32, gid: u32) -> c_int {
        error::int(syscall!(FCHOWN, fd, uid, gid))
    }
    fn truncate(path: *const u8, len: i64) -> c_int {
        if len < 0 {
            return error::int(Err(e::EINVAL));
        }
        error::int(c_path(path).and_then(|path| {
            let fd = Fd(open_at(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0)?);
            syscall!(FTRUNCATE, fd.0, len)
        }))
    }
    fn realpath(path: *const u8, buf: *mut u8) -> *mut u8 {
        match c_path(path).and_then(|path| real_path(&locate_at(AT_FDCWD, path)?)) {
            Ok(real) => {
                let text = real.with_nul();
                let buf = if buf.is_null() { malloc(text.len()) } else { buf };
                if !buf.is_null() {
                    ptr::copy_nonoverlapping(text.as_ptr(), buf, text.len());
                }
                buf
            }
            Err(errno) => {
                error::set(errno);
                ptr::null_mut()
            }
        }
    }
}
