//! C structs and constants as the `libc` crate declares them for Redox (measured: redox-facts 4.4). Numbers that the
//! kernel shares are in `valence_abi`.

pub(crate) use core::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};

macro_rules! size_is {
    ($($ty:ty = $size:literal),* $(,)?) => { $(const _: () = assert!(core::mem::size_of::<$ty>() == $size);)* };
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Timespec {
    pub(crate) sec: i64,
    pub(crate) nsec: i64,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Timeval {
    pub(crate) sec: i64,
    pub(crate) usec: i32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Itimerval {
    pub(crate) interval: Timeval,
    pub(crate) value: Timeval,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct CStat {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) nlink: u64,
    pub(crate) mode: i32,
    pub(crate) uid: i32,
    pub(crate) gid: i32,
    pub(crate) rdev: u64,
    pub(crate) size: i64,
    pub(crate) blksize: i64,
    pub(crate) blocks: i64,
    pub(crate) atime: Timespec,
    pub(crate) mtime: Timespec,
    pub(crate) ctime: Timespec,
    pub(crate) pad: [u8; 24],
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct CStatVfs {
    pub(crate) bsize: u64,
    pub(crate) frsize: u64,
    pub(crate) blocks: u64,
    pub(crate) bfree: u64,
    pub(crate) bavail: u64,
    pub(crate) files: u64,
    pub(crate) ffree: u64,
    pub(crate) favail: u64,
    pub(crate) fsid: u64,
    pub(crate) flag: u64,
    pub(crate) namemax: u64,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Dirent {
    pub(crate) ino: u64,
    pub(crate) off: i64,
    pub(crate) reclen: u16,
    pub(crate) kind: u8,
    pub(crate) name: [u8; 256],
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Iovec {
    pub(crate) base: *mut u8,
    pub(crate) len: usize,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Pollfd {
    pub(crate) fd: c_int,
    pub(crate) events: i16,
    pub(crate) revents: i16,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct EpollEvent {
    pub(crate) events: u32,
    pub(crate) data: u64,
    pub(crate) pad: u64,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Termios {
    pub(crate) iflag: u32,
    pub(crate) oflag: u32,
    pub(crate) cflag: u32,
    pub(crate) lflag: u32,
    pub(crate) line: u8,
    pub(crate) cc: [u8; 32],
    pub(crate) ispeed: u32,
    pub(crate) ospeed: u32,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Winsize {
    pub(crate) row: u16,
    pub(crate) col: u16,
    pub(crate) xpixel: u16,
    pub(crate) ypixel: u16,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct CSigaction {
    pub(crate) handler: usize,
    pub(crate) flags: u32,
    pub(crate) flags_high: u32,
    pub(crate) restorer: usize,
    pub(crate) mask: u64,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct StackT {
    pub(crate) sp: usize,
    pub(crate) flags: c_int,
    pub(crate) size: usize,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Tm {
    pub(crate) sec: c_int,
    pub(crate) min: c_int,
    pub(crate) hour: c_int,
    pub(crate) mday: c_int,
    pub(crate) mon: c_int,
    pub(crate) year: c_int,
    pub(crate) wday: c_int,
    pub(crate) yday: c_int,
    pub(crate) isdst: c_int,
    pub(crate) gmtoff: c_long,
    pub(crate) zone: *const c_char,
}

#[repr(C)]
pub(crate) struct Passwd {
    pub(crate) name: *mut c_char,
    pub(crate) passwd: *mut c_char,
    pub(crate) uid: c_int,
    pub(crate) gid: c_int,
    pub(crate) gecos: *mut c_char,
    pub(crate) dir: *mut c_char,
    pub(crate) shell: *mut c_char,
}

#[repr(C)]
pub(crate) struct Group {
    pub(crate) name: *mut c_char,
    pub(crate) passwd: *mut c_char,
    pub(crate) gid: c_int,
    pub(crate) members: *mut *mut c_char,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Rlimit {
    pub(crate) cur: u64,
    pub(crate) max: u64,
}

#[repr(C)]
pub(crate) struct Utsname {
    pub(crate) fields: [[u8; 65]; 6],
}

#[repr(C)]
pub(crate) struct Addrinfo {
    pub(crate) flags: c_int,
    pub(crate) family: c_int,
    pub(crate) socktype: c_int,
    pub(crate) protocol: c_int,
    pub(crate) addrlen: usize,
    pub(crate) canonname: *mut c_char,
    pub(crate) addr: *mut SockaddrIn,
    pub(crate) next: *mut Addrinfo,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct SockaddrIn {
    pub(crate) family: u16,
    pub(crate) port_be: u16,
    pub(crate) addr: [u8; 4],
    pub(crate) zero: [u8; 8],
}

#[repr(C)]
pub(crate) struct Msghdr {
    pub(crate) name: *mut c_void,
    pub(crate) namelen: u32,
    pub(crate) iov: *mut Iovec,
    pub(crate) iovlen: usize,
    pub(crate) control: *mut c_void,
    pub(crate) controllen: usize,
    pub(crate) flags: c_int,
}

#[repr(C)]
pub(crate) struct Cmsghdr {
    pub(crate) len: usize,
    pub(crate) level: c_int,
    pub(crate) kind: c_int,
}

size_is!(
    Timespec = 16,
    Timeval = 16,
    CStat = 144,
    CStatVfs = 88,
    Dirent = 280,
    Iovec = 16,
    Pollfd = 8,
    EpollEvent = 24,
    Termios = 60,
    Winsize = 8,
    CSigaction = 32,
    StackT = 24,
    Tm = 56,
    Passwd = 48,
    Group = 32,
    Utsname = 390,
    Addrinfo = 48,
    SockaddrIn = 16,
    Msghdr = 56,
    Cmsghdr = 16,
);
