//! Every bound of the kernel, in one place. User space meets each as an error number, never as a panic.

/// Processes, living and waiting to be collected.
pub const PROCESSES_MAX: usize = 4096;
/// Processes that only user 0 may use up, so that a fork bomb can be ended.
pub const PROCESSES_RESERVED: usize = 64;
/// Threads in all.
pub const THREADS_MAX: usize = 8192;
/// Threads that only user 0 may use up.
pub const THREADS_RESERVED: usize = 256;
/// Threads of one process.
pub const PROCESS_THREADS_MAX: usize = 1024;
/// Descriptors of one process.
pub const DESCRIPTORS_MAX: usize = 4096;
/// Open descriptions in all.
pub const FILES_MAX: usize = 65_536;
/// Regions of one address space.
pub const REGIONS_MAX: usize = 16_384;
/// Frames that ordinary allocations leave for page tables and the completion of requests.
pub const FRAME_RESERVE: usize = 512;
/// User schemes.
pub const SCHEMES_MAX: usize = 1024;
/// Requests of one user scheme that are waiting or being served.
pub const SCHEME_REQUESTS_MAX: usize = 4096;
/// Descriptors that one call passes.
pub const PASSED_FDS_MAX: usize = 16;
/// Entries registered in one namespace.
pub const NAMESPACE_ENTRIES_MAX: usize = 1024;
/// Name patterns in one `NS_MAKE`.
pub const NAMESPACE_PATTERNS_MAX: usize = 256;
/// Namespaces below one another.
pub const NAMESPACE_DEPTH_MAX: usize = 64;
/// Namespaces in all.
pub const NAMESPACES_MAX: usize = 8192;
/// Limit groups in all.
pub const GROUPS_MAX: usize = 4096;
/// Longest scheme name in bytes.
pub const NAME_MAX: usize = 255;
/// Bytes a pipe holds.
pub const PIPE_CAPACITY: usize = 65_536;
/// Writes up to this length to a pipe are atomic.
pub const PIPE_ATOMIC: usize = 4096;
/// Pipes in all.
pub const PIPES_MAX: usize = 16_384;
/// Event queues in all.
pub const QUEUES_MAX: usize = 16_384;
/// Subscriptions of one event queue.
pub const SUBSCRIPTIONS_MAX: usize = 8192;
/// Bytes of arguments and environment together.
pub const ARGUMENTS_MAX: usize = 1 << 20;
/// Strings of arguments and environment together.
pub const ARGUMENT_COUNT_MAX: usize = 32_768;
/// Program headers of an ELF file.
pub const PROGRAM_HEADERS_MAX: usize = 64;
/// Bytes of state that the C library hands to the next image.
pub const LIBC_STATE_MAX: usize = 16_384;
/// The main thread's stack.
pub const STACK_SIZE: usize = 8 << 20;
/// Lowest address that may be mapped.
pub const USER_START: usize = 0x1_0000;
/// Longest buffer of one read or write; longer ones are shortened.
pub const TRANSFER_MAX: usize = 1 << 30;
/// Longest buffer that a user scheme sees in one request; longer ones are shortened.
pub const REQUEST_BUFFER_MAX: usize = 16 << 20;
/// Pages of a user scheme's always-mapped buffer area.
pub const ARENA_PAGES: usize = 256;
/// Buffers up to this many pages use the always-mapped area.
pub const ARENA_BUFFER_PAGES: usize = 17;
/// Address space kept in a daemon for larger buffers, in pages.
pub const WINDOW_PAGES: usize = 16 * 4096;
/// How long a thread runs while others wait, in nanoseconds.
pub const QUANTUM_NS: u64 = 10_000_000;
/// How long a woken thread waits for its waker's CPU before another CPU is asked, in nanoseconds.
pub const HANDOVER_NS: u64 = 100_000;
/// Bytes of the kernel log kept.
pub const LOG_BYTES: usize = 65_536;
/// Entropy handed out by one call.
pub const ENTROPY_MAX: usize = 256;
/// Received bytes that a serial or PS/2 port keeps.
pub const PORT_BYTES: usize = 16_384;
/// Largest number of CPUs.
pub const CPUS_MAX: usize = 64;
/// Unmapped frames that wait for other CPUs to drop their translations.
pub const LIMBO_MAX: usize = 4096;
/// Pages that are filled together when one of them is touched.
pub const FAULT_AROUND: u64 = 4;
/// Longest mapping of a descriptor, in pages.
pub const MAPPING_PAGES_MAX: usize = 1 << 20;
/// Pages unmapped between two flushes while other CPUs use the space.
pub const UNMAP_PAGES: u64 = 1 << 15;
