//! Flag words and small constants that programs see. Bit-exact with `redox_syscall` 0.9.5.

/// Open for reading (a bit, not the absence of one).
pub const O_RDONLY: usize = 0x0001_0000;
/// Open for writing.
pub const O_WRONLY: usize = 0x0002_0000;
/// Open for both.
pub const O_RDWR: usize = 0x0003_0000;
/// Never block.
pub const O_NONBLOCK: usize = 0x0004_0000;
/// Writes go to the end.
pub const O_APPEND: usize = 0x0008_0000;
/// Shared lock at open (accepted, advisory).
pub const O_SHLOCK: usize = 0x0010_0000;
/// Exclusive lock at open (accepted, advisory).
pub const O_EXLOCK: usize = 0x0020_0000;
/// Signal-driven I/O.
pub const O_ASYNC: usize = 0x0040_0000;
/// Writes reach the device before they return.
pub const O_FSYNC: usize = 0x0080_0000;
/// Closed by exec. Kept per descriptor slot, never sent to a scheme as a status flag.
pub const O_CLOEXEC: usize = 0x0100_0000;
/// Create if missing.
pub const O_CREAT: usize = 0x0200_0000;
/// Cut to length 0.
pub const O_TRUNC: usize = 0x0400_0000;
/// With `O_CREAT`: fail if it exists.
pub const O_EXCL: usize = 0x0800_0000;
/// Must be a directory; with `O_CREAT`: make one.
pub const O_DIRECTORY: usize = 0x1000_0000;
/// Name only, no access to content (`O_PATH`).
pub const O_STAT: usize = 0x2000_0000;
/// Open a symbolic link itself; with `O_CREAT`: make one.
pub const O_SYMLINK: usize = 0x4000_0000;
/// Fail on a symbolic link.
pub const O_NOFOLLOW: usize = 0x8000_0000;
/// The access mode bits.
pub const O_ACCMODE: usize = O_RDWR;
/// Bits that `fcntl(F_SETFL)` may change.
pub const O_FCNTL_MASK: usize = O_NONBLOCK | O_APPEND | O_ASYNC | O_FSYNC;

/// `fcntl`: lowest free descriptor at or above the argument.
pub const F_DUPFD: usize = 0;
/// `fcntl`: descriptor flags.
pub const F_GETFD: usize = 1;
/// `fcntl`: set descriptor flags (`O_CLOEXEC` or 0).
pub const F_SETFD: usize = 2;
/// `fcntl`: status flags.
pub const F_GETFL: usize = 3;
/// `fcntl`: set status flags (`O_FCNTL_MASK` bits).
pub const F_SETFL: usize = 4;
/// `fcntl`: like `F_DUPFD`, closed by exec.
pub const F_DUPFD_CLOEXEC: usize = 1030;

/// Map: executable.
pub const PROT_EXEC: usize = 0x0001_0000;
/// Map: writable.
pub const PROT_WRITE: usize = 0x0002_0000;
/// Map: readable.
pub const PROT_READ: usize = 0x0004_0000;
/// Map: shared with everybody who maps the object.
pub const MAP_SHARED: usize = 1;
/// Map: private copy on write.
pub const MAP_PRIVATE: usize = 2;
/// Map: exactly at the address, replacing what is there.
pub const MAP_FIXED: usize = 4;
/// Map: exactly at the address, `EEXIST` when taken.
pub const MAP_FIXED_NOREPLACE: usize = 0xC;

/// `lseek`: from the start.
pub const SEEK_SET: usize = 0;
/// `lseek`: from the cursor.
pub const SEEK_CUR: usize = 1;
/// `lseek`: from the end.
pub const SEEK_END: usize = 2;

/// `unlinkat`: remove a directory.
pub const AT_REMOVEDIR: usize = 0x200;

/// Readiness: can be read.
pub const EVENT_READ: usize = 1;
/// Readiness: can be written.
pub const EVENT_WRITE: usize = 2;

/// File kinds in `st_mode`.
pub const MODE_TYPE: u16 = 0xF000;
/// Directory.
pub const MODE_DIR: u16 = 0x4000;
/// Regular file.
pub const MODE_FILE: u16 = 0x8000;
/// Symbolic link.
pub const MODE_SYMLINK: u16 = 0xA000;
/// Pipe.
pub const MODE_FIFO: u16 = 0x1000;
/// Character device.
pub const MODE_CHR: u16 = 0x2000;
/// Socket.
pub const MODE_SOCK: u16 = 0xC000;

/// Wall clock.
pub const CLOCK_REALTIME: usize = 1;
/// Time since boot.
pub const CLOCK_MONOTONIC: usize = 4;

/// `waitpid`: return 0 when nothing has changed.
pub const WNOHANG: usize = 1;
/// `waitpid`: report stopped children too.
pub const WUNTRACED: usize = 2;
/// `waitpid`: report continued children too.
pub const WCONTINUED: usize = 8;

/// `CALL` flags (redox_syscall `CallFlags`).
pub mod call {
    /// The descriptor is consumed.
    pub const CONSUME: usize = 1 << 8;
    /// The payload is input for the scheme.
    pub const WRITE: usize = 1 << 9;
    /// The payload is output of the scheme.
    pub const READ: usize = 1 << 10;
    /// The payload is an array of descriptors (`usize`) to pass.
    pub const FD: usize = 1 << 11;
    /// Passed descriptors must not be shared.
    pub const FD_EXCLUSIVE: usize = 1 << 12;
    /// Passed descriptors are copied, not moved.
    pub const FD_CLONE: usize = 1 << 13;
    /// Received descriptors go to the upper table (ignored here).
    pub const FD_UPPER: usize = 1 << 14;
    /// Received descriptors are closed by exec.
    pub const FD_CLOEXEC: usize = 1 << 15;
    /// A standard file-system call (`StdFsCallKind` in the metadata).
    pub const STD_FS: usize = 1 << 16;
    /// The descriptor argument is a pointer and count (older bit).
    pub const MULTIPLE_FDS: usize = 1 << 17;
    /// The descriptor argument is a pointer and count.
    pub const MULTIPLE_FDS2: usize = 1 << 19;
}
