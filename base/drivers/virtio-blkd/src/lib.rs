//! A disk as a scheme: the whole disk is file `0`, its partitions are `0p0`, `0p1` and so on.
//!
//! Contract (facts 7.3): reads and writes are whole blocks at whole-block offsets, else EINVAL; a read at the
//! end gives 0, one across it is cut; root only; one handle per disk or partition at a time (ENOLCK). `fsync`
//! reaches the device's cache. Partition tables: GPT and MBR, read once at the start.
//!
//! Pure over the [`Medium`] trait; the device itself is in `valence-driver`.
#![forbid(unsafe_code)]

mod partitions;
mod scheme;
#[cfg(test)]
mod tests;

pub use partitions::{Partition, read_table};
pub use scheme::{DiskScheme, Node};

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 512;

/// What stores blocks.
pub trait Medium {
    /// Number of blocks.
    fn blocks(&self) -> u64;
    /// Whether writes are refused.
    fn is_read_only(&self) -> bool;
    /// Reads whole blocks.
    fn read(&mut self, block: u64, out: &mut [u8]) -> std::io::Result<()>;
    /// Writes whole blocks.
    fn write(&mut self, block: u64, data: &[u8]) -> std::io::Result<()>;
    /// Makes written blocks durable.
    fn flush(&mut self) -> std::io::Result<()>;
}
