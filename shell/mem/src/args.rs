//! The command line of `mem`.

use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;
use memory_api::SearchOptions;
use memory_api::route::SearchMode;

/// What `--help` prints.
pub const USAGE: &str = "\
usage: mem [-c COLLECTION] COMMAND
  add FILE...              store files (`-` for standard input, with --name PATH)
  find QUESTION            the best passages with their sources; in all collections unless -c is given
  index DIR                store a directory; again: only what changed; leaves out what ignore files name
  forget PATH...           remove documents for good
  ls [FOLDER]              collections, or the documents of one
  context GOAL             a prompt context that fits --tokens
  history                  what was replaced, superseded, linked, hidden
  undo [ID]                take a change back, the last one without ID
  export                   the collection as JSON Lines on standard output
  import FILE              such lines, or the JSON of Chroma's client
  check                    verify everything that is stored
options:
  -c, --collection NAME    the collection (default semantic)
  -k N                     how many results (default 10)
  --mode MODE              hybrid, vector or text
  --filter EXPRESSION      such as: year >= 2024 and tag in (a, b)
  --meta LINE              metadata for add, `key = value`; may be repeated
  --name PATH              path of a document read from standard input
  --prune                  index: forget documents whose file is gone
  --tokens N               budget of a context (default 2000)
  --json                   print JSON Lines
  --root DIR               where the scheme is (default $VALENCE_MEMORY or /scheme/memory)";

/// Collection when none is named.
pub const COLLECTION_DEFAULT: &str = "semantic";

/// The parsed command line.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Args {
    /// The command.
    pub command: String,
    /// Its arguments.
    pub values: Vec<String>,
    /// The collection, if one is named.
    pub collection: Option<String>,
    /// Options of a search.
    pub search: SearchOptions,
    /// Metadata lines.
    pub metadata: Vec<String>,
    /// Path of a document from standard input.
    pub name: Option<String>,
    /// Whether documents whose file is gone are forgotten.
    pub prune: bool,
    /// Budget of a context.
    pub tokens: usize,
    /// Whether to print JSON.
    pub json: bool,
    /// Where the scheme is.
    pub root: Option<PathBuf>,
    /// Whether only help is wanted.
    pub help: bool,
}

impl Args {
    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(args: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Args, String> {
        Self::read(lexopt::Parser::from_args(args)).map_err(|error| error.to_string())
    }

    fn read(mut parser: lexopt::Parser) -> Result<Args, lexopt::Error> {
        let mut args = Args {
            tokens: 2000,
            ..Args::default()
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Short('c') | Long("collection") => {
                    args.collection = Some(parser.value()?.string()?)
                }
                Short('k') => args.search.k = parser.value()?.parse()?,
                Short('h') | Long("help") => args.help = true,
                Long("mode") => {
                    args.search.mode = parser.value()?.parse_with(|word| match word {
                        "hybrid" => Ok(SearchMode::Hybrid),
                        "vector" => Ok(SearchMode::Vector),
                        "text" => Ok(SearchMode::Text),
                        _ => Err("hybrid, vector or text"),
                    })?;
                }
                Long("filter") => args.search.filter = parser.value()?.string()?,
                Long("meta") => args.metadata.push(parser.value()?.string()?),
                Long("name") => args.name = Some(parser.value()?.string()?),
                Long("prune") => args.prune = true,
                Long("tokens") => args.tokens = parser.value()?.parse()?,
                Long("json") => args.json = true,
                Long("root") => args.root = Some(parser.value()?.into()),
                Value(value) if args.command.is_empty() => args.command = value.string()?,
                Value(value) => args.values.push(value.string()?),
                other => return Err(other.unexpected()),
            }
        }
        Ok(args)
    }

    /// The collection that changes go to.
    pub fn target(&self) -> &str {
        self.collection.as_deref().unwrap_or(COLLECTION_DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split(' ').map(Into::into))
    }

    #[test]
    fn options_stand_anywhere() {
        let args = parse("-c notes find -k 3 how --mode text --json").unwrap();
        assert_eq!(
            (args.target(), &args.command[..], args.search.k),
            ("notes", "find", 3)
        );
        assert_eq!(
            (args.values, args.json, args.search.mode),
            (vec!["how".into()], true, SearchMode::Text)
        );
    }

    #[test]
    fn unknown_options_and_modes_are_refused() {
        assert!(parse("find --colour red").is_err());
        assert!(parse("find x --mode loud").is_err());
        assert!(parse("find x -k many").is_err());
    }
}
