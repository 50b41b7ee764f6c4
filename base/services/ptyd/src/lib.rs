//! Pseudo terminals: `/scheme/pty/ptmx` makes a pair and gives its master, `/scheme/pty/N` is the slave.
//!
//! The line discipline is here, pure: [`Terminal`] takes what is typed and what programs print, and gives what
//! programs read, what the screen shows and which signals to send. `termios` is the C struct that the C library
//! exchanges over `dup(fd, "termios")`; the other names are `winsize`, `pgrp`, `ptsname`, `ptlock`, `flush`.
//!
//! Not here: who may be the foreground group (any holder of the slave may set it), stopping of background
//! readers and writers (SIGTTIN, SIGTTOU), parity and baud rates, and the width of characters other than one
//! column. Sources: POSIX.1-2024 chapter 11, facts 4.4.
#![forbid(unsafe_code)]

pub mod limits;
mod scheme;
mod terminal;
pub mod termios;
#[cfg(test)]
mod tests;

pub use scheme::{Node, Ptys};
pub use terminal::{Signal, Terminal};
