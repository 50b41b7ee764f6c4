//! The four ACPI tables the kernel reads itself: MADT (CPUs, interrupt controllers), FADT (power), MCFG (PCI), and
//! the `_S5` object of the DSDT (the values that switch the machine off).
//!
//! Pure parsing over a `Memory` that hands out bytes of physical memory: every length is checked, a damaged table gives
//! less information and never a fault. No AML is executed: `_S5` is a constant package on every machine, and is found by its
//! name (ACPI 6.5, sections 5.2 and 7.4.2; decision 0203).

use alloc::vec::Vec;

/// Bytes of physical memory.
pub trait Memory {
    /// The bytes at a physical address, or `None` if that is not memory that may be read.
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]>;
}

/// How a legacy interrupt reaches the I/O interrupt controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// ISA number.
    pub irq: u8,
    /// Global number it arrives at.
    pub global: u32,
    /// It is active when low.
    pub low: bool,
    /// It is level-triggered.
    pub level: bool,
}

/// An I/O interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Physical address of its registers.
    pub address: u64,
    /// Its first global interrupt number.
    pub first: u32,
}

/// A register that resets the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetRegister {
    /// 0 memory, 1 port.
    pub space: u8,
    /// Where.
    pub address: u64,
    /// What to write.
    pub value: u8,
}

/// What the kernel wants to know from ACPI. All fields are empty or 0 when a table is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acpi {
    /// APIC numbers of the usable CPUs, as listed.
    pub cpus: Vec<u32>,
    /// Physical address of the local interrupt controllers.
    pub local_apic: u64,
    /// I/O interrupt controllers.
    pub io_apics: Vec<IoApic>,
    /// Legacy interrupts that do not arrive where their number says.
    pub overrides: Vec<Override>,
    /// Port of the 3.579545 MHz timer.
    pub pm_timer: u16,
    /// Ports of the power control registers.
    pub pm1a: u16,
    /// The second of them, 0 if there is one.
    pub pm1b: u16,
    /// Port and value that switch the machine to ACPI mode.
    pub enable: Option<(u16, u8)>,
    /// Values of `_S5` for the two.
    pub s5: Option<(u8, u8)>,
    /// How to reset.
    pub reset: Option<ResetRegister>,
    /// PCI configuration memory: address and number of buses, of segment 0.
    pub ecam: Option<(u64, u32)>,
}

const HEADER: usize = 36;
/// Longest table that is read (the DSDT of large machines has some hundred KiB).
const TABLE_MAX: u32 = 4 << 20;

/// Reads what the root pointer leads to.
pub fn read(memory: &dyn Memory, rsdp: u64) -> Acpi {
    let mut acpi = Acpi::default();
    for table in tables(memory, rsdp).unwrap_or_default() {
        let Some(bytes) = table_bytes(memory, table) else {
            continue;
        };
        match &bytes[..4] {
            b"APIC" => read_madt(bytes, &mut acpi),
            b"FACP" => read_fadt(memory, bytes, &mut acpi),
            b"MCFG" => read_mcfg(bytes, &mut acpi),
            _ => {}
        }
    }
    acpi
}

fn tables(memory: &dyn Memory, rsdp: u64) -> Option<Vec<u64>> {
    if rsdp == 0 {
        return None;
    }
    let root = memory
        .bytes(rsdp, 20)
        .filter(|r| r.starts_with(b"RSD PTR "))?;
    let revision = root[15];
    if revision >= 2
        && let Some(xsdt) = memory.bytes(rsdp, 36).and_then(|r| u64_at(r, 24))
        && let Some(bytes) = table_bytes(memory, xsdt).filter(|b| b.starts_with(b"XSDT"))
    {
        return Some(
            bytes[HEADER..]
                .chunks_exact(8)
                .filter_map(|c| u64_at(c, 0))
                .collect(),
        );
    }
    let rsdt = u64::from(u32_at(root, 16)?);
    let bytes = table_bytes(memory, rsdt).filter(|b| b.starts_with(b"RSDT"))?;
    Some(
        bytes[HEADER..]
            .chunks_exact(4)
            .filter_map(|c| u32_at(c, 0))
            .map(u64::from)
            .collect(),
    )
}

fn table_bytes(memory: &dyn Memory, address: u64) -> Option<&[u8]> {
    let len = u32_at(memory.bytes(address, HEADER)?, 4)?;
    if !(HEADER as u32..=TABLE_MAX).contains(&len) {
        return None;
    }
    memory.bytes(address, len as usize)
}

fn read_madt(table: &[u8], acpi: &mut Acpi) {
    acpi.local_apic = u32_at(table, 36).unwrap_or(0).into();
    let mut rest = table.get(44..).unwrap_or_default();
    while let [kind, len, ..] = *rest {
        let Some(entry) = rest.get(..usize::from(len)).filter(|e| e.len() >= 2) else {
            break;
        };
        read_madt_entry(kind, entry, acpi);
        rest = &rest[entry.len()..];
    }
}

fn read_madt_entry(kind: u8, entry: &[u8], acpi: &mut Acpi) {
    const USABLE: u32 = 1;
    match (kind, entry.len()) {
        (0, 8..) if u32_at(entry, 4).is_some_and(|flags| flags & USABLE != 0) => {
            acpi.cpus.push(entry[3].into());
        }
        (9, 16..) if u32_at(entry, 8).is_some_and(|flags| flags & USABLE != 0) => {
            acpi.cpus.extend(u32_at(entry, 4));
        }
        (1, 12..) => {
            if let (Some(address), Some(first)) = (u32_at(entry, 4), u32_at(entry, 8)) {
                acpi.io_apics.push(IoApic {
                    address: address.into(),
                    first,
                });
            }
        }
        (2, 10..) => {
            let flags = u16_at(entry, 8).unwrap_or(0);
            acpi.overrides.push(Override {
                irq: entry[3],
                global: u32_at(entry, 4).unwrap_or(0),
                low: flags & 0b11 == 0b11,
                level: (flags >> 2) & 0b11 == 0b11,
            });
        }
        (5, 12..) => acpi.local_apic = u64_at(entry, 4).unwrap_or(acpi.local_apic),
        _ => {}
    }
}

fn read_fadt(memory: &dyn Memory, table: &[u8], acpi: &mut Acpi) {
    const RESET_SUPPORTED: u32 = 1 << 10;
    let port = |at| {
        u32_at(table, at)
            .and_then(|p| u16::try_from(p).ok())
            .unwrap_or(0)
    };
    acpi.pm1a = port(64);
    acpi.pm1b = port(68);
    acpi.pm_timer = port(76);
    acpi.enable = table
        .get(52)
        .map(|&value| (port(48), value))
        .filter(|e| e.0 != 0);
    if u32_at(table, 112).is_some_and(|flags| flags & RESET_SUPPORTED != 0)
        && let (Some(&space), Some(address), Some(&value)) =
            (table.get(116), u64_at(table, 120), table.get(128))
        && space <= 1
    {
        acpi.reset = Some(ResetRegister {
            space,
            address,
            value,
        });
    }
    let wide = u64_at(table, 140).unwrap_or(0);
    let dsdt = if wide != 0 {
        wide
    } else {
        u32_at(table, 40).unwrap_or(0).into()
    };
    acpi.s5 = table_bytes(memory, dsdt).and_then(|bytes| sleep_values(&bytes[HEADER..]));
}

/// Finds `Name (_S5, Package () { a, b, … })` and returns the two values.
fn sleep_values(aml: &[u8]) -> Option<(u8, u8)> {
    const NAME_OP: u8 = 0x08;
    const PACKAGE_OP: u8 = 0x12;
    let at = aml.windows(5).position(|w| w == b"_S5_\x12")?;
    let named = at >= 1 && (aml[at - 1] == NAME_OP || aml[at - 1] == b'\\');
    let body = aml
        .get(at + 4..)
        .filter(|b| named && b.first() == Some(&PACKAGE_OP))?;
    // The length field has 1 to 4 bytes, told by the top bits of its first; the count of elements follows.
    let length_bytes = 1 + usize::from(*body.get(1)? >> 6);
    let mut elements = body.get(1 + length_bytes + 1..)?;
    let mut next = || {
        let (value, used) = match *elements {
            [0x0A, value, ..] => (value, 2),
            [0x0B, value, ..] => (value, 3),
            [0x0C, value, ..] => (value, 5),
            [small @ (0 | 1), ..] => (small, 1),
            _ => return None,
        };
        elements = elements.get(used..)?;
        Some(value)
    };
    Some((next()?, next()?))
}

fn read_mcfg(table: &[u8], acpi: &mut Acpi) {
    for entry in table.get(44..).unwrap_or_default().chunks_exact(16) {
        let (Some(address), Some(0), first, last) =
            (u64_at(entry, 0), u16_at(entry, 8), entry[10], entry[11])
        else {
            continue;
        };
        if first == 0 {
            acpi.ecam = Some((address, u32::from(last) + 1));
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)
        .and_then(|b| b.try_into().ok())
        .map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..at + 8)
        .and_then(|b| b.try_into().ok())
        .map(u64::from_le_bytes)
}

#[cfg(test)]
#[path = "acpi_tests.rs"]
mod tests;
