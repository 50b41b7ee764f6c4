//! System calls: numbers, arguments, meaning. The one table; kernel dispatch and libc stubs follow it.
//!
//! Convention: number in rax, arguments in rdi rsi rdx r10 r8 r9, result in rax (`errno::encode`); rcx and r11 are
//! clobbered, everything else is kept. A pointer argument that does not name readable (writable) user memory of the
//! stated length gives `EFAULT`; a length above `isize::MAX` gives `EINVAL`. "deadline" is monotonic nanoseconds, `u64::MAX` = none.
//! Blocking calls end with `EINTR` when a signal handler ran, unless its action has `SA_RESTART`.
//!
//! Only `FUTEX` is visible to crates (raw `syscall` instruction in parking_lot_core); all others are private to our
//! C library, so they are numbered by group and may change.

/// Raw futex of `redox_syscall` 0.5: (addr, op, val, timeout: *TimeSpec, addr2). op 0 waits while `*addr as i32 == val` with a
/// RELATIVE timeout (null = none): 0, EAGAIN, EINTR, ETIMEDOUT. op 1 wakes up to `val`, returns how many.
pub const FUTEX: usize = 240;

// ---- descriptors ----------------------------------------------------------------------------------------------

/// `dirfd` of the path calls that means "the process's namespace": the path is then `NAME/REF` or `NAME`
/// (reference ""); the empty path is the namespace itself (a directory listing of scheme names). An unknown name gives
/// `ENODEV`.
pub const AT_NAMESPACE: usize = usize::MAX;

/// (dirfd, path, len, flags) -> fd. `flags`: `O_*` with permission bits in the low 16. With a real dirfd the path
/// goes to that handle's scheme verbatim.
pub const OPENAT: usize = 0x100;
/// (fd).
pub const CLOSE: usize = 0x101;
/// (fd, buf, len, flags: O_CLOEXEC or 0) -> fd. len 0 shares the description; else the scheme's `dup`.
pub const DUP: usize = 0x102;
/// (fd, new_fd, flags: O_CLOEXEC or 0) -> new_fd. Shares the description, replacing what `new_fd` was. fd == new_fd is EINVAL.
pub const DUP2: usize = 0x103;
/// (fd, buf, len) -> bytes.
pub const READ: usize = 0x104;
/// (fd, buf, len) -> bytes.
pub const WRITE: usize = 0x105;
/// (fd, buf, len, offset) -> bytes; the cursor stays. ESPIPE without a cursor.
pub const PREAD: usize = 0x106;
/// (fd, buf, len, offset) -> bytes; the cursor stays. ESPIPE without a cursor.
pub const PWRITE: usize = 0x107;
/// (fd, offset as i64, whence) -> position.
pub const LSEEK: usize = 0x108;
/// (fd, cmd, arg): `F_*`. F_GETFL/F_SETFL are kept by the kernel and told to the scheme, whose refusal of the call itself
/// (EOPNOTSUPP, ENOSYS) is ignored.
pub const FCNTL: usize = 0x109;
/// (fd, *Stat). The kernel sets `dev` to the scheme's number.
pub const FSTAT: usize = 0x10A;
/// (fd, *StatVfs).
pub const FSTATVFS: usize = 0x10B;
/// (fd, buf, len) -> bytes: the scheme's full path of the handle.
pub const FPATH: usize = 0x10C;
/// (fd).
pub const FSYNC: usize = 0x10D;
/// (fd, length).
pub const FTRUNCATE: usize = 0x10E;
/// (fd, *[TimeSpec], count: 0, 1 or 2).
pub const FUTIMENS: usize = 0x10F;
/// (fd, mode).
pub const FCHMOD: usize = 0x110;
/// (fd, uid, gid); `u32::MAX` keeps.
pub const FCHOWN: usize = 0x111;
/// (fd, buf, len, opaque) -> bytes of dirent records.
pub const GETDENTS: usize = 0x112;
/// (dirfd, path, len, flags): as OPENAT for dirfd; flags 0 or `AT_REMOVEDIR`. On AT_NAMESPACE with a bare NAME: unregisters the scheme.
pub const UNLINKAT: usize = 0x113;
/// (fd, path `NAME/REF`, len). EXDEV if NAME is another scheme than fd's.
pub const FRENAME: usize = 0x114;
/// (fd, path `NAME/REF`, len). EXDEV if NAME is another scheme than fd's.
pub const FLINK: usize = 0x115;
/// (fd, payload, len, `flags::call` bits, metadata: *u64, words). The generic call; also passes descriptors.
pub const CALL: usize = 0x116;
/// (queue_fd, *Event, count, deadline, *u64 signal mask or 0) -> events. Waits on an event queue with a time-out: 0 when it passes.
pub const EVENT_WAIT: usize = 0x117;
/// (flags) with flags O_CLOEXEC | O_NONBLOCK, (*[usize; 2]): a connected two-way pair.
pub const SOCKETPAIR: usize = 0x118;
/// (flags: O_CLOEXEC | O_NONBLOCK) -> fd: a new event queue, as opening scheme `event` gives. Needs no name in the namespace: to wait for
/// one's own descriptors is no authority.
pub const EVENT_QUEUE: usize = 0x119;

// ---- memory ---------------------------------------------------------------------------------------------------

/// (addr, len, PROT_* | MAP_*, fd or usize::MAX, offset) -> address. Anonymous memory is zero and made on first use. Without
/// MAP_FIXED*, `addr` is a hint and may be ignored. Writable and executable together: EINVAL.
pub const MMAP: usize = 0x200;
/// (addr, len). Page-rounded; holes are fine.
pub const MUNMAP: usize = 0x201;
/// (addr, len, PROT_*). ENOMEM over a hole.
pub const MPROTECT: usize = 0x202;
/// (addr, old_len, new_len, may_move: 0 or 1) -> address. Anonymous private memory only.
pub const MREMAP: usize = 0x203;

// ---- processes and threads ------------------------------------------------------------------------------------

/// (status 0..=255). Ends the process.
pub const EXIT: usize = 0x300;
/// (entry, stack_top, fs_base, arg) -> tid. The thread starts at `entry` with rdi = arg, rsp = stack_top and the creator's signal mask.
pub const THREAD_CREATE: usize = 0x301;
/// (clear: *u32 or 0, unmap_addr, unmap_len). Writes 0 to `clear` and wakes all who wait on it, unmaps the range, ends the thread; the last thread ends the
/// process with status 0.
pub const THREAD_EXIT: usize = 0x302;
/// () -> pid of the child, 0 in the child. Copies the calling thread only; memory copy-on-write.
pub const FORK: usize = 0x303;
/// (*ExecArgs). Checks everything, then replaces the image: only the calling thread stays; close-on-exec descriptors are closed, caught signals
/// go to default. ENOEXEC for a bad ELF, E2BIG for arguments above 1 MiB.
pub const EXEC: usize = 0x304;
/// (pid as isize: >0 one, -1 any, 0 own group, < -1 that group, *i32 status or 0, W* options) -> pid or 0. Status is coded as on Linux.
pub const WAITPID: usize = 0x305;
/// () -> pid.
pub const GETPID: usize = 0x306;
/// () -> tid.
pub const GETTID: usize = 0x307;
/// (pid or 0, *ProcMeta). ESRCH if there is none.
pub const GETMETA: usize = 0x308;
/// (pid or 0, pgid or 0).
pub const SETPGID: usize = 0x309;
/// () -> sid. EPERM for a group leader.
pub const SETSID: usize = 0x30A;
/// (pid or 0) -> sid.
pub const GETSID: usize = 0x30B;
/// (ruid, euid, suid) each u32::MAX = keep. EPERM unless euid 0 or each is one of the three.
pub const SETRESUID: usize = 0x30C;
/// (rgid, egid, sgid), likewise.
pub const SETRESGID: usize = 0x30D;
/// (addr): the thread's FS base. EINVAL if not a user address.
pub const SET_FS_BASE: usize = 0x30E;
/// ().
pub const YIELD: usize = 0x30F;

// ---- signals --------------------------------------------------------------------------------------------------

/// (sig, *SigAction or 0, *SigAction old or 0).
pub const SIGACTION: usize = 0x400;
/// (how, *u64 or 0, *u64 old or 0). Per thread.
pub const SIGPROCMASK: usize = 0x401;
/// (): restores what the kernel saved when it ran the handler; the stack pointer is where the handler returned.
pub const SIGRETURN: usize = 0x402;
/// (pid as isize: >0 one, 0 own group, -1 all, < -1 that group, sig or 0).
pub const KILL: usize = 0x403;
/// (tid, sig): a thread of the own process.
pub const TKILL: usize = 0x404;
/// (*SigStack or 0, *SigStack old or 0).
pub const SIGALTSTACK: usize = 0x405;
/// (*u64 mask): waits with this mask; always ends with EINTR.
pub const SIGSUSPEND: usize = 0x406;
/// (*u64).
pub const SIGPENDING: usize = 0x407;
/// (*u64 set, *SigInfo or 0, deadline) -> signal number taken. EAGAIN when the deadline passes.
pub const SIGWAIT: usize = 0x408;

// ---- namespaces -----------------------------------------------------------------------------------------------

/// () -> fd of the process's namespace.
pub const NS_GET: usize = 0x500;
/// (fd) : the process uses that namespace from now on.
pub const NS_SET: usize = 0x501;
/// (*Slice array of names, count) -> fd of a new namespace made of those entries of the process's own. A name ending in `*` takes every name with the
/// prefix. Names that are not there are skipped. Only a namespace that has the entry `namespace` can create schemes and register names.
pub const NS_MAKE: usize = 0x502;
/// (ns_fd, name, len, fd): `fd` (any handle of any scheme) becomes the root under that name. EEXIST if taken.
pub const NS_REGISTER: usize = 0x503;

// ---- time -----------------------------------------------------------------------------------------------------

/// (clock, *TimeSpec).
pub const CLOCK_GETTIME: usize = 0x600;
/// (deadline). EINTR, or 0 when it has passed.
pub const SLEEP_UNTIL: usize = 0x601;
/// (addr, expected u32, deadline). 0 when woken, EAGAIN if `*addr != expected`, ETIMEDOUT, EINTR.
pub const FUTEX_WAIT: usize = 0x602;
/// (addr, count) -> woken.
pub const FUTEX_WAKE: usize = 0x603;
/// (deadline, interval_ns, *[u64; 2] old (remaining, interval) or 0): the process's real-time alarm (SIGALRM); deadline u64::MAX disarms.
pub const ALARM: usize = 0x604;
/// (buf, len) fills with random bytes for seeding (RDRAND when there is one): for `AT_RANDOM`-like needs before `rand` serves. At most 256 bytes.
pub const ENTROPY: usize = 0x605;
