//! The kernel as one value: tables, rules and the machine, entered by traps.

use alloc::string::String;
use alloc::vec::Vec;

use crate::machine::{CpuId, Machine, Registers, Trap};

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

/// The kernel.
pub struct Kernel<M: Machine> {
    /// The machine below.
    pub machine: M,
    cpus: Vec<Registers>,
}

impl<M: Machine> Kernel<M> {
    /// An empty kernel on this machine.
    pub fn new(machine: M, _config: Config) -> Self {
        let cpus = alloc::vec![Registers::default(); machine.cpu_count().max(1)];
        Self { machine, cpus }
    }

    /// First entry of a CPU. It must be called once on each before that CPU's first `trap`.
    pub fn cpu_start(&mut self, _cpu: CpuId) -> Next {
        Next::Idle
    }

    /// An entry from user mode or from idle. The hal has stored the user registers in [`Kernel::registers`] (not when idle).
    pub fn trap(&mut self, _cpu: CpuId, _trap: Trap) -> Next {
        Next::Idle
    }

    /// Where the hal stores the registers of the thread that runs on this CPU, and from where it loads them
    /// after [`Next::Run`]. The place changes with every trap: never keep the reference.
    pub fn registers(&mut self, cpu: CpuId) -> &mut Registers {
        &mut self.cpus[cpu]
    }
}
