//! The monotonic clock and one-shot timers as descriptors of the time scheme.

use std::time::Duration;

use syscall::error::Result;

const CLOCK_MONOTONIC: i32 = 4;
const TIME_PATH: &str = "/scheme/time/4";

/// Monotonic time in milliseconds; 0 should the clock fail.
pub fn now_ms() -> u64 {
    match libredox::call::clock_gettime(CLOCK_MONOTONIC) {
        Ok(now) => now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000,
        Err(_) => 0,
    }
}

/// A descriptor that becomes readable at a deadline.
pub struct Timer(libredox::Fd);

impl Timer {
    /// A timer that is not set.
    pub fn new() -> Result<Timer> {
        Ok(Timer(libredox::Fd::open(
            TIME_PATH,
            libredox::flag::O_RDWR | libredox::flag::O_CLOEXEC,
            0,
        )?))
    }

    /// A timer that fires once, `pause` from now.
    pub fn after(pause: Duration) -> Result<Timer> {
        let timer = Timer::new()?;
        timer.set(now_ms().saturating_add(pause.as_millis() as u64))?;
        Ok(timer)
    }

    /// Sets the deadline. An earlier setting may still fire as well.
    pub fn set(&self, deadline_ms: u64) -> Result<()> {
        // syscall::TimeSpec: seconds i64, nanoseconds i32, four bytes of padding.
        let mut spec = [0u8; 16];
        spec[..8].copy_from_slice(&((deadline_ms / 1000) as i64).to_le_bytes());
        spec[8..12].copy_from_slice(&((deadline_ms % 1000 * 1_000_000) as i32).to_le_bytes());
        self.0.write(&spec)?;
        Ok(())
    }

    /// Takes the event that fired.
    pub fn acknowledge(&self) {
        let mut spec = [0u8; 16];
        let _ = self.0.read(&mut spec);
    }

    /// The descriptor, for an event queue.
    pub fn fd(&self) -> usize {
        self.0.raw()
    }
}
