//! Message-signalled interrupts: a file whose read waits for the next one.

use std::io;

use libredox::Fd;
use libredox::flag::{O_CLOEXEC, O_RDWR};
use syscall::flag::CallFlags;

use crate::memory::{Caching, Mapping};
use crate::pci::{self, Address, ConfigSpace};

/// An allocated interrupt.
pub struct Interrupt {
    fd: Fd,
    /// What the device writes, and where, to raise it.
    pub message: Message,
}

/// Address and data of a message-signalled interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where the device writes.
    pub address: u64,
    /// What it writes.
    pub data: u32,
}

impl Interrupt {
    /// Takes a free interrupt from the kernel.
    pub fn allocate() -> io::Result<Interrupt> {
        let fd = Fd::open("/scheme/irq/msi", O_CLOEXEC | O_RDWR, 0)?;
        let mut answer = [0u8; 16];
        fd.call_ro(&mut answer, CallFlags::empty(), &[])?;
        let [address, data] = [0, 8].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&answer[at..at + 8]);
            u64::from_le_bytes(word)
        });
        Ok(Interrupt {
            fd,
            message: Message {
                address,
                data: data as u32,
            },
        })
    }

    /// Waits for the next interrupt, or takes those that came since the last wait.
    pub fn wait(&self) -> io::Result<()> {
        let mut count = [0u8; 8];
        self.fd.read(&mut count)?;
        Ok(())
    }
}

const CAPABILITY_MSIX: u8 = 0x11;
const MSIX_ENABLE: u32 = 1 << 31;
const MSIX_MASK_ALL: u32 = 1 << 30;
const MSIX_ENTRY_BYTES: usize = 16;

/// Points entry 0 of the function's MSI-X table at `message` and switches MSI-X on. False when the function
/// has none.
pub fn enable_msix(
    space: &mut impl ConfigSpace,
    function: Address,
    message: Message,
) -> io::Result<bool> {
    let Some(at) = pci::capabilities(space, function).find(|c| c.id == CAPABILITY_MSIX) else {
        return Ok(false);
    };
    let table = space.read(function, at.register + 4);
    let Some(base) = pci::bar_address(space, function, (table & 7) as u8) else {
        return Ok(false);
    };
    let entry = base + u64::from(table & !7);
    let registers = Mapping::physical(entry, MSIX_ENTRY_BYTES, Caching::Uncached)?;
    registers.write32(0, message.address as u32);
    registers.write32(4, (message.address >> 32) as u32);
    registers.write32(8, message.data);
    // Vector control: bit 0 masks the entry.
    registers.write32(12, 0);
    let control = space.read(function, at.register);
    space.write(
        function,
        at.register,
        control & !MSIX_MASK_ALL | MSIX_ENABLE,
    );
    Ok(true)
}
