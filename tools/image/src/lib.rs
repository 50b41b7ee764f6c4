//! Makes a disk image from packages and `filesystem.toml`: the one way by which a file gets on an image.
//!
//! Flow: [`config`] reads the configuration; [`packages`] finds, checks and unpacks the packages; [`tree`] collects all
//! files of the root with owners and modes; [`users`] writes the user tables into it; [`boot`] picks the boot files;
//! [`disk`] lays out the partitions; [`esp`] fills the EFI partition and [`root`] the redoxfs partition. [`make`] ties
//! them. Everything runs without root rights: owners are data of the tree, not of files on the host.
//!
//! Invariant: a package that fails its signature, a file that two packages claim, or a tree that does not fit is an
//! error, and then the old image stays as it was.

#![forbid(unsafe_code)]

pub mod boot;
pub mod config;
pub mod disk;
pub mod esp;
pub mod limits;
pub mod make;
pub mod packages;
pub mod root;
pub mod tree;
pub mod users;
