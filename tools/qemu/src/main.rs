//! Command line of the runner: boots an image for a person, on this terminal and, if there is one, in a window.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use valence_qemu::{Gpu, Host, Machine, Options, Serial, Writes};

/// Boots an image in QEMU. Variables, as with make: gpu, disk, net, kvm, serial, uefi, gdb, QEMU_MEM, QEMU_SMP,
/// QEMU_CPU, QEMU_MACHINE, QEMUFLAGS.
#[derive(Parser)]
#[command(
    name = "qemu",
    after_help = "Exit status: QEMU's; 125 if it could not be started."
)]
struct Arguments {
    /// Folder of the image.
    #[arg(default_value = "build/image")]
    folder: PathBuf,
    /// Forget what the guest writes.
    #[arg(long)]
    snapshot: bool,
    /// Only print QEMU's command line.
    #[arg(long)]
    print: bool,
}

fn main() -> ExitCode {
    let Err(error) = run(&Arguments::parse()) else {
        return ExitCode::SUCCESS;
    };
    eprintln!("qemu: {error:#}");
    ExitCode::from(125)
}

fn run(arguments: &Arguments) -> Result<()> {
    let options = Options::from_env()?;
    let qemu = valence_qemu::find_qemu()?;
    let image = valence_qemu::image(&arguments.folder)?;
    let boot = match options.uefi {
        Some(false) => valence_qemu::direct(&arguments.folder)?,
        _ => valence_qemu::firmware(&arguments.folder.join("ovmf-variables.fd"))?,
    };
    let machine = Machine {
        serial: if options.serial {
            Serial::Terminal
        } else {
            Serial::None
        },
        writes: if arguments.snapshot {
            Writes::Dropped
        } else {
            Writes::Kept
        },
        host: Host::probe(),
        options,
        boot,
        image,
    };
    if arguments.print {
        println!("{} {}", qemu.display(), machine.arguments().join(" "));
        return Ok(());
    }
    let how = if machine.uses_kvm() {
        "KVM"
    } else {
        "emulation (no KVM here)"
    };
    let screen = if machine.gpu() == Gpu::No {
        ", serial console only"
    } else {
        ""
    };
    eprintln!("qemu: {how}{screen}; Ctrl-A x quits, Ctrl-A c is QEMU's monitor");
    Err(Command::new(qemu).args(machine.arguments()).exec()).context("cannot start QEMU")
}
