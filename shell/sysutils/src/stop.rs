//! Ending the machine, for the two programs that do it.

use valence_daemon::stop::{How, stop};

use crate::Failure;

/// Ends the machine; comes back only when that failed.
pub fn end(how: How) -> Result<String, Failure> {
    Err(Failure::Other(stop(how).to_string()))
}
