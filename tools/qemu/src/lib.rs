//! Says how QEMU is started: from variables, the host's abilities and the way of booting to a command line.
//!
//! The variables keep the names and values that Redox's Makefile has (facts, section 8.5). Real virtualisation is used
//! only if the CPU advertises vmx or svm and /dev/kvm opens; otherwise the translator, on a CPU model without AVX, which
//! it emulates slowly, and with RDRAND, so that the random scheme never starves.
//!
//! Everything here is pure except [`Host::probe`], [`firmware`] and [`find_qemu`], which look at the machine.

#![forbid(unsafe_code)]

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub mod options;

pub use options::{Disk, Gpu, Net, Options};

/// The program.
pub const QEMU: &str = "qemu-system-x86_64";
/// CPU model of the translator.
const TCG_CPU: &str = "Nehalem,+rdrand";
/// Most CPUs a machine gets when nobody says how many.
const MAX_DEFAULT_CPUS: usize = 4;

/// Files of UEFI firmware: code and the template of its variables.
const FIRMWARE: [(&str, &str); 4] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
];

/// What the host can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// The CPU advertises vmx or svm and /dev/kvm opens.
    pub has_kvm: bool,
    /// CPUs.
    pub cpus: usize,
    /// A window can be opened.
    pub has_display: bool,
}

impl Host {
    /// Looks at this machine.
    pub fn probe() -> Host {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let opens = File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok();
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Host {
            has_kvm: advertises_virtualisation(&cpuinfo) && opens,
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            has_display: is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"),
        }
    }
}

fn advertises_virtualisation(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().filter(|line| line.starts_with("flags"));
    flags
        .flat_map(str::split_whitespace)
        .any(|flag| flag == "vmx" || flag == "svm")
}

/// Where the system comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// Firmware starts the loader on the disk's EFI partition.
    Uefi {
        /// Firmware code, read only.
        code: PathBuf,
        /// Its variables, a writable copy.
        variables: PathBuf,
    },
    /// QEMU itself loads the kernel: quick, no firmware.
    Direct {
        /// Kernel, an ELF file with a PVH note.
        kernel: PathBuf,
        /// Initfs.
        initfs: PathBuf,
        /// Text of boot.conf.
        boot_conf: String,
    },
}

/// Where the serial lines lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serial {
    /// The first line is the terminal, with QEMU's monitor behind Ctrl-A c.
    Terminal,
    /// No first line.
    None,
    /// For programs: the first line is logged, the second is a socket that QEMU connects to.
    Headless {
        /// Log file of the first line.
        log: PathBuf,
        /// Unix socket of the second line.
        socket: PathBuf,
    },
}

/// Whether the guest's writes reach the image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// They are kept.
    Kept,
    /// They are forgotten when QEMU ends.
    Dropped,
}

/// One start of QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The variables.
    pub options: Options,
    /// The host's abilities.
    pub host: Host,
    /// How to boot.
    pub boot: Boot,
    /// The serial lines.
    pub serial: Serial,
    /// The disk image.
    pub image: PathBuf,
    /// Whether it is written.
    pub writes: Writes,
}

impl Machine {
    /// QEMU's arguments.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Arguments::default();
        let options = &self.options;
        arguments
            .add("-name", "valence")
            .add("-nodefaults", "")
            .add("-no-user-config", "");
        arguments.add("-machine", options.machine.as_deref().unwrap_or("q35"));
        self.add_processor(&mut arguments);
        arguments.add("-m", &options.memory_mib.to_string());
        self.add_boot(&mut arguments);
        self.add_disk(&mut arguments);
        self.add_serial(&mut arguments);
        self.add_display(&mut arguments);
        arguments.add("-nic", options.net.argument());
        match options.gdb.as_deref() {
            Some("nonblock") => arguments.add("-s", ""),
            Some(_) => arguments.add("-s", "").add("-S", ""),
            None => &mut arguments,
        };
        arguments.0.extend(options.flags.iter().cloned());
        arguments.0
    }

    /// Whether real virtualisation is used.
    pub fn uses_kvm(&self) -> bool {
        self.options.kvm && self.host.has_kvm
    }

    fn add_processor(&self, arguments: &mut Arguments) {
        let cpus = self
            .options
            .cpus
            .unwrap_or(self.host.cpus.clamp(1, MAX_DEFAULT_CPUS));
        let chosen = self.options.cpu_model.as_deref();
        if self.uses_kvm() {
            arguments
                .add("-accel", "kvm")
                .add("-cpu", chosen.unwrap_or("host"));
        } else {
            arguments
                .add("-accel", "tcg,thread=multi")
                .add("-cpu", chosen.unwrap_or(TCG_CPU));
        }
        arguments.add("-smp", &cpus.to_string());
    }

    fn add_boot(&self, arguments: &mut Arguments) {
        match &self.boot {
            Boot::Uefi { code, variables } => {
                let flash = |path: &Path, rest: &str| {
                    format!("if=pflash,format=raw,file={}{rest}", escape(path))
                };
                arguments.add("-drive", &flash(code, ",readonly=on"));
                arguments.add("-drive", &flash(variables, ""));
            }
            Boot::Direct {
                kernel,
                initfs,
                boot_conf,
            } => {
                arguments.add("-kernel", &kernel.to_string_lossy());
                arguments.add("-initrd", &initfs.to_string_lossy());
                arguments.add("-append", boot_conf);
            }
        }
    }

    fn add_disk(&self, arguments: &mut Arguments) {
        let writes = match self.writes {
            Writes::Kept => "",
            Writes::Dropped => ",snapshot=on",
        };
        let drive = format!(
            "if=none,id=disk0,format=raw,file={}{writes}",
            escape(&self.image)
        );
        arguments.add("-drive", &drive);
        match self.options.disk {
            Disk::Virtio => {
                arguments.add("-device", "virtio-blk-pci,drive=disk0,disable-legacy=on")
            }
            Disk::Nvme => arguments.add("-device", "nvme,drive=disk0,serial=VALENCE"),
            Disk::Ata => arguments.add("-device", "ide-hd,drive=disk0,bus=ide.0"),
            Disk::Usb => arguments
                .add("-device", "qemu-xhci,id=xhci")
                .add("-device", "usb-storage,drive=disk0,bus=xhci.0"),
        };
    }

    fn add_serial(&self, arguments: &mut Arguments) {
        match &self.serial {
            Serial::Terminal => {
                arguments.add("-chardev", "stdio,id=debug,signal=off,mux=on");
                arguments
                    .add("-serial", "chardev:debug")
                    .add("-mon", "chardev=debug");
            }
            Serial::None => {}
            Serial::Headless { log, socket } => {
                arguments.add("-chardev", &format!("file,id=debug,path={}", escape(log)));
                arguments.add("-serial", "chardev:debug");
                arguments.add(
                    "-chardev",
                    &format!("socket,id=command,path={}", escape(socket)),
                );
                arguments.add("-serial", "chardev:command");
            }
        }
    }

    fn add_display(&self, arguments: &mut Arguments) {
        let is_headless = matches!(self.serial, Serial::Headless { .. });
        match self.gpu() {
            Gpu::No => arguments.add("-display", "none").add("-vga", "none"),
            Gpu::Vga => arguments.add("-vga", "std"),
            Gpu::Ramfb => arguments.add("-vga", "none").add("-device", "ramfb"),
            Gpu::Virtio => arguments.add("-vga", "none").add("-device", "virtio-vga"),
        };
        if is_headless {
            // A test must not be restarted in a loop by a triple fault.
            arguments.add("-no-reboot", "");
        }
        if is_headless && self.gpu() != Gpu::No {
            arguments.add("-display", "none");
        }
    }

    /// The screen: none for programs unless asked for, none where no window can be opened.
    pub fn gpu(&self) -> Gpu {
        let is_headless = matches!(self.serial, Serial::Headless { .. });
        let default = if self.host.has_display && !is_headless {
            Gpu::Vga
        } else {
            Gpu::No
        };
        self.options.gpu.unwrap_or(default)
    }
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    /// Adds an option and its value; an empty value means none, except for `-append`.
    fn add(&mut self, name: &str, value: &str) -> &mut Arguments {
        self.0.push(name.into());
        if !value.is_empty() || name == "-append" {
            self.0.push(value.into());
        }
        self
    }
}

/// A path inside a comma-separated argument.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// Finds QEMU or says how to get it.
pub fn find_qemu() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(QEMU))
        .find(|file| file.is_file());
    found.with_context(|| {
        format!("{QEMU} is not installed; run `make setup` (Debian package qemu-system-x86)")
    })
}

/// Finds the firmware and copies its variables to `variables` if they are not there yet.
pub fn firmware(variables: &Path) -> Result<Boot> {
    let Some((code, template)) = FIRMWARE
        .iter()
        .find(|(code, template)| Path::new(code).is_file() && Path::new(template).is_file())
    else {
        bail!(
            "no UEFI firmware is installed; run `make setup` (Debian package ovmf), or boot without it: uefi=no"
        );
    };
    if !variables.is_file() {
        std::fs::copy(template, variables)
            .with_context(|| format!("cannot write {}", variables.display()))?;
    }
    Ok(Boot::Uefi {
        code: code.into(),
        variables: variables.into(),
    })
}

/// The way to boot without firmware the image in a folder of the image maker.
pub fn direct(folder: &Path) -> Result<Boot> {
    let boot = folder.join("boot");
    let (kernel, initfs) = (boot.join("kernel"), boot.join("initfs"));
    for file in [&kernel, &initfs] {
        if !file.is_file() {
            bail!(
                "{} does not exist; make the image first: `make image`",
                file.display()
            );
        }
    }
    let boot_conf =
        std::fs::read_to_string(boot.join("boot.conf")).context("cannot read boot.conf")?;
    Ok(Boot::Direct {
        kernel,
        initfs,
        boot_conf,
    })
}

/// The disk image in a folder of the image maker.
pub fn image(folder: &Path) -> Result<PathBuf> {
    let image = folder.join("valence.img");
    if !image.is_file() {
        bail!(
            "{} does not exist; make it first: `make image`",
            image.display()
        );
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Host = Host {
        has_kvm: false,
        cpus: 8,
        has_display: true,
    };

    fn machine(variables: &[(&str, &str)], serial: Serial) -> Machine {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_string())
        };
        Machine {
            options: Options::read(find).unwrap(),
            host: HOST,
            boot: Boot::Direct {
                kernel: "k".into(),
                initfs: "i".into(),
                boot_conf: "A=1\nB=2\n".into(),
            },
            serial,
            image: "a,b.img".into(),
            writes: Writes::Kept,
        }
    }

    fn text(variables: &[(&str, &str)], serial: Serial) -> String {
        machine(variables, serial).arguments().join(" ")
    }

    #[test]
    fn without_virtualisation_the_translator_gets_a_cpu_without_avx() {
        let text = text(&[], Serial::Terminal);
        assert!(
            text.contains("-accel tcg,thread=multi -cpu Nehalem,+rdrand -smp 4"),
            "{text}"
        );
        let mut machine = machine(&[], Serial::Terminal);
        machine.host.has_kvm = true;
        assert!(
            machine
                .arguments()
                .join(" ")
                .contains("-accel kvm -cpu host")
        );
        machine.options.kvm = false;
        assert!(machine.arguments().join(" ").contains("-accel tcg"));
    }

    #[test]
    fn only_a_flag_of_its_own_advertises_virtualisation() {
        assert!(advertises_virtualisation("flags\t\t: fpu svm sse\n"));
        assert!(!advertises_virtualisation(
            "flags\t\t: fpu svm_lock\nmodel name: vmx\n"
        ));
    }

    #[test]
    fn gpu_no_is_the_serial_console_alone() {
        let text = text(&[("gpu", "no")], Serial::Terminal);
        assert!(text.contains("-display none -vga none"), "{text}");
        assert!(text.contains(
            "-chardev stdio,id=debug,signal=off,mux=on -serial chardev:debug -mon chardev=debug"
        ));
    }

    #[test]
    fn without_a_display_no_window_is_tried() {
        let mut machine = machine(&[], Serial::Terminal);
        assert_eq!(machine.gpu(), Gpu::Vga);
        machine.host.has_display = false;
        assert_eq!(machine.gpu(), Gpu::No);
    }

    #[test]
    fn a_direct_boot_passes_the_boot_text_whole() {
        let arguments = machine(&[], Serial::Terminal).arguments();
        let at = arguments
            .iter()
            .position(|argument| argument == "-append")
            .unwrap();
        assert_eq!(arguments[at + 1], "A=1\nB=2\n");
    }

    #[test]
    fn a_headless_machine_logs_the_console_and_connects_the_command_line() {
        let serial = Serial::Headless {
            log: "l".into(),
            socket: "s".into(),
        };
        let text = text(&[], serial);
        assert!(text.contains("-chardev file,id=debug,path=l -serial chardev:debug"));
        assert!(text.contains("-chardev socket,id=command,path=s -serial chardev:command"));
        assert!(text.contains("-no-reboot") && text.contains("-display none"));
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        assert!(text(&[], Serial::None).contains("file=a,,b.img"));
    }
}
