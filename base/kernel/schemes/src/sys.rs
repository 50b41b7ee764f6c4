//! `sys`: the state of the system as text files, made when they are opened.
//!
//! `context` (processes), `cpu`, `env`, `exe`, `log`, `mem`, `scheme` (who serves what), `stat`, `uname`; and `kstop`, which takes "shutdown" or "reset" from
//! user 0. No kernel address appears in any of them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use kernel_core::io::file::ROOT;
use kernel_core::kernel::{Kernel, Outcome, ProcessId, Stop};
use kernel_core::limits::FILES_MAX;
use kernel_core::machine::{Machine, PowerAction};
use kernel_core::mem::copy::Buffer;
use kernel_core::scheme::kernel_scheme::{Entry, KernelScheme, Opened};
use kernel_core::slab::{Id, Slab};
use kernel_core::task::process::{Life, Process};
use kernel_core::task::thread::{Caller, State};
use valence_abi::PAGE_SIZE;
use valence_abi::errno::{EACCES, EBADF, EINVAL, EISDIR, EMFILE, ENOENT, ENOTDIR, EROFS, Errno};
use valence_abi::flags::{EVENT_READ, MODE_DIR, MODE_FILE, O_DIRECTORY, O_WRONLY};
use valence_abi::layout::{Stat, dirent};

use crate::bytes::read_at;

const FILES: [&str; 11] = [
    "context", "cpu", "env", "exe", "kstop", "log", "mem", "scheme", "stat", "tables", "uname",
];

enum Handle {
    Root,
    Text(&'static str, Vec<u8>),
    Stop,
}

/// The scheme.
pub(crate) struct Sys {
    handles: Slab<Handle>,
}

impl Sys {
    /// The scheme.
    pub(crate) fn new() -> Self {
        Self {
            handles: Slab::new(FILES_MAX),
        }
    }

    fn get(&self, handle: u64) -> Result<&Handle, Errno> {
        self.handles.get(Id::from_raw(handle)).ok_or(EBADF)
    }
}

fn state_of<M: Machine>(kernel: &Kernel<M>, process: &Process) -> char {
    match process.life {
        Life::Zombie(_) => return 'Z',
        _ if process.stopped => return 'T',
        _ => {}
    }
    let states = process
        .threads
        .iter()
        .filter_map(|id| kernel.threads.get(*id))
        .map(|t| t.state);
    let mut result = 'S';
    for state in states {
        match state {
            State::Running(_) => return 'R',
            State::Ready => result = 'R',
            _ => {}
        }
    }
    result
}

fn cpu_time<M: Machine>(kernel: &Kernel<M>, process: &Process) -> u64 {
    let live = process
        .threads
        .iter()
        .filter_map(|id| kernel.threads.get(*id));
    process.cpu_ns + live.map(|thread| thread.cpu_ns).sum::<u64>()
}

fn context<M: Machine>(kernel: &Kernel<M>) -> String {
    let mut text = String::from("PID PPID PGID SID UID STAT TIME-MS MEM-KIB THREADS NAME\n");
    for id in kernel.pids.values() {
        let Some(p) = kernel.processes.get(*id) else {
            continue;
        };
        let resident = kernel.spaces.get(p.space).map_or(0, |space| space.resident);
        let _ = writeln!(
            text,
            "{} {} {} {} {} {} {} {} {} {}",
            p.pid,
            p.parent,
            p.pgid,
            p.sid,
            p.credentials.uids[1],
            state_of(kernel, p),
            cpu_time(kernel, p) / 1_000_000,
            resident * PAGE_SIZE / 1024,
            p.threads.len(),
            if p.path.is_empty() { "-" } else { &p.path },
        );
    }
    text
}

/// The names that the process can open, and the process and program behind each.
fn servers<M: Machine>(kernel: &Kernel<M>, process: ProcessId) -> String {
    let mut text = String::from("SCHEME PID SERVER\n");
    let Some(process) = kernel.processes.get(process) else {
        return text;
    };
    for (name, owner) in kernel.namespace_servers(process.namespace) {
        let program = owner
            .and_then(|pid| kernel.pids.get(&pid))
            .and_then(|id| kernel.processes.get(*id))
            .map_or("kernel", |server| &server.path);
        let _ = writeln!(text, "{name} {} {program}", owner.unwrap_or(0));
    }
    text
}

fn text_of<M: Machine>(kernel: &mut Kernel<M>, process: ProcessId, name: &str) -> Vec<u8> {
    let mut text = String::new();
    match name {
        "context" => text = context(kernel),
        "cpu" => {
            for cpu in 0..kernel.cpus.len() {
                let busy = kernel.cpus.get(cpu).map_or(0, |cpu| cpu.busy_ns) / 1_000_000;
                let description = kernel.machine.cpu_description(cpu);
                let _ = writeln!(text, "cpu{cpu}: busy-ms={busy} {}", description.trim());
            }
        }
        "env" => text.clone_from(&kernel.env),
        "exe" => {
            if let Some(process) = kernel.processes.get(process) {
                text.clone_from(&process.path);
            }
        }
        "log" => return kernel.log.text(),
        "mem" => {
            let (total, free) = (kernel.frames.total_count(), kernel.frames.free_count());
            let _ = writeln!(
                text,
                "total {}\nfree {}",
                total * PAGE_SIZE,
                free * PAGE_SIZE
            );
        }
        "scheme" => text = servers(kernel, process),
        "stat" => {
            let boot = kernel.machine.boot_time_ns() / 1_000_000_000;
            let uptime = kernel.machine.now_ns() / 1_000_000;
            let (processes, threads) = (kernel.processes.len(), kernel.threads.len());
            let c = kernel.counters;
            let _ = writeln!(
                text,
                "boot-time {boot}\nuptime-ms {uptime}\nprocesses {processes}\nthreads {threads}\n\
                 calls {}\nswitches {}\nspaces-loaded {}\nkicks {}\nhand-overs-expired {}\nfaults {}",
                c.calls, c.switches, c.loads, c.kicks, c.expired, c.faults
            );
        }
        "tables" => {
            for (name, count) in kernel.table_sizes() {
                let _ = writeln!(text, "{name} {count}");
            }
        }
        _ => {
            let _ = writeln!(
                text,
                "Valence\n{}\nx86_64\nValence",
                env!("CARGO_PKG_VERSION")
            );
        }
    }
    text.into_bytes()
}

impl<M: Machine> KernelScheme<M> for Sys {
    fn name(&self) -> &'static str {
        "sys"
    }

    fn open(
        &mut self,
        kernel: &mut Kernel<M>,
        who: &Caller,
        dir: u64,
        path: &str,
        flags: usize,
    ) -> Result<Opened, Stop> {
        if dir != ROOT && !matches!(self.get(dir)?, Handle::Root) {
            return Err(ENOTDIR.into());
        }
        let path = path.trim_matches('/');
        let known = FILES.iter().find(|name| **name == path);
        let handle = match (path, known) {
            ("" | ".", _) => Handle::Root,
            (_, None) => return Err(ENOENT.into()),
            (_, Some(_)) if flags & O_DIRECTORY != 0 => return Err(ENOTDIR.into()),
            ("kstop", _) if who.uid != 0 => return Err(EACCES.into()),
            ("kstop", _) => Handle::Stop,
            (_, Some(_)) if flags & O_WRONLY != 0 => return Err(EROFS.into()),
            (_, Some(name)) => Handle::Text(name, text_of(kernel, who.process, name)),
        };
        let id = self
            .handles
            .insert(handle)
            .map_err::<Errno, _>(|_| EMFILE)?;
        Ok(Opened::positioned(id.raw()))
    }

    fn read(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        handle: u64,
        buffer: Buffer,
        offset: u64,
        _flags: usize,
    ) -> Outcome {
        match self.get(handle)? {
            Handle::Root => Err(EISDIR.into()),
            Handle::Text(_, text) => read_at(kernel, text, buffer, offset),
            Handle::Stop => Ok(0),
        }
    }

    fn write(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        handle: u64,
        buffer: Buffer,
        _offset: u64,
        _flags: usize,
    ) -> Outcome {
        let Handle::Stop = self.get(handle)? else {
            return Err(EBADF.into());
        };
        let word = kernel.read_buffer(buffer.first(32))?;
        let action = match word.trim_ascii() {
            b"shutdown" => PowerAction::Shutdown,
            b"reset" => PowerAction::Reset,
            _ => return Err(EINVAL.into()),
        };
        kernel.print(format_args!("{action:?}"));
        kernel.machine.power(action)
    }

    fn size(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<u64, Errno> {
        match self.get(handle)? {
            Handle::Text(_, text) => Ok(text.len() as u64),
            _ => Ok(0),
        }
    }

    fn stat(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<Stat, Errno> {
        let (mode, size) = match self.get(handle)? {
            Handle::Root => (MODE_DIR | 0o555, 0),
            Handle::Text(_, text) => (MODE_FILE | 0o444, text.len()),
            Handle::Stop => (MODE_FILE | 0o200, 0),
        };
        Ok(Stat {
            mode,
            nlink: 1,
            size: size as u64,
            ..Stat::default()
        })
    }

    fn path(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<String, Errno> {
        Ok(match self.get(handle)? {
            Handle::Root => String::new(),
            Handle::Text(name, _) => String::from(*name),
            Handle::Stop => String::from("kstop"),
        })
    }

    fn entries(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<Vec<Entry>, Errno> {
        match self.get(handle)? {
            Handle::Root => Ok(FILES
                .iter()
                .map(|name| Entry {
                    name: String::from(*name),
                    kind: dirent::FILE,
                })
                .collect()),
            _ => Err(ENOTDIR),
        }
    }

    fn ready(&mut self, _kernel: &mut Kernel<M>, _handle: u64) -> Result<usize, Errno> {
        Ok(EVENT_READ)
    }

    fn close(&mut self, _kernel: &mut Kernel<M>, handle: u64) {
        self.handles.remove(Id::from_raw(handle));
    }
}
