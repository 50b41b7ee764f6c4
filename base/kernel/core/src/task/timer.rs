//! Deadlines: sleeping threads, alarms, timers of kernel schemes; and this CPU's hardware timer.
//!
//! The hardware timer is only ever set earlier, never cancelled: an early interrupt costs less than setting it at each switch.

use valence_abi::errno::{ETIMEDOUT, encode};
use valence_abi::signal::SIGALRM;

use crate::kernel::{Kernel, ProcessId, ThreadId};
use crate::machine::Machine;
use crate::task::thread::{State, Waiting};

/// What happens at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A thread's wait ends.
    Thread(ThreadId),
    /// A process gets `SIGALRM`.
    Alarm(ProcessId),
    /// A kernel scheme's handle: (scheme index, handle).
    Scheme(usize, u64),
}

impl<M: Machine> Kernel<M> {
    /// Adds a timer; the key cancels it.
    pub fn timer_add(&mut self, deadline: u64, timer: Timer) -> (u64, u64) {
        self.timer_serial += 1;
        let key = (deadline, self.timer_serial);
        self.timers.insert(key, timer);
        key
    }

    /// Removes a timer.
    pub fn timer_remove(&mut self, key: (u64, u64)) {
        self.timers.remove(&key);
    }

    pub(crate) fn set_thread_timer(&mut self, id: ThreadId, deadline: u64) {
        self.cancel_thread_timer(id);
        let key = self.timer_add(deadline, Timer::Thread(id));
        if let Some(thread) = self.threads.get_mut(id) {
            thread.deadline = deadline;
            thread.timer = Some(key);
        }
    }

    pub(crate) fn cancel_thread_timer(&mut self, id: ThreadId) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.deadline = u64::MAX;
            if let Some(key) = thread.timer.take() {
                self.timers.remove(&key);
            }
        }
    }

    /// Runs every timer that is due.
    pub(crate) fn expire_timers(&mut self) {
        let now = self.machine.now_ns();
        while let Some((key, timer)) = self.timers.first_key_value().map(|(k, t)| (*k, *t)) {
            if key.0 > now {
                break;
            }
            self.timers.remove(&key);
            match timer {
                Timer::Thread(id) => self.thread_timeout(id),
                Timer::Alarm(process) => self.alarm_fire(process, now),
                Timer::Scheme(index, handle) => {
                    self.with_scheme(index, |scheme, kernel| scheme.timer(kernel, handle));
                }
            }
        }
    }

    fn thread_timeout(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        thread.timer = None;
        match thread.state {
            State::Waiting(Waiting::Key(_)) => {
                thread.retry = true;
                self.make_ready(id);
            }
            State::Waiting(Waiting::Sleep) => self.finish_wait(id, 0),
            State::Waiting(Waiting::Futex(key)) => {
                self.futex_forget(id, key);
                self.finish_wait(id, encode(Err(ETIMEDOUT)));
            }
            _ => {}
        }
    }

    fn alarm_fire(&mut self, id: ProcessId, now: u64) {
        let Some(process) = self.processes.get_mut(id) else {
            return;
        };
        process.alarm.timer = None;
        let interval = process.alarm.interval;
        if interval != 0 {
            let key = self.timer_add(now.saturating_add(interval), Timer::Alarm(id));
            if let Some(process) = self.processes.get_mut(id) {
                process.alarm.timer = Some(key);
            }
        }
        self.signal_process(id, SIGALRM, crate::task::signal::info(SIGALRM, 0, 0));
    }

    /// Sets this CPU's timer to the next thing it must not miss.
    pub(crate) fn arm_timer(&mut self) {
        let cpu = self.cpu;
        let mut wanted = u64::MAX;
        if let Some(((deadline, _), _)) = self.timers.first_key_value() {
            let covered = self
                .cpus
                .iter()
                .enumerate()
                .any(|(other, c)| other != cpu && c.armed.is_some_and(|at| at <= *deadline));
            if !covered {
                wanted = *deadline;
            }
        }
        if self.cpus[cpu].current.is_some() {
            if self.cpus[cpu].slot.is_some() {
                wanted = wanted.min(self.cpus[cpu].slot_until);
            }
            if !self.ready.is_empty() {
                wanted = wanted.min(self.cpus[cpu].slice_end);
            }
        }
        if wanted != u64::MAX && self.cpus[cpu].armed.is_none_or(|at| wanted < at) {
            self.cpus[cpu].armed = Some(wanted);
            self.machine.set_timer(Some(wanted));
        }
    }
}
