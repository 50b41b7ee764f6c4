//! Amounts of memory and of storage in the unit that was asked for.

use crate::Failure;
use crate::table::Table;

/// In what unit amounts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// KiB.
    Kibi,
    /// MiB.
    Mebi,
    /// The largest that leaves at least one digit before the point.
    Human,
}

impl Unit {
    /// The unit that the arguments ask for.
    pub fn from_arguments(args: &[String]) -> Result<Unit, Failure> {
        match args
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .as_slice()
        {
            [] | ["-k"] => Ok(Unit::Kibi),
            ["-b"] => Ok(Unit::Bytes),
            ["-m"] => Ok(Unit::Mebi),
            ["-h"] => Ok(Unit::Human),
            [arg, ..] => Err(Failure::Usage(format!("unknown argument \"{arg}\""))),
        }
    }

    fn show(self, bytes: u64) -> String {
        match self {
            Unit::Bytes => bytes.to_string(),
            Unit::Kibi => (bytes >> 10).to_string(),
            Unit::Mebi => (bytes >> 20).to_string(),
            Unit::Human => human(bytes),
        }
    }
}

fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return format!("{value:.1} {unit}").replace(".0 ", " ");
        }
        value /= 1024.0;
    }
    format!("{value:.1} GiB")
}

/// How much of something there is, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Of what.
    pub name: String,
    /// All of it.
    pub total: u64,
    /// What is not in use.
    pub free: u64,
}

/// The table that `free` and `df` print, a line for each amount.
pub fn table(amounts: &[Amount], unit: Unit) -> String {
    let row = |amount: &Amount| {
        let Amount { total, free, .. } = *amount;
        let mut row = vec![amount.name.clone()];
        row.extend([total, total.saturating_sub(free), free].map(|bytes| unit.show(bytes)));
        row
    };
    Table {
        header: ["", "total", "used", "free"].map(str::to_owned).to_vec(),
        rows: amounts.iter().map(row).collect(),
    }
    .render()
}

/// The amount of blocks that `path` names (fstatvfs).
///
/// # Errors
/// One line that names the path, if it cannot be opened or its scheme keeps no blocks.
#[cfg(target_os = "redox")]
pub fn blocks_of(path: &str) -> Result<Amount, Failure> {
    let flags = libredox::flag::O_CLOEXEC | libredox::flag::O_PATH;
    let stat = libredox::Fd::open(path, flags, 0)
        .and_then(|fd| fd.statvfs())
        .map_err(|error| Failure::Other(format!("{path}: {error}")))?;
    Ok(Amount {
        name: path.to_owned(),
        total: stat.f_bsize * stat.f_blocks,
        free: stat.f_bsize * stat.f_bfree,
    })
}

/// The amount of blocks that `path` names: only the system itself has schemes.
///
/// # Errors
/// Always, and says so.
#[cfg(not(target_os = "redox"))]
pub fn blocks_of(path: &str) -> Result<Amount, Failure> {
    Err(Failure::Other(format!(
        "{path}: asks the system itself and runs there only"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(total: u64, free: u64) -> Amount {
        Amount {
            name: "memory".into(),
            total,
            free,
        }
    }

    #[test]
    fn amounts_follow_the_unit() {
        let text = table(&[amount(2 << 30, 512 << 20)], Unit::Mebi);
        assert_eq!(
            text,
            "        total  used  free\nmemory   2048  1536   512\n"
        );
        assert_eq!(human(512), "512 B");
        assert_eq!(human(1536), "1.5 KiB");
        assert_eq!(human(3 << 30), "3 GiB".replace("3 ", "3.0 "));
    }

    #[test]
    fn more_free_than_there_is_does_not_wrap() {
        assert!(table(&[amount(1, 2)], Unit::Bytes).contains(" 0 "));
    }

    #[test]
    fn only_known_units_are_taken() {
        assert_eq!(Unit::from_arguments(&["-h".into()]), Ok(Unit::Human));
        assert!(Unit::from_arguments(&["-x".into()]).is_err());
    }
}
