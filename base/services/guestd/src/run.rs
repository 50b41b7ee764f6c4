//! Running one command line.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;

use crate::frame::write_frame;

/// Output bytes in one frame at most.
const CHUNK_BYTES: usize = 16 * 1024;
/// Status of a command that could not be started, as shells have it.
const NOT_STARTED: i32 = 127;

/// Runs `line` with the shell; sends its output while it runs and gives its status. Ends when the command has
/// ended and both its output streams are closed.
pub fn command(shell: &[&str], line: &[u8], output: &Mutex<impl Write + Send>) -> io::Result<i32> {
    let mut child = match start(shell, line) {
        Ok(child) => child,
        Err(error) => {
            let text = format!("guestd: {}: {error}\n", shell.join(" "));
            write_frame(output, b'E', text.as_bytes())?;
            return Ok(NOT_STARTED);
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let errors = scope.spawn(|| forward(stderr, b'E', output));
        let sent = forward(stdout, b'O', output);
        // A reader that panicked has said so on standard error; the command's status still counts.
        sent.and(errors.join().unwrap_or(Ok(())))
    })?;
    Ok(number(child.wait()?))
}

fn start(shell: &[&str], line: &[u8]) -> io::Result<Child> {
    let (program, args) = shell.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    Command::new(program)
        .args(args)
        .arg(OsStr::from_bytes(line))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn forward(
    stream: Option<impl Read>,
    tag: u8,
    output: &Mutex<impl Write + Send>,
) -> io::Result<()> {
    let Some(mut stream) = stream else {
        return Ok(());
    };
    let mut buf = vec![0; CHUNK_BYTES];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(len) => write_frame(output, tag, &buf[..len])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn number(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
