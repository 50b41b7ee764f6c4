//! The PS/2 controller (8042): both ports on, with interrupts and keyboard translation to scan code set 1.
//!
//! It only brings bytes up; what they mean is a driver's business. Every wait is bounded, so a machine without the
//! controller loses some milliseconds at most.

use super::port;

const DATA: u16 = 0x60;
const STATUS: u16 = 0x64;
const COMMAND: u16 = 0x64;

const OUTPUT_FULL: u8 = 1;
const INPUT_FULL: u8 = 1 << 1;
const FROM_MOUSE: u8 = 1 << 5;

/// Enough polls for a slow controller (about a microsecond each on hardware).
const WAIT: usize = 20_000;

/// Switches the controller and its devices on. Returns whether there is one.
pub(in crate::x86) fn init() -> bool {
    if port::read(STATUS) == 0xFF {
        return false;
    }
    command(0xAD);
    command(0xA7);
    drain();
    let Some(config) = ask(0x20) else {
        return false;
    };
    const INTERRUPTS: u8 = 0b11;
    const CLOCKS_OFF: u8 = 0b11 << 4;
    const TRANSLATE: u8 = 1 << 6;
    command(0x60);
    send((config & !CLOCKS_OFF) | INTERRUPTS | TRANSLATE);
    command(0xAE);
    command(0xA8);
    // Keyboard: enable scanning. Mouse: defaults, then report movements. Their answers are taken here.
    send(0xF4);
    answer();
    for byte in [0xF6, 0xF4] {
        command(0xD4);
        send(byte);
        answer();
    }
    drain();
    true
}

/// Takes a waiting byte: (0 keyboard or 1 mouse, byte).
pub(in crate::x86) fn receive() -> Option<(usize, u8)> {
    let status = port::read(STATUS);
    if status == 0xFF || status & OUTPUT_FULL == 0 {
        return None;
    }
    Some((usize::from(status & FROM_MOUSE != 0), port::read(DATA)))
}

/// Pulses the line that resets the processor.
pub(in crate::x86) fn reset_machine() {
    command(0xFE);
}

fn command(byte: u8) {
    wait_for_room();
    port::write(COMMAND, byte);
}

fn send(byte: u8) {
    wait_for_room();
    port::write(DATA, byte);
}

fn ask(byte: u8) -> Option<u8> {
    command(byte);
    answer()
}

fn answer() -> Option<u8> {
    (0..WAIT).find_map(|_| receive()).map(|(_, byte)| byte)
}

fn wait_for_room() {
    let _ = (0..WAIT).find(|_| port::read(STATUS) & INPUT_FULL == 0);
}

fn drain() {
    while receive().is_some() {}
}
