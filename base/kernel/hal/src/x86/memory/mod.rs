//! Page tables and the kernel heap.

pub(super) mod bytes;
pub(super) mod devices;
pub(super) mod heap;
pub(super) mod kernel_space;
pub(super) mod layout;
pub(super) mod tables;
pub(super) mod user_space;
