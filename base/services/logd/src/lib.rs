//! The log scheme.
//!
//! `/scheme/log/NAME` is the log of one context: writing appends lines, reading gives the lines that are still
//! kept, and the scheme's root lists the contexts. `/scheme/log/.all` has the lines of all contexts in the
//! order they came, each with its time and its context. `/scheme/log/.echo` holds `on` or `off`: while on,
//! complete lines also go to the kernel's debug console, so that a boot that fails shows why.
//!
//! Lines are kept in a ring bounded by bytes; the oldest go first. A line longer than the limit is cut into
//! several. Nothing is written to disk: that is for a service that reads this one.
#![forbid(unsafe_code)]

pub mod limits;
mod ring;
mod scheme;

pub use ring::{Line, Ring};
pub use scheme::{Echo, Log, Node};
