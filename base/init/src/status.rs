//! The status word of a finished child in words.

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It called exit.
    Exited(u8),
    /// A signal ended it.
    Killed(u8),
}

impl Ending {
    /// Reads the status word of `waitpid` (Linux's layout).
    pub fn from_word(word: i32) -> Ending {
        match word & 0x7f {
            0 => Ending::Exited((word >> 8) as u8),
            signal => Ending::Killed(signal as u8),
        }
    }

    /// Whether it ended as it should.
    pub fn is_success(self) -> bool {
        self == Ending::Exited(0)
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Exited(code) => write!(f, "exited with status {code}"),
            Ending::Killed(signal) => write!(f, "was ended by signal {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ending;

    #[test]
    fn the_word_tells_exit_from_signal() {
        assert_eq!(Ending::from_word(0x0700), Ending::Exited(7));
        assert_eq!(Ending::from_word(11), Ending::Killed(11));
        assert_eq!(Ending::from_word(0x8b), Ending::Killed(11));
        assert!(Ending::from_word(0).is_success());
        assert!(!Ending::from_word(9).is_success());
    }
}
