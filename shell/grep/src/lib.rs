//! grep with the options of POSIX and the common ones of GNU, on the search libraries of ripgrep.
//!
//! What is here: the command line ([`options`]), the two syntaxes of POSIX patterns ([`syntax`]), and walking files
//! ([`search`]). Matching, context lines and printing are the libraries'. Not here: back references (the library matches
//! in linear time and has none) and binary files' special treatment beyond one line that says so.
#![forbid(unsafe_code)]

pub mod options;
pub mod search;
pub mod syntax;
