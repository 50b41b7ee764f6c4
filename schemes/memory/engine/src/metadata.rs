//! Typed metadata: one `key = value` per line.
//!
//! Values are integers, floats, `true`/`false`, texts (bare or in double quotes with `\"`, `\\`, `\n`) and lists
//! `[a, b, 3]` of those. A key is letters, digits, `_`, `-` and `.`. A line may be empty or begin with `#`. What is
//! printed reads back as the same value. Integers and floats compare as numbers, exactly; values of different types are
//! never equal and never ordered by a filter.

use core::cmp::Ordering;
use core::fmt;
use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::limits;

/// A single typed value.
#[derive(Clone, Debug)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number with a fraction or exponent.
    Float(f64),
    /// A text.
    Text(String),
}

/// The metadata of one document: each key has one value or a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: BTreeMap<String, (bool, Vec<Scalar>)>,
}

impl Scalar {
    fn rank(&self) -> u8 {
        match self {
            Scalar::Bool(_) => 0,
            Scalar::Int(_) | Scalar::Float(_) => 1,
            Scalar::Text(_) => 2,
        }
    }

    /// Whether a filter may order the two.
    pub fn is_comparable(&self, other: &Scalar) -> bool {
        self.rank() == other.rank()
    }

    /// Reads a value: quoted, or a bare word that looks like what it is.
    ///
    /// # Errors
    /// `Syntax` for an unfinished quote or a number out of range.
    pub fn parse(text: &str) -> Result<Scalar> {
        let text = text.trim();
        if text.starts_with('"') {
            let (value, used) = unquote(text)?;
            return if used == text.len() {
                Ok(Scalar::Text(value))
            } else {
                Err(Error::syntax("text after the closing quote", used))
            };
        }
        Ok(Self::bare(text))
    }

    /// The value a bare word stands for.
    pub fn bare(word: &str) -> Scalar {
        match word {
            "true" => return Scalar::Bool(true),
            "false" => return Scalar::Bool(false),
            _ => {}
        }
        if let Ok(number) = word.parse::<i64>() {
            return Scalar::Int(number);
        }
        let numeric = word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        match word.parse::<f64>() {
            Ok(number) if numeric && number.is_finite() => Scalar::Float(number),
            _ => Scalar::Text(word.to_owned()),
        }
    }
}

/// Reads a quoted text at the start of `text`; returns it and the bytes used.
pub(crate) fn unquote(text: &str) -> Result<(String, usize)> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, at + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, c @ ('"' | '\\'))) => out.push(c),
                _ => return Err(Error::syntax("unknown escape", at)),
            },
            c => out.push(c),
        }
    }
    Err(Error::syntax("missing closing quote", text.len()))
}

fn compare_int_float(a: i64, b: f64) -> Ordering {
    // 2^63 as a float is exact; beyond it no integer compares equal.
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    if b >= EDGE {
        return Ordering::Less;
    }
    if b < -EDGE {
        return Ordering::Greater;
    }
    a.cmp(&(b.trunc() as i64))
        .then_with(|| 0.0f64.total_cmp(&(b.fract() + 0.0)))
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Scalar::Bool(a), Scalar::Bool(b)) => a.cmp(b),
            (Scalar::Int(a), Scalar::Int(b)) => a.cmp(b),
            (Scalar::Float(a), Scalar::Float(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            (Scalar::Int(a), Scalar::Float(b)) => compare_int_float(*a, *b),
            (Scalar::Float(a), Scalar::Int(b)) => compare_int_float(*b, *a).reverse(),
            (Scalar::Text(a), Scalar::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool(value) => write!(f, "{value}"),
            Scalar::Int(value) => write!(f, "{value}"),
            Scalar::Float(value) => write!(f, "{value:?}"),
            Scalar::Text(value) => {
                let escaped = value
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n");
                write!(f, "\"{escaped}\"")
            }
        }
    }
}

/// Whether a key may be used in metadata and filters.
pub fn is_key(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    !key.is_empty() && key.len() <= limits::NAME_BYTES && key.chars().all(allowed)
}

fn parse_list(text: &str) -> Result<Vec<Scalar>> {
    let mut rest = text[1..].trim_start();
    let mut values = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(']') {
            let clean = after.trim().is_empty();
            return if clean {
                Ok(values)
            } else {
                Err(Error::syntax("text after the list", 0))
            };
        }
        let end = if rest.starts_with('"') {
            unquote(rest)?.1
        } else {
            rest.find([',', ']'])
                .ok_or_else(|| Error::syntax("missing ]", text.len()))?
        };
        values.push(Scalar::parse(&rest[..end])?);
        rest = rest[end..].trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if rest.starts_with(']') => {}
            None => return Err(Error::syntax("expected , or ]", text.len() - rest.len())),
        }
    }
}

impl Metadata {
    /// Reads the lines.
    ///
    /// # Errors
    /// `Syntax` with the offset of the line, `TooLong` past a limit.
    pub fn parse(text: &str) -> Result<Metadata> {
        if text.len() > limits::METADATA_BYTES {
            return Err(Error::TooLong("metadata", limits::METADATA_BYTES));
        }
        let mut metadata = Metadata::default();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            metadata
                .parse_line(line.trim())
                .map_err(|error| match error {
                    Error::Syntax { what, .. } => Error::syntax(what, at),
                    other => other,
                })?;
            at += line.len();
        }
        if metadata.values().count() > limits::METADATA_VALUES {
            return Err(Error::TooLong(
                "metadata value list",
                limits::METADATA_VALUES,
            ));
        }
        Ok(metadata)
    }

    fn parse_line(&mut self, line: &str) -> Result<()> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| Error::syntax("expected key = value", 0))?;
        let (key, value) = (key.trim(), value.trim());
        if !is_key(key) {
            return Err(Error::syntax("bad key", 0));
        }
        let entry = if value.starts_with('[') {
            (true, parse_list(value)?)
        } else {
            (false, vec![Scalar::parse(value)?])
        };
        self.entries.insert(key.to_owned(), entry);
        Ok(())
    }

    /// Sets a key to one value.
    pub fn set(&mut self, key: &str, value: Scalar) {
        self.entries.insert(key.to_owned(), (false, vec![value]));
    }

    /// The values of a key.
    pub fn get(&self, key: &str) -> Option<&[Scalar]> {
        self.entries.get(key).map(|(_, values)| &values[..])
    }

    /// All keys, also of empty lists.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// All pairs of key and single value.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Scalar)> {
        self.entries
            .iter()
            .flat_map(|(key, (_, values))| values.iter().map(move |v| (&key[..], v)))
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, (is_list, values)) in &self.entries {
            if *is_list {
                let values: Vec<String> = values.iter().map(Scalar::to_string).collect();
                writeln!(f, "{key} = [{}]", values.join(", "))?;
            } else if let [value] = &values[..] {
                writeln!(f, "{key} = {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn types_are_told_apart() {
        let text =
            "n = 3\nx = 3.5\nb = true\ns = plain words\nq = \"3\"\n# no\nl = [a, 2, \"x, y\"]\n";
        let m = Metadata::parse(text).unwrap();
        assert_eq!(m.get("n"), Some(&[Scalar::Int(3)][..]));
        assert_eq!(m.get("x"), Some(&[Scalar::Float(3.5)][..]));
        assert_eq!(m.get("s"), Some(&[Scalar::Text("plain words".into())][..]));
        assert_eq!(m.get("q"), Some(&[Scalar::Text("3".into())][..]));
        assert_eq!(m.get("l").unwrap().len(), 3);
        assert!(m.get("q") != m.get("n"));
    }

    #[test]
    fn integers_and_floats_compare_exactly() {
        let big = i64::MAX;
        assert!(Scalar::Int(big) < Scalar::Float(9.3e18));
        assert!(Scalar::Int((1 << 53) + 1) > Scalar::Float((1u64 << 53) as f64));
        assert_eq!(Scalar::Int(2), Scalar::Float(2.0));
        assert!(Scalar::Int(-2) < Scalar::Float(-1.5) && Scalar::Int(-1) > Scalar::Float(-1.5));
        assert_eq!(Scalar::Int(0), Scalar::Float(-0.0));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(text in ".{0,20}", n in any::<i64>(), x in -1e9f64..1e9) {
            let mut m = Metadata::default();
            m.set("text", Scalar::Text(text.replace('\r', "")));
            m.set("n", Scalar::Int(n));
            m.set("x", Scalar::Float(x));
            prop_assert_eq!(Metadata::parse(&m.to_string()), Ok(m));
        }

        #[test]
        fn any_text_is_parsed_without_panic(text in any::<String>()) {
            let _ = Metadata::parse(&text);
            let _ = Metadata::parse(&format!("k = [{text}"));
        }
    }
}
