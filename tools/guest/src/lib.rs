//! Runs commands in a headless guest: boots the image, talks to the daemon `guestd` over the second serial line, and
//! brings back exactly what a command printed and its status.
//!
//! [`protocol`] is the wire form, without I/O; [`session`] one boot; [`watch`] looks for a dead kernel in the console's
//! log; [`suite`] runs the test programs of a test image and prints a table.

#![forbid(unsafe_code)]

pub mod protocol;
pub mod session;
pub mod suite;
pub mod watch;
