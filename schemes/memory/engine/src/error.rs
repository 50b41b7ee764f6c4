//! What can go wrong in the engine; the daemon maps each case to one errno.

use core::fmt;

/// An error of the engine, with the value that was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A filter, option or metadata line that cannot be read: what was wrong, and where (byte offset).
    Syntax {
        /// What was expected or refused.
        what: String,
        /// Byte offset in the text.
        at: usize,
    },
    /// A path that no document may have.
    BadPath(&'static str),
    /// Longer than a limit of `limits.rs`: its name and value.
    TooLong(&'static str, usize),
    /// No such document, version or history entry.
    NotFound,
    /// A record that does not fit the state: the log is not one this engine wrote.
    BadRecord(&'static str),
    /// A vector with the wrong dimensions, or not finite.
    BadVector,
    /// The history entry cannot be taken back.
    NotUndoable,
}

/// Result with the engine's error.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    pub(crate) fn syntax(what: impl Into<String>, at: usize) -> Self {
        Error::Syntax {
            what: what.into(),
            at,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Syntax { what, at } => write!(f, "{what} (at byte {at})"),
            Error::BadPath(why) => write!(f, "bad path: {why}"),
            Error::TooLong(what, limit) => write!(f, "{what} is longer than {limit}"),
            Error::NotFound => f.write_str("not found"),
            Error::BadRecord(why) => write!(f, "bad record: {why}"),
            Error::BadVector => f.write_str("vector has wrong dimensions or is not finite"),
            Error::NotUndoable => f.write_str("this entry cannot be taken back"),
        }
    }
}

impl core::error::Error for Error {}
