//! Schemes: the kernel's own behind one trait, daemons' through protocol version 2, and the namespaces that name them.

pub mod answer;
pub mod arena;
pub mod kernel_scheme;
pub mod lend;
pub mod namespace;
pub mod request;
pub mod socket;
pub mod user;
