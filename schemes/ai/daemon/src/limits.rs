//! Bounds of the daemon; those of the contract are in the api crate, those of inference in the engine.

use std::time::Duration;

/// Sessions of one user; past it the one idle for longest goes.
pub(crate) const SESSIONS_PER_USER: usize = 256;
/// Sessions in all.
pub(crate) const SESSIONS: usize = 4096;
/// How often the model folders are looked through at most.
pub(crate) const SCAN_EVERY: Duration = Duration::from_secs(1);
/// Models that are listed.
pub(crate) const MODELS: usize = 4096;
/// How long an idle model stays loaded, unless its ctl says otherwise.
pub(crate) const KEEP: Duration = Duration::from_secs(300);
/// Longest `keep`.
pub(crate) const KEEP_MOST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Largest model file that is read.
pub(crate) const MODEL_BYTES: u64 = 1 << 40;
/// Reply tokens where a request does not say.
pub(crate) const DEFAULT_TOKENS: usize = 512;
/// Texts of one embedding request.
pub(crate) const EMBED_TEXTS: usize = 4096;
/// Texts that are embedded between two looks whether somebody still waits.
pub(crate) const EMBED_AT_ONCE: usize = 16;
/// Bytes of a model file that are looked at for its architecture.
pub(crate) const HEAD_BYTES: usize = 4096;
/// Stack of a worker thread: chat templates may nest.
pub(crate) const WORKER_STACK: usize = 8 << 20;
