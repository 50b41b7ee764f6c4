//! The small programs that show and stop the system. Each reads one file of the kernel or of a service and
//! prints it; what is more than that (tables, units) is here, pure, and tested.
//!
//! All have the same manners: `--help` prints what they do and gives 0, an unknown argument gives 2 and the
//! usage on standard error, a failure gives 1 and one line that says what could not be done.
#![forbid(unsafe_code)]

pub mod memory;
pub mod stop;
pub mod table;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// How a program describes itself.
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// What `--help` prints.
    pub help: &'static str,
}

impl Program {
    /// Runs the program: `work` gets the arguments and gives the text to print.
    pub fn run(&self, work: impl FnOnce(&[String]) -> Result<String, Failure>) -> ExitCode {
        let args: Vec<String> = std::env::args().skip(1).collect();
        if args.iter().any(|arg| arg == "--help") {
            return self.print(self.help);
        }
        match work(&args) {
            Ok(text) => self.print(&text),
            Err(Failure::Usage(problem)) => {
                eprintln!("{}: {problem}", self.name);
                eprint!("{}", self.help);
                ExitCode::from(2)
            }
            Err(Failure::Other(problem)) => {
                eprintln!("{}: {problem}", self.name);
                ExitCode::FAILURE
            }
        }
    }

    fn print(&self, text: &str) -> ExitCode {
        match io::stdout().write_all(text.as_bytes()) {
            // `ps | head` closes the pipe early, which is no failure.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                eprintln!("{}: {error}", self.name);
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        }
    }
}

/// Why a program ends without doing its work.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The arguments make no sense.
    Usage(String),
    /// Something else.
    Other(String),
}

/// For programs without arguments.
pub fn no_arguments(args: &[String]) -> Result<(), Failure> {
    match args.first() {
        None => Ok(()),
        Some(arg) => Err(Failure::Usage(format!("unknown argument \"{arg}\""))),
    }
}

/// Reads a file of the system.
pub fn read(path: &str) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::Other(format!("{path}: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_where_none_is_known_is_named() {
        assert_eq!(no_arguments(&[]), Ok(()));
        let failure = no_arguments(&["-x".into()]).unwrap_err();
        assert_eq!(failure, Failure::Usage("unknown argument \"-x\"".into()));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let Err(Failure::Other(line)) = read("/nowhere/context") else {
            panic!()
        };
        assert!(line.starts_with("/nowhere/context: "), "{line}");
    }
}
