//! One CPU: its data, descriptor tables, features, entry and exit code, floating-point state.

pub(super) mod descriptors;
pub(super) mod features;
pub(super) mod fpu;
pub(super) mod local;
pub(super) mod vectors;
