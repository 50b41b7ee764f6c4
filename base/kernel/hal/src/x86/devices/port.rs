//! Port input and output as two short functions.
//!
//! Ports are the box's own: user mode has no I/O permission, and only modules of `devices` call these.

use x86_64::instructions::port::Port;

/// Reads a byte.
pub(in crate::x86) fn read(port: u16) -> u8 {
    // SAFETY: the ports used in this box belong to devices that cannot reach memory, so a read changes only device state.
    unsafe { Port::<u8>::new(port).read() }
}

/// Writes a byte.
pub(in crate::x86) fn write(port: u16, value: u8) {
    // SAFETY: as in `read`: none of these devices can be told through a port to touch memory.
    unsafe { Port::<u8>::new(port).write(value) }
}

/// Reads a 16-bit word.
pub(in crate::x86) fn read_word(port: u16) -> u16 {
    // SAFETY: as in `read`.
    unsafe { Port::<u16>::new(port).read() }
}

/// Writes a 16-bit word.
pub(in crate::x86) fn write_word(port: u16, value: u16) {
    // SAFETY: as in `write`.
    unsafe { Port::<u16>::new(port).write(value) }
}

/// Reads a 32-bit word.
pub(in crate::x86) fn read_long(port: u16) -> u32 {
    // SAFETY: as in `read`.
    unsafe { Port::<u32>::new(port).read() }
}
