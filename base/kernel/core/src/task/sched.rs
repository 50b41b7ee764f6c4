//! Which thread runs where.
//!
//! One run queue for all CPUs, plus one hand-over slot per CPU. A thread woken by the current one goes to the slot: if
//! the current thread blocks next (a scheme call, a pipe answer), the woken one runs here at once, with no interrupt to
//! another CPU and a warm cache. If the current thread goes on instead, a short timer moves the slot to the queue and
//! asks an idle CPU. Threads of the slot inherit the time slice, so a pair that hands over to each other cannot
//! starve the queue.

use alloc::vec::Vec;

use crate::kernel::{Kernel, Next, SpaceId, ThreadId};
use crate::limits::{HANDOVER_NS, QUANTUM_NS};
use crate::machine::{CpuId, Machine, Registers};
use crate::task::process::Life;
use crate::task::thread::{State, WaitKey, Waiting};

/// What the kernel knows of a CPU.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    /// It entered the scheduler.
    pub started: bool,
    /// The thread on it.
    pub current: Option<ThreadId>,
    /// The thread to run here next.
    pub slot: Option<ThreadId>,
    /// When the slot is given to another CPU.
    pub slot_until: u64,
    /// When the timer will fire.
    pub armed: Option<u64>,
    /// The space loaded.
    pub space: Option<SpaceId>,
    /// Whose floating-point registers are loaded.
    pub fpu: Option<ThreadId>,
    /// When the current slice ends.
    pub slice_end: u64,
    /// When the current thread was put on.
    pub since: u64,
    /// It halts.
    pub idle: bool,
    /// Time spent on threads.
    pub busy_ns: u64,
    /// Registers for entries without a thread.
    pub scratch: Registers,
}

/// How often things happened, for `/scheme/sys/stat`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// System calls.
    pub calls: u64,
    /// Threads put on a CPU.
    pub switches: u64,
    /// Address spaces loaded.
    pub loads: u64,
    /// Other CPUs asked to schedule.
    pub kicks: u64,
    /// Hand-over slots given to the queue.
    pub expired: u64,
    /// Page faults.
    pub faults: u64,
}

impl<M: Machine> Kernel<M> {
    /// Makes a thread ready that somebody may soon wait for: it goes to this CPU's slot.
    pub(crate) fn make_ready(&mut self, id: ThreadId) {
        if !self.set_ready(id) {
            return;
        }
        let cpu = self.cpu;
        if self.cpus[cpu].slot.is_some() {
            return self.enqueue(id);
        }
        self.cpus[cpu].slot = Some(id);
        if self.cpus[cpu].current.is_some() {
            self.cpus[cpu].slot_until = self.machine.now_ns().saturating_add(HANDOVER_NS);
        }
    }

    fn set_ready(&mut self, id: ThreadId) -> bool {
        match self.threads.get_mut(id) {
            Some(thread) if thread.state != State::Ready => {
                thread.state = State::Ready;
                true
            }
            _ => false,
        }
    }

    /// Makes a thread ready for any CPU.
    pub(crate) fn make_ready_anywhere(&mut self, id: ThreadId) {
        if self.set_ready(id) {
            self.enqueue(id);
        }
    }

    fn enqueue(&mut self, id: ThreadId) {
        self.ready.push_back(id);
        self.kick_idle();
    }

    /// Asks one idle CPU to look at the queue.
    pub(crate) fn kick_idle(&mut self) {
        let here = self.cpu;
        let idle = (0..self.cpus.len()).find(|cpu| *cpu != here && self.cpus[*cpu].idle);
        if let Some(cpu) = idle {
            self.cpus[cpu].idle = false;
            self.counters.kicks += 1;
            self.machine.kick(cpu);
        }
    }

    /// Puts the current thread to sleep.
    pub(crate) fn block(&mut self, id: ThreadId, waiting: Waiting, deadline: u64) {
        if deadline != u64::MAX {
            self.set_thread_timer(id, deadline);
        }
        if let Waiting::Key(key) = waiting {
            let list = self.waits.entry(key).or_default();
            if !list.contains(&id) {
                list.push(id);
            }
        }
        if let Some(thread) = self.threads.get_mut(id) {
            thread.state = State::Waiting(waiting);
        }
    }

    /// Wakes everybody who waits for the key: their calls run again.
    pub fn wake(&mut self, key: WaitKey) {
        let Some(list) = self.waits.get_mut(&key) else {
            return;
        };
        let mut list = core::mem::take(list);
        for id in list.drain(..) {
            let Some(thread) = self.threads.get_mut(id) else {
                continue;
            };
            if thread.state == State::Waiting(Waiting::Key(key)) {
                thread.retry = true;
                self.cancel_thread_timer(id);
                self.make_ready(id);
            }
        }
        if let Some(place) = self.waits.get_mut(&key) {
            *place = list;
        }
    }

    /// Forgets a key that will never be used again, waking whoever still waits.
    pub fn wake_last(&mut self, key: WaitKey) {
        self.wake(key);
        self.waits.remove(&key);
    }

    /// Ends a thread's wait with a result.
    pub(crate) fn finish_wait(&mut self, id: ThreadId, result: usize) {
        self.cancel_thread_timer(id);
        if let Some(thread) = self.threads.get_mut(id) {
            thread.registers.rax = result as u64;
            self.make_ready(id);
        }
    }

    fn take_next(&mut self, cpu: CpuId, now: u64) -> Option<ThreadId> {
        let slice_over = now >= self.cpus[cpu].slice_end;
        if slice_over
            && !self.ready.is_empty()
            && let Some(id) = self.cpus[cpu].slot.take()
        {
            self.ready.push_back(id);
        }
        let id = match self.cpus[cpu].slot.take() {
            Some(id) => id,
            None => {
                self.cpus[cpu].slice_end = now.saturating_add(QUANTUM_NS);
                self.ready.pop_front()?
            }
        };
        if slice_over {
            self.cpus[cpu].slice_end = now.saturating_add(QUANTUM_NS);
        }
        Some(id)
    }

    /// Picks a thread that may run and puts it on this CPU.
    pub(crate) fn switch_to_next(&mut self) -> bool {
        let cpu = self.cpu;
        let now = self.machine.now_ns();
        while let Some(id) = self.take_next(cpu, now) {
            let Some(thread) = self.threads.get_mut(id) else {
                continue;
            };
            if thread.state != State::Ready {
                continue;
            }
            let process = thread.process;
            match self.processes.get(process) {
                Some(process) if process.stopped && process.life == Life::Alive => {
                    thread.state = State::Parked;
                }
                Some(_) => {
                    thread.state = State::Running(cpu);
                    self.load_thread(id, now);
                    return true;
                }
                None => {}
            }
        }
        false
    }

    fn load_thread(&mut self, id: ThreadId, now: u64) {
        let cpu = self.cpu;
        self.counters.switches += 1;
        self.cpus[cpu].current = Some(id);
        self.cpus[cpu].since = now;
        self.cpus[cpu].idle = false;
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        let (process, fs_base) = (thread.process, thread.fs_base);
        if self.cpus[cpu].fpu != Some(id) || thread.fpu_cpu != Some(cpu) {
            self.machine.fpu_load(&thread.fpu);
            self.cpus[cpu].fpu = Some(id);
            thread.fpu_cpu = Some(cpu);
        }
        let space = self.processes.get(process).map(|process| process.space);
        self.load_space(space);
        self.machine.set_fs_base(fs_base);
    }

    /// Takes the current thread off this CPU, saving what the CPU holds of it.
    pub(crate) fn unload_current(&mut self) {
        let cpu = self.cpu;
        let Some(id) = self.cpus[cpu].current.take() else {
            return;
        };
        let spent = self.machine.now_ns().saturating_sub(self.cpus[cpu].since);
        self.cpus[cpu].busy_ns += spent;
        if let Some(thread) = self.threads.get_mut(id) {
            thread.cpu_ns += spent;
            self.machine.fpu_save(&mut thread.fpu);
        }
    }

    /// Leaves the kernel: what this CPU does now.
    pub(crate) fn leave(&mut self) -> Next {
        let next = loop {
            if self.cpus[self.cpu].current.is_none() {
                self.run_deferred();
                if !self.switch_to_next() {
                    break Next::Idle;
                }
            }
            if self.settle_current() {
                break Next::Run;
            }
        };
        self.run_deferred();
        self.flush_stale();
        if next == Next::Idle {
            self.cpus[self.cpu].idle = true;
            if let Some(space) = self.cpus[self.cpu].space
                && self.spaces.get(space).is_none_or(|space| space.dying)
            {
                self.load_space(None);
            }
        }
        self.arm_timer();
        next
    }

    /// Brings the current thread to the point where it can go to user mode. False: it is off the CPU.
    fn settle_current(&mut self) -> bool {
        let Some(id) = self.cpus[self.cpu].current else {
            return false;
        };
        let Some(thread) = self.threads.get_mut(id) else {
            self.cpus[self.cpu].current = None;
            return false;
        };
        if thread.dying {
            self.thread_reap(id);
            return false;
        }
        if !matches!(thread.state, State::Running(_)) {
            self.unload_current();
            return false;
        }
        if thread.retry && !thread.interrupted {
            thread.retry = false;
            self.syscall();
            return self.cpus[self.cpu].current == Some(id) && self.settle_current();
        }
        if self.signal_work(id) {
            return self.settle_current();
        }
        if self.preempt_due() {
            if let Some(thread) = self.threads.get_mut(id) {
                thread.state = State::Ready;
            }
            self.unload_current();
            self.ready.push_back(id);
            return false;
        }
        true
    }

    fn preempt_due(&mut self) -> bool {
        if !core::mem::take(&mut self.resched) || self.ready.is_empty() {
            return false;
        }
        self.machine.now_ns() >= self.cpus[self.cpu].slice_end
    }

    /// `YIELD`: others first.
    pub(crate) fn yield_now(&mut self, id: ThreadId) {
        let cpu = self.cpu;
        if self.ready.is_empty() && self.cpus[cpu].slot.is_none() {
            return;
        }
        if let Some(thread) = self.threads.get_mut(id) {
            thread.registers.rax = 0;
            thread.state = State::Ready;
        }
        self.unload_current();
        self.ready.push_back(id);
    }

    /// Gives the slot to the queue when its thread has waited for too long.
    pub(crate) fn expire_slot(&mut self) {
        let cpu = self.cpu;
        if self.cpus[cpu].current.is_some()
            && self.cpus[cpu].slot_until <= self.machine.now_ns()
            && let Some(id) = self.cpus[cpu].slot.take()
        {
            self.counters.expired += 1;
            self.enqueue(id);
        }
    }

    /// Ids of all threads of a process.
    pub(crate) fn thread_ids(&self, process: crate::kernel::ProcessId) -> Vec<ThreadId> {
        self.processes
            .get(process)
            .map(|p| p.threads.clone())
            .unwrap_or_default()
    }
}
