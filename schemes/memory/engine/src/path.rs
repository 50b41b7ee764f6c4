//! Which paths documents and collections may have.

use crate::error::{Error, Result};
use crate::limits;

/// Checks a document's path inside its collection.
///
/// # Errors
/// `BadPath` for empty, `.` and `..` parts, parts that begin with a dot (control files) and control characters; `TooLong`.
pub fn check(path: &str) -> Result<()> {
    if path.len() > limits::PATH_BYTES {
        return Err(Error::TooLong("path", limits::PATH_BYTES));
    }
    path.split('/').try_for_each(check_name)
}

/// Checks a single name, also of a collection.
///
/// # Errors
/// As [`check`].
pub fn check_name(name: &str) -> Result<()> {
    if name.len() > limits::NAME_BYTES {
        return Err(Error::TooLong("name", limits::NAME_BYTES));
    }
    if name.is_empty() {
        return Err(Error::BadPath("empty name"));
    }
    if name.starts_with('.') {
        return Err(Error::BadPath(
            "names with a dot in front are control files",
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::BadPath("control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_pass() {
        assert!(check("a/b c/é.md").is_ok());
        for bad in ["", "/a", "a//b", "a/..", ".", "a/.search", "a\0b", "a\nb"] {
            assert!(matches!(check(bad), Err(Error::BadPath(_))), "{bad:?}");
        }
        assert!(matches!(
            check(&"x".repeat(10_000)),
            Err(Error::TooLong(..))
        ));
        assert!(matches!(check(&"x".repeat(300)), Err(Error::TooLong(..))));
    }
}
