//! Devices that the kernel drives itself, each in the smallest form that works.

pub(super) mod io_apic;
pub(super) mod local_apic;
pub(super) mod mmio;
pub(super) mod pic;
pub(super) mod port;
pub(super) mod power;
pub(super) mod ps2;
pub(super) mod rtc;
pub(super) mod serial;
