//! The two simplest schemes, and the worked example of the kit: `null` is always empty and swallows what is
//! written, `zero` gives zero bytes without end and swallows too. Two programs, so that each scheme can be
//! granted, restarted and listed by its own name.
#![forbid(unsafe_code)]

use valence_daemon::syscall::data::Stat;
use valence_daemon::syscall::error::{ENOENT, Error, Result};
use valence_daemon::syscall::flag::MODE_CHR;
use valence_daemon::{Caller, Opened, Service};

/// Which of the two schemes is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// End of file at once.
    Null,
    /// Zero bytes for ever.
    Zero,
}

impl Service for Source {
    type Node = ();

    fn name(&self) -> &str {
        match self {
            Source::Null => "null",
            Source::Zero => "zero",
        }
    }

    fn open(
        &mut self,
        _base: Option<&()>,
        path: &str,
        _flags: usize,
        _caller: &Caller,
    ) -> Result<Opened<()>> {
        if path.is_empty() {
            Ok(Opened::Stream(()))
        } else {
            Err(Error::new(ENOENT))
        }
    }

    fn read(&mut self, _node: &mut (), buf: &mut [u8], _offset: u64) -> Result<usize> {
        match self {
            Source::Null => Ok(0),
            Source::Zero => {
                buf.fill(0);
                Ok(buf.len())
            }
        }
    }

    fn write(&mut self, _node: &mut (), buf: &[u8], _offset: u64, _flags: usize) -> Result<usize> {
        Ok(buf.len())
    }

    // Programs open /dev/null with O_TRUNC; it is as empty as before.
    fn truncate(&mut self, _node: &mut (), _len: u64) -> Result<()> {
        Ok(())
    }

    fn stat(&mut self, _node: &(), stat: &mut Stat) -> Result<()> {
        stat.st_mode = MODE_CHR | 0o666;
        Ok(())
    }

    fn path(&self, _node: &()) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_empty_and_swallows() {
        let mut buf = [7; 4];
        assert_eq!(Source::Null.read(&mut (), &mut buf, 0), Ok(0));
        assert_eq!(Source::Null.write(&mut (), &buf, 0, 0), Ok(4));
    }

    #[test]
    fn zero_fills_any_length() {
        let mut buf = [7; 5000];
        assert_eq!(Source::Zero.read(&mut (), &mut buf, u64::MAX), Ok(5000));
        assert_eq!(buf, [0; 5000]);
    }

    #[test]
    fn nothing_lies_below() {
        let caller = Caller::default();
        let error = Source::Null.open(None, "x", 0, &caller).unwrap_err();
        assert_eq!(error, Error::new(ENOENT));
    }
}
