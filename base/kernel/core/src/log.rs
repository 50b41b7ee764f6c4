//! The kernel's messages: to the serial console and to a ring that `/scheme/sys/log` shows.

use alloc::collections::VecDeque;
use alloc::string::String;

use crate::kernel::Kernel;
use crate::limits::LOG_BYTES;
use crate::machine::Machine;

/// The newest messages.
#[derive(Default)]
pub struct Log {
    bytes: VecDeque<u8>,
}

impl Log {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds text, dropping the oldest.
    pub fn push(&mut self, text: &[u8]) {
        let text = &text[text.len().saturating_sub(LOG_BYTES)..];
        let excess = (self.bytes.len() + text.len()).saturating_sub(LOG_BYTES);
        self.bytes.drain(..excess);
        self.bytes.extend(text);
    }

    /// What is kept.
    pub fn text(&self) -> alloc::vec::Vec<u8> {
        self.bytes.iter().copied().collect()
    }
}

impl<M: Machine> Kernel<M> {
    /// One line of the kernel's own.
    pub fn print(&mut self, message: core::fmt::Arguments<'_>) {
        let now = self.machine.now_ns();
        let mut line = String::new();
        let (seconds, micros) = (now / 1_000_000_000, now / 1000 % 1_000_000);
        let _ = core::fmt::write(
            &mut line,
            format_args!("[{seconds:5}.{micros:06}] kernel: {message}\n"),
        );
        self.log.push(line.as_bytes());
        self.machine.serial_write(0, line.as_bytes());
    }
}
