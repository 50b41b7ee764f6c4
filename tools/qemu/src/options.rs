//! The variables that say what machine is wanted, under Redox's names. Empty means unset.

use anyhow::{Context, Result, bail};

const DEFAULT_MEMORY_MIB: u64 = 2048;

/// The screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the values, under their own names
pub enum Gpu {
    No,
    Vga,
    Ramfb,
    Virtio,
}

/// The disk's controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the values, under their own names
pub enum Disk {
    Virtio,
    Nvme,
    Ata,
    Usb,
}

/// The network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the values, under their own names
pub enum Net {
    No,
    E1000,
    Rtl8139,
    Virtio,
    /// Ports of the host lead to the guest: 8022 to 22, 8080 to 80.
    Redir,
}

impl Net {
    /// The argument of `-nic`.
    pub fn argument(self) -> &'static str {
        match self {
            Net::No => "none",
            Net::E1000 => "user,model=e1000",
            Net::Rtl8139 => "user,model=rtl8139",
            Net::Virtio => "user,model=virtio-net-pci",
            Net::Redir => {
                "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:8022-:22,hostfwd=tcp:127.0.0.1:8080-:80"
            }
        }
    }
}

/// All variables, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `gpu`.
    pub gpu: Option<Gpu>,
    /// `disk`.
    pub disk: Disk,
    /// `net`.
    pub net: Net,
    /// `kvm`: use it if it is there.
    pub kvm: bool,
    /// `serial`: the first line is the terminal.
    pub serial: bool,
    /// `uefi`: boot through the firmware.
    pub uefi: Option<bool>,
    /// `gdb`: wait for a debugger on port 1234, or with `nonblock` do not wait.
    pub gdb: Option<String>,
    /// `QEMU_MEM`.
    pub memory_mib: u64,
    /// `QEMU_SMP`.
    pub cpus: Option<usize>,
    /// `QEMU_CPU`.
    pub cpu_model: Option<String>,
    /// `QEMU_MACHINE`.
    pub machine: Option<String>,
    /// `QEMUFLAGS`, split at spaces.
    pub flags: Vec<String>,
}

impl Options {
    /// Reads the variables from the environment.
    pub fn from_env() -> Result<Options> {
        Options::read(|name| std::env::var(name).ok())
    }

    /// Reads the variables through `find`.
    pub fn read(find: impl Fn(&str) -> Option<String>) -> Result<Options> {
        let find = |name: &str| {
            find(name)
                .map(|value| value.trim().to_string())
                .filter(|value| !value.is_empty())
        };
        let gpus = [
            ("no", Gpu::No),
            ("vga", Gpu::Vga),
            ("ramfb", Gpu::Ramfb),
            ("virtio", Gpu::Virtio),
        ];
        let disks = [
            ("virtio", Disk::Virtio),
            ("nvme", Disk::Nvme),
            ("ata", Disk::Ata),
            ("usb", Disk::Usb),
        ];
        let nets = [
            ("no", Net::No),
            ("e1000", Net::E1000),
            ("rtl8139", Net::Rtl8139),
            ("virtio", Net::Virtio),
            ("redir", Net::Redir),
        ];
        let choices = [("yes", true), ("no", false)];
        let gdbs = [
            ("yes", Some("yes")),
            ("nonblock", Some("nonblock")),
            ("no", None),
        ];
        Ok(Options {
            gpu: choose("gpu", &find, &gpus)?,
            disk: choose("disk", &find, &disks)?.unwrap_or(Disk::Virtio),
            net: choose("net", &find, &nets)?.unwrap_or(Net::No),
            kvm: choose("kvm", &find, &choices)?.unwrap_or(true),
            serial: choose("serial", &find, &choices)?.unwrap_or(true),
            uefi: choose("uefi", &find, &choices)?,
            gdb: choose("gdb", &find, &gdbs)?.flatten().map(String::from),
            memory_mib: number("QEMU_MEM", &find)?.unwrap_or(DEFAULT_MEMORY_MIB),
            cpus: number("QEMU_SMP", &find)?.map(|count| count as usize),
            cpu_model: find("QEMU_CPU"),
            machine: find("QEMU_MACHINE"),
            flags: find("QEMUFLAGS")
                .unwrap_or_default()
                .split_whitespace()
                .map(String::from)
                .collect(),
        })
    }
}

fn choose<T: Copy>(
    name: &str,
    find: &impl Fn(&str) -> Option<String>,
    values: &[(&str, T)],
) -> Result<Option<T>> {
    let Some(value) = find(name) else {
        return Ok(None);
    };
    match values.iter().find(|(word, _)| *word == value) {
        Some((_, chosen)) => Ok(Some(*chosen)),
        None => {
            let words: Vec<_> = values.iter().map(|(word, _)| *word).collect();
            bail!(
                "{name}={value} is not known; {name} is one of: {}",
                words.join(" ")
            )
        }
    }
}

fn number(name: &str, find: &impl Fn(&str) -> Option<String>) -> Result<Option<u64>> {
    let Some(value) = find(name) else {
        return Ok(None);
    };
    let number: u64 = value
        .parse()
        .with_context(|| format!("{name}={value} is not a number"))?;
    if number == 0 {
        bail!("{name} must be greater than 0");
    }
    Ok(Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &'static str) -> Result<Options> {
        Options::read(|wanted| (wanted == name).then(|| value.to_string()))
    }

    #[test]
    fn unset_and_empty_variables_mean_the_defaults() {
        let options = read("gpu", " ").unwrap();
        assert_eq!(
            (options.gpu, options.disk, options.net),
            (None, Disk::Virtio, Net::No)
        );
        assert_eq!(
            (options.kvm, options.serial, options.memory_mib),
            (true, true, 2048)
        );
    }

    #[test]
    fn a_wrong_value_is_an_error_that_lists_the_right_ones() {
        let message = read("gpu", "best").unwrap_err().to_string();
        assert_eq!(
            message,
            "gpu=best is not known; gpu is one of: no vga ramfb virtio"
        );
        assert!(read("QEMU_MEM", "2G").is_err());
        assert!(read("QEMU_SMP", "0").is_err());
    }

    #[test]
    fn values_are_taken_over() {
        assert_eq!(read("disk", "nvme").unwrap().disk, Disk::Nvme);
        assert_eq!(
            read("gdb", "nonblock").unwrap().gdb.as_deref(),
            Some("nonblock")
        );
        assert_eq!(read("gdb", "no").unwrap().gdb, None);
        assert_eq!(read("QEMUFLAGS", "-d  int").unwrap().flags, ["-d", "int"]);
    }
}
