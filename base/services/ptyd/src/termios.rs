//! The C struct `termios` (60 bytes, facts 4.4) and `winsize` (8 bytes), read and written as bytes.

/// Bytes of `struct termios`.
pub const TERMIOS_BYTES: usize = 60;
/// Bytes of `struct winsize`.
pub const WINSIZE_BYTES: usize = 8;

/// Flags of `c_iflag`, `c_oflag`, `c_cflag` and `c_lflag`, with the values of this target's C library.
#[allow(missing_docs, reason = "POSIX names")]
pub mod flag {
    pub const ISTRIP: u32 = 0o40;
    pub const INLCR: u32 = 0o100;
    pub const IGNCR: u32 = 0o200;
    pub const ICRNL: u32 = 0o400;
    pub const IXON: u32 = 0o1000;

    pub const OPOST: u32 = 0o1;
    pub const ONLCR: u32 = 0o2;
    pub const OCRNL: u32 = 0o10;

    pub const CS8: u32 = 0o1400;
    pub const CREAD: u32 = 0o4000;

    pub const ECHOE: u32 = 0x2;
    pub const ECHOK: u32 = 0x4;
    pub const ECHO: u32 = 0x8;
    pub const ECHONL: u32 = 0x10;
    pub const ISIG: u32 = 0x80;
    pub const ICANON: u32 = 0x100;
    pub const IEXTEN: u32 = 0x400;
    pub const NOFLSH: u32 = 0x8000_0000;
}

/// Indices into `c_cc`.
#[allow(missing_docs, reason = "POSIX names")]
pub mod cc {
    pub const EOF: usize = 0;
    pub const EOL: usize = 1;
    pub const EOL2: usize = 2;
    pub const ERASE: usize = 3;
    pub const WERASE: usize = 4;
    pub const KILL: usize = 5;
    pub const REPRINT: usize = 6;
    pub const INTR: usize = 8;
    pub const QUIT: usize = 9;
    pub const SUSP: usize = 10;
    pub const START: usize = 12;
    pub const STOP: usize = 13;
    pub const LNEXT: usize = 14;
    pub const MIN: usize = 16;
    pub const TIME: usize = 17;
    /// Number of entries.
    pub const COUNT: usize = 32;
}

const B38400: u32 = 0o17;

/// Settings of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Termios {
    /// Input modes.
    pub input: u32,
    /// Output modes.
    pub output: u32,
    /// Control modes: kept, without effect.
    pub control: u32,
    /// Local modes.
    pub local: u32,
    /// Line discipline number: kept, without effect.
    pub line: u8,
    /// Control characters.
    pub chars: [u8; cc::COUNT],
    /// Input and output speed: kept, without effect.
    pub speeds: [u32; 2],
}

impl Default for Termios {
    fn default() -> Self {
        use flag::*;
        let mut chars = [0; cc::COUNT];
        let set = [
            (cc::EOF, 4),
            (cc::ERASE, 0x7f),
            (cc::WERASE, 23),
            (cc::KILL, 21),
            (cc::REPRINT, 18),
            (cc::INTR, 3),
            (cc::QUIT, 28),
            (cc::SUSP, 26),
            (cc::START, 17),
            (cc::STOP, 19),
            (cc::LNEXT, 22),
            (cc::MIN, 1),
        ];
        for (index, value) in set {
            chars[index] = value;
        }
        Termios {
            input: ICRNL | IXON,
            output: OPOST | ONLCR,
            control: CREAD | CS8,
            local: ISIG | ICANON | ECHO | ECHOE | ECHOK | IEXTEN,
            line: 0,
            chars,
            speeds: [B38400; 2],
        }
    }
}

impl Termios {
    /// Reads the C struct; none when there are too few bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; TERMIOS_BYTES] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
        let mut chars = [0; cc::COUNT];
        chars.copy_from_slice(&bytes[17..17 + cc::COUNT]);
        Some(Termios {
            input: word(0),
            output: word(4),
            control: word(8),
            local: word(12),
            line: bytes[16],
            chars,
            speeds: [word(52), word(56)],
        })
    }

    /// The C struct.
    pub fn to_bytes(&self) -> [u8; TERMIOS_BYTES] {
        let mut bytes = [0; TERMIOS_BYTES];
        let words = [
            (0, self.input),
            (4, self.output),
            (8, self.control),
            (12, self.local),
            (52, self.speeds[0]),
            (56, self.speeds[1]),
        ];
        for (at, word) in words {
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes[16] = self.line;
        bytes[17..17 + cc::COUNT].copy_from_slice(&self.chars);
        bytes
    }

    /// Whether the local mode is set.
    pub fn has(&self, local: u32) -> bool {
        self.local & local != 0
    }

    /// Whether `byte` is the control character at `index`; 0 means that there is none.
    pub fn is(&self, byte: u8, index: usize) -> bool {
        byte != 0 && self.chars[index] == byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_struct_survives_its_bytes() {
        let termios = Termios {
            speeds: [1, 2],
            line: 9,
            ..Termios::default()
        };
        assert_eq!(Termios::from_bytes(&termios.to_bytes()), Some(termios));
        assert_eq!(Termios::from_bytes(&[0; TERMIOS_BYTES - 1]), None);
    }
}
