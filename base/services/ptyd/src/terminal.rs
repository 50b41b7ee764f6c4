//! One terminal: the line discipline between a keyboard (the master) and programs (the slave).
//!
//! Input is edited in `line` until it is complete; complete input waits in `input`. In canonical mode `lines`
//! holds the lengths of the complete lines in `input` (0 for an end of file); otherwise it is empty and the
//! bytes are read as they are. Output for the screen waits in `output`. Time is a parameter.

mod discipline;

use std::collections::VecDeque;

use valence_daemon::syscall::error::{EIO, EWOULDBLOCK, Error, Result};
use valence_daemon::syscall::flag::EventFlags;

use crate::limits::{INPUT_BYTES, OUTPUT_BYTES};
use crate::termios::{Termios, WINSIZE_BYTES, cc, flag};

const SIGHUP: u32 = 1;
const SIGINT: u32 = 2;
const SIGQUIT: u32 = 3;
const SIGCONT: u32 = 18;
const SIGTSTP: u32 = 20;
const SIGWINCH: u32 = 28;

/// A signal to send to a process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The group.
    pub group: i32,
    /// Signal number.
    pub number: u32,
}

/// State of one terminal.
#[derive(Debug, Default)]
pub struct Terminal {
    termios: Termios,
    winsize: [u8; WINSIZE_BYTES],
    group: i32,
    line: Vec<u8>,
    is_literal_next: bool,
    input: VecDeque<u8>,
    lines: VecDeque<usize>,
    output: VecDeque<u8>,
    is_stopped: bool,
    is_hung_up: bool,
    slaves: usize,
    had_slave: bool,
    signals: Vec<Signal>,
    activity: u64,
    last_input_ms: u64,
}

/// What a slave's read waits for besides input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    /// When the read began to wait.
    pub since_ms: Option<u64>,
    /// When it must be tried again.
    pub until_ms: Option<u64>,
}

impl Terminal {
    /// The settings.
    pub fn termios(&self) -> &Termios {
        &self.termios
    }

    /// Changes the settings. Input that is not yet read changes its form with the mode.
    pub fn set_termios(&mut self, termios: Termios) {
        let was = self.termios.has(flag::ICANON);
        self.termios = termios;
        let is = self.termios.has(flag::ICANON);
        if was && !is {
            self.input.extend(self.line.drain(..));
            self.lines.clear();
        } else if !was && is && !self.input.is_empty() {
            self.lines.push_back(self.input.len());
        }
        if self.termios.input & flag::IXON == 0 {
            self.is_stopped = false;
        }
        self.activity += 1;
    }

    /// The window size, as its C struct.
    pub fn winsize(&self) -> [u8; WINSIZE_BYTES] {
        self.winsize
    }

    /// Changes the window size and tells the foreground group.
    pub fn set_winsize(&mut self, winsize: [u8; WINSIZE_BYTES]) {
        if self.winsize != winsize {
            self.winsize = winsize;
            self.signal(SIGWINCH);
        }
    }

    /// The foreground process group; 0 when there is none.
    pub fn group(&self) -> i32 {
        self.group
    }

    /// Sets the foreground process group.
    pub fn set_group(&mut self, group: i32) {
        self.group = group;
    }

    /// Throws away what was typed and not read.
    pub fn flush_input(&mut self) {
        self.line.clear();
        self.input.clear();
        self.lines.clear();
        self.activity += 1;
    }

    /// Throws away what was printed and not shown.
    pub fn flush_output(&mut self) {
        self.output.clear();
        self.activity += 1;
    }

    /// A slave was opened.
    pub fn slave_opened(&mut self) {
        self.slaves += 1;
        self.had_slave = true;
        self.activity += 1;
    }

    /// A slave was closed.
    pub fn slave_closed(&mut self) {
        self.slaves = self.slaves.saturating_sub(1);
        self.activity += 1;
    }

    /// Number of open slaves.
    pub fn slaves(&self) -> usize {
        self.slaves
    }

    /// The master is gone: programs see the end of the input.
    pub fn hang_up(&mut self) {
        self.is_hung_up = true;
        self.signal(SIGHUP);
        self.signal(SIGCONT);
        self.activity += 1;
    }

    /// Takes the signals to send.
    pub fn take_signals(&mut self) -> Vec<Signal> {
        std::mem::take(&mut self.signals)
    }

    /// Changes whenever something happened that a waiting program may want to know.
    pub fn activity(&self) -> u64 {
        self.activity
    }

    // ---- the master's side ----

    /// Types bytes; gives how many were taken.
    pub fn master_write(&mut self, bytes: &[u8], now_ms: u64) -> Result<usize> {
        let mut taken = 0;
        for byte in bytes {
            if self.input.len() + self.line.len() >= INPUT_BYTES {
                break;
            }
            self.take(*byte);
            taken += 1;
        }
        if taken == 0 && !bytes.is_empty() {
            return Err(Error::new(EWOULDBLOCK));
        }
        self.last_input_ms = now_ms;
        self.activity += 1;
        Ok(taken)
    }

    /// Takes what the screen shall show; 0 when no program has the terminal open any more.
    pub fn master_read(&mut self, buf: &mut [u8]) -> Result<usize> {
        if self.output.is_empty() || self.is_stopped {
            let over = self.output.is_empty() && self.had_slave && self.slaves == 0;
            return if over {
                Ok(0)
            } else {
                Err(Error::new(EWOULDBLOCK))
            };
        }
        let count = drain(&mut self.output, buf);
        self.activity += 1;
        Ok(count)
    }

    /// Readiness of the master.
    pub fn master_ready(&self) -> EventFlags {
        let mut ready = EventFlags::empty();
        let over = self.had_slave && self.slaves == 0;
        ready.set(
            EventFlags::EVENT_READ,
            !self.output.is_empty() && !self.is_stopped || over,
        );
        let room = self.input.len() + self.line.len() < INPUT_BYTES;
        ready.set(EventFlags::EVENT_WRITE, room);
        ready
    }

    // ---- the slave's side ----

    /// Prints bytes; gives how many were taken.
    pub fn slave_write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.is_hung_up {
            return Err(Error::new(EIO));
        }
        let mut taken = 0;
        for byte in bytes {
            if self.output.len() >= OUTPUT_BYTES {
                break;
            }
            self.print(*byte);
            taken += 1;
        }
        if taken == 0 && !bytes.is_empty() {
            return Err(Error::new(EWOULDBLOCK));
        }
        self.activity += 1;
        Ok(taken)
    }

    /// Reads what was typed, in the way of the mode.
    pub fn slave_read(&mut self, buf: &mut [u8], wait: &mut Wait, now_ms: u64) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let count = if self.termios.has(flag::ICANON) {
            self.read_line(buf)
        } else {
            self.read_bytes(buf, wait, now_ms)
        };
        match count {
            Some(count) => {
                *wait = Wait::default();
                self.activity += 1;
                Ok(count)
            }
            None if self.is_hung_up => Ok(0),
            None => Err(Error::new(EWOULDBLOCK)),
        }
    }

    /// Readiness of a slave.
    pub fn slave_ready(&self) -> EventFlags {
        let mut ready = EventFlags::empty();
        let has_input = if self.termios.has(flag::ICANON) {
            !self.lines.is_empty()
        } else {
            let enough = usize::from(self.termios.chars[cc::MIN]).max(1);
            self.input.len() >= enough
        };
        ready.set(EventFlags::EVENT_READ, has_input || self.is_hung_up);
        let room = self.output.len() < OUTPUT_BYTES || self.is_hung_up;
        ready.set(EventFlags::EVENT_WRITE, room);
        ready
    }

    fn read_line(&mut self, buf: &mut [u8]) -> Option<usize> {
        let len = self.lines.pop_front()?;
        let take = len.min(buf.len());
        let count = drain(&mut self.input, &mut buf[..take]);
        if len > count {
            self.lines.push_front(len - count);
        }
        Some(count)
    }

    /// The four cases of MIN and TIME (POSIX 11.1.7); TIME counts tenths of a second.
    fn read_bytes(&mut self, buf: &mut [u8], wait: &mut Wait, now_ms: u64) -> Option<usize> {
        let min = usize::from(self.termios.chars[cc::MIN]);
        let time_ms = u64::from(self.termios.chars[cc::TIME]) * 100;
        let since = *wait.since_ms.get_or_insert(now_ms);
        let enough = self.input.len() >= min.min(buf.len()).max(1);
        let from = match (min, self.input.is_empty()) {
            (0, _) => since,
            (_, false) => since.max(self.last_input_ms),
            (_, true) => {
                wait.until_ms = None;
                return None;
            }
        };
        let expired = if time_ms == 0 {
            min == 0
        } else {
            now_ms >= from + time_ms
        };
        if enough || expired {
            return Some(drain(&mut self.input, buf));
        }
        wait.until_ms = (time_ms > 0).then_some(from + time_ms);
        None
    }
}

fn drain(queue: &mut VecDeque<u8>, buf: &mut [u8]) -> usize {
    let count = queue.len().min(buf.len());
    for (place, byte) in buf.iter_mut().zip(queue.drain(..count)) {
        *place = byte;
    }
    count
}
