//! Tables of text: a header line of column names, then rows of words. The last column may hold spaces.

/// A table as the kernel writes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Column names.
    pub header: Vec<String>,
    /// Rows, each as long as the header.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads a table; lines that have fewer words than there are columns are filled with empty ones.
    pub fn parse(text: &str) -> Table {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let header: Vec<String> = lines
            .next()
            .unwrap_or("")
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let rows = lines.map(|line| split(line, header.len())).collect();
        Table { header, rows }
    }

    /// Index of a column by any of its names.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        self.header
            .iter()
            .position(|own| names.iter().any(|name| own.eq_ignore_ascii_case(name)))
    }

    /// Only these columns, in this order.
    pub fn select(&self, columns: &[usize]) -> Table {
        let pick = |row: &Vec<String>| {
            columns
                .iter()
                .map(|index| row.get(*index).cloned().unwrap_or_default())
                .collect()
        };
        Table {
            header: pick(&self.header),
            rows: self.rows.iter().map(pick).collect(),
        }
    }

    /// The table with columns in line; numbers to the right.
    pub fn render(&self) -> String {
        let lines = || std::iter::once(&self.header).chain(&self.rows);
        let count = self.header.len();
        let width = |column: usize| {
            lines()
                .filter_map(|row| row.get(column))
                .map(|word| word.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..count)
            .map(|column| width(column).unwrap_or(0))
            .collect();
        let numbers: Vec<bool> = (0..count)
            .map(|column| {
                let words = || self.rows.iter().filter_map(|row| row.get(column));
                words().next().is_some() && words().all(|word| is_number(word))
            })
            .collect();
        let mut text = String::new();
        for row in lines() {
            let words = row
                .iter()
                .zip(&widths)
                .zip(&numbers)
                .map(|((word, width), number)| {
                    if *number {
                        format!("{word:>width$}")
                    } else {
                        format!("{word:<width$}")
                    }
                });
            text.push_str(words.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

fn is_number(word: &str) -> bool {
    !word.is_empty()
        && word
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn split(line: &str, columns: usize) -> Vec<String> {
    let mut words = Vec::with_capacity(columns);
    let mut rest = line.trim();
    while words.len() + 1 < columns {
        let (word, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        words.push(word.to_owned());
        rest = tail.trim_start();
    }
    words.push(rest.to_owned());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: &str =
        "PID  PPID STATE CPU NAME\n1 0 blocked 0.10 /bin/init\n12 1 running 3 sh -c ls\n";

    #[test]
    fn the_last_column_keeps_its_spaces() {
        let table = Table::parse(CONTEXT);
        assert_eq!(table.rows[1], ["12", "1", "running", "3", "sh -c ls"]);
        assert_eq!(table.column(&["state"]), Some(2));
        assert_eq!(table.column(&["COMMAND", "NAME"]), Some(4));
        assert_eq!(table.column(&["UID"]), None);
    }

    #[test]
    fn columns_are_picked_and_put_in_line() {
        let table = Table::parse(CONTEXT).select(&[0, 4, 2]);
        let expected = "PID  NAME       STATE\n  1  /bin/init  blocked\n 12  sh -c ls   running\n";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn short_lines_and_no_lines_are_harmless() {
        assert_eq!(Table::parse("").render(), "\n");
        assert_eq!(Table::parse("A B C\n1\n").rows, [["1", "", ""]]);
    }
}
