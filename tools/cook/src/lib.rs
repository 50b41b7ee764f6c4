//! Cooks recipes: reads `recipes/NAME/recipe.toml`, builds each in its own folder below `build/cook/`, and packs what
//! it installed to a signed package in `build/repo/x86_64-unknown-redox/`.
//!
//! The recipe format, the variables and shell functions of a script, the package format and the repository's two files
//! are those of Redox's cookbook, so that the same recipes cook there. What it does not do: fetch sources from an
//! address (git, tar). Programs of others come by name and version through cargo (`tools/crate.sh`).
//!
//! Invariants:
//! * a package is built again only if something it is made from changed, judged by content and not by time;
//! * a package file changes only if the content of its stage changed;
//! * everything written lies below `build/`, except cargo's own target folder.

#![forbid(unsafe_code)]

pub mod cpio;
pub mod fingerprint;
pub mod kitchen;
pub mod layout;
pub mod package;
pub mod recipe;
pub mod script;
