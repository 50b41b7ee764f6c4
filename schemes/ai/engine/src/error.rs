//! What can go wrong in the engine, carrying what was wrong.

use core::fmt;

/// An error of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A model file is not what it says, or not something we can run. The text names the field and the value.
    BadModel(String),
    /// The model has a shape or kind that is not supported.
    Unsupported(String),
    /// A request option is out of range.
    BadOption(String),
    /// The prompt does not fit the context: how long it is, how long it may be.
    TooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// Too many requests.
    Busy,
    /// The key/value cache of this request does not fit the budget.
    NoMemory {
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// A chat template failed.
    Template(String),
}

/// The engine's result.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// A [`Error::BadModel`] from any text.
    pub fn bad(text: impl Into<String>) -> Error {
        Error::BadModel(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::BadModel(text) => write!(f, "bad model file: {text}"),
            Error::Unsupported(text) => write!(f, "not supported: {text}"),
            Error::BadOption(text) => write!(f, "bad option: {text}"),
            Error::TooLong { tokens, limit } => {
                write!(
                    f,
                    "the prompt has {tokens} tokens and only {limit} fit the context"
                )
            }
            Error::Busy => write!(f, "too many requests are waiting"),
            Error::NoMemory { needed, left } => {
                write!(
                    f,
                    "the request needs {needed} bytes of cache and {left} are left"
                )
            }
            Error::Template(text) => write!(f, "chat template: {text}"),
        }
    }
}

impl std::error::Error for Error {}
