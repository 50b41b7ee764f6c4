//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

/// What `--help` prints.
pub const USAGE: &str = "\
usage: grep [-EFivwxnclLoqshHr] [-m N] [-A N] [-B N] [-C N] [-e PATTERN] [-f FILE] [PATTERN] [FILE…]
  -E extended syntax   -F fixed strings   -i ignore case   -v lines that do not match   -w words   -x whole lines
  -n line numbers   -c counts   -l names of matching files   -L of the others   -o only what matches   -q no output
  -s no messages   -h without names   -H with names   -r folders   -m at most N   -A, -B, -C lines around
";

/// How a pattern is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Syntax {
    /// Basic regular expressions: the default.
    #[default]
    Basic,
    /// Extended regular expressions (-E, and -P as far as it goes).
    Extended,
    /// Text without special characters (-F).
    Fixed,
}

/// What is printed of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Show {
    /// The lines.
    #[default]
    Lines,
    /// Only the matching parts (-o).
    Parts,
    /// How many lines (-c).
    Count,
    /// The file's name if a line is selected (-l).
    Names,
    /// The file's name if none is (-L).
    OtherNames,
}

/// Everything the command line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the options, under the words the usage has for them
pub struct Options {
    pub patterns: Vec<String>,
    pub files: Vec<PathBuf>,
    pub syntax: Syntax,
    pub show: Show,
    pub ignores_case: bool,
    pub inverts: bool,
    pub words: bool,
    pub whole_lines: bool,
    pub line_numbers: bool,
    pub is_quiet: bool,
    pub is_silent: bool,
    pub recursive: bool,
    pub with_names: Option<bool>,
    pub most: Option<u64>,
    pub after: usize,
    pub before: usize,
}

impl Options {
    /// Reads the command line; nothing if help was asked for.
    pub fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
        let mut options = Options::default();
        let mut has_pattern = false;
        let mut words: Vec<OsString> = Vec::new();
        while let Some(argument) = parser.next()? {
            match argument {
                Short('E' | 'P') | Long("extended-regexp" | "perl-regexp") => {
                    options.syntax = Syntax::Extended
                }
                Short('G') | Long("basic-regexp") => options.syntax = Syntax::Basic,
                Short('F') | Long("fixed-strings") => options.syntax = Syntax::Fixed,
                Short('i' | 'y') | Long("ignore-case") => options.ignores_case = true,
                Short('v') | Long("invert-match") => options.inverts = true,
                Short('w') | Long("word-regexp") => options.words = true,
                Short('x') | Long("line-regexp") => options.whole_lines = true,
                Short('n') | Long("line-number") => options.line_numbers = true,
                Short('c') | Long("count") => options.show = Show::Count,
                Short('l') | Long("files-with-matches") => options.show = Show::Names,
                Short('L') | Long("files-without-match") => options.show = Show::OtherNames,
                Short('o') | Long("only-matching") => options.show = Show::Parts,
                Short('q') | Long("quiet" | "silent") => options.is_quiet = true,
                Short('s') | Long("no-messages") => options.is_silent = true,
                Short('h') | Long("no-filename") => options.with_names = Some(false),
                Short('H') | Long("with-filename") => options.with_names = Some(true),
                Short('r' | 'R') | Long("recursive") => options.recursive = true,
                Short('m') | Long("max-count") => options.most = Some(parser.value()?.parse()?),
                Short('A') | Long("after-context") => options.after = parser.value()?.parse()?,
                Short('B') | Long("before-context") => options.before = parser.value()?.parse()?,
                Short('C') | Long("context") => {
                    options.after = parser.value()?.parse()?;
                    options.before = options.after;
                }
                Short('e') | Long("regexp") => {
                    options.add_patterns(&parser.value()?.string()?);
                    has_pattern = true;
                }
                Short('f') | Long("file") => {
                    let file = PathBuf::from(parser.value()?);
                    let text = std::fs::read_to_string(&file)
                        .map_err(|error| format!("{}: {error}", file.display()))?;
                    if !text.is_empty() {
                        options.add_patterns(text.strip_suffix('\n').unwrap_or(&text));
                    }
                    has_pattern = true;
                }
                // Accepted without effect: output goes line by line and without colours anyway.
                Long("line-buffered" | "no-ignore-case") => {}
                Long("color" | "colour") => drop(parser.optional_value()),
                Short('a' | 'I') | Long("text") => {}
                Long("help") => return Ok(None),
                Value(word) => words.push(word),
                other => return Err(other.unexpected()),
            }
        }
        let mut words = words.into_iter();
        if !has_pattern {
            let pattern = words.next().ok_or("no pattern")?;
            options.add_patterns(&pattern.string()?);
        }
        options.files = words.map(PathBuf::from).collect();
        Ok(Some(options))
    }

    /// A pattern with line ends is a list of patterns.
    fn add_patterns(&mut self, text: &str) {
        self.patterns.extend(text.split('\n').map(str::to_string));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Options {
        Options::parse(lexopt::Parser::from_args(words))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn the_first_word_is_the_pattern_unless_one_was_given() {
        let options = parse(&["-in", "a", "b", "c"]);
        assert_eq!(
            (options.patterns, options.files.len()),
            (vec!["a".to_string()], 2)
        );
        assert!(options.ignores_case && options.line_numbers);
        let options = parse(&["-e", "x", "-e", "y\nz", "file"]);
        assert_eq!((options.patterns.len(), options.files.len()), (3, 1));
    }

    #[test]
    fn numbers_and_context() {
        let options = parse(&["-C2", "-m", "5", "--after-context=7", "p"]);
        assert_eq!(
            (options.before, options.after, options.most),
            (2, 7, Some(5))
        );
    }

    #[test]
    fn errors_are_told() {
        let parse = |words: &[&str]| Options::parse(lexopt::Parser::from_args(words));
        assert!(parse(&[]).is_err());
        assert!(parse(&["--nonsense", "p"]).is_err());
        assert!(parse(&["-m", "many", "p"]).is_err());
        assert!(parse(&["-f", "/no/such/file"]).is_err());
        assert!(parse(&["--help"]).unwrap().is_none());
    }
}
