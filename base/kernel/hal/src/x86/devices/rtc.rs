//! The battery clock, read once at the start.

use super::port;
use crate::clock::Date;

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;

/// Seconds since 1970, or 0 if the clock does not hold a date.
pub(in crate::x86) fn unix_seconds() -> u64 {
    // Two equal readings outside an update are consistent; a clock that never settles is not believed.
    for _ in 0..100 {
        let (first, second) = (fields(), fields());
        if let (Some(a), Some(b)) = (first, second)
            && a == b
        {
            return Date::from_rtc(a, register(0x0B)).unix_seconds();
        }
    }
    0
}

fn fields() -> Option<[u8; 6]> {
    const UPDATING: u8 = 1 << 7;
    let settled = (0..10_000).any(|_| register(0x0A) & UPDATING == 0);
    settled.then(|| [0, 2, 4, 7, 8, 9].map(register))
}

fn register(number: u8) -> u8 {
    port::write(INDEX, number);
    port::read(DATA)
}
