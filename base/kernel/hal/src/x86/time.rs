//! The clock (time-stamp counter), the one-shot timer of each CPU, and what sets their rates.
//!
//! The counters of all CPUs run alike (invariant TSC, or one emulated counter); small differences are hidden by never
//! letting time go back on any CPU. Rates come from one comparison with the ACPI timer, or with the old interval timer
//! where there is none.

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};

use super::cpu::local::{self, NEVER};
use super::devices::{local_apic, port};
use crate::clock::Rate;
use crate::limits::CALIBRATION_NS;

static START: AtomicU64 = AtomicU64::new(0);
static LAST: AtomicU64 = AtomicU64::new(0);
static CLOCK: RateCell = RateCell::new();
static TIMER: RateCell = RateCell::new();

/// A rate that is set once.
struct RateCell(AtomicU64);

impl RateCell {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn set(&self, rate: Rate) {
        self.0.store(rate.hertz(), Ordering::Relaxed);
    }

    fn get(&self) -> Option<Rate> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            hertz => Some(Rate::from_hertz(hertz)),
        }
    }
}

/// Notes the counter's value at the start.
pub(super) fn start() {
    START.store(ticks(), Ordering::Relaxed);
}

/// Nanoseconds since [`start`]; 0 until the clock is measured.
pub(super) fn since_start_ns() -> u64 {
    let Some(rate) = CLOCK.get() else { return 0 };
    let now = rate.to_ns(ticks().saturating_sub(START.load(Ordering::Relaxed)));
    LAST.fetch_max(now, Ordering::Relaxed).max(now)
}

/// Measures clock and timer against a reference. Call once, with the first CPU's timer free.
pub(super) fn calibrate(pm_timer: u16) {
    let (clock, timer) = if pm_timer != 0 {
        against_pm_timer(pm_timer)
    } else {
        against_interval_timer()
    };
    CLOCK.set(clock);
    TIMER.set(timer);
}

/// Rates in hertz, for the log: clock, timer.
pub(super) fn rates() -> (u64, u64) {
    (
        CLOCK.get().map_or(0, |r| r.hertz()),
        TIMER.get().map_or(0, |r| r.hertz()),
    )
}

/// Waits.
pub(super) fn spin_ns(ns: u64) {
    let until = since_start_ns().saturating_add(ns);
    while since_start_ns() < until {
        core::hint::spin_loop();
    }
}

/// Asks for an interrupt on this CPU at a time. An interrupt already on its way before it is left alone: it will find
/// that it came early and start the timer anew.
pub(super) fn set_timer(deadline: Option<u64>) {
    let cpu = local::this();
    let wanted = deadline.unwrap_or(NEVER);
    cpu.timer_wanted.store(wanted, Ordering::Relaxed);
    if wanted < cpu.timer_armed.load(Ordering::Relaxed) {
        arm(wanted);
    }
}

/// The timer interrupted. Returns whether the kernel's deadline has passed.
pub(super) fn timer_expired() -> bool {
    let cpu = local::this();
    cpu.timer_armed.store(NEVER, Ordering::Relaxed);
    let wanted = cpu.timer_wanted.load(Ordering::Relaxed);
    if wanted == NEVER {
        return false;
    }
    if wanted > since_start_ns() {
        arm(wanted);
        return false;
    }
    cpu.timer_wanted.store(NEVER, Ordering::Relaxed);
    true
}

fn arm(deadline: u64) {
    let Some(rate) = TIMER.get() else { return };
    let delta = deadline.saturating_sub(since_start_ns());
    let ticks = rate.to_ticks(delta).clamp(1, u32::MAX.into());
    local::this().timer_armed.store(deadline, Ordering::Relaxed);
    local_apic::timer_start(ticks as u32);
}

fn ticks() -> u64 {
    // SAFETY: every x86_64 CPU has the instruction; it changes registers only.
    unsafe { _rdtsc() }
}

/// One reading of the three counters, as close together as a few tries give.
#[derive(Clone, Copy)]
struct Sample {
    clock: u64,
    timer: u32,
    reference: u32,
}

fn sample(reference: &mut dyn FnMut() -> u32) -> Sample {
    const TRIES: usize = 8;
    let mut best = (
        u64::MAX,
        Sample {
            clock: 0,
            timer: 0,
            reference: 0,
        },
    );
    for _ in 0..TRIES {
        let before = ticks();
        let reference = reference();
        let after = ticks();
        let timer = local_apic::timer_left();
        if after - before < best.0 {
            best = (
                after - before,
                Sample {
                    clock: before + (after - before) / 2,
                    timer,
                    reference,
                },
            );
        }
    }
    best.1
}

fn rates_between(a: Sample, b: Sample, ns: u64) -> (Rate, Rate) {
    local_apic::timer_start(0);
    let timer = u64::from(a.timer.wrapping_sub(b.timer));
    (
        Rate::measured(b.clock - a.clock, ns),
        Rate::measured(timer, ns),
    )
}

fn against_pm_timer(port: u16) -> (Rate, Rate) {
    const HERTZ: u64 = 3_579_545;
    // 24 bits are there on every machine.
    const MASK: u32 = 0xFF_FFFF;
    let mut read = || port::read_long(port) & MASK;
    local_apic::timer_start(u32::MAX);
    let first = sample(&mut read);
    let ticks = (CALIBRATION_NS * HERTZ / 1_000_000_000) as u32;
    while read().wrapping_sub(first.reference) & MASK < ticks {
        core::hint::spin_loop();
    }
    let last = sample(&mut read);
    let passed = last.reference.wrapping_sub(first.reference) & MASK;
    rates_between(first, last, u64::from(passed) * 1_000_000_000 / HERTZ)
}

fn against_interval_timer() -> (Rate, Rate) {
    const HERTZ: u64 = 1_193_182;
    const GATE: u16 = 0x61;
    const MODE: u16 = 0x43;
    const CHANNEL2: u16 = 0x42;
    // Channel 2, mode 0, counting down from 65535 without the speaker.
    port::write(GATE, (port::read(GATE) & !0b10) | 1);
    port::write(MODE, 0b1011_0000);
    port::write(CHANNEL2, 0xFF);
    port::write(CHANNEL2, 0xFF);
    let mut read = || {
        port::write(MODE, 0b1000_0000);
        let low = port::read(CHANNEL2);
        u32::from(u16::MAX - u16::from_le_bytes([low, port::read(CHANNEL2)]))
    };
    local_apic::timer_start(u32::MAX);
    let first = sample(&mut read);
    let ticks = (CALIBRATION_NS * HERTZ / 1_000_000_000) as u32;
    while read().saturating_sub(first.reference) < ticks {
        core::hint::spin_loop();
    }
    let last = sample(&mut read);
    let passed = u64::from(last.reference - first.reference);
    rates_between(first, last, passed * 1_000_000_000 / HERTZ)
}
