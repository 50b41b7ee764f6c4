//! Ending the machine: off through ACPI's S5, reset through whatever works first.

use super::{port, ps2};
use crate::acpi::Acpi;
use crate::x86::memory::layout;

const SLEEP_ENABLE: u16 = 1 << 13;
/// Where QEMU's q35 and i440FX machines have the register, should their tables be unreadable.
const QEMU_PM1A: [u16; 2] = [0x604, 0xB004];

/// Switches the machine to ACPI mode, in which the power register works.
pub(in crate::x86) fn enable_acpi(acpi: &Acpi) {
    const SCI_ENABLED: u16 = 1;
    let Some((command, value)) = acpi.enable else {
        return;
    };
    if acpi.pm1a == 0 || port::read_word(acpi.pm1a) & SCI_ENABLED != 0 {
        return;
    }
    port::write(command, value);
    let _ = (0..10_000).find(|_| port::read_word(acpi.pm1a) & SCI_ENABLED != 0);
}

/// Powers off. Returns only if nothing worked.
pub(in crate::x86) fn shutdown(acpi: &Acpi) {
    if let Some((a, b)) = acpi.s5 {
        for (register, value) in [(acpi.pm1a, a), (acpi.pm1b, b)] {
            if register != 0 {
                port::write_word(register, (u16::from(value) & 7) << 10 | SLEEP_ENABLE);
            }
        }
    }
    for register in QEMU_PM1A {
        port::write_word(register, SLEEP_ENABLE);
    }
}

/// Resets. Returns only if nothing worked.
pub(in crate::x86) fn reset(acpi: &Acpi) {
    match acpi.reset {
        Some(r) if r.space == 1 => port::write(r.address as u16, r.value),
        Some(r) => layout::write_physical_byte(r.address, r.value),
        None => {}
    }
    pause();
    // The chipset's own reset register, then the keyboard controller's line.
    port::write(0xCF9, 0x06);
    pause();
    ps2::reset_machine();
    pause();
}

fn pause() {
    for _ in 0..1_000 {
        port::read(0x80);
    }
}
