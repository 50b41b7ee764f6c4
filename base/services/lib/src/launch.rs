//! Starting a program that tells when it is ready: the other end of module `ready`. Init uses it for
//! services and pcid for drivers.

use std::io::{self, PipeReader};
use std::os::fd::AsRawFd;
use std::process::{Child, Command};
use std::time::Duration;

use event::{EventFlags as Wake, RawEventQueue};
use syscall::flag::CallFlags;

use crate::clock::Timer;
use crate::ready::NOTIFY_VARIABLE;

/// How the wait for a program ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It said it is ready.
    Ready,
    /// It sent a descriptor: the root of its scheme, to be registered by the one who waits.
    Root(usize),
    /// It ended, or closed the pipe, without a word.
    Ended,
    /// It said nothing within the time.
    TimedOut,
}

/// A started program and the pipe it reports on.
pub struct Launch {
    /// The process.
    pub child: Child,
    pipe: PipeReader,
}

impl Launch {
    /// Starts `command` with the pipe in its environment.
    pub fn start(command: &mut Command) -> io::Result<Launch> {
        let (pipe, writer) = io::pipe()?;
        let fd = writer.as_raw_fd() as usize;
        // Pipes are made close-on-exec; this end is meant for the child.
        libredox::call::fcntl(fd, syscall::flag::F_SETFD, 0)?;
        // Bytes and descriptors are asked for in turn, so neither may wait.
        let own = pipe.as_raw_fd() as usize;
        libredox::call::fcntl(own, syscall::flag::F_SETFL, syscall::flag::O_NONBLOCK)?;
        let child = command.env(NOTIFY_VARIABLE, fd.to_string()).spawn()?;
        Ok(Launch { child, pipe })
    }

    /// Waits for the program's word, at most `limit`.
    pub fn wait(&self, limit: Duration) -> io::Result<Outcome> {
        let fd = self.pipe.as_raw_fd() as usize;
        let timer = Timer::after(limit)?;
        let queue = RawEventQueue::new().map_err(io_error)?;
        for source in [fd, timer.fd()] {
            queue
                .subscribe(source, source, Wake::READ)
                .map_err(io_error)?;
        }
        loop {
            let event = queue.next_event().map_err(io_error)?;
            if event.user_data != fd {
                return Ok(Outcome::TimedOut);
            }
            if let Some(outcome) = self.take()? {
                return Ok(outcome);
            }
        }
    }

    /// What the pipe holds, descriptors first; nothing when it was woken for nothing.
    fn take(&self) -> io::Result<Option<Outcome>> {
        let fd = self.pipe.as_raw_fd() as usize;
        let mut slot = usize::MAX.to_le_bytes();
        if libredox::call::call_ro(fd, &mut slot, CallFlags::FD, &[]).is_ok() {
            return Ok(Some(Outcome::Root(usize::from_le_bytes(slot))));
        }
        let mut byte = [0];
        match libredox::call::read(fd, &mut byte) {
            Ok(0) => Ok(Some(Outcome::Ended)),
            Ok(_) => Ok(Some(Outcome::Ready)),
            Err(error) if error.is_wouldblock() || error.is_interrupt() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Puts a scheme root that was received from a daemon under its name.
pub fn register(name: &str, root: usize) -> io::Result<()> {
    let namespace = libredox::call::getns()?;
    Ok(libredox::call::register_scheme_to_ns(
        namespace, name, root,
    )?)
}

fn io_error(error: event::libredox::error::Error) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}
