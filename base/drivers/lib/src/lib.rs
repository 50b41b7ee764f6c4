//! The hardware box: the one place of the drivers that has unsafe code.
//!
//! A driver program sees safe types only: [`pci`] addresses and configuration space, mapped registers
//! (`memory::Mapping`), memory that a device may read and write (`memory::Dma`), an interrupt that is a file
//! (`interrupt::Interrupt`), and a virtio disk. Invariants kept here: a mapping is only accessed inside its
//! length and with volatile accesses; DMA memory is owned by exactly one value and is never an ordinary
//! reference while a device may write to it; nothing is unmapped while a device may still use it.
//!
//! Sources: facts 1.7 (kernel schemes memory and irq), PCI Express 5.0 (configuration space, MSI-X), virtio
//! 1.2 section 4.1. Everything that talks to the kernel exists on the target only.

#[cfg(target_os = "redox")]
pub mod interrupt;
#[cfg(target_os = "redox")]
pub mod memory;
pub mod pci;
#[cfg(target_os = "redox")]
pub mod virtio;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;
