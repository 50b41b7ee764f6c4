//! Command line of the guest runner.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use valence_guest::session::{Inherit, Session, Settings};
use valence_guest::suite::{self, Plan};

/// The tool itself failed: no QEMU, no image, a guest that died or did not answer.
const STATUS_TOOL_FAILED: u8 = 125;

/// Boots an image headless and runs command lines in its shell, or its test suite. Prints exactly what the commands
/// print; exits with the status of the last command that ran. Variables as with make qemu: disk, kvm, uefi, QEMU_MEM, …
#[derive(Parser)]
#[command(
    name = "guest",
    after_help = "Exit status: the command's; 125 if it could not be run (the message says why). \
                  With several commands the first that fails is the last that runs."
)]
struct Arguments {
    /// Folder of the image.
    folder: PathBuf,
    /// Command lines, each run by /bin/sh -c.
    #[arg(last = true)]
    commands: Vec<String>,
    /// Run the lines of a file; empty lines and lines that begin with # are left out.
    #[arg(long)]
    script: Option<PathBuf>,
    /// Run the test programs of the image; with NAME only those whose names contain it.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    suite: Option<String>,
    /// Folder of host scripts that belong to the suite.
    #[arg(long, requires = "suite")]
    scripts: Option<PathBuf>,
    /// Keep what the guest writes to its disk.
    #[arg(long)]
    keep: bool,
    /// Boot through the firmware instead of directly.
    #[arg(long)]
    uefi: bool,
    /// Seconds a command may take.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Seconds the boot may take.
    #[arg(long, default_value_t = 120)]
    boot_timeout: u64,
    /// Keep the console's log in this file.
    #[arg(long)]
    log: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("guest: {error:#}");
            ExitCode::from(STATUS_TOOL_FAILED)
        }
    }
}

fn run(arguments: &Arguments) -> Result<u8> {
    let settings = Settings {
        folder: arguments.folder.clone(),
        keep: arguments.keep,
        uefi: arguments.uefi,
        boot_limit: Duration::from_secs(arguments.boot_timeout),
        command_limit: Duration::from_secs(arguments.timeout),
        log: arguments.log.clone(),
    };
    if let Some(filter) = &arguments.suite {
        let filter = Some(filter.clone()).filter(|filter| !filter.is_empty());
        let counts = suite::run(&Plan {
            settings,
            filter,
            scripts: arguments.scripts.clone(),
        })?;
        return Ok(u8::from(counts.failed > 0));
    }
    let commands = commands(arguments)?;
    let mut session = Session::start(settings)?;
    let mut status = 0;
    for command in commands {
        status = session.run(&command, &mut Inherit)?;
        if status != 0 {
            break;
        }
    }
    session.finish()?;
    Ok(u8::try_from(status & 0xff).unwrap_or(1))
}

fn commands(arguments: &Arguments) -> Result<Vec<String>> {
    let mut commands = arguments.commands.clone();
    if let Some(path) = &arguments.script {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let lines = text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        commands.extend(lines.map(String::from));
    }
    anyhow::ensure!(
        !commands.is_empty(),
        "nothing to run: give a command line after --, or --script or --suite"
    );
    Ok(commands)
}
