//! A collection's options: the text of its `.ctl`.
//!
//! One `name value` per line; reading gives all of them in the form in which they are set. `chunk`, `metric` and
//! `vectors` decide how stored documents are laid out and can only be set while the collection is empty.

use core::fmt;

use crate::error::{Error, Result};
use crate::limits;
use crate::vector::codes::{Metric, Precision};

/// Where a collection stands between scratch and knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tier {
    /// This session's scratch: in memory only, expires.
    Working,
    /// What happened.
    Episodic,
    /// What is known.
    #[default]
    Semantic,
}

/// The options.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Embedding model; vectors of another model are made anew.
    pub model: String,
    /// How vectors compare.
    pub metric: Metric,
    /// How vectors are kept.
    pub vectors: Precision,
    /// Chunk size in bytes.
    pub chunk_bytes: usize,
    /// The tier.
    pub tier: Tier,
    /// Milliseconds after which a document that nobody touched is hidden.
    pub ttl_ms: Option<u64>,
    /// Whether clients may not change documents.
    pub read_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: "default".to_owned(),
            metric: Metric::Cosine,
            vectors: Precision::F32,
            chunk_bytes: limits::CHUNK_BYTES_DEFAULT,
            tier: Tier::Semantic,
            ttl_ms: None,
            read_only: false,
        }
    }
}

const UNITS_MS: [(&str, u64); 5] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
];

/// Reads `none`, or a number with `s`, `m`, `h`, `d` or `w`.
fn parse_duration(text: &str) -> Option<Option<u64>> {
    if text == "none" {
        return Some(None);
    }
    let (name, unit) = UNITS_MS.iter().find(|(name, _)| text.ends_with(name))?;
    let count: u64 = text.strip_suffix(name)?.parse().ok()?;
    count.checked_mul(*unit).map(Some)
}

fn print_duration(ttl_ms: Option<u64>) -> String {
    let Some(ms) = ttl_ms else {
        return "none".to_owned();
    };
    let whole = UNITS_MS.iter().find(|(_, unit)| ms.is_multiple_of(*unit));
    whole.map_or_else(
        || format!("{}s", ms.div_ceil(1000)),
        |(name, unit)| format!("{}{name}", ms / unit),
    )
}

impl Options {
    /// Applies lines of a `.ctl`; all or none of them.
    ///
    /// # Errors
    /// `Syntax` with the offset of the line that is wrong.
    pub fn apply(&mut self, text: &str) -> Result<()> {
        let mut changed = self.clone();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let trimmed = line.trim();
            if !trimmed.is_empty() {
                let (name, value) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
                changed
                    .set(name, value.trim())
                    .ok_or_else(|| Error::syntax(format!("cannot set {name}"), at))?;
            }
            at += line.len();
        }
        *self = changed;
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "model" if !value.is_empty() && value.len() <= limits::NAME_BYTES => {
                value.clone_into(&mut self.model);
            }
            "metric" => {
                self.metric = match value {
                    "cosine" => Metric::Cosine,
                    "dot" => Metric::Dot,
                    "l2" => Metric::L2,
                    _ => return None,
                }
            }
            "vectors" => {
                self.vectors = match value {
                    "f32" => Precision::F32,
                    "int8" => Precision::Int8,
                    _ => return None,
                }
            }
            "chunk" => {
                let bytes: usize = value.parse().ok()?;
                let range = limits::CHUNK_BYTES_MIN..=limits::CHUNK_BYTES_MAX;
                self.chunk_bytes = range.contains(&bytes).then_some(bytes)?;
            }
            "tier" => {
                self.tier = match value {
                    "working" => Tier::Working,
                    "episodic" => Tier::Episodic,
                    "semantic" => Tier::Semantic,
                    _ => return None,
                }
            }
            "ttl" => self.ttl_ms = parse_duration(value)?,
            "access" => {
                self.read_only = match value {
                    "read-only" => true,
                    "read-write" => false,
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Whether going from `self` to `other` changes how stored documents are laid out.
    pub fn changes_layout(&self, other: &Options) -> bool {
        (self.metric, self.vectors, self.chunk_bytes)
            != (other.metric, other.vectors, other.chunk_bytes)
    }
}

impl Tier {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Working => "working",
            Tier::Episodic => "episodic",
            Tier::Semantic => "semantic",
        }
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = match self.metric {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot",
            Metric::L2 => "l2",
        };
        let vectors = if self.vectors == Precision::F32 {
            "f32"
        } else {
            "int8"
        };
        let access = if self.read_only {
            "read-only"
        } else {
            "read-write"
        };
        writeln!(
            f,
            "model {}\nmetric {metric}\nvectors {vectors}\nchunk {}",
            self.model, self.chunk_bytes
        )?;
        writeln!(
            f,
            "tier {}\nttl {}\naccess {access}",
            self.tier.name(),
            print_duration(self.ttl_ms)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_can_be_written_back() {
        let mut options = Options::default();
        options
            .apply("ttl 36h\nvectors int8\nchunk 400\ntier episodic\naccess read-only\n")
            .unwrap();
        let mut again = Options::default();
        again.apply(&options.to_string()).unwrap();
        assert_eq!(again, options);
        assert_eq!(options.ttl_ms, Some(36 * 3_600_000));
    }

    #[test]
    fn a_bad_line_changes_nothing_and_is_named() {
        let mut options = Options::default();
        let error = options.apply("chunk 400\ncolour red\n").unwrap_err();
        assert_eq!(error, Error::syntax("cannot set colour", 10));
        assert_eq!(options, Options::default());
        assert!(options.apply("chunk 1").is_err() && options.apply("ttl 5").is_err());
    }
}
