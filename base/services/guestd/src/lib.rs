//! Commands from the development host, one at a time, with their output going back as it comes.
//!
//! Frames in both directions: tag (one byte), length (u32, little endian), bytes. From the host: `R` a command
//! line for `/bin/sh -c`, `Q` sync and power off. To the host: `H` ready (at the start and in answer to any
//! byte that is no tag, so that a host can find the beginning of a frame), `O` and `E` bytes of standard
//! output and error, `X` the exit status as i32 (128 + signal when killed).
//!
//! The line is trusted: whoever holds the other end of the serial port holds the machine. The daemon is for
//! tests and development, and a system that should not have it leaves out its unit.
#![forbid(unsafe_code)]

pub mod frame;
pub mod run;

use std::io::{self, Read, Write};
use std::sync::Mutex;

use frame::{Order, read_order, write_frame};

/// What the serving loop asks of its surroundings.
pub trait Machine {
    /// Makes everything durable and switches the machine off; returns only if that failed.
    fn power_off(&mut self) -> io::Error;
}

/// Serves until the input ends.
pub fn serve(
    input: &mut impl Read,
    output: &Mutex<impl Write + Send>,
    shell: &[&str],
    machine: &mut impl Machine,
) -> io::Result<()> {
    write_frame(output, b'H', &[])?;
    while let Some(order) = read_order(input)? {
        match order {
            Order::Run(line) => {
                let status = run::command(shell, &line, output)?;
                write_frame(output, b'X', &status.to_le_bytes())?;
            }
            Order::PowerOff => {
                let error = machine.power_off();
                write_frame(output, b'E', format!("power off: {error}\n").as_bytes())?;
                write_frame(output, b'X', &1i32.to_le_bytes())?;
            }
            Order::Unknown => write_frame(output, b'H', &[])?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
