//! Filters over metadata: the language, and its plain meaning.
//!
//! ```text
//! lang = en and (year >= 2020 or not exists(draft)) and tag in (rust, "file systems")
//! ```
//! Comparisons are `=` `!=` `<` `<=` `>` `>=`; `in (…)` is equality with any; a key with a list matches if any of its
//! values does; `!=` is `not =`. Order comparisons hold only between values of one type. `not` binds tighter than `and`,
//! `and` tighter than `or`. [`Filter::accepts`] is the definition; the index in `metadata_index.rs` must agree with it.

use core::cmp::Ordering;
use core::ops::Bound;

use crate::error::{Error, Result};
use crate::limits;
use crate::metadata::{Metadata, Scalar, is_key, unquote};

/// A parsed filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Some value of the key equals one of these.
    In(String, Vec<Scalar>),
    /// Some value of the key lies between the bounds and is of their type.
    Range(String, Bound<Scalar>, Bound<Scalar>),
    /// The key is set.
    Exists(String),
    /// Both.
    And(Box<Filter>, Box<Filter>),
    /// Either.
    Or(Box<Filter>, Box<Filter>),
    /// Not.
    Not(Box<Filter>),
}

/// Whether a value lies between two bounds and is of their type.
pub(crate) fn is_between(value: &Scalar, low: &Bound<Scalar>, high: &Bound<Scalar>) -> bool {
    let above = match low {
        Bound::Unbounded => true,
        Bound::Included(x) => value.is_comparable(x) && value.cmp(x) != Ordering::Less,
        Bound::Excluded(x) => value.is_comparable(x) && value.cmp(x) == Ordering::Greater,
    };
    above
        && match high {
            Bound::Unbounded => true,
            Bound::Included(x) => value.is_comparable(x) && value.cmp(x) != Ordering::Greater,
            Bound::Excluded(x) => value.is_comparable(x) && value.cmp(x) == Ordering::Less,
        }
}

impl Filter {
    /// Whether a document with this metadata passes: the definition of the language.
    pub fn accepts(&self, metadata: &Metadata) -> bool {
        match self {
            Filter::In(key, wanted) => metadata
                .get(key)
                .is_some_and(|values| values.iter().any(|value| wanted.contains(value))),
            Filter::Range(key, low, high) => metadata
                .get(key)
                .is_some_and(|values| values.iter().any(|value| is_between(value, low, high))),
            Filter::Exists(key) => metadata.get(key).is_some(),
            Filter::And(a, b) => a.accepts(metadata) && b.accepts(metadata),
            Filter::Or(a, b) => a.accepts(metadata) || b.accepts(metadata),
            Filter::Not(a) => !a.accepts(metadata),
        }
    }

    /// Reads a filter.
    ///
    /// # Errors
    /// `Syntax` with the offset, `TooLong` past a limit.
    pub fn parse(text: &str) -> Result<Filter> {
        if text.len() > limits::FILTER_BYTES {
            return Err(Error::TooLong("filter", limits::FILTER_BYTES));
        }
        let mut parser = Parser {
            text,
            at: 0,
            depth: 0,
        };
        let filter = parser.any()?;
        match parser.peek() {
            None => Ok(filter),
            Some(_) => Err(parser.expected("and, or or the end")),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn expected(&self, what: &str) -> Error {
        Error::syntax(format!("expected {what}"), self.at)
    }

    fn peek(&mut self) -> Option<char> {
        self.at += self.rest().len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    fn take(&mut self, token: &str) -> bool {
        self.peek();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.bare_word().eq_ignore_ascii_case(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn bare_word(&self) -> &str {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || "()=!<>,\"".contains(c));
        &rest[..end.unwrap_or(rest.len())]
    }

    fn any(&mut self) -> Result<Filter> {
        let mut left = self.all()?;
        while self.take_word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.all()?));
            self.deepen()?;
        }
        Ok(left)
    }

    fn all(&mut self) -> Result<Filter> {
        let mut left = self.one()?;
        while self.take_word("and") {
            left = Filter::And(Box::new(left), Box::new(self.one()?));
            self.deepen()?;
        }
        Ok(left)
    }

    /// Every nesting, and every link of a chain (a chain is a tree as deep as it is long), counts once.
    fn deepen(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > limits::FILTER_DEPTH {
            return Err(Error::TooLong("filter nesting", limits::FILTER_DEPTH));
        }
        Ok(())
    }

    fn one(&mut self) -> Result<Filter> {
        if self.take_word("not") {
            self.deepen()?;
            return Ok(Filter::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            self.deepen()?;
            let inner = self.any()?;
            return if self.take(")") {
                Ok(inner)
            } else {
                Err(self.expected(")"))
            };
        }
        if self.take_word("exists") {
            let open = self.take("(");
            let key = self.key()?;
            return if open && self.take(")") {
                Ok(Filter::Exists(key))
            } else {
                Err(self.expected("exists(key)"))
            };
        }
        let key = self.key()?;
        self.comparison(key)
    }

    fn comparison(&mut self, key: String) -> Result<Filter> {
        use Bound::{Excluded, Included, Unbounded};
        if self.take_word("in") {
            return self.members(key);
        }
        let operators = ["!=", "<=", ">=", "=", "<", ">"];
        let Some(operator) = operators.into_iter().find(|operator| self.take(operator)) else {
            return Err(self.expected("an operator"));
        };
        if operator == "=" {
            self.take("=");
        }
        let value = self.value()?;
        Ok(match operator {
            "=" => Filter::In(key, vec![value]),
            "!=" => Filter::Not(Box::new(Filter::In(key, vec![value]))),
            "<" => Filter::Range(key, Unbounded, Excluded(value)),
            "<=" => Filter::Range(key, Unbounded, Included(value)),
            ">" => Filter::Range(key, Excluded(value), Unbounded),
            _ => Filter::Range(key, Included(value), Unbounded),
        })
    }

    fn members(&mut self, key: String) -> Result<Filter> {
        if !self.take("(") {
            return Err(self.expected("("));
        }
        let mut values = Vec::new();
        while !self.take(")") {
            values.push(self.value()?);
            if !self.take(",") && self.peek() != Some(')') {
                return Err(self.expected(", or )"));
            }
        }
        Ok(Filter::In(key, values))
    }

    fn key(&mut self) -> Result<String> {
        self.peek();
        let key = self.bare_word().to_owned();
        if !is_key(&key) {
            return Err(self.expected("a key"));
        }
        self.at += key.len();
        Ok(key)
    }

    fn value(&mut self) -> Result<Scalar> {
        if self.peek() == Some('"') {
            let (value, used) = unquote(self.rest())?;
            self.at += used;
            return Ok(Scalar::Text(value));
        }
        let word = self.bare_word().to_owned();
        if word.is_empty() {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(Scalar::bare(&word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts(filter: &str, metadata: &str) -> bool {
        Filter::parse(filter)
            .unwrap()
            .accepts(&Metadata::parse(metadata).unwrap())
    }

    #[test]
    fn operators_mean_what_they_say() {
        let m = "lang = en\nyear = 2021\ntags = [rust, fs]\nscore = 0.5";
        assert!(accepts(
            "lang = en and year >= 2021 and not exists(draft)",
            m
        ));
        assert!(accepts("tags = fs", m) && accepts("tags in (x, rust)", m));
        assert!(!accepts("year > 2021 or year < 2021", m));
        assert!(accepts("score > 0 and score <= 0.5", m));
        assert!(accepts("lang != de", m) && accepts("missing != 3", m));
        assert!(!accepts("year > abc", m), "types are never ordered across");
        assert!(accepts("lang = de or lang = en and year = 2021", m));
        assert!(accepts("not (lang = de or year = 1)", m));
    }

    #[test]
    fn errors_say_where() {
        assert!(matches!(
            Filter::parse("a = "),
            Err(Error::Syntax { at: 4, .. })
        ));
        assert!(matches!(Filter::parse("(a = 1"), Err(Error::Syntax { .. })));
        assert!(matches!(
            Filter::parse(&"(".repeat(1000)),
            Err(Error::TooLong(..))
        ));
        assert!(matches!(
            Filter::parse(&"not ".repeat(1000)),
            Err(Error::TooLong(..))
        ));
        let chain = vec!["a = 1"; 200].join(" and ");
        assert!(matches!(Filter::parse(&chain), Err(Error::TooLong(..))));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_panic(text in any::<String>(), tokens in prop::collection::vec(
            prop::sample::select(vec!["a", "=", "(", ")", "not ", "and ", "in", ",", "\"x\"", "<", "é", " or "]), 0..20)) {
            let _ = Filter::parse(&text);
            let _ = Filter::parse(&tokens.concat());
        }
    }
}
