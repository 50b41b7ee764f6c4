//! The user scheme protocol, version 2: what a daemon reads from and writes to its scheme socket.
//!
//! Bit-exact with `redox_syscall` 0.9.5 / `redox-scheme` 0.11 and 0.12. Rules of use are in the kernel's scheme
//! module; this file has the numbers only.

/// A request: 64 bytes that the daemon reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Sqe {
    /// One of [`opcode`].
    pub opcode: u8,
    /// [`SQE_ONEWAY`], [`SQE_MULTIPLE_IDS`].
    pub sqe_flags: u8,
    /// Zero.
    pub reserved: u16,
    /// Names the request in its answer.
    pub tag: u32,
    /// Meaning depends on the opcode.
    pub args: [u64; 6],
    /// Caller's process, 0 when unknown.
    pub caller: u64,
}

/// An answer: 16 bytes that the daemon writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Cqe {
    /// Low three bits: one of [`reply`].
    pub flags: u8,
    /// `extra[0]` of an open-like answer: [`POSITIONED`].
    pub extra: [u8; 3],
    /// The request's tag (event flags for [`reply::SEND_FEVENT`]).
    pub tag: u32,
    /// `-errno` or the value (the handle for [`reply::SEND_FEVENT`]).
    pub result: u64,
}

/// What a daemon writes to `dup` on its socket to make a descriptor of its own scheme (exactly these 32 bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct NewFdParams {
    /// First cursor position.
    pub offset: u64,
    /// The daemon's handle number.
    pub number: usize,
    /// Status flags.
    pub flags: usize,
    /// [`POSITIONED`].
    pub internal_flags: u8,
}

const _: () = assert!(core::mem::size_of::<Sqe>() == 64);
const _: () = assert!(core::mem::size_of::<Cqe>() == 16);
const _: () = assert!(core::mem::size_of::<NewFdParams>() == 32);

/// The daemon must not answer.
pub const SQE_ONEWAY: u8 = 1;
/// `args[5]` is a second handle.
pub const SQE_MULTIPLE_IDS: u8 = 2;
/// The kernel keeps a cursor for the new descriptor and passes real offsets.
pub const POSITIONED: u8 = 1;
/// Offset of a read or write on a descriptor without a cursor.
pub const NO_OFFSET: u64 = u64::MAX;
/// The string that `dup` on the creation capability takes.
pub const CREATE_SCHEME: &[u8] = b"create-scheme";

/// Request opcodes.
#[allow(missing_docs, reason = "named as in the protocol")]
pub mod opcode {
    pub const CLOSE: u8 = 3;
    pub const DUP: u8 = 4;
    pub const READ: u8 = 5;
    pub const WRITE: u8 = 6;
    pub const FSIZE: u8 = 7;
    pub const FCHMOD: u8 = 8;
    pub const FCHOWN: u8 = 9;
    pub const FCNTL: u8 = 10;
    pub const FEVENT: u8 = 11;
    pub const SENDFD: u8 = 12;
    pub const FPATH: u8 = 13;
    pub const FRENAME: u8 = 14;
    pub const FSTAT: u8 = 15;
    pub const FSTATVFS: u8 = 16;
    pub const FSYNC: u8 = 17;
    pub const FTRUNCATE: u8 = 18;
    pub const FUTIMENS: u8 = 19;
    pub const MMAP_PREP: u8 = 20;
    pub const MUNMAP: u8 = 23;
    pub const CANCEL: u8 = 25;
    pub const GETDENTS: u8 = 26;
    pub const CLOSE_MSG: u8 = 27;
    pub const CALL: u8 = 28;
    pub const OPEN_AT: u8 = 29;
    pub const FLINK: u8 = 30;
    pub const RECVFD: u8 = 31;
    pub const UNLINK_AT: u8 = 32;
    pub const STD_FS_CALL: u8 = 33;
    pub const DETACH: u8 = 34;
}

/// Answer kinds (`Cqe::flags & 7`).
pub mod reply {
    /// A value or an error.
    pub const REGULAR: u8 = 0;
    /// The result is a descriptor of the daemon; the caller receives its description.
    pub const WITH_FD: u8 = 1;
    /// Not an answer: handle `result` became ready for the flags in `tag`.
    pub const SEND_FEVENT: u8 = 2;
    /// Legacy form of fetching a passed descriptor.
    pub const OBTAIN_FD: u8 = 3;
    /// The result counts descriptors that were moved over the socket before.
    pub const WITH_MULTIPLE_FDS: u8 = 4;
    /// Like `REGULAR`, and tell me when the caller's process ends (`DETACH`).
    pub const AND_NOTIFY_ON_DETACH: u8 = 5;
}

/// Kinds of `STD_FS_CALL` (first byte of its metadata).
#[allow(missing_docs, reason = "named as in the protocol")]
pub mod std_fs {
    pub const FCHMOD: u8 = 1;
    pub const FCHOWN: u8 = 2;
    pub const GETDENTS: u8 = 3;
    pub const FSTAT: u8 = 4;
    pub const FSTATVFS: u8 = 5;
    pub const FSYNC: u8 = 6;
    pub const FTRUNCATE: u8 = 7;
    pub const FUTIMENS: u8 = 8;
    pub const UNLINKAT: u8 = 10;
    pub const RELPATHAT: u8 = 11;
    pub const LOCK: u8 = 12;
    pub const UNLOCK: u8 = 13;
    pub const GET_LOCK: u8 = 14;
    pub const FRENAMEAT: u8 = 15;
    pub const FLINKAT: u8 = 16;
}
