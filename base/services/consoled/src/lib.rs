//! A terminal on a serial port: the port is the keyboard and screen of a pseudo terminal, and a shell runs on
//! the other side of it as the leader of its own session. When the shell ends, a new one starts.
//!
//! Here is the rule for shells that end at once: pauses that grow, so that a broken shell makes a readable
//! message every few seconds and not a flood. The rest is plumbing in `bridge` and `session`, target only.
#![forbid(unsafe_code)]

#[cfg(target_os = "redox")]
pub mod bridge;
#[cfg(target_os = "redox")]
pub mod session;

use std::time::Duration;

/// A shell that ran this long worked.
pub const WORKED_AFTER: Duration = Duration::from_secs(2);
/// Longest pause before the next shell.
pub const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Decides how long to wait before the next shell.
#[derive(Debug, Default)]
pub struct Restarts {
    failures: u32,
}

impl Restarts {
    /// The pause after a shell that ran for `ran`; none when it worked.
    pub fn pause_after(&mut self, ran: Duration, is_success: bool) -> Option<Duration> {
        if ran >= WORKED_AFTER || is_success {
            self.failures = 0;
            return None;
        }
        self.failures = (self.failures + 1).min(5);
        Some(Duration::from_millis(250 << self.failures).min(PAUSE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_that_worked_is_followed_at_once() {
        let mut restarts = Restarts::default();
        assert_eq!(restarts.pause_after(WORKED_AFTER, false), None);
        assert_eq!(restarts.pause_after(Duration::ZERO, true), None);
    }

    #[test]
    fn shells_that_fail_at_once_wait_longer_each_time() {
        let mut restarts = Restarts::default();
        let mut pauses = (0..10).map(|_| restarts.pause_after(Duration::ZERO, false).unwrap());
        let first = pauses.next().unwrap();
        assert!(first >= Duration::from_millis(250));
        assert!(pauses.by_ref().take(3).all(|pause| pause > first));
        assert_eq!(pauses.last(), Some(Duration::from_secs(8)));
        assert_eq!(restarts.pause_after(WORKED_AFTER, false), None);
        assert_eq!(restarts.pause_after(Duration::ZERO, false), Some(first));
    }
}
