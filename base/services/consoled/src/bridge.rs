//! The parent side: bytes from the port to the terminal and back, and one shell after the other.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::Instant;

use crate::Restarts;

const TERMINALS: &str = "/scheme/pty";
const LOG_ECHO: &str = "/scheme/log/.echo";
/// Rows and columns of a serial terminal that nobody has asked: 24 by 80.
const WINSIZE: [u8; 8] = [24, 0, 80, 0, 0, 0, 0, 0];
const CHUNK_BYTES: usize = 4096;

/// The terminal whose keyboard the port is now.
type Current = Arc<Mutex<Option<File>>>;

/// Runs shells on the port for ever; returns only with a reason why it cannot.
pub fn run(port_path: &str, shell: &[String]) -> Result<(), String> {
    let open_port = || {
        let port = OpenOptions::new().read(true).write(true).open(port_path);
        port.map_err(|error| format!("{port_path}: {error}"))
    };
    let mut screen = open_port()?;
    let keyboard = open_port()?;
    let current = Current::default();
    let typed = Arc::clone(&current);
    let port_name = port_path.to_owned();
    thread::spawn(move || {
        let error = read_keyboard(keyboard, &typed);
        valence_daemon::log!("consoled: {port_name}: {error}");
    });
    valence_daemon::ready::notify();
    // From here on the port belongs to the shell; the log of the boot stays readable in the log scheme.
    let _ = OpenOptions::new()
        .write(true)
        .open(LOG_ECHO)
        .and_then(|mut echo| echo.write_all(b"off"));
    let mut restarts = Restarts::default();
    loop {
        let start = Instant::now();
        let outcome = one_shell(&screen, &current, shell);
        let is_success = outcome.as_ref().is_ok_and(ExitStatus::success);
        if let Some(pause) = restarts.pause_after(start.elapsed(), is_success) {
            let what = shell.join(" ");
            let why = match outcome {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            let seconds = pause.as_millis() as f32 / 1000.0;
            let text = format!("\r\nconsoled: {what}: {why}; trying again in {seconds:.1} s\r\n");
            let _ = screen.write_all(text.as_bytes());
            valence_daemon::log!("{}", text.trim());
            sleep(pause);
        }
    }
}

/// Makes a terminal, runs one shell on it and waits for its end.
fn one_shell(screen: &File, current: &Current, shell: &[String]) -> io::Result<ExitStatus> {
    let read_write = || OpenOptions::new().read(true).write(true).clone();
    let master = read_write().open(format!("{TERMINALS}/ptmx"))?;
    let slave = read_write().open(slave_path(&master)?)?;
    set_winsize(&master)?;
    let shown = (master.try_clone()?, screen.try_clone()?);
    thread::spawn(move || show(shown.0, shown.1));
    *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(master);
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--session").args(shell);
    command
        .stdin(slave.try_clone()?)
        .stdout(slave.try_clone()?)
        .stderr(slave);
    let mut child = command.spawn()?;
    // The command holds the slave open, and the terminal's end is seen only when nobody does.
    drop(command);
    let status = child.wait();
    *current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    status
}

fn slave_path(master: &File) -> io::Result<String> {
    use std::os::fd::AsRawFd;
    let name = libredox::Fd::new(libredox::call::dup(
        master.as_raw_fd() as usize,
        b"ptsname",
    )?);
    let mut number = [0; 4];
    name.read(&mut number)?;
    Ok(format!("{TERMINALS}/{}", u32::from_le_bytes(number)))
}

fn set_winsize(master: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let size = libredox::Fd::new(libredox::call::dup(
        master.as_raw_fd() as usize,
        b"winsize",
    )?);
    size.write(&WINSIZE)?;
    Ok(())
}

/// Port to terminal. What is typed while no shell runs is lost.
fn read_keyboard(mut port: File, current: &Current) -> io::Error {
    let mut buf = [0; CHUNK_BYTES];
    loop {
        let len = match port.read(&mut buf) {
            Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return error,
        };
        let master = current.lock().unwrap_or_else(PoisonError::into_inner);
        let master = master.as_ref().and_then(|master| master.try_clone().ok());
        if let Some(mut master) = master {
            let _ = master.write_all(&buf[..len]);
        }
    }
}

/// Terminal to port, until the last program has closed the terminal.
fn show(mut master: File, mut port: File) {
    let mut buf = [0; CHUNK_BYTES];
    loop {
        match master.read(&mut buf) {
            Ok(0) => return,
            Ok(len) => {
                if port.write_all(&buf[..len]).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
