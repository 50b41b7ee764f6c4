//! The old interrupt controllers: moved out of the way and masked for good; the APICs take over.

use super::port;

const COMMAND: [u16; 2] = [0x20, 0xA0];
const DATA: [u16; 2] = [0x21, 0xA1];

/// Gives them vectors that no exception uses (a spurious interrupt may still come) and masks every line.
pub(in crate::x86) fn disable() {
    const UNUSED_VECTORS: [u8; 2] = [0xE0, 0xE8];
    const CASCADE: [u8; 2] = [4, 2];
    for i in 0..2 {
        port::write(COMMAND[i], 0x11);
        port::write(DATA[i], UNUSED_VECTORS[i]);
        port::write(DATA[i], CASCADE[i]);
        port::write(DATA[i], 1);
        port::write(DATA[i], 0xFF);
    }
}
