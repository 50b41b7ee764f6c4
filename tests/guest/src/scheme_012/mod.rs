//! The probe daemon built with redox-scheme 0.12.

pub(crate) use redox_scheme_012 as redox_scheme;

#[path = "../probe/mod.rs"]
pub(crate) mod probe;
