//! Terminals: <https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/V1_chap11.html>.
//!
//! A terminal's settings are handles of its own: `dup(fd, "termios")` and so on, read and written as C's structs
//! (redox-facts 5; the names are those of ptyd). A descriptor is a terminal when its scheme knows "termios".

use crate::fs::{self, AT_FDCWD, Fd, dup_with, open_at};
use crate::path::PathBuf;
use crate::types::*;
use crate::{Errno, e, error};
use core::fmt::Write;
use core::slice;
use valence_abi::flags::*;

const TCGETS: c_ulong = 0x5401;
const TCSETS: c_ulong = 0x5402;
const TCSETSW: c_ulong = 0x5403;
const TCSETSF: c_ulong = 0x5404;
const TCFLSH: c_ulong = 0x540B;
const TIOCSCTTY: c_ulong = 0x540E;
const TIOCGPGRP: c_ulong = 0x540F;
const TIOCSPGRP: c_ulong = 0x5410;
const TIOCGWINSZ: c_ulong = 0x5413;
const TIOCSWINSZ: c_ulong = 0x5414;
const FIONREAD: c_ulong = 0x541B;
const FIONBIO: c_ulong = 0x5421;
const FIOCLEX: c_ulong = 0x5451;
const FIONCLEX: c_ulong = 0x5450;
const TIOCGPTN: c_ulong = 0x8004_5430;
const TIOCSPTLCK: c_ulong = 0x4004_5431;
const SPEED_MASK: u32 = 0o37;

/// Reads or writes one of a terminal's settings. A scheme that does not know the name is no terminal.
fn setting(fd: usize, name: &[u8]) -> Result<Fd, Errno> {
    match dup_with(fd, name) {
        Err(e::EBADF) => Err(e::EBADF),
        Err(_) => Err(e::ENOTTY),
        setting => setting,
    }
}

fn get<T: Copy>(fd: usize, name: &[u8]) -> Result<T, Errno> {
    let setting = setting(fd, name)?;
    let mut value = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: the buffer is as long as stated; T is a C struct of numbers, for which all bytes are valid.
    unsafe {
        let len = syscall!(READ, setting.0, value.as_mut_ptr(), size_of::<T>())?;
        if len == size_of::<T>() {
            Ok(value.assume_init())
        } else {
            Err(e::ENOTTY)
        }
    }
}

fn set<T: Copy>(fd: usize, name: &[u8], value: &T) -> Result<usize, Errno> {
    let setting = setting(fd, name)?;
    // SAFETY: a C struct of numbers, as bytes.
    unsafe { syscall!(WRITE, setting.0, core::ptr::from_ref(value), size_of::<T>()) }.map(|_| 0)
}

/// True for a terminal.
pub(crate) fn is_terminal(fd: usize) -> bool {
    setting(fd, b"termios").is_ok()
}

fn set_nonblocking(fd: usize, on: bool) -> Result<usize, Errno> {
    // SAFETY: no pointers.
    unsafe {
        let flags = syscall!(FCNTL, fd, F_GETFL, 0)?;
        let flags = if on {
            flags | O_NONBLOCK
        } else {
            flags & !O_NONBLOCK
        };
        syscall!(FCNTL, fd, F_SETFL, flags & O_FCNTL_MASK).map(|_| 0)
    }
}

/// # Safety
/// `argument` must be what the request takes.
unsafe fn control(fd: usize, request: c_ulong, argument: usize) -> Result<usize, Errno> {
    // SAFETY: the caller's structs.
    unsafe {
        match request {
            TCGETS => get::<Termios>(fd, b"termios")
                .map(|value| (argument as *mut Termios).write(value))?,
            TCSETS | TCSETSW | TCSETSF => {
                return set(fd, b"termios", &*(argument as *const Termios));
            }
            TIOCGWINSZ => get::<Winsize>(fd, b"winsize")
                .map(|value| (argument as *mut Winsize).write(value))?,
            TIOCSWINSZ => return set(fd, b"winsize", &*(argument as *const Winsize)),
            TIOCGPGRP => {
                get::<c_int>(fd, b"pgrp").map(|value| (argument as *mut c_int).write(value))?
            }
            TIOCSPGRP => return set(fd, b"pgrp", &*(argument as *const c_int)),
            TIOCGPTN => {
                get::<u32>(fd, b"ptsname").map(|value| (argument as *mut u32).write(value))?
            }
            TIOCSPTLCK => return set(fd, b"ptlock", &*(argument as *const c_int)),
            // A session has no controlling terminal of its own: the foreground group is the terminal's.
            TIOCSCTTY => {
                return if is_terminal(fd) {
                    Ok(0)
                } else {
                    Err(e::ENOTTY)
                };
            }
            TCFLSH => return tty_flush(fd),
            FIONBIO => return set_nonblocking(fd, *(argument as *const c_int) != 0),
            FIOCLEX => return syscall!(FCNTL, fd, F_SETFD, O_CLOEXEC),
            FIONCLEX => return syscall!(FCNTL, fd, F_SETFD, 0),
            FIONREAD => return Err(e::ENOSYS),
            _ => {
                return Err(if is_terminal(fd) {
                    e::EINVAL
                } else {
                    e::ENOTTY
                });
            }
        }
    }
    Ok(0)
}

fn tty_flush(fd: usize) -> Result<usize, Errno> {
    let flush = setting(fd, b"flush")?;
    fs::write_all(flush.0, b"\0").map(|()| 0)
}

/// The number of a pseudo-terminal, from its scheme's path.
fn pty_path(fd: usize) -> Result<PathBuf, Errno> {
    let number = get::<u32>(fd, b"ptsname")?;
    let mut text = crate::error::Text::<32>::new();
    write!(text, "/scheme/pty/{number}").map_err(|_| e::EIO)?;
    PathBuf::from_bytes(text.bytes())
}

fn terminal_path(fd: usize) -> Result<PathBuf, Errno> {
    if is_terminal(fd) {
        fs::canonical_of_fd(fd)
    } else {
        Err(e::ENOTTY)
    }
}

/// Gives a path to C: 0 or the error number.
///
/// # Safety
/// `buf` must have room for `len` bytes.
unsafe fn give(path: Result<PathBuf, Errno>, buf: *mut u8, len: usize) -> c_int {
    match path {
        Ok(path) if path.with_nul().len() > len => c_int::from(e::ERANGE.0),
        Ok(path) => {
            // SAFETY: it fits.
            unsafe {
                core::ptr::copy_nonoverlapping(path.with_nul().as_ptr(), buf, path.with_nul().len())
            };
            0
        }
        Err(errno) => c_int::from(errno.0),
    }
}

const NAME_LEN: usize = 64;
static mut TTY_NAME: [u8; NAME_LEN] = [0; NAME_LEN];
static mut PTS_NAME: [u8; NAME_LEN] = [0; NAME_LEN];

/// # Safety
/// `buf` must be one of the static names.
unsafe fn give_static(number: c_int, buf: *mut u8) -> *mut u8 {
    if number == 0 {
        return buf;
    }
    error::set(Errno(number as u16));
    core::ptr::null_mut()
}

fn open_pty(size: Option<&Winsize>, termios: Option<&Termios>) -> Result<(Fd, Fd), Errno> {
    let main = Fd(open_at(AT_FDCWD, b"/scheme/pty/ptmx", O_RDWR, 0)?);
    let other = Fd(open_at(AT_FDCWD, pty_path(main.0)?.as_bytes(), O_RDWR, 0)?);
    if let Some(size) = size {
        set(other.0, b"winsize", size)?;
    }
    if let Some(termios) = termios {
        set(other.0, b"termios", termios)?;
    }
    Ok((main, other))
}

c_api! {
    /// C's variadic argument arrives in the same register as a third one.
    fn ioctl(fd: c_int, request: c_ulong, argument: usize) -> c_int {
        error::int(control(fd as usize, request, argument))
    }
    fn isatty(fd: c_int) -> c_int {
        match setting(fd as usize, b"termios") {
            Ok(_) => 1,
            Err(errno) => {
                error::set(errno);
                0
            }
        }
    }
    fn tcgetattr(fd: c_int, out: *mut Termios) -> c_int {
        error::int(get::<Termios>(fd as usize, b"termios").map(|value| {
            out.write(value);
            0
        }))
    }
    fn tcsetattr(fd: c_int, action: c_int, termios: *const Termios) -> c_int {
        const TCSAFLUSH: c_int = 2;
        if !(0..=TCSAFLUSH).contains(&action) {
            return error::int(Err(e::EINVAL));
        }
        error::int(set(fd as usize, b"termios", &*termios))
    }
    fn tcgetpgrp(fd: c_int) -> c_int {
        error::int(get::<c_int>(fd as usize, b"pgrp").map(|group| group as usize))
    }
    fn tcsetpgrp(fd: c_int, group: c_int) -> c_int {
        error::int(set(fd as usize, b"pgrp", &group))
    }
    fn tcgetsid(fd: c_int) -> c_int {
        error::int(get::<c_int>(fd as usize, b"pgrp").and_then(|group| syscall!(GETSID, group)))
    }
    fn tcflush(fd: c_int, _queue: c_int) -> c_int {
        error::int(tty_flush(fd as usize))
    }
    /// Output is handed over when written: there is nothing to wait for.
    fn tcdrain(fd: c_int) -> c_int {
        error::int(if is_terminal(fd as usize) { Ok(0) } else { Err(e::ENOTTY) })
    }
    fn tcflow(_fd: c_int, _action: c_int) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn tcsendbreak(_fd: c_int, _duration: c_int) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn tcgetwinsize(fd: c_int, out: *mut Winsize) -> c_int {
        ioctl(fd, TIOCGWINSZ, out as usize)
    }
    fn tcsetwinsize(fd: c_int, size: *const Winsize) -> c_int {
        ioctl(fd, TIOCSWINSZ, size as usize)
    }
    fn cfmakeraw(termios: *mut Termios) {
        // IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON; OPOST; ECHO ECHONL ICANON ISIG IEXTEN; CSIZE PARENB.
        (*termios).iflag &= !0o001_753;
        (*termios).oflag &= !1;
        (*termios).lflag &= !(0x8 | 0x10 | 0x100 | 0x80 | 0x400);
        (*termios).cflag = (*termios).cflag & !(0o001_400 | 0o010_000) | 0o001_400;
        (*termios).cc[16] = 1;
        (*termios).cc[17] = 0;
    }
    fn cfgetispeed(termios: *const Termios) -> u32 {
        (*termios).ispeed
    }
    fn cfgetospeed(termios: *const Termios) -> u32 {
        (*termios).ospeed
    }
    fn cfsetispeed(termios: *mut Termios, speed: u32) -> c_int {
        if speed & !SPEED_MASK != 0 {
            return error::int(Err(e::EINVAL));
        }
        (*termios).ispeed = speed;
        0
    }
    fn cfsetospeed(termios: *mut Termios, speed: u32) -> c_int {
        if speed & !SPEED_MASK != 0 {
            return error::int(Err(e::EINVAL));
        }
        (*termios).ospeed = speed;
        0
    }
    fn cfsetspeed(termios: *mut Termios, speed: u32) -> c_int {
        if cfsetispeed(termios, speed) < 0 { -1 } else { cfsetospeed(termios, speed) }
    }
    fn ttyname_r(fd: c_int, buf: *mut u8, len: usize) -> c_int {
        give(terminal_path(fd as usize), buf, len)
    }
    fn ttyname(fd: c_int) -> *mut u8 {
        let buf = (&raw mut TTY_NAME).cast::<u8>();
        give_static(ttyname_r(fd, buf, NAME_LEN), buf)
    }
    fn ctermid(buf: *mut u8) -> *mut u8 {
        let buf = if buf.is_null() { (&raw mut TTY_NAME).cast::<u8>() } else { buf };
        core::ptr::copy_nonoverlapping(c"/dev/tty".as_ptr().cast(), buf, 9);
        buf
    }
    fn posix_openpt(flags: c_int) -> c_int {
        error::int(open_at(AT_FDCWD, b"/scheme/pty/ptmx", flags as u32 as usize, 0))
    }
    fn getpt() -> c_int {
        posix_openpt(O_RDWR as c_int)
    }
    /// The other side belongs to whoever may open the scheme.
    fn grantpt(fd: c_int) -> c_int {
        error::int(pty_path(fd as usize).map(|_| 0))
    }
    fn unlockpt(fd: c_int) -> c_int {
        error::int(set(fd as usize, b"ptlock", &0_i32))
    }
    fn ptsname_r(fd: c_int, buf: *mut u8, len: usize) -> c_int {
        give(pty_path(fd as usize), buf, len)
    }
    fn ptsname(fd: c_int) -> *mut u8 {
        let buf = (&raw mut PTS_NAME).cast::<u8>();
        give_static(ptsname_r(fd, buf, NAME_LEN), buf)
    }
    fn openpty(
        main: *mut c_int, other: *mut c_int, name: *mut u8, termios: *const Termios, size: *const Winsize,
    ) -> c_int {
        error::int(open_pty(size.as_ref(), termios.as_ref()).and_then(|(first, second)| {
            if !name.is_null() {
                let path = pty_path(first.0)?;
                slice::from_raw_parts_mut(name, path.with_nul().len()).copy_from_slice(path.with_nul());
            }
            *main = first.into_raw() as c_int;
            *other = second.into_raw() as c_int;
            Ok(0)
        }))
    }
    fn login_tty(fd: c_int) -> c_int {
        let _ = crate::identity::setsid();
        for stream in 0..=2 {
            if fd != stream && crate::fs::dup2(fd, stream) < 0 {
                return -1;
            }
        }
        if fd > 2 {
            crate::fs::close(fd);
        }
        let group = crate::identity::getpid();
        ioctl(0, TIOCSPGRP, (&raw const group) as usize)
    }
}
