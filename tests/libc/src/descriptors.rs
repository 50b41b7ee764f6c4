//! Files and directories, by descriptor and by path; what is no descriptor and no pointer.

use guest_tests::scratch::Scratch;
use guest_tests::{Group, OrFail, Outcome, check, check_eq, group};
use libc::c_int;

use crate::call::{c, close, done, error, pipe, read, size, size_error, write};

/// All about descriptors.
pub(crate) const GROUP: Group = group!(
    "libc-descriptors",
    guest_tests::DEFAULT_LIMIT,
    [
        open_flags_are_obeyed,
        the_umask_takes_bits_away,
        duplicates_share_the_position,
        close_on_exec_is_kept_per_descriptor,
        scattered_reads_and_gathered_writes,
        a_hole_reads_as_zeros,
        access_and_stat_agree,
        paths_relative_to_a_directory,
        a_directory_can_be_read_twice,
        readlink_does_not_terminate,
        times_can_be_set,
        bad_descriptors_are_refused,
        bad_pointers_are_refused,
        a_named_temporary_file,
    ]
);

pub(crate) fn open(path: &std::path::Path, flags: c_int) -> Result<c_int, String> {
    let path = c(path)?;
    // SAFETY: a terminated path; the mode is passed as open's third argument.
    done(unsafe { libc::open(path.as_ptr(), flags, 0o666) }, "open")
}

fn open_error(path: &std::path::Path, flags: c_int) -> Result<c_int, String> {
    let path = c(path)?;
    // SAFETY: as above.
    error(unsafe { libc::open(path.as_ptr(), flags, 0o666) })
}

fn open_flags_are_obeyed() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("a");
    check_eq!(open_error(&path, libc::O_RDONLY)?, libc::ENOENT);
    let fd = open(&path, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)?;
    check_eq!(size(write(fd, b"abc"), "write")?, 3);
    check_eq!(size_error(read(fd, &mut [0; 4]))?, libc::EBADF);
    check_eq!(
        open_error(&path, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)?,
        libc::EEXIST
    );
    check_eq!(
        open_error(&path, libc::O_RDONLY | libc::O_DIRECTORY)?,
        libc::ENOTDIR
    );
    check_eq!(open_error(scratch.path(), libc::O_WRONLY)?, libc::EISDIR);
    let reader = open(&path, libc::O_RDONLY)?;
    check_eq!(size_error(write(reader, b"x"))?, libc::EBADF);
    // SAFETY: F_GETFL takes no argument.
    let flags = done(unsafe { libc::fcntl(reader, libc::F_GETFL) }, "F_GETFL")?;
    check_eq!(flags & libc::O_ACCMODE, libc::O_RDONLY);
    close(&[fd, reader]);
    Ok(())
}

fn the_umask_takes_bits_away() -> Outcome {
    let scratch = Scratch::new()?;
    // SAFETY: umask cannot fail.
    let old = unsafe { libc::umask(0o027) };
    let fd = open(&scratch.join("a"), libc::O_WRONLY | libc::O_CREAT);
    // SAFETY: as above.
    let set = unsafe { libc::umask(old) };
    check_eq!(set, 0o027);
    close(&[fd?]);
    check_eq!(stat(&scratch.join("a"))?.st_mode as u32 & 0o777, 0o640);
    Ok(())
}

fn stat(path: &std::path::Path) -> Result<libc::stat, String> {
    let path = c(path)?;
    // SAFETY: an all-zero stat is valid, and stat fills it.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: a terminated path and a valid place.
    done(unsafe { libc::stat(path.as_ptr(), &mut stat) }, "stat")?;
    Ok(stat)
}

fn duplicates_share_the_position() -> Outcome {
    let scratch = Scratch::new()?;
    let fd = open(&scratch.join("a"), libc::O_RDWR | libc::O_CREAT)?;
    // SAFETY: plain descriptor calls.
    let (second, third) = unsafe {
        (
            done(libc::dup(fd), "dup")?,
            done(libc::dup2(fd, 50), "dup2")?,
        )
    };
    check_eq!(third, 50);
    check!(second > 2 && second < 50);
    check_eq!(size(write(fd, b"one"), "write")?, 3);
    check_eq!(size(write(second, b"two"), "write")?, 3);
    // SAFETY: plain descriptor calls.
    let position = unsafe { libc::lseek(third, 0, libc::SEEK_CUR) };
    check_eq!(position, 6);
    // SAFETY: F_DUPFD takes the lowest number wanted.
    let high = done(unsafe { libc::fcntl(fd, libc::F_DUPFD, 60) }, "F_DUPFD")?;
    check!(high >= 60);
    close(&[fd, second, third, high]);
    check_eq!(size_error(write(third, b"x"))?, libc::EBADF);
    Ok(())
}

fn close_on_exec_is_kept_per_descriptor() -> Outcome {
    let ends = pipe(libc::O_CLOEXEC)?;
    // SAFETY: F_GETFD and dup take no more arguments.
    unsafe {
        check_eq!(libc::fcntl(ends[0], libc::F_GETFD), libc::FD_CLOEXEC);
        let copy = done(libc::dup(ends[0]), "dup")?;
        check_eq!(libc::fcntl(copy, libc::F_GETFD), 0);
        check_eq!(libc::fcntl(copy, libc::F_SETFD, libc::FD_CLOEXEC), 0);
        check_eq!(libc::fcntl(copy, libc::F_GETFD), libc::FD_CLOEXEC);
        let other = done(
            libc::fcntl(ends[0], libc::F_DUPFD_CLOEXEC, 0),
            "F_DUPFD_CLOEXEC",
        )?;
        check_eq!(libc::fcntl(other, libc::F_GETFD), libc::FD_CLOEXEC);
        close(&[copy, other]);
    }
    close(&ends);
    Ok(())
}

fn scattered_reads_and_gathered_writes() -> Outcome {
    let scratch = Scratch::new()?;
    let fd = open(&scratch.join("a"), libc::O_RDWR | libc::O_CREAT)?;
    let parts: [&[u8]; 3] = [b"first ", b"", b"second"];
    let vectors = parts.map(|part| libc::iovec {
        iov_base: part.as_ptr().cast_mut().cast(),
        iov_len: part.len(),
    });
    // SAFETY: the vectors describe readable slices.
    check_eq!(
        size(unsafe { libc::writev(fd, vectors.as_ptr(), 3) }, "writev")?,
        12
    );
    // SAFETY: the buffer is readable for its length.
    let written = unsafe { libc::pwrite(fd, b"F".as_ptr().cast(), 1, 0) };
    check_eq!(size(written, "pwrite")?, 1);
    let (mut left, mut right) = ([0u8; 6], [0u8; 10]);
    let vectors = [
        libc::iovec {
            iov_base: left.as_mut_ptr().cast(),
            iov_len: left.len(),
        },
        libc::iovec {
            iov_base: right.as_mut_ptr().cast(),
            iov_len: right.len(),
        },
    ];
    // SAFETY: lseek is a plain call; the vectors describe writable arrays.
    let count = unsafe {
        libc::lseek(fd, 0, libc::SEEK_SET);
        libc::readv(fd, vectors.as_ptr(), 2)
    };
    check_eq!(size(count, "readv")?, 12);
    check_eq!((&left, &right[..6]), (b"First ", &b"second"[..]));
    let mut three = [0u8; 3];
    // SAFETY: the buffer is writable for its length.
    let count = unsafe { libc::pread(fd, three.as_mut_ptr().cast(), 3, 6) };
    check_eq!((size(count, "pread")?, &three), (3, b"sec"));
    close(&[fd]);
    Ok(())
}

fn a_hole_reads_as_zeros() -> Outcome {
    let scratch = Scratch::new()?;
    let fd = open(&scratch.join("a"), libc::O_RDWR | libc::O_CREAT)?;
    // SAFETY: plain descriptor calls.
    unsafe {
        check_eq!(libc::lseek(fd, 100_000, libc::SEEK_SET), 100_000);
        check_eq!(write(fd, b"end"), 3);
        check_eq!(libc::lseek(fd, 0, libc::SEEK_END), 100_003);
        check_eq!(
            error(libc::lseek(fd, -1, libc::SEEK_SET) as c_int)?,
            libc::EINVAL
        );
        libc::lseek(fd, 50_000, libc::SEEK_SET);
    }
    let mut bytes = [1u8; 1000];
    check_eq!(size(read(fd, &mut bytes), "read")?, 1000);
    check!(bytes.iter().all(|&byte| byte == 0));
    let ends = pipe(0)?;
    // SAFETY: plain descriptor call.
    let moved = unsafe { libc::lseek(ends[0], 0, libc::SEEK_SET) };
    check_eq!(error(moved as c_int)?, libc::ESPIPE);
    close(&[fd, ends[0], ends[1]]);
    Ok(())
}

fn access_and_stat_agree() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("a");
    let fd = open(&path, libc::O_WRONLY | libc::O_CREAT)?;
    write(fd, &[0; 5000]);
    close(&[fd]);
    let (present, absent) = (c(&path)?, c(scratch.join("b"))?);
    // SAFETY: terminated paths.
    unsafe {
        check_eq!(libc::access(present.as_ptr(), libc::F_OK), 0);
        check_eq!(libc::access(present.as_ptr(), libc::R_OK | libc::W_OK), 0);
        check_eq!(
            error(libc::access(absent.as_ptr(), libc::F_OK))?,
            libc::ENOENT
        );
    }
    let stat = stat(&path)?;
    check_eq!(stat.st_size, 5000);
    check_eq!(stat.st_mode as u32 & 0o170_000, 0o100_000);
    check!(stat.st_nlink == 1 && stat.st_blksize > 0 && stat.st_blocks > 0 && stat.st_mtime > 0);
    Ok(())
}

fn paths_relative_to_a_directory() -> Outcome {
    let scratch = Scratch::new()?;
    let dir = open(scratch.path(), libc::O_RDONLY | libc::O_DIRECTORY)?;
    // SAFETY: terminated paths and valid places.
    unsafe {
        check_eq!(libc::mkdirat(dir, c"sub".as_ptr(), 0o755), 0);
        let fd = done(
            libc::openat(
                dir,
                c"sub/file".as_ptr(),
                libc::O_CREAT | libc::O_WRONLY,
                0o644,
            ),
            "openat",
        )?;
        write(fd, b"12345");
        close(&[fd]);
        let mut stat: libc::stat = std::mem::zeroed();
        check_eq!(
            done(
                libc::fstatat(dir, c"sub/file".as_ptr(), &mut stat, 0),
                "fstatat"
            )?,
            0
        );
        check_eq!(stat.st_size, 5);
        check_eq!(
            error(libc::unlinkat(dir, c"sub".as_ptr(), libc::AT_REMOVEDIR))?,
            libc::ENOTEMPTY
        );
        check_eq!(
            done(libc::unlinkat(dir, c"sub/file".as_ptr(), 0), "unlinkat")?,
            0
        );
        check_eq!(
            done(
                libc::unlinkat(dir, c"sub".as_ptr(), libc::AT_REMOVEDIR),
                "unlinkat"
            )?,
            0
        );
    }
    check!(!scratch.join("sub").exists());
    close(&[dir]);
    Ok(())
}

/// Reads the names of an open directory until its end.
fn names(dir: *mut libc::DIR) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        // SAFETY: dir is open.
        let entry = unsafe { libc::readdir(dir) };
        if entry.is_null() {
            break;
        }
        // SAFETY: readdir gave a valid entry with a terminated name, valid until the next call.
        let name = unsafe { std::ffi::CStr::from_ptr((*entry).d_name.as_ptr()) };
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    names
}

fn a_directory_can_be_read_twice() -> Outcome {
    let scratch = Scratch::new()?;
    for number in 0..40 {
        std::fs::write(scratch.join(&format!("{number:02}")), b"").or_fail("write")?;
    }
    let path = c(scratch.path())?;
    // SAFETY: a terminated path.
    let dir = unsafe { libc::opendir(path.as_ptr()) };
    check!(!dir.is_null());
    let first = names(dir);
    // SAFETY: dir is open.
    unsafe { libc::rewinddir(dir) };
    let second = names(dir);
    // SAFETY: dir is open and not used afterwards.
    check_eq!(unsafe { libc::closedir(dir) }, 0);
    let plain: Vec<_> = first.iter().filter(|name| !name.starts_with('.')).collect();
    check_eq!(plain.len(), 40);
    check_eq!(first, second);
    // SAFETY: a terminated path.
    check!(unsafe { libc::opendir(c"/no/such/dir".as_ptr()) }.is_null());
    Ok(())
}

fn readlink_does_not_terminate() -> Outcome {
    let scratch = Scratch::new()?;
    std::os::unix::fs::symlink("0123456789", scratch.join("l")).or_fail("symlink")?;
    let path = c(scratch.join("l"))?;
    let mut buffer = [b'#' as libc::c_char; 16];
    // SAFETY: the buffer is writable for the lengths given.
    let (full, cut) = unsafe {
        let full = libc::readlink(path.as_ptr(), buffer.as_mut_ptr(), 16);
        check_eq!(buffer[10] as u8, b'#');
        (full, libc::readlink(path.as_ptr(), buffer.as_mut_ptr(), 4))
    };
    check_eq!((full, cut), (10, 4));
    Ok(())
}

fn times_can_be_set() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("a");
    let fd = open(&path, libc::O_WRONLY | libc::O_CREAT)?;
    // SAFETY: an all-zero timespec is valid.
    let mut times: [libc::timespec; 2] = unsafe { std::mem::zeroed() };
    (times[0].tv_sec, times[1].tv_sec, times[1].tv_nsec) = (1_000_000, 2_000_000, 500);
    // SAFETY: two valid times.
    done(unsafe { libc::futimens(fd, times.as_ptr()) }, "futimens")?;
    let stat = stat(&path)?;
    check_eq!((stat.st_atime, stat.st_mtime), (1_000_000, 2_000_000));
    close(&[fd]);
    Ok(())
}

fn bad_descriptors_are_refused() -> Outcome {
    for fd in [-1, 999_999, c_int::MAX] {
        check_eq!(size_error(read(fd, &mut [0; 4]))?, libc::EBADF);
        check_eq!(size_error(write(fd, b"x"))?, libc::EBADF);
        // SAFETY: plain calls on descriptors that are not open.
        unsafe {
            check_eq!(error(libc::close(fd))?, libc::EBADF);
            check_eq!(error(libc::dup(fd))?, libc::EBADF);
            check_eq!(error(libc::fsync(fd))?, libc::EBADF);
            check_eq!(error(libc::fcntl(fd, libc::F_GETFL))?, libc::EBADF);
        }
    }
    Ok(())
}

fn bad_pointers_are_refused() -> Outcome {
    let ends = pipe(libc::O_NONBLOCK)?;
    write(ends[1], b"data");
    for address in [
        8usize,
        0x7fff_ffff_f000,
        usize::MAX - 4096,
        0xffff_8000_0000_0000,
    ] {
        let pointer = std::ptr::without_provenance_mut::<libc::c_void>(address);
        // SAFETY: the kernel checks the pointer; nothing is accessed by this program.
        unsafe {
            check_eq!(size_error(libc::read(ends[0], pointer, 4))?, libc::EFAULT);
            check_eq!(size_error(libc::write(ends[1], pointer, 4))?, libc::EFAULT);
        }
    }
    // The data is still there.
    let mut bytes = [0u8; 8];
    check_eq!(read(ends[0], &mut bytes), 4);
    close(&ends);
    Ok(())
}

fn a_named_temporary_file() -> Outcome {
    let scratch = Scratch::new()?;
    let mut template = c(scratch.join("file-XXXXXX"))?.into_bytes_with_nul();
    // SAFETY: a terminated, writable template.
    let fd = done(
        unsafe { libc::mkstemp(template.as_mut_ptr().cast()) },
        "mkstemp",
    )?;
    let name = String::from_utf8_lossy(&template[..template.len() - 1]).into_owned();
    check!(!name.ends_with("XXXXXX"));
    check!(std::path::Path::new(&name).exists());
    close(&[fd]);
    Ok(())
}
