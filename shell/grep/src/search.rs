//! Going through the files and printing what is found.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use grep_printer::StandardBuilder;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkMatch};

use crate::options::{Options, Show};
use crate::syntax::translate;

/// The name of the standard input, as a file and in the output.
const STANDARD_INPUT: &str = "(standard input)";

/// What came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// A line was selected.
    pub selected: bool,
    /// A file could not be read.
    pub failed: bool,
}

/// Searches all that the options name. `report` gets one line per file that cannot be read.
pub fn run(
    options: &Options,
    output: &mut dyn Write,
    report: impl Fn(&str),
) -> Result<Found, String> {
    let mut run = Run {
        options,
        matcher: matcher(options)?,
        searcher: searcher(options),
        with_names: options
            .with_names
            .unwrap_or(options.recursive || options.files.len() > 1),
        output,
        found: Found::default(),
    };
    let mut files = options.files.clone();
    if files.is_empty() {
        files.push(PathBuf::from(if options.recursive { "." } else { "-" }));
    }
    for file in files {
        for entry in walk(&file, options) {
            let outcome = entry
                .and_then(|(name, input)| run.file(&name, input).map_err(|error| (name, error)));
            if let Err((name, error)) = outcome {
                if error.kind() == io::ErrorKind::BrokenPipe {
                    return Ok(run.found);
                }
                run.found.failed = true;
                report(&format!("{}: {error}", name.display()));
            }
            if options.is_quiet && run.found.selected {
                return Ok(run.found);
            }
        }
    }
    Ok(run.found)
}

type Entry = Result<(PathBuf, Box<dyn Read>), (PathBuf, io::Error)>;

/// The file itself, or with -r the files below it.
fn walk<'o>(file: &Path, options: &'o Options) -> Box<dyn Iterator<Item = Entry> + 'o> {
    if file == Path::new("-") {
        let entry: Entry = Ok((PathBuf::from(STANDARD_INPUT), Box::new(io::stdin())));
        return Box::new(std::iter::once(entry));
    }
    if !options.recursive {
        return Box::new(std::iter::once(open(file)));
    }
    let entries = walkdir::WalkDir::new(file).sort_by_file_name().into_iter();
    Box::new(entries.filter_map(|entry| match entry {
        Ok(entry) if entry.file_type().is_file() => Some(open(entry.path())),
        Ok(_) => None,
        Err(error) => {
            let path = error.path().map(Path::to_path_buf).unwrap_or_default();
            Some(Err((path, io::Error::other(error))))
        }
    }))
}

fn open(path: &Path) -> Entry {
    let failed = |error| (path.to_path_buf(), error);
    let file = File::open(path).map_err(failed)?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok((path.to_path_buf(), Box::new(file)))
}

fn matcher(options: &Options) -> Result<RegexMatcher, String> {
    let patterns: Vec<_> = options
        .patterns
        .iter()
        .map(|pattern| translate(pattern, options.syntax))
        .collect();
    RegexMatcherBuilder::new()
        .case_insensitive(options.ignores_case)
        .word(options.words)
        .whole_line(options.whole_lines)
        .line_terminator(Some(b'\n'))
        .build_many(&patterns)
        .map_err(|error| error.to_string())
}

fn searcher(options: &Options) -> Searcher {
    let prints_lines = options.show == Show::Lines && !options.is_quiet;
    SearcherBuilder::new()
        .invert_match(options.inverts)
        .line_number(options.line_numbers)
        .after_context(if prints_lines { options.after } else { 0 })
        .before_context(if prints_lines { options.before } else { 0 })
        .binary_detection(BinaryDetection::convert(0))
        .max_matches(options.most)
        .build()
}

struct Run<'a> {
    options: &'a Options,
    matcher: RegexMatcher,
    searcher: Searcher,
    with_names: bool,
    output: &'a mut dyn Write,
    found: Found,
}

impl Run<'_> {
    fn file(&mut self, name: &Path, input: Box<dyn Read>) -> io::Result<()> {
        if self.options.show == Show::Lines && !self.options.is_quiet {
            return self.lines(name, input);
        }
        if self.options.show == Show::Parts && !self.options.is_quiet && !self.options.inverts {
            return self.lines(name, input);
        }
        // Everything else needs no more than a count, and mostly no more than whether it is zero.
        let is_counting = self.options.show == Show::Count && !self.options.is_quiet;
        let mut counter = Counter {
            count: 0,
            stops_at_first: !is_counting,
        };
        self.searcher
            .search_reader(&self.matcher, input, &mut counter)?;
        let selected = counter.count > 0;
        self.found.selected |= selected != (self.options.show == Show::OtherNames);
        if self.options.is_quiet {
            return Ok(());
        }
        match self.options.show {
            Show::Count if self.with_names => {
                writeln!(self.output, "{}:{}", name.display(), counter.count)
            }
            Show::Count => writeln!(self.output, "{}", counter.count),
            Show::Names if selected => writeln!(self.output, "{}", name.display()),
            Show::OtherNames if !selected => writeln!(self.output, "{}", name.display()),
            _ => Ok(()),
        }
    }

    fn lines(&mut self, name: &Path, input: Box<dyn Read>) -> io::Result<()> {
        let mut printer = StandardBuilder::new()
            .only_matching(self.options.show == Show::Parts)
            .path(self.with_names)
            .build_no_color(&mut *self.output);
        let mut sink = printer.sink_with_path(&self.matcher, name);
        self.searcher
            .search_reader(&self.matcher, input, &mut sink)?;
        self.found.selected |= sink.has_match();
        Ok(())
    }
}

/// Counts selected lines.
struct Counter {
    count: u64,
    stops_at_first: bool,
}

impl Sink for &mut Counter {
    type Error = io::Error;

    fn matched(&mut self, _searcher: &Searcher, _found: &SinkMatch<'_>) -> io::Result<bool> {
        self.count += 1;
        Ok(!self.stops_at_first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs grep in a folder with files `a` and `b`; gives what it printed.
    fn grep(words: &[&str]) -> (String, Found) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "one\ntwo\nthree\nTwo words\n").unwrap();
        std::fs::write(folder.path().join("b"), "none here\n").unwrap();
        let words: Vec<String> = words
            .iter()
            .map(|word| match word.strip_prefix('@') {
                Some(name) => folder.path().join(name).display().to_string(),
                None => word.to_string(),
            })
            .collect();
        let options = Options::parse(lexopt::Parser::from_args(words))
            .unwrap()
            .unwrap();
        let mut output = Vec::new();
        let found = run(&options, &mut output, |_| ()).unwrap();
        let text = String::from_utf8(output).unwrap();
        (
            text.replace(&format!("{}/", folder.path().display()), ""),
            found,
        )
    }

    #[test]
    fn lines_are_printed_with_numbers_and_names_when_asked() {
        assert_eq!(grep(&["two", "@a"]).0, "two\n");
        assert_eq!(grep(&["-in", "TWO", "@a"]).0, "2:two\n4:Two words\n");
        assert_eq!(grep(&["one", "@a", "@b"]).0, "a:one\nb:none here\n");
        assert_eq!(grep(&["-h", "one", "@a", "@b"]).0, "one\nnone here\n");
        assert_eq!(grep(&["-v", "o", "@a"]).0, "three\n");
    }

    #[test]
    fn counts_names_and_parts() {
        assert_eq!(grep(&["-c", "e", "@a", "@b"]).0, "a:2\nb:1\n");
        assert_eq!(grep(&["-l", "two", "@a", "@b"]).0, "a\n");
        assert_eq!(grep(&["-L", "two", "@a", "@b"]).0, "b\n");
        assert_eq!(grep(&["-o", "[a-z]*e", "@a"]).0, "one\nthree\n");
        assert_eq!(grep(&["-w", "-o", "w[a-z]*", "@a"]).0, "words\n");
        assert_eq!(grep(&["-m1", "-c", "e", "@a"]).0, "1\n");
    }

    #[test]
    fn context_lines_are_separated() {
        assert_eq!(grep(&["-A1", "one", "@a"]).0, "one\ntwo\n");
        assert_eq!(grep(&["-n", "-B1", "three", "@a"]).0, "2-two\n3:three\n");
    }

    #[test]
    fn folders_are_searched_with_r_only() {
        assert_eq!(grep(&["-r", "one", "@."]).0, "./a:one\n./b:none here\n");
        assert!(grep(&["one", "@."]).1.failed);
    }

    #[test]
    fn what_was_found_is_told() {
        assert_eq!(
            grep(&["-q", "one", "@a"]),
            (
                String::new(),
                Found {
                    selected: true,
                    failed: false
                }
            )
        );
        assert!(!grep(&["nothing", "@a"]).1.selected);
        assert!(grep(&["one", "@missing", "@a"]).1.failed);
    }
}
