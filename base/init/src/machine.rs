//! Bringing the machine up and keeping it up: the two phases, then the watch over all children.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use valence_daemon::launch::{Outcome, register};
use valence_daemon::syscall::error::{ECHILD, EINTR};

use crate::environment::{Variables, parse_lines};
use crate::limits::{READY_WAIT, RESTART_TICK, UNIT_BYTES_MAX};
use crate::plan::{Units, plan};
use crate::process;
use crate::status::Ending;
use crate::supervise::{Supervisor, Verdict};
use crate::unit::{self, Action, Readiness, Restart, Service, Unit};

const BOOT_ENVIRONMENT: &str = "/scheme/sys/env";
const INITFS_UNITS: [&str; 2] = ["/scheme/initfs/lib/init.d", "/scheme/initfs/etc/init.d"];
const ROOT_UNITS: [&str; 2] = ["/usr/lib/init.d", "/etc/init.d"];
const ROOT_ENVIRONMENT: [&str; 2] = ["/usr/lib/environment.d", "/etc/environment.d"];
const EMERGENCY_SHELL: &str = "/scheme/initfs/bin/sh";
const WAIT_NO_HANG: i32 = 1;
const ANY_CHILD: usize = usize::MAX;

/// The whole life of the first process.
pub fn run() -> ! {
    let mut machine = Machine::new();
    machine.read_environment();
    machine.set("PATH", "/scheme/initfs/bin");
    machine.phase(&INITFS_UNITS);
    if Path::new(ROOT_UNITS[0]).is_dir() {
        machine.set("PATH", "/usr/bin");
        machine.set("LD_LIBRARY_PATH", "/usr/lib");
        machine.read_root_environment();
        machine.phase(&ROOT_UNITS);
        machine.is_up = true;
        process::silence_log();
        machine.say(&format!(
            "up after {} ms",
            machine.started_at.elapsed().as_millis()
        ));
    } else {
        machine.emergency();
    }
    loop {
        machine.watch();
    }
}

struct Machine {
    started_at: Instant,
    variables: Variables,
    supervisor: Supervisor,
    done: Vec<String>,
    log: Option<fs::File>,
    /// The boot is over: the console belongs to the one who works there.
    is_up: bool,
}

impl Machine {
    fn new() -> Self {
        Machine {
            started_at: Instant::now(),
            variables: BTreeMap::new(),
            supervisor: Supervisor::default(),
            done: Vec::new(),
            log: None,
            is_up: false,
        }
    }

    /// A line in init's log, which is the console until the log scheme is there.
    fn say(&mut self, line: &str) {
        if self.log.is_none() {
            self.log = process::open_log("init");
        }
        let text = format!("{line}\n");
        let written = self
            .log
            .as_mut()
            .is_some_and(|log| log.write_all(text.as_bytes()).is_ok());
        if !written {
            self.log = None;
            let _ = std::io::stderr().write_all(format!("init: {text}").as_bytes());
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.into(), value.into());
    }

    fn read_environment(&mut self) {
        match fs::read_to_string(BOOT_ENVIRONMENT) {
            Ok(text) => self.variables.extend(parse_lines(&text)),
            Err(error) => self.say(&format!("no boot parameters ({BOOT_ENVIRONMENT}): {error}")),
        }
    }

    fn read_root_environment(&mut self) {
        let mut files = BTreeMap::new();
        for folder in ROOT_ENVIRONMENT {
            files.extend(self.files(folder));
        }
        for text in files.values() {
            self.variables.extend(parse_lines(text));
        }
    }

    /// The text files of one folder by name; a folder that does not exist has none.
    fn files(&mut self, folder: &str) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return files,
            Err(error) => {
                self.say(&format!("{folder}: {error}"));
                return files;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let small = fs::metadata(&path).is_ok_and(|m| m.len() <= UNIT_BYTES_MAX);
            match fs::read_to_string(&path) {
                Ok(text) if small => {
                    files.insert(name.to_owned(), text);
                }
                Ok(_) => self.say(&format!(
                    "{folder}/{name}: longer than {UNIT_BYTES_MAX} bytes"
                )),
                Err(error) => self.say(&format!("{folder}/{name}: {error}")),
            }
        }
        files
    }

    /// Reads the units of some folders and starts them in order.
    fn phase(&mut self, folders: &[&str]) {
        let mut units = Units::new();
        for folder in folders {
            for (name, text) in self.files(folder) {
                match unit::parse(&name, &text) {
                    Ok(unit) => {
                        units.insert(name, unit);
                    }
                    Err(error) => self.say(&format!("{folder}/{name}: {error}")),
                }
            }
        }
        let skip: Vec<String> = self
            .variables
            .get("INIT_SKIP")
            .map(|list| list.split(',').map(|name| name.trim().to_owned()).collect())
            .unwrap_or_default();
        let plan = plan(&units, &skip, &self.done);
        for note in &plan.notes {
            self.say(note);
        }
        for unit in plan.order {
            self.start(&unit);
            self.done.push(unit.name.clone());
            self.reap_now();
        }
    }

    fn start(&mut self, unit: &Unit) {
        match &unit.action {
            Action::Target => {}
            Action::Service(service) => self.start_service(unit, service),
            Action::Script(lines) => {
                for line in lines {
                    match process::spawn_line(&unit.name, line, &self.variables) {
                        Ok(child) if line.wait => {
                            self.wait_for(unit, Restart::Never, child.id() as usize);
                        }
                        Ok(_) => {}
                        Err(error) => {
                            self.say(&format!("{}: {}: {error}", unit.name, line.program))
                        }
                    }
                }
            }
        }
    }

    fn start_service(&mut self, unit: &Unit, service: &Service) {
        let before = Instant::now();
        match service.readiness {
            Readiness::OneShot => match process::spawn(&unit.name, service, &self.variables) {
                Ok(child) => self.wait_for(unit, service.restart, child.id() as usize),
                Err(error) => self.cannot_start(unit, service, &error),
            },
            Readiness::OneShotAsync => match process::spawn(&unit.name, service, &self.variables) {
                Ok(child) => self.watch_over(unit, service, child.id() as usize),
                Err(error) => self.cannot_start(unit, service, &error),
            },
            Readiness::Notify | Readiness::Scheme(_) => {
                match process::launch(&unit.name, service, &self.variables) {
                    Ok(launch) => {
                        self.watch_over(unit, service, launch.child.id() as usize);
                        let outcome = launch.wait(READY_WAIT);
                        self.note_readiness(unit, service, outcome, before.elapsed());
                    }
                    Err(error) => self.cannot_start(unit, service, &error),
                }
            }
        }
    }

    fn note_readiness(
        &mut self,
        unit: &Unit,
        service: &Service,
        outcome: std::io::Result<Outcome>,
        took: Duration,
    ) {
        let name = &unit.name;
        match (outcome, &service.readiness) {
            (Ok(Outcome::Ready), _) => {
                // It may have been the log that was started again, and that begins by echoing.
                if self.is_up {
                    process::silence_log();
                }
                self.say(&format!("{name}: ready after {} ms", took.as_millis()));
            }
            (Ok(Outcome::Root(fd)), Readiness::Scheme(scheme)) => match register(scheme, fd) {
                Ok(()) => self.say(&format!("{name}: serves {scheme}")),
                Err(error) => self.say(&format!("{name}: cannot register {scheme}: {error}")),
            },
            (Ok(Outcome::Root(_)), _) => {
                self.say(&format!(
                    "{name}: sent a descriptor although its type is notify"
                ));
            }
            // Its end is reported when it is reaped.
            (Ok(Outcome::Ended), _) => self.say(&format!("{name}: ended before it was ready")),
            (Ok(Outcome::TimedOut), _) => {
                let limit = READY_WAIT.as_secs();
                self.say(&format!(
                    "{name}: not ready after {limit} s; going on without it"
                ));
            }
            (Err(error), _) => self.say(&format!("{name}: cannot wait for it: {error}")),
        }
    }

    fn cannot_start(&mut self, unit: &Unit, service: &Service, error: &std::io::Error) {
        self.say(&format!("{}: {}: {error}", unit.name, service.program));
        let now = self.started_at.elapsed();
        let verdict = self.supervisor.not_started(unit, service.restart, now);
        self.report(verdict);
    }

    fn watch_over(&mut self, unit: &Unit, service: &Service, pid: usize) {
        let now = self.started_at.elapsed();
        self.supervisor.started(unit, service.restart, pid, now);
    }

    /// Waits until one child ends, attending to all others meanwhile.
    fn wait_for(&mut self, unit: &Unit, restart: Restart, pid: usize) {
        let now = self.started_at.elapsed();
        self.supervisor.started(unit, restart, pid, now);
        while self.watch() != Some(pid) {}
    }

    /// Reaps one child or performs due restarts; gives the child's id.
    fn watch(&mut self) -> Option<usize> {
        let now = self.started_at.elapsed();
        for unit in self.supervisor.take_due(now) {
            self.say(&format!("{}: starting again", unit.name));
            self.start(&unit);
        }
        let Some(due) = self.supervisor.next_restart() else {
            return self.reap(0);
        };
        let reaped = self.reap(WAIT_NO_HANG);
        if reaped.is_none() {
            let pause = due.saturating_sub(self.started_at.elapsed());
            sleep(pause.min(RESTART_TICK));
        }
        reaped
    }

    /// Reaps whatever has ended so far.
    fn reap_now(&mut self) {
        while self.reap(WAIT_NO_HANG).is_some() {}
    }

    fn reap(&mut self, options: i32) -> Option<usize> {
        let mut word = 0;
        match libredox::call::waitpid(ANY_CHILD, &mut word, options) {
            Ok(0) => None,
            Ok(pid) => {
                let now = self.started_at.elapsed();
                let verdict = self.supervisor.exited(pid, Ending::from_word(word), now);
                self.report(verdict);
                Some(pid)
            }
            Err(error) if error.errno() == EINTR => None,
            Err(error) => {
                if error.errno() != ECHILD {
                    self.say(&format!("cannot wait for children: {error}"));
                }
                // Without children there is nothing to do but to stay alive.
                if options != WAIT_NO_HANG {
                    sleep(Duration::from_secs(1));
                }
                None
            }
        }
    }

    fn report(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Orphan => {}
            Verdict::Ended(line) | Verdict::Restart(line) | Verdict::GivenUp(line) => {
                self.say(&line);
            }
        }
    }

    /// Without a root file system: say what is wrong where a person sees it, and offer a shell.
    fn emergency(&mut self) {
        let units = ROOT_UNITS[0];
        let text = format!(
            "\ninit: the root file system could not be mounted: {units} is not there.\n\
             init: check that the disk is attached and that boot.conf names its file system\n\
             init: (REDOXFS_UUID). The lines above say which driver or service failed.\n"
        );
        let _ = std::io::stderr().write_all(text.as_bytes());
        if !Path::new(EMERGENCY_SHELL).exists() {
            let _ =
                std::io::stderr().write_all(b"init: no emergency shell in the initfs: stopped.\n");
            return;
        }
        match Command::new(EMERGENCY_SHELL)
            .env("PATH", "/scheme/initfs/bin")
            .status()
        {
            Ok(status) => self.say(&format!("emergency shell: {status}")),
            Err(error) => self.say(&format!("{EMERGENCY_SHELL}: {error}")),
        }
    }
}
