//! The virtio disk: `virtio-drivers` over our memory and interrupts, as a type without unsafe methods.
//!
//! One request is in flight at a time, of up to [`TRANSFER_BYTES`], through a buffer of its own: the data is
//! copied once, and a device never sees memory of a client. Completion is waited for by MSI-X interrupt, or by
//! polling with a yield when the device or the kernel has none.

use std::io::{self, Write};
use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::yield_now;

use virtio_drivers::device::blk::{BlkReq, BlkResp, VirtIOBlk};
use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction, PciRoot};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

use crate::PAGE_BYTES;
use crate::interrupt::{Interrupt, enable_msix};
use crate::memory::{Caching, Dma, Mapping};
use crate::pci::{self, Address, ConfigSpace, Ecam};

/// Bytes of a sector, the unit of addresses on the disk.
pub const SECTOR_BYTES: usize = 512;
/// Largest transfer in one request.
pub const TRANSFER_BYTES: usize = 512 * 1024;
/// Small buffers (requests, status bytes, descriptor lists) that the device may see at a time.
const SLOTS: usize = 16;

const CAPABILITY_VENDOR: u8 = 0x09;
const VIRTIO_COMMON: u8 = 1;
const COMMON_QUEUE_SELECT: usize = 22;
const COMMON_QUEUE_VECTOR: usize = 26;
const NO_VECTOR: u16 = 0xffff;

/// Memory shared with the device: the transfer buffer, then the slots, a page each.
struct Shared {
    memory: Dma,
    used: Mutex<[bool; SLOTS]>,
}

static SHARED: OnceLock<Shared> = OnceLock::new();

fn shared() -> io::Result<&'static Shared> {
    if SHARED.get().is_none() {
        let memory = Dma::new(TRANSFER_BYTES + SLOTS * PAGE_BYTES)?;
        let _ = SHARED.set(Shared {
            memory,
            used: Mutex::new([false; SLOTS]),
        });
    }
    SHARED
        .get()
        .ok_or_else(|| io::Error::other("no memory for the device"))
}

impl Shared {
    fn slot(&self, index: usize) -> NonNull<u8> {
        let offset = TRANSFER_BYTES + index * PAGE_BYTES;
        debug_assert!(offset < self.memory.len());
        // SAFETY: every slot lies inside the allocation by its construction.
        unsafe { self.memory.start().add(offset) }
    }

    /// The offset of a buffer that lies inside the transfer buffer.
    fn offset_of(&self, buffer: NonNull<[u8]>) -> Option<u64> {
        let start = self.memory.start().addr().get();
        let offset = buffer.addr().get().checked_sub(start)?;
        (offset + buffer.len() <= TRANSFER_BYTES).then_some(offset as u64)
    }

    fn slot_of(&self, physical: PhysAddr) -> Option<usize> {
        let offset = physical.checked_sub(self.memory.physical() + TRANSFER_BYTES as u64)?;
        let index = (offset / PAGE_BYTES as u64) as usize;
        (index < SLOTS).then_some(index)
    }
}

/// What virtio-drivers asks of its surroundings.
struct Platform;

// SAFETY: DMA memory comes from the kernel, zeroed, contiguous and ours alone; it is never unmapped, so
// addresses given to the device stay good. Register mappings are made by the kernel for the asked range.
unsafe impl Hal for Platform {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        match Dma::new(pages * PAGE_BYTES) {
            Ok(memory) => (memory.physical(), memory.start()),
            // Address 0 is how the library is told that there is none.
            Err(_) => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        // Kept until the program ends: a device that was not reset may still write to it.
        0
    }

    unsafe fn mmio_phys_to_virt(physical: PhysAddr, size: usize) -> NonNull<u8> {
        match Mapping::physical(physical, size, Caching::Uncached) {
            Ok(mapping) => mapping.start(),
            Err(error) => {
                panic!("cannot map {size:#x} bytes of registers at {physical:#x}: {error}")
            }
        }
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        let Some(shared) = SHARED.get() else {
            panic!("shared before the device was opened")
        };
        if let Some(offset) = shared.offset_of(buffer) {
            return shared.memory.physical() + offset;
        }
        assert!(
            buffer.len() <= PAGE_BYTES,
            "a buffer of {} bytes is not in the transfer buffer",
            buffer.len()
        );
        let mut used = shared.used.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = used.iter().position(|used| !used) else {
            panic!("all slots are used")
        };
        used[index] = true;
        // SAFETY: the caller promises a valid buffer; the slot is free, a page long, and not the buffer.
        unsafe {
            shared
                .slot(index)
                .copy_from_nonoverlapping(buffer.cast(), buffer.len())
        };
        shared.memory.physical() + (TRANSFER_BYTES + index * PAGE_BYTES) as u64
    }

    unsafe fn unshare(physical: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        let Some(shared) = SHARED.get() else { return };
        let Some(index) = shared.slot_of(physical) else {
            return;
        };
        if direction != BufferDirection::DriverToDevice {
            // SAFETY: the slot was filled by `share` for this very buffer, which the caller keeps valid.
            unsafe {
                buffer
                    .cast::<u8>()
                    .copy_from_nonoverlapping(shared.slot(index), buffer.len())
            };
        }
        shared.used.lock().unwrap_or_else(PoisonError::into_inner)[index] = false;
    }
}

/// Our configuration space in the words of virtio-drivers.
struct Access(Ecam);

impl ConfigurationAccess for Access {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        self.0.read(ours(function), register)
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, value: u32) {
        self.0.write(ours(function), register, value);
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Access(self.0.clone())
    }
}

fn ours(function: DeviceFunction) -> Address {
    Address {
        bus: function.bus,
        device: function.device,
        function: function.function,
    }
}

/// A virtio disk.
pub struct Disk {
    device: VirtIOBlk<Platform, PciTransport>,
    /// The transfer buffer; nobody else has a reference to it.
    buffer: &'static mut [u8],
    interrupt: Option<Interrupt>,
}

impl Disk {
    /// Starts the device at a PCI address.
    pub fn open(mut space: Ecam, at: Address) -> io::Result<Disk> {
        let shared = shared()?;
        pci::enable(&mut space, at);
        let mut root = PciRoot::new(Access(space.clone()));
        let function = DeviceFunction {
            bus: at.bus,
            device: at.device,
            function: at.function,
        };
        let transport =
            PciTransport::new::<Platform, _>(&mut root, function).map_err(io::Error::other)?;
        let mut device = VirtIOBlk::new(transport).map_err(io::Error::other)?;
        let interrupt = match connect_interrupt(&mut space, at) {
            Ok(interrupt) => interrupt,
            Err(error) => {
                // Not fatal, and the caller tells how the disk works: `has_interrupt`.
                let _ = writeln!(io::stderr(), "{at}: no interrupt: {error}");
                None
            }
        };
        device.enable_interrupts();
        // SAFETY: the first TRANSFER_BYTES of the allocation are mapped for ever, and this is the only
        // reference to them: `Disk::open` runs once per program (one device each).
        let buffer = unsafe {
            std::slice::from_raw_parts_mut(shared.memory.start().as_ptr(), TRANSFER_BYTES)
        };
        Ok(Disk {
            device,
            buffer,
            interrupt,
        })
    }

    /// Number of sectors.
    pub fn sectors(&self) -> u64 {
        self.device.capacity()
    }

    /// Whether writes are refused.
    pub fn is_read_only(&self) -> bool {
        self.device.readonly()
    }

    /// Whether completion is told by interrupt.
    pub fn has_interrupt(&self) -> bool {
        self.interrupt.is_some()
    }

    /// Reads whole sectors.
    pub fn read(&mut self, mut sector: u64, out: &mut [u8]) -> io::Result<()> {
        for part in out.chunks_mut(TRANSFER_BYTES) {
            let (mut request, mut response) = (BlkReq::default(), BlkResp::default());
            let data = &mut self.buffer[..part.len()];
            // SAFETY: request, data and response live until the completion below and are not touched.
            let token = unsafe {
                self.device
                    .read_blocks_nb(sector as usize, &mut request, data, &mut response)
            }
            .map_err(io::Error::other)?;
            self.wait(token)?;
            let data = &mut self.buffer[..part.len()];
            // SAFETY: the very buffers that the request was started with.
            unsafe {
                self.device
                    .complete_read_blocks(token, &request, data, &mut response)
            }
            .map_err(io::Error::other)?;
            part.copy_from_slice(data);
            sector += (part.len() / SECTOR_BYTES) as u64;
        }
        Ok(())
    }

    /// Writes whole sectors.
    pub fn write(&mut self, mut sector: u64, data: &[u8]) -> io::Result<()> {
        for part in data.chunks(TRANSFER_BYTES) {
            let (mut request, mut response) = (BlkReq::default(), BlkResp::default());
            self.buffer[..part.len()].copy_from_slice(part);
            let data = &self.buffer[..part.len()];
            // SAFETY: request, data and response live until the completion below and are not touched.
            let token = unsafe {
                self.device
                    .write_blocks_nb(sector as usize, &mut request, data, &mut response)
            }
            .map_err(io::Error::other)?;
            self.wait(token)?;
            let data = &self.buffer[..part.len()];
            // SAFETY: the very buffers that the request was started with.
            unsafe {
                self.device
                    .complete_write_blocks(token, &request, data, &mut response)
            }
            .map_err(io::Error::other)?;
            sector += (part.len() / SECTOR_BYTES) as u64;
        }
        Ok(())
    }

    /// Makes the device's cache durable.
    pub fn flush(&mut self) -> io::Result<()> {
        self.device.flush().map_err(io::Error::other)
    }

    fn wait(&mut self, token: u16) -> io::Result<()> {
        while self.device.peek_used() != Some(token) {
            match &self.interrupt {
                Some(interrupt) => interrupt.wait()?,
                None => yield_now(),
            }
        }
        Ok(())
    }
}

/// Allocates an interrupt and connects it to queue 0; none when the device has no MSI-X.
fn connect_interrupt(space: &mut Ecam, at: Address) -> io::Result<Option<Interrupt>> {
    let Some(common) = common_registers(space, at)? else {
        return Ok(None);
    };
    let interrupt = Interrupt::allocate()?;
    if !enable_msix(space, at, interrupt.message)? {
        return Ok(None);
    }
    common.write16(COMMON_QUEUE_SELECT, 0);
    common.write16(COMMON_QUEUE_VECTOR, 0);
    let accepted = common.read16(COMMON_QUEUE_VECTOR) != NO_VECTOR;
    Ok(accepted.then_some(interrupt))
}

/// The common configuration registers (virtio 1.2, 4.1.4.3).
fn common_registers(space: &impl ConfigSpace, at: Address) -> io::Result<Option<Mapping>> {
    let vendor = pci::capabilities(space, at).filter(|c| c.id == CAPABILITY_VENDOR);
    for capability in vendor {
        let register = capability.register;
        let kind = (space.read(at, register) >> 24) as u8;
        let bar = space.read(at, register + 4) as u8;
        if kind == VIRTIO_COMMON
            && let Some(base) = pci::bar_address(space, at, bar)
        {
            let offset = u64::from(space.read(at, register + 8));
            let len = space.read(at, register + 12) as usize;
            return Mapping::physical(base + offset, len, Caching::Uncached).map(Some);
        }
    }
    Ok(None)
}
