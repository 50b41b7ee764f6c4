//! What can go wrong in the daemon, and the one place where it becomes an errno.

use std::io;

use memory_engine::Error as Engine;
use scheme_server::Errno;

/// An error of the daemon.
#[derive(Debug)]
pub enum Error {
    /// The engine refused.
    Engine(Engine),
    /// The filesystem failed.
    Disk(io::Error),
    /// Stored bytes fail their checksum: where.
    Damaged(String),
    /// Plainly this errno.
    Errno(Errno),
    /// The embedding model is not there or failed.
    Embedder(String),
}

/// Result with the daemon's error.
pub type Result<T> = std::result::Result<T, Error>;

impl From<Engine> for Error {
    fn from(error: Engine) -> Self {
        Error::Engine(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Disk(error)
    }
}

impl From<Errno> for Error {
    fn from(error: Errno) -> Self {
        Error::Errno(error)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Engine(error) => write!(f, "{error}"),
            Error::Disk(error) => write!(f, "disk: {error}"),
            Error::Damaged(place) => write!(f, "damaged: {place}"),
            Error::Errno(errno) => write!(f, "{errno:?}"),
            Error::Embedder(why) => write!(f, "embedder: {why}"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// The errno a client sees.
    pub fn errno(&self) -> Errno {
        match self {
            Error::Errno(errno) => *errno,
            Error::Damaged(_) => Errno::EBADMSG,
            Error::Embedder(_) => Errno::EIO,
            Error::Disk(error) => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Errno::ENOSPC,
                io::ErrorKind::NotFound => Errno::ENOENT,
                _ => Errno::EIO,
            },
            Error::Engine(error) => match error {
                Engine::NotFound => Errno::ENOENT,
                Engine::TooLong("path" | "name", _) => Errno::ENAMETOOLONG,
                Engine::TooLong("query", _) => Errno::EMSGSIZE,
                Engine::TooLong("document" | "metadata", _) => Errno::EFBIG,
                Engine::BadRecord(_) => Errno::EBADMSG,
                _ => Errno::EINVAL,
            },
        }
    }
}
