//! One boot of a headless guest: start, commands, end.
//!
//! QEMU connects to a socket that this side listens on before QEMU starts, so nothing the guest says is lost. A thread
//! reads the socket; the session waits with a time limit, and meanwhile looks whether QEMU ended or the kernel gave up.
//! Dropping a session ends QEMU, always.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use valence_qemu::{Host, Machine, Options, Serial, Writes};

use crate::protocol::{Message, PROBE, Reader, Request};
use crate::watch::Watch;

/// How often QEMU and the log are looked at while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a silent guest is asked whether it is ready.
const PROBE_EVERY: Duration = Duration::from_secs(3);
/// How long QEMU may take to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// How long the guest may take to sync and power off.
const POWER_OFF_WITHIN: Duration = Duration::from_secs(30);

/// How to boot and how long to wait.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the image.
    pub folder: PathBuf,
    /// Keep what the guest writes.
    pub keep: bool,
    /// Boot through the firmware instead of directly.
    pub uefi: bool,
    /// Limit from start to ready.
    pub boot_limit: Duration,
    /// Limit of one command.
    pub command_limit: Duration,
    /// Where the console's log is kept; in a temporary folder if nowhere.
    pub log: Option<PathBuf>,
}

/// Where a command's output goes.
pub trait Sink {
    /// Bytes of stdout.
    fn out(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    /// Bytes of stderr.
    fn err(&mut self, bytes: &[u8]) -> std::io::Result<()>;
}

/// Output to this process's own stdout and stderr.
pub struct Inherit;

impl Sink for Inherit {
    fn out(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    fn err(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        std::io::stderr().write_all(bytes)
    }
}

/// Output kept in memory, both kinds in one.
#[derive(Debug, Default)]
pub struct Capture(pub Vec<u8>);

impl Sink for Capture {
    fn out(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }

    fn err(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }
}

/// A running guest.
pub struct Session {
    qemu: Child,
    line: UnixStream,
    messages: Receiver<Result<Message>>,
    watch: Watch,
    settings: Settings,
    work: tempfile::TempDir,
}

impl Session {
    /// Boots and waits until the guest takes commands.
    pub fn start(settings: Settings) -> Result<Session> {
        let work = tempfile::Builder::new().prefix("valence-guest").tempdir()?;
        let machine = machine(&settings, work.path())?;
        let Serial::Headless { log, socket } = &machine.serial else {
            bail!("not headless")
        };
        let listener = UnixListener::bind(socket).context("cannot make the command socket")?;
        let messages_of_qemu = File::create(work.path().join("qemu"))?;
        let mut qemu = command_that_dies_with_us()?
            .args(machine.arguments())
            .stdin(Stdio::null())
            .stdout(messages_of_qemu.try_clone()?)
            .stderr(messages_of_qemu)
            .spawn()
            .context("cannot start QEMU")?;
        let line = match accept(&listener, &mut qemu) {
            Ok(line) => line,
            Err(error) => {
                qemu.kill().ok();
                qemu.wait().ok();
                let said = std::fs::read_to_string(work.path().join("qemu")).unwrap_or_default();
                return Err(error.context(format!("QEMU did not start: {}", said.trim())));
            }
        };
        let messages = read_in_thread(line.try_clone()?);
        let watch = Watch::new(log.clone());
        let mut session = Session {
            qemu,
            line,
            messages,
            watch,
            settings,
            work,
        };
        session.wait_until_ready()?;
        Ok(session)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let limit = self.settings.boot_limit;
        let end = Instant::now() + limit;
        let mut next_probe = Instant::now() + PROBE_EVERY;
        loop {
            match self.wait(end.min(next_probe))? {
                Some(Message::Ready) => return Ok(()),
                Some(_) => {}
                None if Instant::now() >= end => {
                    return Err(self.trouble(&format!(
                        "the guest was not ready after {} s",
                        limit.as_secs()
                    )));
                }
                None => {
                    next_probe = Instant::now() + PROBE_EVERY;
                    self.line.write_all(&[PROBE]).ok();
                }
            }
        }
    }

    /// Runs one command line in the guest's shell; gives its status.
    pub fn run(&mut self, command: &str, sink: &mut dyn Sink) -> Result<i32> {
        let limit = self.settings.command_limit;
        let end = Instant::now() + limit;
        self.send(&Request::Run(command.into()))?;
        loop {
            match self.wait(end)? {
                Some(Message::Out(bytes)) => sink.out(&bytes)?,
                Some(Message::Err(bytes)) => sink.err(&bytes)?,
                Some(Message::Exit(status)) => return Ok(status),
                Some(Message::Ready) => {}
                None => {
                    return Err(self.trouble(&format!(
                        "the command did not end within {} s: {command}",
                        limit.as_secs()
                    )));
                }
            }
        }
    }

    /// Ends the guest: properly if what it wrote is to be kept, at once otherwise.
    pub fn finish(mut self) -> Result<()> {
        if !self.settings.keep {
            return Ok(());
        }
        self.send(&Request::PowerOff)?;
        match self.wait_for_end(POWER_OFF_WITHIN)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.trouble(&format!("QEMU ended with {status}"))),
            None => Err(self.trouble("the guest did not power off")),
        }
    }

    /// Waits until QEMU ends by itself; none if it runs on.
    pub fn wait_for_end(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.qemu.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn send(&mut self, request: &Request) -> Result<()> {
        let bytes = request.to_bytes()?;
        self.line
            .write_all(&bytes)
            .map_err(|error| self.trouble(&format!("the command line to the guest broke: {error}")))
    }

    /// The next message, or none when the time is over. An ended QEMU or a dead kernel is an error.
    fn wait(&mut self, end: Instant) -> Result<Option<Message>> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left.min(LOOK_EVERY)) {
                Ok(Ok(message)) => return Ok(Some(message)),
                Ok(Err(error)) => return Err(self.trouble(&format!("{error:#}"))),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.wait_for_end(Duration::from_secs(2))?;
                    let status = status.map_or("closed the line".into(), |status| {
                        format!("ended ({status})")
                    });
                    return Err(self.trouble(&format!("QEMU {status}")));
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(line) = self.watch.death() {
                        // The rest of the report follows within a moment.
                        std::thread::sleep(LOOK_EVERY * 5);
                        return Err(self.trouble(&format!("the system gave up: {line}")));
                    }
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// An error with the end of the console's log and QEMU's own words.
    fn trouble(&self, what: &str) -> anyhow::Error {
        let said = std::fs::read_to_string(self.work.path().join("qemu")).unwrap_or_default();
        let said = if said.trim().is_empty() {
            String::new()
        } else {
            format!("\nQEMU said: {}", said.trim())
        };
        anyhow!(
            "{what}{said}\nend of the console's log:\n{}",
            self.watch.tail()
        )
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.qemu.kill().ok();
        self.qemu.wait().ok();
    }
}

/// The command that starts QEMU. Dropping a session ends it; through util-linux's `setpriv`, where that is installed, so
/// does a signal that ends this process without dropping anything.
fn command_that_dies_with_us() -> Result<Command> {
    let qemu = valence_qemu::find_qemu()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(setpriv) = std::env::split_paths(&path)
        .map(|folder| folder.join("setpriv"))
        .find(|file| file.is_file())
    else {
        return Ok(Command::new(qemu));
    };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(qemu);
    Ok(command)
}

fn machine(settings: &Settings, work: &std::path::Path) -> Result<Machine> {
    let options = Options::from_env()?;
    let image = valence_qemu::image(&settings.folder)?;
    let boot = if options.uefi.unwrap_or(settings.uefi) {
        valence_qemu::firmware(&work.join("ovmf-variables.fd"))?
    } else {
        valence_qemu::direct(&settings.folder)?
    };
    Ok(Machine {
        options,
        host: Host::probe(),
        boot,
        serial: Serial::Headless {
            log: settings.log.clone().unwrap_or_else(|| work.join("console")),
            socket: work.join("command"),
        },
        image,
        writes: if settings.keep {
            Writes::Kept
        } else {
            Writes::Dropped
        },
    })
}

fn accept(listener: &UnixListener, qemu: &mut Child) -> Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let end = Instant::now() + CONNECT_WITHIN;
    loop {
        match listener.accept() {
            Ok((line, _)) => {
                line.set_nonblocking(false)?;
                return Ok(line);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = qemu.try_wait()? {
            bail!("it ended with {status}");
        }
        if Instant::now() >= end {
            bail!("it did not open its command line");
        }
        std::thread::sleep(LOOK_EVERY / 10);
    }
}

/// Reads the line until it ends or makes no sense.
fn read_in_thread(mut line: UnixStream) -> Receiver<Result<Message>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = Reader::default();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = line.read(&mut buffer) {
            reader.push(&buffer[..count]);
            while let Some(message) = reader.take().transpose() {
                let is_end = message.is_err();
                if sender.send(message).is_err() || is_end {
                    return;
                }
            }
        }
    });
    receiver
}
