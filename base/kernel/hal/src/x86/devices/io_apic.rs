//! The I/O interrupt controllers: where the lines of serial ports, keyboard and mouse arrive.

use alloc::vec::Vec;

use super::mmio::Mmio;
use crate::acpi::Acpi;
use crate::x86::memory::devices::map_device;

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
const VERSION: u32 = 1;
const ENTRIES: u32 = 0x10;

const ACTIVE_LOW: u32 = 1 << 13;
const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;

/// Routes legacy interrupts `(irq, vector)` to one CPU and masks every other line.
pub(in crate::x86) fn init(acpi: &Acpi, apic_id: u32, routes: &[(u8, u8)]) {
    let controllers: Vec<Controller> = acpi.io_apics.iter().map(Controller::new).collect();
    for &(irq, vector) in routes {
        let changed = acpi.overrides.iter().find(|o| o.irq == irq);
        let global = changed.map_or(u32::from(irq), |o| o.global);
        let low = changed.is_some_and(|o| o.low);
        let level = changed.is_some_and(|o| o.level);
        let flags = if low { ACTIVE_LOW } else { 0 } | if level { LEVEL } else { 0 };
        if let Some(c) = controllers.iter().find(|c| c.serves(global)) {
            c.route(global - c.first, u32::from(vector) | flags, apic_id);
        }
    }
}

struct Controller {
    registers: Mmio,
    first: u32,
    lines: u32,
}

impl Controller {
    fn new(found: &crate::acpi::IoApic) -> Self {
        let base = map_device(found.address, 0x20);
        // SAFETY: `map_device` made a lasting mapping of this length; an I/O APIC cannot write memory other than as
        // interrupt messages, which `route` builds from vectors of this box.
        let registers = unsafe { Mmio::new(base, 0x20) };
        let mut this = Self {
            registers,
            first: found.first,
            lines: 0,
        };
        this.lines = ((this.read(VERSION) >> 16) & 0xFF) + 1;
        for line in 0..this.lines {
            this.write(ENTRIES + 2 * line, MASKED);
        }
        this
    }

    fn serves(&self, global: u32) -> bool {
        (self.first..self.first + self.lines).contains(&global)
    }

    fn route(&self, line: u32, low: u32, apic_id: u32) {
        self.write(ENTRIES + 2 * line + 1, apic_id << 24);
        self.write(ENTRIES + 2 * line, low);
    }

    fn read(&self, register: u32) -> u32 {
        self.registers.write(SELECT, register);
        self.registers.read(WINDOW)
    }

    fn write(&self, register: u32, value: u32) {
        self.registers.write(SELECT, register);
        self.registers.write(WINDOW, value);
    }
}
