//! The two 16550 serial ports: polled output, interrupt-driven input.
//!
//! Every wait is bounded, and a port that does not keep what is written to its scratch register is taken as absent.

use core::sync::atomic::{AtomicBool, Ordering};

use super::port;
use crate::limits::POLL_LIMIT;

const BASES: [u16; 2] = [0x3F8, 0x2F8];

// Registers, from the base.
const DATA: u16 = 0;
const INTERRUPTS: u16 = 1;
const FIFO: u16 = 2;
const LINE: u16 = 3;
const MODEM: u16 = 4;
const STATUS: u16 = 5;
const SCRATCH: u16 = 7;

const RECEIVED: u8 = 1;
const SEND_EMPTY: u8 = 1 << 5;

static PRESENT: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

/// Sets both ports to 115200 8N1 with FIFOs and receive interrupts.
pub(in crate::x86) fn init() {
    for (number, base) in BASES.into_iter().enumerate() {
        port::write(base + SCRATCH, 0xA5);
        if port::read(base + SCRATCH) != 0xA5 {
            continue;
        }
        const DIVISOR_ACCESS: u8 = 1 << 7;
        const EIGHT_BITS: u8 = 3;
        port::write(base + INTERRUPTS, 0);
        port::write(base + LINE, DIVISOR_ACCESS);
        port::write(base + DATA, 1);
        port::write(base + INTERRUPTS, 0);
        port::write(base + LINE, EIGHT_BITS);
        // FIFOs on and cleared, interrupt at the first byte's time-out or one byte.
        port::write(base + FIFO, 0b0000_0111);
        // DTR, RTS, and OUT2, which lets the interrupt through.
        port::write(base + MODEM, 0b0000_1011);
        port::write(base + INTERRUPTS, RECEIVED);
        PRESENT[number].store(true, Ordering::Relaxed);
    }
}

/// Sends bytes, waiting a bounded time for room before each FIFO's worth.
pub(in crate::x86) fn send(number: usize, bytes: &[u8]) {
    const FIFO_BYTES: usize = 16;
    let Some(base) = base(number) else { return };
    for part in bytes.chunks(FIFO_BYTES) {
        for _ in 0..POLL_LIMIT {
            if port::read(base + STATUS) & SEND_EMPTY != 0 {
                break;
            }
            core::hint::spin_loop();
        }
        for &byte in part {
            port::write(base + DATA, byte);
        }
    }
}

/// Takes a received byte.
pub(in crate::x86) fn receive(number: usize) -> Option<u8> {
    let base = base(number)?;
    (port::read(base + STATUS) & RECEIVED != 0).then(|| port::read(base + DATA))
}

fn base(number: usize) -> Option<u16> {
    PRESENT
        .get(number)?
        .load(Ordering::Relaxed)
        .then(|| BASES[number])
}
