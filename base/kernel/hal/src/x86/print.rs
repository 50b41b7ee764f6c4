//! Kernel text on COM1: time-stamped lines while the machine starts, and what a panic prints.
//!
//! Bytes go straight to the port, so printing works in any state of the machine, the kernel lock held or not; lines of
//! two CPUs may then mix, which is better than silence.

use core::fmt::{self, Write};

use super::devices::serial;
use super::time;

/// COM1 as a text sink that ends lines with CR LF.
pub(super) struct Com1;

impl Write for Com1 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (i, line) in text.split('\n').enumerate() {
            if i > 0 {
                serial::send(0, b"\r\n");
            }
            serial::send(0, line.as_bytes());
        }
        Ok(())
    }
}

/// Prints one line with the time since the start.
pub fn log(text: fmt::Arguments) {
    let us = time::since_start_ns() / 1_000;
    // Com1 never fails.
    let _ = writeln!(Com1, "[{:3}.{:06}] {text}", us / 1_000_000, us % 1_000_000);
}

macro_rules! log {
    ($($part:tt)*) => { $crate::x86::print::log(format_args!($($part)*)) };
}
