//! The kernel's behaviour, seen from its system calls, on a machine made of vectors.
#![allow(unreachable_pub, reason = "a test program has no public interface")]

mod fuzz;
mod harness;
mod io;
mod limits;
mod machine;
mod memory;
mod namespaces;
mod processes;
mod scheduling;
mod schemes;
mod signals;
