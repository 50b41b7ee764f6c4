//! Starting the processes of units: standard streams, environment, arguments.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use valence_daemon::launch::Launch;

use crate::environment::{Variables, expand, expand_args, for_arguments, for_service};
use crate::script;
use crate::unit::Service;

/// Starts a service that reports on a pipe.
pub(crate) fn launch(unit: &str, service: &Service, variables: &Variables) -> io::Result<Launch> {
    Launch::start(&mut service_command(unit, service, variables))
}

/// Starts a service that does not report.
pub(crate) fn spawn(unit: &str, service: &Service, variables: &Variables) -> io::Result<Child> {
    service_command(unit, service, variables).spawn()
}

/// Starts one line of a legacy script, which sees all of init's variables.
pub(crate) fn spawn_line(
    unit: &str,
    line: &script::Command,
    variables: &Variables,
) -> io::Result<Child> {
    let mut envs = variables.clone();
    for (name, value) in &line.envs {
        let value = expand(value, variables);
        envs.insert(name.clone(), value);
    }
    let mut command = Command::new(expand(&line.program, &envs));
    command
        .args(expand_args(&line.args, &envs))
        .env_clear()
        .envs(&envs);
    streams(&mut command, unit);
    command.spawn()
}

fn service_command(unit: &str, service: &Service, variables: &Variables) -> Command {
    let names = for_arguments(service, variables);
    let mut command = Command::new(expand(&service.program, &names));
    command.args(expand_args(&service.args, &names));
    command.env_clear().envs(for_service(service, variables));
    streams(&mut command, unit);
    command
}

/// Input from the null scheme, output to the unit's own log; init's streams while those do not exist.
fn streams(command: &mut Command, unit: &str) {
    if let Ok(null) = File::open("/scheme/null") {
        command.stdin(null);
    }
    if let Some((out, err)) = log_of(unit) {
        command.stdout(out).stderr(err);
    }
}

/// Two handles of one context of the log scheme.
fn log_of(unit: &str) -> Option<(Stdio, Stdio)> {
    let log = open_log(unit)?;
    let second = log.try_clone().ok()?;
    Some((log.into(), second.into()))
}

/// The log of one context; none while there is no log scheme.
pub(crate) fn open_log(unit: &str) -> Option<File> {
    OpenOptions::new()
        .write(true)
        .open(format!("/scheme/log/{}", log_name(unit)))
        .ok()
}

/// Keeps the log off the console.
pub(crate) fn silence_log() {
    let echo = OpenOptions::new().write(true).open("/scheme/log/.echo");
    let _ = echo.and_then(|mut echo| echo.write_all(b"off"));
}

/// `10_randd.service` logs as `randd`: the number is its place in the order, not its name.
fn log_name(unit: &str) -> &str {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    let rest = stem.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.strip_prefix('_').unwrap_or(stem)
}
