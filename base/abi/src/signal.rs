//! Signals: numbers as on Linux, kernel-side action record, and the frame a handler runs on. Ours (only the C
//! library sees them), except for the numbers.

/// Count of signals; numbers are `1..=SIGNAL_MAX`.
pub const SIGNAL_MAX: usize = 64;

#[allow(missing_docs, reason = "POSIX names")]
mod numbers {
    pub const SIGHUP: usize = 1;
    pub const SIGINT: usize = 2;
    pub const SIGQUIT: usize = 3;
    pub const SIGILL: usize = 4;
    pub const SIGTRAP: usize = 5;
    pub const SIGABRT: usize = 6;
    pub const SIGBUS: usize = 7;
    pub const SIGFPE: usize = 8;
    pub const SIGKILL: usize = 9;
    pub const SIGUSR1: usize = 10;
    pub const SIGSEGV: usize = 11;
    pub const SIGUSR2: usize = 12;
    pub const SIGPIPE: usize = 13;
    pub const SIGALRM: usize = 14;
    pub const SIGTERM: usize = 15;
    pub const SIGCHLD: usize = 17;
    pub const SIGCONT: usize = 18;
    pub const SIGSTOP: usize = 19;
    pub const SIGTSTP: usize = 20;
    pub const SIGTTIN: usize = 21;
    pub const SIGTTOU: usize = 22;
    pub const SIGURG: usize = 23;
    pub const SIGWINCH: usize = 28;
    pub const SIGIO: usize = 29;
    pub const SIGSYS: usize = 31;
}
pub use numbers::*;

/// Handler value: the default action.
pub const SIG_DFL: usize = 0;
/// Handler value: ignore.
pub const SIG_IGN: usize = 1;

/// `flags` bits of [`SigAction`] (values of the Redox libc crate).
pub mod sa {
    /// Children that stop send no SIGCHLD.
    pub const NOCLDSTOP: u32 = 0x4000_0000;
    /// Children that end are not kept for `waitpid`.
    pub const NOCLDWAIT: u32 = 0x0000_0002;
    /// The handler takes three arguments.
    pub const SIGINFO: u32 = 0x0200_0000;
    /// Run on the alternate stack.
    pub const ONSTACK: u32 = 0x0400_0000;
    /// Restart interrupted calls.
    pub const RESTART: u32 = 0x0800_0000;
    /// Do not block the signal during its handler.
    pub const NODEFER: u32 = 0x1000_0000;
    /// Back to the default action when delivered.
    pub const RESETHAND: u32 = 0x2000_0000;
}

/// `SIGPROCMASK` operations (Linux's values).
pub mod how {
    /// Add to the mask.
    pub const BLOCK: usize = 0;
    /// Remove from the mask.
    pub const UNBLOCK: usize = 1;
    /// Replace the mask.
    pub const SETMASK: usize = 2;
}

/// What a signal does, as the kernel keeps it (32 bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SigAction {
    /// `SIG_DFL`, `SIG_IGN` or the handler's address.
    pub handler: usize,
    /// [`sa`] bits.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// Address the handler returns to; it must call `SIGRETURN` with the stack pointer as it finds it.
    pub restorer: usize,
    /// Signals blocked during the handler; bit `n - 1` is signal `n`.
    pub mask: u64,
}

/// Alternate signal stack; `size` 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SigStack {
    /// Lowest address.
    pub base: usize,
    /// Bytes.
    pub size: usize,
}

/// The `siginfo_t` the kernel fills (48 bytes; C's fields `si_signo si_errno si_code si_pid si_uid si_addr si_status
/// si_value` in this order).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs, reason = "POSIX field names")]
pub struct SigInfo {
    pub signo: i32,
    pub errno: i32,
    pub code: i32,
    pub pid: i32,
    pub uid: i32,
    pub reserved: i32,
    pub addr: usize,
    pub status: i32,
    pub reserved2: i32,
    pub value: usize,
}

const _: () = assert!(core::mem::size_of::<SigAction>() == 32);
const _: () = assert!(core::mem::size_of::<SigInfo>() == 48);
