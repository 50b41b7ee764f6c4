//! `execve` and its forms: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/exec.html>.
//!
//! The library reads the whole image into memory and hands it to the kernel; a file that begins with `#!` is run by the
//! interpreter named there. A file that is neither ELF nor such a script is refused, also by the
//! searching forms, which POSIX lets hand it to the shell: damaged programs should say so. What the library itself keeps for the process (current directory, mode mask) travels in
//! `ExecArgs::libc_state`.

use crate::fs::{self, AT_FDCWD, Fd, c_path};
use crate::memory::{free, malloc, map_anonymous};
use crate::path::PathBuf;
use crate::string::bytes_or_empty;
use crate::types::*;
use crate::{Errno, e, environment, error};
use core::slice;
use valence_abi::PATH_MAX;
use valence_abi::flags::{O_CLOEXEC, O_RDONLY};
use valence_abi::layout::{ExecArgs, Slice};

const PATH_DEFAULT: &[u8] = b"/usr/bin:/bin";
/// Scripts that are run by scripts.
const INTERPRETERS_MAX: usize = 4;
/// How much of a script's first line counts.
const LINE_MAX: usize = 256;
const READ_AT_A_TIME: usize = 1 << 20;
const STATE_MAX: usize = 4 + PATH_MAX;

fn slice_of(bytes: &[u8]) -> Slice {
    Slice {
        ptr: bytes.as_ptr() as usize,
        len: bytes.len(),
    }
}

/// Anonymous memory that is unmapped when exec fails.
struct Image {
    address: usize,
    room: usize,
    len: usize,
}

impl Image {
    fn read(fd: usize) -> Result<Image, Errno> {
        let stat = fs::is_executable_file(fd)?;
        let room = usize::try_from(stat.size).map_err(|_| e::ENOMEM)?.max(1);
        let mut image = Image {
            address: map_anonymous(room)?,
            room,
            len: 0,
        };
        while image.len < room {
            let want = (room - image.len).min(READ_AT_A_TIME);
            // SAFETY: the mapping has room for what is read.
            match unsafe { syscall!(READ, fd, image.address + image.len, want) } {
                Ok(0) => break,
                Ok(len) => image.len += len,
                Err(e::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(image)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping lives as long as the object, and `len` bytes of it were read.
        unsafe { slice::from_raw_parts(self.address as *const u8, self.len) }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: the object's own mapping.
        let _ = unsafe { syscall!(MUNMAP, self.address, self.room) };
    }
}

/// An array of slices on the heap.
struct Slices {
    items: *mut Slice,
    len: usize,
}

impl Slices {
    fn with_room(room: usize) -> Result<Slices, Errno> {
        let items = malloc(room.max(1) * size_of::<Slice>()).cast::<Slice>();
        if items.is_null() {
            Err(e::ENOMEM)
        } else {
            Ok(Slices { items, len: 0 })
        }
    }

    /// # Safety
    /// The array must have room; `bytes` must outlive it.
    unsafe fn push(&mut self, bytes: &[u8]) {
        // SAFETY: the caller vouches for room.
        unsafe { self.items.add(self.len).write(slice_of(bytes)) };
        self.len += 1;
    }

    /// The strings of a C array after the first `skip`, behind `leading` ones.
    ///
    /// # Safety
    /// `array` must be null or a NULL-terminated array of strings.
    unsafe fn from_c(
        array: *const *const u8,
        skip: usize,
        leading: &[&[u8]],
    ) -> Result<Slices, Errno> {
        // SAFETY: the caller's array; the slices get room for all of it.
        unsafe {
            let count = count(array);
            let mut slices = Slices::with_room(count + leading.len())?;
            for bytes in leading {
                slices.push(bytes);
            }
            for index in skip..count {
                slices.push(bytes_or_empty(*array.add(index)));
            }
            Ok(slices)
        }
    }

    fn as_slice(&self) -> Slice {
        Slice {
            ptr: self.items as usize,
            len: self.len,
        }
    }
}

impl Drop for Slices {
    fn drop(&mut self) {
        free(self.items.cast());
    }
}

/// # Safety
/// `array` must be null or a NULL-terminated array.
unsafe fn count(array: *const *const u8) -> usize {
    let mut count = 0;
    // SAFETY: the array ends with NULL.
    unsafe {
        while !array.is_null() && !(*array.add(count)).is_null() {
            count += 1;
        }
    }
    count
}

/// The interpreter and its optional argument in a script's first line.
fn interpreter(image: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let line = image.strip_prefix(b"#!")?;
    let line = &line[..line.len().min(LINE_MAX)];
    let line = &line[..line.iter().position(|&byte| byte == b'\n')?];
    let line = line.trim_ascii();
    let end = line
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(line.len());
    let argument = line[end..].trim_ascii();
    (end > 0).then_some((&line[..end], (!argument.is_empty()).then_some(argument)))
}

/// Replaces the image; returns only on failure.
///
/// # Safety
/// `argv` and `envp` must be null or NULL-terminated arrays of strings.
unsafe fn exec_fd(fd: Fd, path: &[u8], argv: *const *const u8, envp: *const *const u8) -> Errno {
    // SAFETY: passed on.
    unsafe { exec_open(fd, path, argv, envp, 0).err().unwrap_or(e::EIO) }
}

/// # Safety
/// As for [`exec_fd`].
unsafe fn exec_open(
    fd: Fd,
    path: &[u8],
    argv: *const *const u8,
    envp: *const *const u8,
    depth: usize,
) -> Result<(), Errno> {
    let image = Image::read(fd.0)?;
    drop(fd);
    if let Some((program, argument)) = interpreter(image.bytes()) {
        if depth == INTERPRETERS_MAX {
            return Err(e::ELOOP);
        }
        let opened = Fd(fs::open_at(AT_FDCWD, program, O_RDONLY | O_CLOEXEC, 0)?);
        let leading: [&[u8]; 3] = [program, argument.unwrap_or(path), path];
        let leading = if argument.is_some() {
            &leading[..]
        } else {
            &leading[..2]
        };
        // SAFETY: the leading texts live in this frame until the call returns.
        return unsafe {
            let arguments = CStrings::joined(leading, argv)?;
            exec_open(opened, program, arguments.as_ptr(), envp, depth + 1)
        };
    }
    // SAFETY: the caller's arrays; all slices outlive the call.
    unsafe {
        let argv = Slices::from_c(argv, 0, &[])?;
        let envp = Slices::from_c(envp, 0, &[])?;
        let mut state = [0; STATE_MAX];
        let state_len = fs::saved_state(&mut state);
        let canonical = fs::locate_at(AT_FDCWD, path)?.canonical()?;
        let args = ExecArgs {
            image: slice_of(image.bytes()),
            argv: argv.as_slice(),
            envp: envp.as_slice(),
            path: slice_of(canonical.as_bytes()),
            libc_state: slice_of(&state[..state_len]),
        };
        syscall!(EXEC, &raw const args)?;
    }
    Err(e::EIO)
}

/// A C argument array with some strings put in place of the first one; the strings are copies.
struct CStrings {
    items: *mut *const u8,
    copies: usize,
}

impl CStrings {
    /// # Safety
    /// `rest` must be null or a NULL-terminated array of strings.
    unsafe fn joined(leading: &[&[u8]], rest: *const *const u8) -> Result<CStrings, Errno> {
        // SAFETY: the caller's array; the new one has room for everything and the NULL.
        unsafe {
            let count = count(rest).max(1);
            let items =
                malloc((leading.len() + count) * size_of::<*const u8>()).cast::<*const u8>();
            if items.is_null() {
                return Err(e::ENOMEM);
            }
            let mut strings = CStrings { items, copies: 0 };
            for text in leading {
                let copy = malloc(text.len() + 1);
                if copy.is_null() {
                    return Err(e::ENOMEM);
                }
                core::ptr::copy_nonoverlapping(text.as_ptr(), copy, text.len());
                *copy.add(text.len()) = 0;
                *items.add(strings.copies) = copy;
                strings.copies += 1;
            }
            for index in 1..count {
                *items.add(leading.len() + index - 1) = *rest.add(index);
            }
            *items.add(leading.len() + count - 1) = core::ptr::null();
            Ok(strings)
        }
    }

    fn as_ptr(&self) -> *const *const u8 {
        self.items
    }
}

impl Drop for CStrings {
    fn drop(&mut self) {
        for index in 0..self.copies {
            // SAFETY: the first entries are the copies made here.
            unsafe { free((*self.items.add(index)).cast_mut()) };
        }
        free(self.items.cast());
    }
}

/// # Safety
/// As for [`exec_fd`].
pub(super) unsafe fn exec_path(
    path: &[u8],
    argv: *const *const u8,
    envp: *const *const u8,
) -> Errno {
    match fs::open_at(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) {
        // SAFETY: passed on.
        Ok(fd) => unsafe { exec_fd(Fd(fd), path, argv, envp) },
        Err(errno) => errno,
    }
}

/// Looks for a name without a slash in PATH.
///
/// # Safety
/// As for [`exec_fd`].
pub(super) unsafe fn exec_search(
    name: &[u8],
    argv: *const *const u8,
    envp: *const *const u8,
) -> Errno {
    if name.is_empty() {
        return e::ENOENT;
    }
    if name.contains(&b'/') {
        // SAFETY: passed on.
        return unsafe { exec_path(name, argv, envp) };
    }
    let mut result = e::ENOENT;
    for directory in environment::get(b"PATH")
        .unwrap_or(PATH_DEFAULT)
        .split(|&byte| byte == b':')
    {
        let Ok(path) = join(directory, name) else {
            continue;
        };
        // SAFETY: passed on.
        match unsafe { exec_path(path.as_bytes(), argv, envp) } {
            e::ENOENT | e::ENOTDIR | e::ENODEV | e::ENAMETOOLONG => {}
            e::EACCES => result = e::EACCES,
            errno => return errno,
        }
    }
    result
}

fn join(directory: &[u8], name: &[u8]) -> Result<PathBuf, Errno> {
    let mut path = PathBuf::from_bytes(if directory.is_empty() {
        b"."
    } else {
        directory
    })?;
    path.push(b"/")?;
    path.push(name)?;
    Ok(path)
}

fn current_environment() -> *const *const u8 {
    environment::array().cast()
}

c_api! {
    fn execve(path: *const u8, argv: *const *const u8, envp: *const *const u8) -> c_int {
        error::int(Err(c_path(path).map_or_else(|errno| errno, |path| exec_path(path, argv, envp))))
    }
    fn execv(path: *const u8, argv: *const *const u8) -> c_int {
        execve(path, argv, current_environment())
    }
    fn execvp(name: *const u8, argv: *const *const u8) -> c_int {
        execvpe(name, argv, current_environment())
    }
    fn execvpe(name: *const u8, argv: *const *const u8, envp: *const *const u8) -> c_int {
        error::int(Err(c_path(name).map_or_else(|errno| errno, |name| exec_search(name, argv, envp))))
    }
    fn fexecve(fd: c_int, argv: *const *const u8, envp: *const *const u8) -> c_int {
        let path = crate::fs::canonical_of_fd(fd as usize);
        error::int(Err(match (path, syscall!(DUP, fd, 0, 0, O_CLOEXEC)) {
            (Ok(path), Ok(copy)) => {
                let _ = syscall!(LSEEK, copy, 0, valence_abi::flags::SEEK_SET);
                exec_fd(Fd(copy), path.as_bytes(), argv, envp)
            }
            (Err(errno), _) | (_, Err(errno)) => errno,
        }))
    }
}
