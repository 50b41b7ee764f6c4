//! The kernel as one value: tables, rules and the machine, entered by traps.
//!
//! Every entry runs to its end on `&mut Kernel`; nothing blocks. The order of an entry: note the event, do the work of the
//! call, then `leave` picks what this CPU does next (deliver signals, retry a woken call, switch, halt).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::HashMap;
use valence_abi::errno::{Errno, encode};

use crate::io::event::Queue;
use crate::io::file::File;
use crate::io::pipe::Pipe;
use crate::limits::{
    FILES_MAX, GROUPS_MAX, NAMESPACES_MAX, PIPES_MAX, PROCESSES_MAX, QUEUES_MAX, SCHEMES_MAX,
    THREADS_MAX,
};
use crate::log::Log;
use crate::machine::{CpuId, Machine, Registers, Trap};
use crate::mem::frames::Frames;
use crate::mem::space::{Mapping, Space};
use crate::scheme::kernel_scheme::KernelScheme;
use crate::scheme::namespace::Namespace;
use crate::scheme::user::UserScheme;
use crate::slab::{Id, Slab};
use crate::task::futex::FutexKey;
use crate::task::group::Group;
use crate::task::process::Process;
use crate::task::sched::Cpu;
use crate::task::thread::{Caller, Thread, WaitKey, Waiting};
use crate::task::timer::Timer;

/// Names an address space.
pub type SpaceId = Id<Space>;
/// Names a mapped descriptor.
pub type MappingId = Id<Mapping>;
/// Names an open description.
pub type FileId = Id<File>;
/// Names a pipe.
pub type PipeId = Id<Pipe>;
/// Names an event queue.
pub type QueueId = Id<Queue>;
/// Names a user scheme.
pub type SchemeId = Id<Box<UserScheme>>;
/// Names a namespace.
pub type NamespaceId = Id<Namespace>;
/// Names a process.
pub type ProcessId = Id<Process>;
/// Names a limit group.
pub type GroupId = Id<Group>;
/// Names a thread, whatever its machine.
pub type ThreadId = Id<AnyThread>;

/// Marker for thread ids, which must not depend on the machine's type.
pub enum AnyThread {}

/// What the loader and the hal tell the kernel at its start.
#[derive(Debug, Default)]
pub struct Config {
    /// Free RAM as (base, size) in bytes: everything that is not the kernel image, its heap, the initfs or early tables.
    pub ram: Vec<(u64, u64)>,
    /// The initfs archive (cpio, newc). Its memory is not in `ram`.
    pub initfs: &'static [u8],
    /// Text of `/scheme/sys/env`: the lines of boot.conf, then `FRAMEBUFFER_*`, `PCI_ECAM_ADDR`, `PCI_ECAM_BUSES`, `RSDP_ADDR`.
    pub env: String,
}

/// What a CPU does when it leaves the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Load the registers of [`Kernel::registers`] and go to user mode.
    Run,
    /// Nothing to run: enable interrupts and halt until one comes (then call [`Kernel::trap`]; the registers are not saved).
    Idle,
}

/// Why a call has no result yet, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It failed.
    Errno(Errno),
    /// The thread waits; see [`Waiting`]. The deadline is `u64::MAX` for none.
    Wait(Waiting, u64),
    /// The thread is gone, or its registers are already what they must be.
    Done,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// Result of a call.
pub type Outcome = Result<usize, Stop>;

/// A wait that is retried, without deadline.
pub fn wait_for(key: WaitKey) -> Stop {
    Stop::Wait(Waiting::Key(key), u64::MAX)
}

/// The threads, with ids that do not name the machine's type.
pub struct Threads<M: Machine>(Slab<Thread<M>>);

impl<M: Machine> Threads<M> {
    /// The thread.
    pub fn get(&self, id: ThreadId) -> Option<&Thread<M>> {
        self.0.get(Id::from_raw(id.raw()))
    }
    /// The thread, to change.
    pub fn get_mut(&mut self, id: ThreadId) -> Option<&mut Thread<M>> {
        self.0.get_mut(Id::from_raw(id.raw()))
    }
    /// Adds one, if there is room.
    pub fn insert(&mut self, thread: Thread<M>) -> Option<ThreadId> {
        self.0.insert(thread).ok().map(|id| Id::from_raw(id.raw()))
    }
    /// Takes one out.
    pub fn remove(&mut self, id: ThreadId) -> Option<Thread<M>> {
        self.0.remove(Id::from_raw(id.raw()))
    }
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The kernel.
pub struct Kernel<M: Machine> {
    /// The machine below.
    pub machine: M,
    /// Physical memory.
    pub frames: Frames,
    /// Address spaces.
    pub spaces: Slab<Space>,
    /// Mapped descriptors.
    pub mappings: Slab<Mapping>,
    /// Threads.
    pub threads: Threads<M>,
    /// Processes.
    pub processes: Slab<Process>,
    /// Processes by number.
    pub pids: BTreeMap<u32, ProcessId>,
    /// Open descriptions.
    pub files: Slab<File>,
    /// Pipes.
    pub pipes: Slab<Pipe>,
    /// Event queues.
    pub queues: Slab<Queue>,
    /// Namespaces.
    pub namespaces: Slab<Namespace>,
    /// Schemes served by daemons.
    pub schemes: Slab<Box<UserScheme>>,
    pub(crate) spare_scheme: Option<Box<UserScheme>>,
    /// Limit groups.
    pub groups: Slab<Group>,
    /// The kernel's messages.
    pub log: Log,
    /// Boot text.
    pub env: String,
    pub(crate) kernel_schemes: Vec<Option<Box<dyn KernelScheme<M>>>>,
    pub(crate) scheme_names: Vec<&'static str>,
    pub(crate) subscriptions: HashMap<(crate::io::file::Target, u64), Vec<(QueueId, usize)>>,
    pub(crate) waits: HashMap<WaitKey, Vec<ThreadId>>,
    pub(crate) futexes: HashMap<FutexKey, VecDeque<ThreadId>>,
    pub(crate) timers: BTreeMap<(u64, u64), Timer>,
    pub(crate) timer_serial: u64,
    pub(crate) ready: VecDeque<ThreadId>,
    pub(crate) stale: Vec<SpaceId>,
    pub(crate) limbo: Vec<crate::machine::Frame>,
    pub(crate) deferred: Vec<(usize, u64)>,
    pub(crate) next_pid: u32,
    pub(crate) next_scheme: u64,
    pub(crate) seed: u64,
    pub(crate) resched: bool,
    /// How often things happened.
    pub counters: crate::task::sched::Counters,
    /// The CPU that is in the kernel.
    pub cpu: CpuId,
    /// Scheduling state of the CPUs.
    pub cpus: Vec<Cpu>,
}

impl<M: Machine> Kernel<M> {
    /// A kernel without schemes and processes.
    pub fn new(machine: M, config: Config) -> Self {
        let cpus = machine.cpu_count().clamp(1, crate::limits::CPUS_MAX);
        Self {
            frames: Frames::new(&config.ram),
            spaces: Slab::new(PROCESSES_MAX * 2),
            mappings: Slab::new(FILES_MAX),
            threads: Threads(Slab::new(THREADS_MAX)),
            processes: Slab::new(PROCESSES_MAX),
            pids: BTreeMap::new(),
            files: Slab::new(FILES_MAX),
            pipes: Slab::new(PIPES_MAX),
            queues: Slab::new(QUEUES_MAX),
            namespaces: Slab::new(NAMESPACES_MAX),
            schemes: Slab::new(SCHEMES_MAX),
            spare_scheme: None,
            groups: Slab::new(GROUPS_MAX),
            log: Log::new(),
            env: config.env,
            kernel_schemes: Vec::new(),
            scheme_names: Vec::new(),
            subscriptions: HashMap::new(),
            waits: HashMap::new(),
            futexes: HashMap::new(),
            timers: BTreeMap::new(),
            timer_serial: 0,
            ready: VecDeque::new(),
            stale: Vec::new(),
            limbo: Vec::new(),
            deferred: Vec::new(),
            next_pid: 1,
            next_scheme: 16,
            seed: machine.now_ns() ^ machine.boot_time_ns(),
            resched: false,
            counters: crate::task::sched::Counters::default(),
            cpu: 0,
            cpus: alloc::vec![Cpu::default(); cpus],
            machine,
        }
    }

    /// First entry of a CPU. It must be called once on each before that CPU's first `trap`.
    pub fn cpu_start(&mut self, cpu: CpuId) -> Next {
        if cpu >= self.cpus.len() {
            return Next::Idle;
        }
        self.cpu = cpu;
        self.cpus[cpu].started = true;
        self.leave()
    }

    /// An entry from user mode or from idle. The hal has stored the user registers in [`Kernel::registers`] (not when idle).
    pub fn trap(&mut self, cpu: CpuId, trap: Trap) -> Next {
        if cpu >= self.cpus.len() {
            return Next::Idle;
        }
        self.cpu = cpu;
        match trap {
            Trap::Syscall => self.syscall(),
            Trap::PageFault {
                addr,
                write,
                execute,
            } => self.page_fault(addr, write, execute),
            Trap::Exception { vector, code } => self.exception(vector, code),
            Trap::Timer => {
                self.cpus[cpu].armed = None;
                self.resched = true;
                self.expire_timers();
                self.expire_slot();
            }
            Trap::Interrupt(interrupt) => self.interrupt(interrupt),
            Trap::Kick => self.resched = true,
        }
        self.leave()
    }

    /// Where the hal stores the registers of the thread that runs on this CPU, and from where it loads them
    /// after [`Next::Run`]. The place changes with every trap: never keep the reference.
    pub fn registers(&mut self, cpu: CpuId) -> &mut Registers {
        let cpu = cpu.min(self.cpus.len() - 1);
        let Some(id) = self.cpus[cpu].current else {
            return &mut self.cpus[cpu].scratch;
        };
        match self.threads.get_mut(id) {
            Some(thread) => &mut thread.registers,
            None => &mut self.cpus[cpu].scratch,
        }
    }

    /// The thread on this CPU.
    pub(crate) fn current(&self) -> Option<ThreadId> {
        self.cpus[self.cpu].current
    }

    /// Who runs on this CPU.
    pub(crate) fn caller(&self) -> Option<Caller> {
        self.caller_of(self.current()?)
    }

    /// Identity of a thread.
    pub(crate) fn caller_of(&self, thread: ThreadId) -> Option<Caller> {
        let id = self.threads.get(thread)?.process;
        let process = self.processes.get(id)?;
        Some(Caller {
            thread,
            process: id,
            pid: process.pid,
            uid: process.credentials.uids[1],
            gid: process.credentials.gids[1],
            space: process.space,
        })
    }

    /// Gives the current thread's call its result, or makes the thread wait.
    pub(crate) fn conclude(&mut self, id: ThreadId, outcome: Outcome) {
        match outcome {
            Ok(value) => self.set_result(id, value),
            Err(Stop::Errno(errno)) => self.set_result(id, encode(Err(errno))),
            Err(Stop::Wait(waiting, deadline)) => {
                let request = matches!(waiting, Waiting::Request { .. });
                if !request && self.signal_waits(id) {
                    if let Some(thread) = self.threads.get_mut(id) {
                        thread.interrupted = true;
                    }
                } else {
                    self.block(id, waiting, deadline);
                }
            }
            Err(Stop::Done) => {}
        }
    }

    fn set_result(&mut self, id: ThreadId, value: usize) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.registers.rax = value as u64;
        }
    }

    /// How full the tables are, for `/scheme/sys/tables`.
    pub fn table_sizes(&self) -> [(&'static str, usize); 14] {
        let requests = self
            .schemes
            .iter()
            .map(|(_, scheme)| scheme.open_requests())
            .sum();
        [
            ("processes", self.processes.len()),
            ("threads", self.threads.len()),
            ("spaces", self.spaces.len()),
            ("mappings", self.mappings.len()),
            ("files", self.files.len()),
            ("pipes", self.pipes.len()),
            ("queues", self.queues.len()),
            ("namespaces", self.namespaces.len()),
            ("schemes", self.schemes.len()),
            ("requests", requests),
            ("groups", self.groups.len()),
            ("waits", self.waits.len()),
            ("futexes", self.futexes.len()),
            ("timers", self.timers.len()),
        ]
    }

    /// A random word: hardware if it has any, mixed with a running state.
    pub fn random_u64(&mut self) -> u64 {
        let hardware = self.machine.random().unwrap_or(0);
        let mut x = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.seed = x ^ hardware.rotate_left(17) ^ self.machine.now_ns();
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31) ^ hardware
    }
}
