//! The list of checksums: a line `crc32hex  name` per file (CRC-32 of zip and gzip, eight hexadecimal digits).

use core::fmt;

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumError {
    /// The list does not name it, or not readably.
    NotListed,
    /// The list says the first, the file has the second.
    Differs {
        /// In the list.
        listed: u32,
        /// Computed.
        found: u32,
    },
}

impl fmt::Display for ChecksumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed => write!(f, "is not in valence/checksums"),
            Self::Differs { listed, found } => {
                write!(
                    f,
                    "is damaged: its checksum is {found:08x}, expected {listed:08x}"
                )
            }
        }
    }
}

/// Checks a file against the list.
pub fn verify(list: &[u8], name: &str, bytes: &[u8]) -> Result<(), ChecksumError> {
    let listed = find(list, name).ok_or(ChecksumError::NotListed)?;
    let found = crc32fast::hash(bytes);
    if found == listed {
        Ok(())
    } else {
        Err(ChecksumError::Differs { listed, found })
    }
}

fn find(list: &[u8], name: &str) -> Option<u32> {
    let text = core::str::from_utf8(list).ok()?;
    text.lines().find_map(|line| {
        let (sum, listed) = line.split_once(char::is_whitespace)?;
        (listed.trim() == name).then(|| u32::from_str_radix(sum, 16).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"00000000  empty\ncbf43926  kernel\r\nxyz  broken\n";

    #[test]
    fn a_whole_file_passes() {
        assert_eq!(verify(LIST, "kernel", b"123456789"), Ok(()));
        assert_eq!(verify(LIST, "empty", b""), Ok(()));
    }

    #[test]
    fn a_changed_file_is_told_apart_from_an_unlisted_one() {
        let differs = verify(LIST, "kernel", b"123456780");
        assert!(matches!(
            differs,
            Err(ChecksumError::Differs {
                listed: 0xcbf4_3926,
                ..
            })
        ));
        assert_eq!(verify(LIST, "initfs", b""), Err(ChecksumError::NotListed));
        assert_eq!(verify(LIST, "broken", b""), Err(ChecksumError::NotListed));
        assert_eq!(
            verify(&[0xFF], "kernel", b""),
            Err(ChecksumError::NotListed)
        );
    }
}
