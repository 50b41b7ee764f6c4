//! The limits of init, named.

use std::time::Duration;

/// How long a service may take until it says it is ready; after that the boot goes on without it.
pub const READY_WAIT: Duration = Duration::from_secs(30);
/// Pause before the first restart; doubles with each failure in a row.
pub const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
/// Longest pause before a restart.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(10);
/// A service that ran this long has recovered: the next failure counts as the first.
pub const STABLE_AFTER: Duration = Duration::from_secs(30);
/// Failures in a row after which a service is given up.
pub const FAILURES_MAX: u32 = 6;
/// Bytes in one unit file.
pub const UNIT_BYTES_MAX: u64 = 64 * 1024;
/// Depth to which units may require each other.
pub const REQUIRES_DEPTH_MAX: usize = 64;
/// How often a pending restart looks at its deadline while children are also waited for.
pub const RESTART_TICK: Duration = Duration::from_millis(20);
