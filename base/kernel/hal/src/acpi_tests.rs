//! Hand-made tables, whole and damaged.

extern crate std;
use super::*;
use std::vec;

struct Flat(Vec<u8>);

impl Memory for Flat {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(address).ok()?;
        self.0.get(start..start.checked_add(len)?)
    }
}

fn table(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut t = vec![0; HEADER];
    t[..4].copy_from_slice(name);
    t.extend_from_slice(body);
    let len = t.len() as u32;
    t[4..8].copy_from_slice(&len.to_le_bytes());
    t
}

/// Root pointer at 0x10, RSDT at 0x100, then the tables.
fn machine(tables: &[Vec<u8>]) -> Flat {
    let mut memory = vec![0; 0x200];
    let mut list = Vec::new();
    for t in tables {
        list.extend_from_slice(&(memory.len() as u32).to_le_bytes());
        memory.extend_from_slice(t);
    }
    let root = table(b"RSDT", &list);
    memory[0x100..0x100 + root.len()].copy_from_slice(&root);
    memory[0x10..0x18].copy_from_slice(b"RSD PTR ");
    memory[0x20..0x24].copy_from_slice(&0x100u32.to_le_bytes());
    Flat(memory)
}

fn madt() -> Vec<u8> {
    let mut body = vec![];
    body.extend_from_slice(&0xFEE0_0000u32.to_le_bytes());
    body.extend_from_slice(&1u32.to_le_bytes());
    body.extend_from_slice(&[0, 8, 0, 0, 1, 0, 0, 0]);
    body.extend_from_slice(&[0, 8, 1, 7, 1, 0, 0, 0]);
    body.extend_from_slice(&[0, 8, 2, 9, 0, 0, 0, 0]);
    body.extend_from_slice(&[1, 12, 0, 0, 0, 0, 0xC0, 0xFE, 0, 0, 0, 0]);
    body.extend_from_slice(&[2, 10, 0, 9, 9, 0, 0, 0, 0x0F, 0]);
    table(b"APIC", &body)
}

#[test]
fn madt_lists_enabled_cpus_controllers_and_overrides() {
    let acpi = read(&machine(&[madt()]), 0x10);
    assert_eq!(acpi.cpus, [0, 7]);
    assert_eq!(acpi.local_apic, 0xFEE0_0000);
    assert_eq!(
        acpi.io_apics,
        [IoApic {
            address: 0xFEC0_0000,
            first: 0
        }]
    );
    assert_eq!(
        acpi.overrides,
        [Override {
            irq: 9,
            global: 9,
            low: true,
            level: true
        }]
    );
}

#[test]
fn a_madt_cut_anywhere_is_read_as_far_as_it_goes() {
    let whole = madt();
    for cut in HEADER..whole.len() {
        let mut t = whole[..cut].to_vec();
        t[4..8].copy_from_slice(&(cut as u32).to_le_bytes());
        assert!(read(&machine(&[t]), 0x10).cpus.len() <= 2);
    }
}

#[test]
fn an_entry_of_length_zero_ends_the_walk() {
    let acpi = read(
        &machine(&[table(b"APIC", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2])]),
        0x10,
    );
    assert_eq!(acpi.cpus, []);
}

#[test]
fn mcfg_gives_address_and_bus_count_of_segment_zero() {
    let mut body = vec![0; 8];
    body.extend_from_slice(&0xB000_0000u64.to_le_bytes());
    body.extend_from_slice(&[0, 0, 0, 0xFF, 0, 0, 0, 0]);
    assert_eq!(
        read(&machine(&[table(b"MCFG", &body)]), 0x10).ecam,
        Some((0xB000_0000, 256))
    );
}

#[test]
fn s5_is_found_in_byte_and_constant_form() {
    let bytes = b"\x08_S5_\x12\x06\x04\x0A\x05\x0A\x07\x00\x00";
    assert_eq!(sleep_values(bytes), Some((5, 7)));
    let constants = b"xx\x08_S5_\x12\x06\x04\x00\x00\x00\x00";
    assert_eq!(sleep_values(constants), Some((0, 0)));
}

#[test]
fn s5_damaged_or_mentioned_only_is_none() {
    for bytes in [
        &b"_S5_\x12\x06\x04\x00\x00"[..],
        b"\x08_S5_\x12",
        b"\x08_S5_\x12\xFF\x04\x00",
        b"",
    ] {
        assert_eq!(sleep_values(bytes), None);
    }
}

#[test]
fn missing_or_foreign_root_pointer_gives_nothing() {
    assert_eq!(read(&machine(&[madt()]), 0), Acpi::default());
    assert_eq!(read(&machine(&[madt()]), 0x18), Acpi::default());
    assert_eq!(read(&machine(&[madt()]), u64::MAX), Acpi::default());
}
