//! boot.conf: text, one `KEY=VALUE` per line, handed to the kernel as it is.

use core::fmt;

use valence_abi::boot::BOOT_ENV_MAX;

/// Why boot.conf is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// It has this many bytes.
    TooLong(usize),
    /// It is not UTF-8.
    NotText,
    /// This line (from 1) is not `KEY=VALUE`, a comment or empty.
    Line(usize),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(len) => write!(f, "has {len} bytes; {BOOT_ENV_MAX} are allowed"),
            Self::NotText => write!(f, "is not a text file"),
            Self::Line(n) => write!(f, "line {n} is not KEY=VALUE"),
        }
    }
}

/// Checks the file and returns its text.
pub fn check(bytes: &[u8]) -> Result<&str, ConfigError> {
    if bytes.len() > BOOT_ENV_MAX {
        return Err(ConfigError::TooLong(bytes.len()));
    }
    let text = core::str::from_utf8(bytes).map_err(|_| ConfigError::NotText)?;
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        let pair = line
            .split_once('=')
            .is_some_and(|(key, _)| !key.trim().is_empty());
        if !pair && !line.is_empty() && !line.starts_with('#') {
            return Err(ConfigError::Line(i + 1));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_comments_and_empty_lines_are_accepted() {
        let text = "# a comment\n\nREDOXFS_UUID=1-2\nEMPTY=\r\n";
        assert_eq!(check(text.as_bytes()), Ok(text));
        assert_eq!(check(b""), Ok(""));
    }

    #[test]
    fn a_line_without_a_key_is_named_by_its_number() {
        assert_eq!(check(b"A=1\n=2\n"), Err(ConfigError::Line(2)));
        assert_eq!(check(b"no pair"), Err(ConfigError::Line(1)));
    }

    #[test]
    fn binary_and_long_files_are_refused() {
        assert_eq!(check(&[0xFF, 0xFE]), Err(ConfigError::NotText));
        assert_eq!(check(&[b'a'; 4097]), Err(ConfigError::TooLong(4097)));
    }
}
