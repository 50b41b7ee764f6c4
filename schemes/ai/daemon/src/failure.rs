//! Why something failed: the errno that a client gets, and the words that its `error` gives. The one place where the
//! engine's errors become errnos.

use ai_engine::Error;
use scheme_server::Errno;

/// An errno with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) errno: Errno,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(errno: Errno, text: impl Into<String>) -> Failure {
        Failure {
            errno,
            text: text.into(),
        }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Failure {
        Failure::new(Errno::EINVAL, text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let errno = match &error {
            Error::BadModel(_) => Errno::EBADMSG,
            Error::Unsupported(_) => Errno::EOPNOTSUPP,
            Error::BadOption(_) | Error::Template(_) => Errno::EINVAL,
            Error::TooLong { .. } => Errno::EMSGSIZE,
            Error::Busy => Errno::EBUSY,
            Error::NoMemory { .. } => Errno::ENOMEM,
        };
        Failure::new(errno, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        let text = error.to_string();
        Failure::new(Errno::from(error), text)
    }
}
