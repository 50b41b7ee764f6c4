//! Structs that cross the system-call boundary by pointer. `repr(C)`, sizes and offsets as measured on x86_64 with
//! `redox_syscall` 0.9.5, except where the doc says "ours".

/// Asserts a struct's size at compile time.
macro_rules! size_is {
    ($($ty:ty = $size:literal),* $(,)?) => { $(const _: () = assert!(core::mem::size_of::<$ty>() == $size);)* };
}

/// File metadata (`syscall::Stat`). The C library translates it to C's `struct stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs, reason = "POSIX field names")]
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub mode: u16,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub blksize: u32,
    pub blocks: u64,
    pub mtime: u64,
    pub mtime_nsec: u32,
    pub atime: u64,
    pub atime_nsec: u32,
    pub ctime: u64,
    pub ctime_nsec: u32,
}

/// File-system totals (`syscall::StatVfs`), in blocks of `bsize` bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs, reason = "POSIX field names")]
pub struct StatVfs {
    pub bsize: u32,
    pub blocks: u64,
    pub bfree: u64,
    pub bavail: u64,
}

/// A time as the kernel and schemes exchange it (`syscall::TimeSpec`: nanoseconds are 32-bit here, 64-bit in C).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TimeSpec {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds below a second.
    pub nsec: i32,
}

/// One record of the event scheme: write it to subscribe, read it when ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// The descriptor watched.
    pub id: usize,
    /// `EVENT_READ | EVENT_WRITE`; 0 unsubscribes.
    pub flags: usize,
    /// Returned unchanged.
    pub data: usize,
}

/// Header of one directory record; name, NUL and zero padding follow (19 bytes, packed).
pub mod dirent {
    /// Bytes before the name.
    pub const HEADER_SIZE: usize = 19;
    /// Offset of the inode, u64.
    pub const INODE: usize = 0;
    /// Offset of the position that continues after this record, u64.
    pub const NEXT: usize = 8;
    /// Offset of the record's length, u16; a multiple of 8.
    pub const RECORD_LEN: usize = 16;
    /// Offset of the kind, u8.
    pub const KIND: usize = 18;
    /// Kind: not told.
    pub const UNKNOWN: u8 = 0;
    /// Kind: character device.
    pub const CHR: u8 = 2;
    /// Kind: directory.
    pub const DIR: u8 = 4;
    /// Kind: regular file.
    pub const FILE: u8 = 8;
    /// Kind: symbolic link.
    pub const SYMLINK: u8 = 10;
    /// Kind: socket.
    pub const SOCK: u8 = 12;
}

/// A pointer and a length, as `iovec`. Ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Slice {
    /// Address in the caller.
    pub ptr: usize,
    /// Length in bytes.
    pub len: usize,
}

/// What `EXEC` needs besides the image. Ours. Arrays of `Slice`; strings are not NUL terminated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ExecArgs {
    /// The ELF image in the caller's memory.
    pub image: Slice,
    /// `Slice` array of arguments; `len` is the count.
    pub argv: Slice,
    /// `Slice` array of `KEY=VALUE` strings; `len` is the count.
    pub envp: Slice,
    /// Canonical path of the image, for `/scheme/sys/exe` and the process table.
    pub path: Slice,
    /// Bytes handed unread to the new image's C library (`AT_LIBC_STATE`): cwd and umask.
    pub libc_state: Slice,
}

/// Identities of a process: the 44 bytes that `redox_get_proc_credentials_v1` fills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs, reason = "POSIX field names")]
pub struct ProcMeta {
    pub pid: u32,
    pub pgid: u32,
    pub ppid: u32,
    pub ruid: u32,
    pub euid: u32,
    pub suid: u32,
    pub rgid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub ens: u32,
    pub rns: u32,
}

/// Auxiliary vector keys that `EXEC` puts on the new stack (values as in ELF; `LIBC_STATE` is ours).
pub mod auxv {
    /// End of the vector.
    pub const NULL: usize = 0;
    /// Address of the program headers.
    pub const PHDR: usize = 3;
    /// Size of one program header.
    pub const PHENT: usize = 4;
    /// Count of program headers.
    pub const PHNUM: usize = 5;
    /// Page size.
    pub const PAGESZ: usize = 6;
    /// Entry address.
    pub const ENTRY: usize = 9;
    /// Address of 16 random bytes.
    pub const RANDOM: usize = 25;
    /// Address of the bytes from `ExecArgs::libc_state`.
    pub const LIBC_STATE: usize = 64;
    /// Their length.
    pub const LIBC_STATE_LEN: usize = 65;
}

size_is!(
    Stat = 104,
    StatVfs = 32,
    TimeSpec = 16,
    Event = 24,
    Slice = 16,
    ExecArgs = 80,
    ProcMeta = 44
);
