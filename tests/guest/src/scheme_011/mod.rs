//! The probe daemon built with redox-scheme 0.11.

pub(crate) use redox_scheme_011 as redox_scheme;

#[path = "../probe/mod.rs"]
pub(crate) mod probe;
