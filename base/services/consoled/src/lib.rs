//! A terminal on a serial port: the port is the keyboard and screen of a pseudo terminal, and a shell runs on
//! the other side of it as the leader of its own session. When the shell ends, a new one starts.
//!
//! Here is the rule for shells that end at once: pauses that grow, so that a broken shell makes a readable
//! message every few seconds and not a flood. The rest is plumbing in `bridge` and `session`, target only.
#![forbid(unsafe_code)]

#[cfg(target_os = "redox")]
pub mod bridge;
pub mod keys;
pub mod probe;
#[cfg(target_os = "redox")]
pub mod session;

use std::time::Duration;

/// A shell that ran this long worked.
pub const WORKED_AFTER: Duration = Duration::from_secs(2);
/// Longest pause before the next shell.
pub const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What a console does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Console {
    /// The serial port.
    pub port: String,
    /// Shell and arguments.
    pub shell: Vec<String>,
    /// Argument for the shell when no terminal answers at the other end.
    pub plain: Option<String>,
}

impl Console {
    /// Reads `[--plain ARGUMENT] PORT SHELL [ARGUMENT…]`.
    pub fn parse(args: &[String]) -> Option<Console> {
        let (plain, rest) = match args {
            [flag, plain, rest @ ..] if flag == "--plain" => (Some(plain.clone()), rest),
            rest => (None, rest),
        };
        let (port, shell) = rest.split_first()?;
        let valid = !shell.is_empty() && !port.starts_with('-');
        valid.then(|| Console {
            port: port.clone(),
            shell: shell.to_vec(),
            plain,
        })
    }

    /// The shell's command line, for a terminal or for a mere line of bytes.
    pub fn command(&self, is_terminal: bool) -> Vec<String> {
        let plain = self.plain.iter().filter(|_| !is_terminal);
        self.shell.iter().chain(plain).cloned().collect()
    }
}

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
    fn the_plain_argument_is_for_lines_without_a_terminal() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let console = Console::parse(&words("--plain -p /port sh -l")).unwrap();
        assert_eq!(console.command(true), ["sh", "-l"]);
        assert_eq!(console.command(false), ["sh", "-l", "-p"]);
        let console = Console::parse(&words("/port sh")).unwrap();
        assert_eq!(console.command(false), ["sh"]);
        assert_eq!(Console::parse(&words("/port")), None);
        assert_eq!(Console::parse(&words("--plain -p")), None);
    }

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
