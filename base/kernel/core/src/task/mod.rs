//! Threads, processes, signals, scheduling, programs.

pub mod elf;
pub mod exec;
pub mod exit;
pub mod fork;
pub mod futex;
pub mod group;
pub mod identity;
pub mod process;
pub mod sched;
pub mod sigcalls;
pub mod sigframe;
pub mod signal;
pub mod stack;
pub mod thread;
pub mod timer;
pub mod wait;
