//! A thread, and what it waits for. Threads have no kernel stack: one that waits is its registers plus a `Waiting` value.
//!
//! Two kinds of waits exist. *Retried* ones (`Waiting::Key`) run the system call again when somebody wakes the key: the
//! registers still hold number and arguments. The others are completed by whoever causes the event, who writes the
//! result register.

use alloc::boxed::Box;

use valence_abi::layout::Slice;
use valence_abi::signal::SigStack;

use crate::kernel::{FileId, PipeId, ProcessId, QueueId, SchemeId, ThreadId};
use crate::machine::{CpuId, Machine, Registers};
use crate::task::futex::FutexKey;

/// Something that threads wait on and that is retried when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitKey {
    /// Bytes or room in a pipe.
    PipeRead(PipeId),
    /// Room in a pipe.
    PipeWrite(PipeId),
    /// Requests on a scheme's socket.
    Socket(SchemeId),
    /// Events in a queue.
    Queue(QueueId),
    /// Children of a process.
    Child(ProcessId),
    /// A signal for a process (`SIGWAIT`, `SIGSUSPEND`).
    Signal(ProcessId),
    /// Something of a kernel scheme: its index and a number of its own.
    Scheme(usize, u64),
}

/// Why a thread does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Retried when the key is woken or the deadline passes.
    Key(WaitKey),
    /// Ends with 0 when woken, `ETIMEDOUT` at the deadline.
    Futex(FutexKey),
    /// Ends with 0 at the deadline.
    Sleep,
    /// A request to a user scheme.
    Request {
        /// The scheme.
        scheme: SchemeId,
        /// The request's tag.
        tag: u32,
        /// A signal came and the scheme was told.
        cancelled: bool,
    },
}

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In the run queue or a CPU's hand-over slot.
    Ready,
    /// On a CPU.
    Running(CpuId),
    /// Waiting.
    Waiting(Waiting),
    /// Its process is stopped; it would be ready otherwise.
    Parked,
}

/// A thread.
pub struct Thread<M: Machine> {
    /// Number seen by user space.
    pub tid: u32,
    /// Its process.
    pub process: ProcessId,
    /// Integer registers while it is not on a CPU, and while the kernel works for it.
    pub registers: Registers,
    /// Floating-point registers while it is not on a CPU.
    pub fpu: Box<M::Fpu>,
    /// The CPU that loaded them last: if that CPU loaded nobody else's since, they are still there.
    pub fpu_cpu: Option<CpuId>,
    /// Thread pointer.
    pub fs_base: u64,
    /// Where it is.
    pub state: State,
    /// Must end as soon as it is off its CPU.
    pub dying: bool,
    /// Run the system call again before going to user mode.
    pub retry: bool,
    /// A signal ended its wait; the signal code decides between `EINTR` and running the call again.
    pub interrupted: bool,
    /// When its wait ends; `u64::MAX` never. Valid with `timer`.
    pub deadline: u64,
    /// Its entry in the timer table.
    pub timer: Option<(u64, u64)>,
    /// Blocked signals; bit n-1 is signal n.
    pub mask: u64,
    /// Mask to come back to after a call that replaced it (`SIGSUSPEND`, `EVENT_WAIT`).
    pub saved_mask: Option<u64>,
    /// Pending signals of this thread alone.
    pub pending: u64,
    /// Fault address and code of the last synchronous signal.
    pub fault: (usize, i32),
    /// Alternate signal stack.
    pub alternate: SigStack,
    /// A description the current call opened across a wait (event subscriptions in progress).
    pub carried: Option<FileId>,
    /// Work left of a vectored call.
    pub progress: Slice,
    /// Time on CPUs.
    pub cpu_ns: u64,
}

impl<M: Machine> Thread<M> {
    /// A thread that has not run.
    pub fn new(tid: u32, process: ProcessId, fpu: Box<M::Fpu>) -> Self {
        Self {
            tid,
            process,
            registers: Registers::default(),
            fpu,
            fpu_cpu: None,
            fs_base: 0,
            state: State::Ready,
            dying: false,
            retry: false,
            interrupted: false,
            deadline: u64::MAX,
            timer: None,
            mask: 0,
            saved_mask: None,
            pending: 0,
            fault: (0, 0),
            alternate: SigStack::default(),
            carried: None,
            progress: Slice::default(),
            cpu_ns: 0,
        }
    }
}

/// Who makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The thread.
    pub thread: ThreadId,
    /// Its process.
    pub process: ProcessId,
    /// Process number.
    pub pid: u32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Its memory.
    pub space: crate::kernel::SpaceId,
}
