//! POSIX patterns in the syntax of the matcher.
//!
//! In a basic pattern `\( \) \{ \}` and, as GNU has it, `\| \+ \?` are operators and the bare characters are text; in an
//! extended one it is the other way round. A star at the start of an expression is text, `^` and `$` are anchors only
//! at the ends of one (basic). In a bracket expression a backslash is text.

use crate::options::Syntax;

/// Translates a pattern.
pub fn translate(pattern: &str, syntax: Syntax) -> String {
    match syntax {
        Syntax::Fixed => pattern.chars().flat_map(literal).collect(),
        Syntax::Basic | Syntax::Extended => Translation::run(pattern, syntax == Syntax::Extended),
    }
}

/// A character as text.
fn literal(character: char) -> impl Iterator<Item = char> {
    let is_special = r"\.+*?()|[]{}^$#&-~".contains(character);
    is_special.then_some('\\').into_iter().chain([character])
}

struct Translation<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    out: String,
    extended: bool,
    /// Nothing stands before the next character that an operator could repeat.
    at_start: bool,
}

impl Translation<'_> {
    fn run(pattern: &str, extended: bool) -> String {
        let mut translation = Translation {
            rest: pattern.chars().peekable(),
            out: String::new(),
            extended,
            at_start: true,
        };
        while let Some(character) = translation.rest.next() {
            translation.step(character);
        }
        translation.out
    }

    fn step(&mut self, character: char) {
        match character {
            '\\' => self.escaped(),
            '[' => self.bracket(),
            '.' => self.item("."),
            '*' if self.at_start => self.text('*'),
            '*' => self.out.push('*'),
            '^' if self.extended || self.at_start => self.out.push('^'),
            '$' if self.extended || self.is_at_end() => self.out.push('$'),
            '(' | ')' | '{' | '}' | '|' | '+' | '?' if self.extended => self.operator(character),
            _ => self.text(character),
        }
    }

    fn escaped(&mut self) {
        match self.rest.next() {
            // A lone backslash at the end: the matcher refuses it, as it should.
            None => self.out.push('\\'),
            Some(c @ ('(' | ')' | '{' | '}' | '|' | '+' | '?')) if !self.extended => {
                self.operator(c)
            }
            Some('<') => self.out.push_str(r"\b{start}"),
            Some('>') => self.out.push_str(r"\b{end}"),
            Some(c @ ('b' | 'B')) => self.out.extend(['\\', c]),
            Some(c @ ('w' | 'W' | 's' | 'S' | 'd' | 'D')) => {
                self.out.push('\\');
                self.item(c.encode_utf8(&mut [0; 4]));
            }
            // Back references: the matcher has none, and says so.
            Some(c @ '1'..='9') => self.out.extend(['\\', c]),
            Some(c) => self.text(c),
        }
    }

    fn operator(&mut self, character: char) {
        match character {
            '(' | '|' => {
                self.out.push(character);
                self.at_start = true;
            }
            '+' | '?' | '{' if self.at_start => self.text(character),
            '{' if !self
                .rest
                .peek()
                .is_some_and(|c| c.is_ascii_digit() || *c == ',') =>
            {
                self.text('{')
            }
            '{' => self.bound(),
            '}' => self.text('}'),
            _ => {
                self.out.push(character);
                self.at_start = false;
            }
        }
    }

    /// `{n,m}`; in a basic pattern the end is `\}`.
    fn bound(&mut self) {
        self.out.push('{');
        for character in self.rest.by_ref() {
            match character {
                '\\' => {}
                // "At most m" needs its lower end here.
                ',' if self.out.ends_with('{') => self.out.push_str("0,"),
                '}' => {
                    self.out.push('}');
                    return;
                }
                _ => self.out.push(character),
            }
        }
    }

    fn bracket(&mut self) {
        self.out.push('[');
        self.at_start = false;
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut is_first = true;
        while let Some(character) = self.rest.next() {
            match character {
                ']' if !is_first => {
                    self.out.push(']');
                    return;
                }
                '[' if matches!(self.rest.peek(), Some(':' | '.' | '=')) => self.class(),
                '-' => self.out.push('-'),
                _ => self.out.extend(literal(character)),
            }
            is_first = false;
        }
    }

    /// `[:alpha:]`, `[.x.]` or `[=x=]` inside a bracket expression.
    fn class(&mut self) {
        let Some(mark) = self.rest.next() else { return };
        let mut name = String::new();
        while let Some(character) = self.rest.next() {
            if character == mark && self.rest.next_if_eq(&']').is_some() {
                break;
            }
            name.push(character);
        }
        match mark {
            ':' => self.out.push_str(&format!("[:{name}:]")),
            _ => self.out.extend(name.chars().flat_map(literal)),
        }
    }

    fn text(&mut self, character: char) {
        self.out.extend(literal(character));
        self.at_start = false;
    }

    fn item(&mut self, text: &str) {
        self.out.push_str(text);
        self.at_start = false;
    }

    /// Whether a `$` of a basic pattern stands where it is an anchor.
    fn is_at_end(&self) -> bool {
        let mut ahead = self.rest.clone();
        match ahead.next() {
            None => true,
            Some('\\') => matches!(ahead.next(), Some(')' | '|')),
            Some(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grep_matcher::Matcher;

    /// What a pattern finds in a text.
    fn find<'t>(syntax: Syntax, pattern: &str, text: &'t str) -> Option<&'t str> {
        let matcher = grep_regex::RegexMatcher::new(&translate(pattern, syntax)).unwrap();
        matcher
            .find(text.as_bytes())
            .unwrap()
            .map(|found| &text[found.start()..found.end()])
    }

    #[test]
    fn bare_operators_are_text_in_a_basic_pattern() {
        assert_eq!(find(Syntax::Basic, "a+(b)", "xa+(b)"), Some("a+(b)"));
        assert_eq!(find(Syntax::Basic, "a{2}|?", "a{2}|?"), Some("a{2}|?"));
        assert_eq!(find(Syntax::Basic, r"\(ab\)\{2\}", "xababab"), Some("abab"));
        assert_eq!(find(Syntax::Basic, r"a\+b\?\|z", "caaab"), Some("aaab"));
    }

    #[test]
    fn stars_and_anchors_depend_on_their_place() {
        assert_eq!(find(Syntax::Basic, "*a*", "b*aaa"), Some("*aaa"));
        assert_eq!(find(Syntax::Basic, r"\(*a\)", "*a"), Some("*a"));
        assert_eq!(find(Syntax::Basic, "a^b$c", "xa^b$c"), Some("a^b$c"));
        assert_eq!(find(Syntax::Basic, "^ab$", "ab"), Some("ab"));
        assert_eq!(find(Syntax::Basic, r"\(^a\|b$\)", "ab"), Some("a"));
    }

    #[test]
    fn extended_patterns_have_operators() {
        assert_eq!(find(Syntax::Extended, "(ab|cd)+", "xxcdab"), Some("cdab"));
        assert_eq!(find(Syntax::Extended, r"a\+b", "aab a+b"), Some("a+b"));
        assert_eq!(find(Syntax::Extended, "a{2,3}", "aaaa"), Some("aaa"));
        assert_eq!(find(Syntax::Extended, "a{,2}b", "aaab"), Some("aab"));
        assert_eq!(find(Syntax::Extended, "{a", "{a"), Some("{a"));
    }

    #[test]
    fn bracket_expressions_are_posix() {
        assert_eq!(find(Syntax::Basic, r"[\n]", r"a\b"), Some(r"\"));
        assert_eq!(find(Syntax::Basic, "[]a]*", "x]a]"), Some(""));
        assert_eq!(
            find(Syntax::Basic, "[[:digit:]x-z]*$", "ab12yz"),
            Some("12yz")
        );
        assert_eq!(find(Syntax::Basic, "[^]a]", "]ab"), Some("b"));
        assert_eq!(find(Syntax::Extended, "[a[.-.]]+", "b-a-"), Some("-a-"));
        assert_eq!(find(Syntax::Basic, "[[&&]*", "x[&["), Some(""));
    }

    #[test]
    fn words_have_borders() {
        assert_eq!(find(Syntax::Basic, r"\<the\>", "other the"), Some("the"));
        assert_eq!(find(Syntax::Basic, r"\w\+", "  a_b!"), Some("a_b"));
    }

    #[test]
    fn fixed_text_has_nothing_special() {
        let text = r".*[a]\(b)+?{1}^$|-&~#";
        assert_eq!(find(Syntax::Fixed, text, text), Some(text));
    }

    #[test]
    fn broken_patterns_are_refused() {
        for pattern in ["[a", r"\(a", r"a\", r"\(a\)\1"] {
            let text = translate(pattern, Syntax::Basic);
            assert!(
                grep_regex::RegexMatcher::new(&text).is_err(),
                "{pattern} became {text}"
            );
        }
    }
}
