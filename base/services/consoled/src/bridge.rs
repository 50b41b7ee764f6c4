//! The parent side: bytes from the port to the terminal and back, and one shell after the other.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::Instant;

use valence_daemon::log;

use crate::keys::{SEQUENCE_WAIT, settled};
use crate::probe::{ANSWER_WAIT, QUESTION, Size, take_answer};
use crate::{Console, Restarts};

const TERMINALS: &str = "/scheme/pty";
const LOG_ECHO: &str = "/scheme/log/.echo";
const CHUNK_BYTES: usize = 4096;
const SIGKILL: u32 = 9;
/// Bytes typed while there is no shell that are kept for the next one.
const TYPED_MAX: usize = 4096;

/// What the thread that reads the port shares with the one that runs shells.
#[derive(Default)]
struct Keyboard {
    state: Mutex<Keys>,
    typed: Condvar,
}

#[derive(Default)]
struct Keys {
    /// The terminal that keys go to; none between two shells.
    master: Option<File>,
    /// Keys without a terminal.
    waiting: Vec<u8>,
}

impl Keyboard {
    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes keys from the port until it fails. While nothing takes them, those beyond a limit are lost.
    fn read(&self, mut port: File) -> io::Error {
        let mut buf = [0; CHUNK_BYTES];
        loop {
            let len = match port.read(&mut buf) {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return error,
            };
            let mut keys = self.lock();
            if keys.waiting.len() < TYPED_MAX {
                keys.waiting.extend_from_slice(&buf[..len]);
            }
            self.typed.notify_all();
        }
    }

    /// Hands keys to the terminal, whole sequences at a time.
    fn deliver(&self) {
        let mut keys = self.lock();
        loop {
            let Some(master) = keys.master.as_ref().filter(|_| !keys.waiting.is_empty()) else {
                keys = self
                    .typed
                    .wait(keys)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let mut master = master.try_clone().ok();
            let before = keys.waiting.len();
            let mut count = settled(&keys.waiting);
            if count == 0 {
                let waited = self.typed.wait_timeout(keys, SEQUENCE_WAIT);
                let (back, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                keys = back;
                if !timeout.timed_out() || keys.waiting.len() != before {
                    continue;
                }
                count = before;
            }
            let bytes: Vec<u8> = keys.waiting.drain(..count).collect();
            // A terminal whose queue is full makes this wait; the port must not wait for it.
            drop(keys);
            if let Some(master) = &mut master {
                let _ = master.write_all(&bytes);
            }
            keys = self.lock();
        }
    }

    /// Asks the other end for its size; none when nobody answers.
    fn ask_size(&self, screen: &mut File) -> Option<Size> {
        screen.write_all(QUESTION).ok()?;
        let start = Instant::now();
        let mut keys = self.lock();
        loop {
            if let Some(size) = take_answer(&mut keys.waiting) {
                return Some(size);
            }
            let left = ANSWER_WAIT.checked_sub(start.elapsed())?;
            let waited = self.typed.wait_timeout(keys, left);
            keys = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Connects the keys to a terminal, beginning with those that were typed before.
    fn connect(&self, master: File) {
        self.lock().master = Some(master);
        self.typed.notify_all();
    }
}

/// Runs shells on the port for ever; returns only with a reason why it cannot.
pub fn run(console: &Console) -> Result<(), String> {
    let path = &console.port;
    let open_port = || {
        let port = OpenOptions::new().read(true).write(true).open(path);
        port.map_err(|error| format!("{path}: {error}"))
    };
    let mut screen = open_port()?;
    let port = open_port()?;
    let keyboard = Arc::new(Keyboard::default());
    let (reader, hand) = (Arc::clone(&keyboard), Arc::clone(&keyboard));
    let name = path.clone();
    thread::spawn(move || log!("consoled: {name}: {}", reader.read(port)));
    thread::spawn(move || hand.deliver());
    valence_daemon::ready::notify();
    // From here on the port belongs to the shell; the log of the boot stays readable in the log scheme.
    let echo = OpenOptions::new().write(true).open(LOG_ECHO);
    let _ = echo.and_then(|mut echo| echo.write_all(b"off"));
    let mut restarts = Restarts::default();
    loop {
        let start = Instant::now();
        let outcome = one_shell(&mut screen, &keyboard, console);
        let is_success = outcome.as_ref().is_ok_and(ExitStatus::success);
        if let Some(pause) = restarts.pause_after(start.elapsed(), is_success) {
            let why = match outcome {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            let (what, seconds) = (console.shell.join(" "), pause.as_secs_f32());
            let text = format!("consoled: {what}: {why}; trying again in {seconds:.1} s");
            let _ = screen.write_all(format!("\r\n{text}\r\n").as_bytes());
            log!("{text}");
            sleep(pause);
        }
    }
}

/// Makes a terminal, runs one shell on it and waits for its end.
fn one_shell(screen: &mut File, keyboard: &Keyboard, console: &Console) -> io::Result<ExitStatus> {
    let size = keyboard.ask_size(screen);
    let read_write = || OpenOptions::new().read(true).write(true).clone();
    let master = read_write().open(format!("{TERMINALS}/ptmx"))?;
    let slave = read_write().open(slave_path(&master)?)?;
    set_size(&master, size.unwrap_or_default())?;
    let (mut shown, mut shown_on) = (master.try_clone()?, screen.try_clone()?);
    keyboard.connect(master);
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("--session")
        .args(console.command(size.is_some()));
    command.env("TERM", if size.is_some() { "xterm" } else { "dumb" });
    command
        .stdin(slave.try_clone()?)
        .stdout(slave.try_clone()?)
        .stderr(slave);
    let child = command.spawn();
    // The command holds the slave open, and the terminal's end is seen only when nobody does.
    drop(command);
    let status = child.and_then(|mut child| {
        let group = child.id() as usize;
        thread::spawn(move || {
            // Without its terminal a shell cannot be told to go, and some read for ever from what is dead.
            if show(&mut shown, &mut shown_on).is_err() {
                let _ = libredox::call::kill(group.wrapping_neg(), SIGKILL);
            }
        });
        child.wait()
    });
    keyboard.lock().master = None;
    status
}

fn slave_path(master: &File) -> io::Result<String> {
    let name = libredox::Fd::new(libredox::call::dup(
        master.as_raw_fd() as usize,
        b"ptsname",
    )?);
    let mut number = [0; 4];
    name.read(&mut number)?;
    Ok(format!("{TERMINALS}/{}", u32::from_le_bytes(number)))
}

fn set_size(master: &File, size: Size) -> io::Result<()> {
    let setting = libredox::Fd::new(libredox::call::dup(
        master.as_raw_fd() as usize,
        b"winsize",
    )?);
    setting.write(&size.to_bytes())?;
    Ok(())
}

/// Terminal to port, until the last program has closed the terminal; an error when the terminal is gone itself.
fn show(master: &mut File, port: &mut File) -> io::Result<()> {
    let mut buf = [0; CHUNK_BYTES];
    loop {
        match master.read(&mut buf) {
            Ok(0) => return Ok(()),
            // A port that takes nothing is no reason to end the shell.
            Ok(len) => drop(port.write_all(&buf[..len])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
