//! Amounts of memory in the unit that was asked for.

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

/// The table that `free` prints.
pub fn table(total: u64, free: u64, unit: Unit) -> String {
    let amounts = [total, total.saturating_sub(free), free];
    let mut row = vec!["memory".to_owned()];
    row.extend(amounts.map(|bytes| unit.show(bytes)));
    let header = ["", "total", "used", "free"].map(str::to_owned).to_vec();
    Table {
        header,
        rows: vec![row],
    }
    .render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_follow_the_unit() {
        let text = table(2 << 30, 512 << 20, Unit::Mebi);
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
        assert!(table(1, 2, Unit::Bytes).contains(" 0 "));
    }

    #[test]
    fn only_known_units_are_taken() {
        assert_eq!(Unit::from_arguments(&["-h".into()]), Ok(Unit::Human));
        assert!(Unit::from_arguments(&["-x".into()]).is_err());
    }
}
