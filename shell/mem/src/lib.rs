//! `mem`: the command for the `memory:` scheme. Everything it does, `cat`, `echo`, `ls` and `cp` can do as well.
#![forbid(unsafe_code)]

pub mod args;
pub mod commands;
mod index;
