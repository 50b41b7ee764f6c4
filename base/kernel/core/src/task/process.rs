//! A process: what its threads share.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use valence_abi::signal::{SIGNAL_MAX, SigAction, SigInfo};

use crate::io::table::FdTable;
use crate::kernel::{NamespaceId, SpaceId, ThreadId};

/// User and group numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Real, effective and saved user.
    pub uids: [u32; 3],
    /// Real, effective and saved group.
    pub gids: [u32; 3],
}

/// Whether a process runs or waits to be collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It has threads.
    Alive,
    /// It is ending with this wait status; threads are still on other CPUs.
    Ending(i32),
    /// Only the status is left.
    Zombie(i32),
}

/// The repeating alarm of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// Key in the timer table while armed.
    pub timer: Option<(u64, u64)>,
    /// Repetition, 0 = once.
    pub interval: u64,
}

/// A process.
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's number; 0 for the first.
    pub parent: u32,
    /// Process group.
    pub pgid: u32,
    /// Session.
    pub sid: u32,
    /// Who it acts as.
    pub credentials: Credentials,
    /// Its memory.
    pub space: SpaceId,
    /// Its namespace.
    pub namespace: NamespaceId,
    /// The group whose limits hold for it.
    pub group: Option<crate::kernel::GroupId>,
    /// Its descriptors.
    pub fds: FdTable,
    /// Its threads.
    pub threads: Vec<ThreadId>,
    /// Numbers of its children, also ended ones that were not collected.
    pub children: Vec<u32>,
    /// Running or over.
    pub life: Life,
    /// Stopped by a signal.
    pub stopped: bool,
    /// The signal it stopped by, until a parent collected it.
    pub stop_report: Option<u8>,
    /// It was continued and no parent has collected that.
    pub continue_report: bool,
    /// What signals do; index n-1 is signal n.
    pub actions: Box<[SigAction; SIGNAL_MAX]>,
    /// Pending signals of the process.
    pub pending: u64,
    /// Details of pending signals.
    pub infos: Vec<SigInfo>,
    /// Real-time alarm.
    pub alarm: Alarm,
    /// It has run `EXEC` since it was forked.
    pub executed: bool,
    /// Path of its image.
    pub path: String,
    /// CPU time of threads that ended.
    pub cpu_ns: u64,
    /// Times a user scheme of its asked to know of its end: (scheme, handle).
    pub detach: Vec<(crate::kernel::SchemeId, u64)>,
}

impl Process {
    /// Last part of its path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or("")
    }
}
