//! Every size and count that the machine layer fixes, in one place.

/// CPUs that are brought up; more stay halted.
pub const MAX_CPUS: usize = 64;

/// Kernel stack of a CPU, in pages. The deepest user is formatting in a panic.
pub const STACK_PAGES: usize = 16;

/// Stack of a double fault, an NMI or a machine check, in pages.
pub const FAULT_STACK_PAGES: usize = 4;

/// Memory areas taken from the loader; the rest of a longer list is ignored (that RAM stays unused).
pub const MAX_AREAS: usize = 256;

/// At the start the kernel heap gets one part in `HEAP_SHARE` of the free RAM …
pub const HEAP_SHARE: u64 = 16;
/// … but at least this …
pub const HEAP_MIN: u64 = 16 << 20;
/// … and at most this, in bytes.
pub const HEAP_MAX: u64 = 24 << 20;
/// When less than this is free, in bytes, the heap grows after the next trap …
pub const HEAP_LOW: usize = 8 << 20;
/// … by this many frames; if there are not as many in one piece, by a quarter of it.
pub const HEAP_GROWTH: usize = (8 << 20) / 4096;

/// RAM above this physical address is not used (the map of frames in use is one bit each).
pub const RAM_LIMIT: u64 = 256 << 30;

/// Message-signalled interrupts that can be allocated at one time.
pub const MSI_COUNT: usize = 128;

/// Times a port is polled before the device counts as absent.
pub const POLL_LIMIT: usize = 100_000;

/// How long a CPU may take to come up, in nanoseconds. Emulated CPUs on a busy host are slow.
pub const CPU_START_NS: u64 = 1_000_000_000;

/// Time span over which the clocks are compared, in nanoseconds.
pub const CALIBRATION_NS: u64 = 10_000_000;

/// Frames that a backtrace shows at most.
pub const BACKTRACE_FRAMES: usize = 24;

/// How long a machine may take to switch off or reset after it was told to, in nanoseconds.
pub const POWER_WAIT_NS: u64 = 5_000_000_000;
