//! The child side: makes the session and becomes the shell.
//!
//! Started by the bridge as `consoled --session SHELL ARGUMENT…` with the terminal as its three streams.
//! A process of its own, because a session can only be made by one that leads no group yet, and between fork
//! and exec of the parent no ordinary code may run.

use std::io::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes this process the leader of a session whose foreground group it is, and runs the shell in its place.
/// Comes back only with the error.
pub fn run(shell: &[String]) -> Error {
    let Some((program, args)) = shell.split_first() else {
        return Error::other("no shell is named");
    };
    if let Err(error) = nix::unistd::setsid() {
        return Error::other(format!("cannot make a session: {error}"));
    }
    if let Err(error) = take_terminal() {
        return Error::other(format!("cannot take the terminal: {error}"));
    }
    let error = Command::new(program).args(args).exec();
    Error::new(error.kind(), format!("{program}: {error}"))
}

fn take_terminal() -> Result<(), Error> {
    let group = libredox::Fd::new(libredox::call::dup(0, b"pgrp")?);
    group.write(&(std::process::id() as i32).to_le_bytes())?;
    Ok(())
}
