//! Drives the kernel as user programs would: registers in, trap, registers out.
//!
//! There are more CPUs than threads, so after `settle` every thread that can run is on one. A test says which thread
//! makes which call; a call gives its result, or nothing while the thread waits.

use kernel_core::kernel::ThreadId;
use kernel_core::limits::HANDOVER_NS;
use kernel_core::machine::Trap;
use kernel_core::task::thread::State;
use kernel_core::{Config, Kernel};
use kernel_schemes::start;
use valence_abi::errno::{Errno, decode};
use valence_abi::flags::*;
use valence_abi::syscall as nr;

use crate::machine::FakeMachine;

/// Scratch memory that every process of a test has.
pub const SCRATCH: usize = 0x1000_0000;
/// Its length.
pub const SCRATCH_LEN: usize = 0x40_0000;
/// RAM of the fake machine.
pub const RAM: (u64, u64) = (0x10_0000, 64 << 20);

pub struct World {
    pub kernel: Kernel<FakeMachine>,
}

/// A static program whose code is `nop`s.
pub fn program() -> Vec<u8> {
    let mut file = vec![0u8; 0x2000];
    file[..7].copy_from_slice(&[0x7F, b'E', b'L', b'F', 2, 1, 1]);
    file[16..18].copy_from_slice(&2u16.to_le_bytes());
    file[18..20].copy_from_slice(&0x3Eu16.to_le_bytes());
    file[24..32].copy_from_slice(&0x40_1000u64.to_le_bytes());
    file[32..40].copy_from_slice(&64u64.to_le_bytes());
    file[54..56].copy_from_slice(&56u16.to_le_bytes());
    file[56..58].copy_from_slice(&3u16.to_le_bytes());
    let segments: [(u32, [u64; 6]); 3] = [
        (4, [0, 0x40_0000, 0x40_0000, 0x1000, 0x1000, 0x1000]),
        (5, [0x1000, 0x40_1000, 0x40_1000, 0x1000, 0x1000, 0x1000]),
        (6, [0x1F00, 0x40_2F00, 0x40_2F00, 0x100, 0x2100, 0x1000]),
    ];
    for (index, (flags, words)) in segments.iter().enumerate() {
        let at = 64 + index * 56;
        file[at..at + 4].copy_from_slice(&1u32.to_le_bytes());
        file[at + 4..at + 8].copy_from_slice(&flags.to_le_bytes());
        for (n, word) in words.iter().enumerate() {
            file[at + 8 + n * 8..at + 16 + n * 8].copy_from_slice(&word.to_le_bytes());
        }
    }
    file[0x1000..0x1F00].fill(0x90);
    file[0x1F00..0x1F04].copy_from_slice(b"data");
    file
}

fn archive(files: &[(&str, &[u8])]) -> &'static [u8] {
    let mut out = Vec::new();
    for (name, content) in files.iter().copied().chain([("TRAILER!!!", &b""[..])]) {
        let mut fields = [0usize; 13];
        (fields[1], fields[6], fields[11]) = (0o100_755, content.len(), name.len() + 1);
        out.extend(b"070701");
        fields
            .iter()
            .for_each(|field| out.extend(format!("{field:08x}").as_bytes()));
        out.extend(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(content);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out.leak()
}

impl World {
    /// Init runs as thread 1 with its scratch memory.
    pub fn new() -> Self {
        Self::with(16, RAM)
    }

    pub fn with(cpus: usize, ram: (u64, u64)) -> Self {
        let initfs = archive(&[
            ("bin/init", &program()),
            ("etc/motd", b"hello from initfs\n"),
        ]);
        let config = Config {
            ram: vec![ram],
            initfs,
            env: "A=1\n".into(),
        };
        let kernel = start(FakeMachine::new(cpus, ram), config);
        let mut world = Self { kernel };
        for cpu in 0..cpus {
            world.kernel.cpu_start(cpu);
        }
        let flags = PROT_READ | PROT_WRITE | MAP_PRIVATE | MAP_FIXED;
        let at = world.ok(1, nr::MMAP, [SCRATCH, SCRATCH_LEN, flags, usize::MAX, 0, 0]);
        assert_eq!(at, SCRATCH);
        world
    }

    pub fn find(&self, tid: u32) -> Option<ThreadId> {
        let threads = self
            .kernel
            .processes
            .iter()
            .flat_map(|(_, process)| &process.threads);
        threads
            .copied()
            .find(|id| self.kernel.threads.get(*id).is_some_and(|t| t.tid == tid))
    }

    pub fn alive(&self, tid: u32) -> bool {
        self.find(tid).is_some()
    }

    pub fn cpu_of(&self, tid: u32) -> Option<usize> {
        match self.kernel.threads.get(self.find(tid)?)?.state {
            State::Running(cpu) => Some(cpu),
            _ => None,
        }
    }

    /// Delivers kicks and hand-over timers until nothing moves.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            let mut moved = false;
            for cpu in 0..self.kernel.cpus.len() {
                if self.kernel.machine.kicks.remove(&cpu) {
                    self.kernel.trap(cpu, Trap::Kick);
                    moved = true;
                }
            }
            if let Some(cpu) =
                (0..self.kernel.cpus.len()).find(|c| self.kernel.cpus[*c].slot.is_some())
            {
                self.kernel.machine.now += HANDOVER_NS + 1;
                self.kernel.trap(cpu, Trap::Timer);
                moved = true;
            }
            if !moved {
                return;
            }
        }
        panic!("the system does not settle");
    }

    /// Lets time pass.
    pub fn pass(&mut self, ns: u64) {
        self.kernel.machine.now += ns;
        for cpu in 0..self.kernel.cpus.len() {
            self.kernel.trap(cpu, Trap::Timer);
        }
        self.settle();
    }

    /// A call whose thread may wait: `None` then.
    pub fn call(
        &mut self,
        tid: u32,
        number: usize,
        args: [usize; 6],
    ) -> Option<Result<usize, Errno>> {
        let cpu = self
            .cpu_of(tid)
            .unwrap_or_else(|| panic!("thread {tid} is not running"));
        let r = self.kernel.registers(cpu);
        r.rax = number as u64;
        [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] = args.map(|word| word as u64);
        self.kernel.trap(cpu, Trap::Syscall);
        self.settle();
        self.result(tid)
    }

    /// The result of a thread's last call, if it is back in user mode.
    pub fn result(&mut self, tid: u32) -> Option<Result<usize, Errno>> {
        let cpu = self.cpu_of(tid)?;
        Some(decode(self.kernel.registers(cpu).rax as usize))
    }

    pub fn done(&mut self, tid: u32, number: usize, args: [usize; 6]) -> Result<usize, Errno> {
        self.call(tid, number, args)
            .unwrap_or_else(|| panic!("call {number:#x} waits"))
    }

    pub fn ok(&mut self, tid: u32, number: usize, args: [usize; 6]) -> usize {
        self.done(tid, number, args)
            .unwrap_or_else(|e| panic!("call {number:#x}: {e:?}"))
    }

    pub fn waits(&mut self, tid: u32, number: usize, args: [usize; 6]) {
        if let Some(result) = self.call(tid, number, args) {
            panic!("call {number:#x} did not wait: {result:?}");
        }
    }

    pub fn rip(&mut self, tid: u32) -> u64 {
        let cpu = self.cpu_of(tid).expect("runs");
        self.kernel.registers(cpu).rip
    }

    fn space(&self, tid: u32) -> kernel_core::kernel::SpaceId {
        let thread = self
            .kernel
            .threads
            .get(self.find(tid).expect("thread"))
            .expect("thread");
        self.kernel
            .processes
            .get(thread.process)
            .expect("process")
            .space
    }

    pub fn put(&mut self, tid: u32, addr: usize, bytes: &[u8]) {
        let space = self.space(tid);
        self.kernel.copy_out(space, addr, bytes).expect("writable");
    }

    pub fn get(&mut self, tid: u32, addr: usize, len: usize) -> Vec<u8> {
        let space = self.space(tid);
        let mut bytes = vec![0; len];
        self.kernel
            .copy_in(space, addr, &mut bytes)
            .expect("readable");
        bytes
    }

    pub fn get_u64(&mut self, tid: u32, addr: usize) -> u64 {
        u64::from_le_bytes(self.get(tid, addr, 8).try_into().unwrap())
    }

    /// Writes to memory as the program would, with faults.
    pub fn touch(&mut self, tid: u32, addr: usize, write: bool) {
        let cpu = self.cpu_of(tid).expect("runs");
        self.kernel.trap(
            cpu,
            Trap::PageFault {
                addr: addr as u64,
                write,
                execute: false,
            },
        );
        self.settle();
    }

    /// Opens `NAME/REF`; the path goes through the end of scratch memory.
    pub fn open(&mut self, tid: u32, path: &str, flags: usize) -> Option<Result<usize, Errno>> {
        let at = SCRATCH + SCRATCH_LEN - 8192;
        self.put(tid, at, path.as_bytes());
        self.call(
            tid,
            nr::OPENAT,
            [nr::AT_NAMESPACE, at, path.len(), flags, 0, 0],
        )
    }

    pub fn open_ok(&mut self, tid: u32, path: &str, flags: usize) -> usize {
        self.open(tid, path, flags)
            .expect("waits")
            .unwrap_or_else(|e| panic!("{path}: {e:?}"))
    }

    pub fn dup(&mut self, tid: u32, fd: usize, text: &[u8]) -> Option<Result<usize, Errno>> {
        let at = SCRATCH + SCRATCH_LEN - 8192;
        self.put(tid, at, text);
        self.call(tid, nr::DUP, [fd, at, text.len(), 0, 0, 0])
    }

    pub fn write(&mut self, tid: u32, fd: usize, bytes: &[u8]) -> Option<Result<usize, Errno>> {
        let at = SCRATCH + 0x20_0000;
        self.put(tid, at, bytes);
        self.call(tid, nr::WRITE, [fd, at, bytes.len(), 0, 0, 0])
    }

    pub fn read(&mut self, tid: u32, fd: usize, len: usize) -> Result<Vec<u8>, Errno> {
        let at = SCRATCH + 0x10_0000;
        let count = self.done(tid, nr::READ, [fd, at, len, 0, 0, 0])?;
        Ok(self.get(tid, at, count))
    }

    pub fn fork(&mut self, tid: u32) -> u32 {
        self.ok(tid, nr::FORK, [0; 6]) as u32
    }

    /// A thread of the same process.
    pub fn thread(&mut self, tid: u32) -> u32 {
        self.ok(
            tid,
            nr::THREAD_CREATE,
            [0x40_1000, SCRATCH + 0x8000, 0, 0, 0, 0],
        ) as u32
    }

    pub fn pipe(&mut self, tid: u32) -> (usize, usize) {
        let read = self.open_ok(tid, "pipe", O_RDWR);
        let write = self.dup(tid, read, b"write").unwrap().unwrap();
        (read, write)
    }
}
