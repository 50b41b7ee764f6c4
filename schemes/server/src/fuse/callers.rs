//! Whether the process behind a parked request is being killed: `/proc/PID/status` shows a pending signal that the
//! process neither blocks nor ignores. See the parent module for why this is looked up and not told.

use std::fs;

/// A caller that is gone, or has a signal waiting for it.
pub(super) fn is_dying(pid: u64) -> bool {
    if pid == 0 {
        return false;
    }
    match fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => signal_waits(&status),
        Err(_) => true,
    }
}

fn signal_waits(status: &str) -> bool {
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .and_then(|(_, value)| u64::from_str_radix(value.trim(), 16).ok())
            .unwrap_or(0)
    };
    /// SIGCHLD, SIGCONT, SIGURG and SIGWINCH do nothing by default: they interrupt no one.
    const HARMLESS: u64 = 1 << 16 | 1 << 17 | 1 << 22 | 1 << 27;
    let pending = field("SigPnd") | field("ShdPnd");
    let deaf = field("SigBlk") | field("SigIgn") | HARMLESS & !field("SigCgt");
    pending & !deaf != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_signal_counts_unless_blocked_or_ignored() {
        let status = |pending: u64, ignored: u64| {
            format!(
                "SigPnd:\t0\nShdPnd:\t{pending:016x}\nSigBlk:\t0\nSigIgn:\t{ignored:016x}\nSigCgt:\t0\n"
            )
        };
        assert!(signal_waits(&status(1 << 8, 0)));
        assert!(!signal_waits(&status(1 << 1, 1 << 1)));
        assert!(!signal_waits(&status(1 << 16, 0)));
        assert!(!signal_waits(&status(0, 0)));
        assert!(!is_dying(u64::from(std::process::id())));
    }
}
