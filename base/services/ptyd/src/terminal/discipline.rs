//! What happens to a typed byte and to a printed one: editing, echo, signals, line ends.

use super::{SIGINT, SIGQUIT, SIGTSTP, Signal, Terminal};
use crate::limits::{LINE_BYTES, OUTPUT_BYTES};
use crate::termios::{cc, flag};

impl Terminal {
    pub(super) fn take(&mut self, byte: u8) {
        let mode = self.termios.input;
        let byte = if mode & flag::ISTRIP != 0 {
            byte & 0x7f
        } else {
            byte
        };
        if std::mem::take(&mut self.is_literal_next) {
            self.insert(byte);
            return;
        }
        let byte = match byte {
            b'\r' if mode & flag::IGNCR != 0 => return,
            b'\r' if mode & flag::ICRNL != 0 => b'\n',
            b'\n' if mode & flag::INLCR != 0 => b'\r',
            byte => byte,
        };
        if self.control_flow(byte) || self.signal_key(byte) {
            return;
        }
        if self.termios.has(flag::ICANON) {
            self.edit(byte);
        } else {
            self.insert(byte);
        }
    }

    fn control_flow(&mut self, byte: u8) -> bool {
        if self.termios.input & flag::IXON == 0 {
            return false;
        }
        let (stop, start) = (
            self.termios.is(byte, cc::STOP),
            self.termios.is(byte, cc::START),
        );
        if stop || start {
            self.is_stopped = stop;
        }
        stop || start
    }

    fn signal_key(&mut self, byte: u8) -> bool {
        if !self.termios.has(flag::ISIG) {
            return false;
        }
        let keys = [(cc::INTR, SIGINT), (cc::QUIT, SIGQUIT), (cc::SUSP, SIGTSTP)];
        let Some((_, number)) = keys
            .into_iter()
            .find(|(key, _)| self.termios.is(byte, *key))
        else {
            return false;
        };
        if !self.termios.has(flag::NOFLSH) {
            self.flush_input();
            self.output.clear();
        }
        self.is_stopped = false;
        self.echo(byte);
        self.signal(number);
        true
    }

    fn edit(&mut self, byte: u8) {
        let extended = self.termios.has(flag::IEXTEN);
        let is = |index| self.termios.is(byte, index);
        if is(cc::ERASE) || byte == 8 && self.termios.chars[cc::ERASE] == 0x7f {
            self.erase_char();
        } else if is(cc::KILL) {
            self.erase_line();
        } else if extended && is(cc::WERASE) {
            self.erase_word();
        } else if extended && is(cc::REPRINT) {
            self.reprint(byte);
        } else if extended && is(cc::LNEXT) {
            self.is_literal_next = true;
        } else if is(cc::EOF) {
            self.complete();
        } else if byte == b'\n' || is(cc::EOL) || is(cc::EOL2) {
            self.line.push(byte);
            if self.termios.has(flag::ECHO) || byte == b'\n' && self.termios.has(flag::ECHONL) {
                self.print(byte);
            }
            self.complete();
        } else {
            self.insert(byte);
        }
    }

    /// Adds a byte that means nothing special.
    fn insert(&mut self, byte: u8) {
        if !self.termios.has(flag::ICANON) {
            self.input.push_back(byte);
        } else if self.line.len() < LINE_BYTES - 1 {
            self.line.push(byte);
        } else {
            self.output.push_back(7);
            return;
        }
        self.echo(byte);
    }

    /// The edited line becomes readable.
    fn complete(&mut self) {
        self.lines.push_back(self.line.len());
        self.input.extend(self.line.drain(..));
    }

    fn erase_char(&mut self) {
        let mut width = 0;
        while let Some(byte) = self.line.pop() {
            // The bytes of one UTF-8 character go together.
            if byte & 0xc0 != 0x80 {
                width = columns(byte);
                break;
            }
        }
        self.rub_out(width);
    }

    fn erase_word(&mut self) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        while self.line.last().is_some_and(|byte| !is_word(*byte)) {
            self.erase_char();
        }
        while self.line.last().is_some_and(|byte| is_word(*byte)) {
            self.erase_char();
        }
    }

    fn erase_line(&mut self) {
        if self.termios.has(flag::ECHOE) {
            while !self.line.is_empty() {
                self.erase_char();
            }
            return;
        }
        self.line.clear();
        if self.termios.has(flag::ECHOK) && self.termios.has(flag::ECHO) {
            self.print(b'\n');
        }
    }

    fn reprint(&mut self, byte: u8) {
        self.echo(byte);
        self.print(b'\n');
        for byte in self.line.clone() {
            self.echo(byte);
        }
    }

    fn rub_out(&mut self, columns: usize) {
        if self.termios.has(flag::ECHO) && self.termios.has(flag::ECHOE) {
            for _ in 0..columns {
                self.output.extend(b"\x08 \x08");
            }
        }
    }

    // ---- output processing ----

    fn echo(&mut self, byte: u8) {
        if !self.termios.has(flag::ECHO) || self.output.len() >= OUTPUT_BYTES {
            return;
        }
        match byte {
            b'\n' | b'\t' => self.print(byte),
            0..0x20 => self.output.extend([b'^', byte + 0x40]),
            0x7f => self.output.extend(b"^?"),
            _ => self.output.push_back(byte),
        }
    }

    pub(super) fn print(&mut self, byte: u8) {
        let mode = self.termios.output;
        match byte {
            b'\n' if mode & flag::OPOST != 0 && mode & flag::ONLCR != 0 => {
                self.output.extend(b"\r\n");
            }
            b'\r' if mode & flag::OPOST != 0 && mode & flag::OCRNL != 0 => {
                self.output.push_back(b'\n');
            }
            byte => self.output.push_back(byte),
        }
    }

    pub(super) fn signal(&mut self, number: u32) {
        if self.group > 0 {
            self.signals.push(Signal {
                group: self.group,
                number,
            });
        }
    }
}

/// Columns that the echo of a character takes; a tab counts as one, for its width is not known here.
fn columns(byte: u8) -> usize {
    match byte {
        b'\t' => 1,
        0..0x20 | 0x7f => 2,
        _ => 1,
    }
}
