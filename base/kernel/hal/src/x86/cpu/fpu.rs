//! Floating-point and vector registers of threads: saved, loaded, and taken from user space.
//!
//! Kernel code is compiled without floating point, so the registers of the current thread stay live through every trap; the
//! kernel above saves and loads them when it switches threads. A state from user space is corrected first: loading
//! reserved bits would fault inside the kernel (Intel SDM vol. 1, 13.8 and 10.5.1.2).

use core::arch::asm;

use alloc::boxed::Box;

use super::features::Features;

/// Saved state. Its size is that of the machine's XSAVE area, or 512.
pub struct Fpu(Box<[Block]>);

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Block([u8; 64]);

const CONTROL: usize = 0;
const MXCSR: usize = 24;
const MXCSR_MASK: usize = 28;
const HEADER: usize = 512;
const HEADER_END: usize = 576;

const DEFAULT_CONTROL: u16 = 0x037F;
const DEFAULT_MXCSR: u32 = 0x1F80;
/// The mask on CPUs that report none.
const OLD_MXCSR_MASK: u32 = 0xFFBF;

impl core::fmt::Debug for Fpu {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Fpu")
            .field("len", &(self.0.len() * 64))
            .finish()
    }
}

impl Fpu {
    /// The state of a thread that has used no floating point.
    pub(in crate::x86) fn new(features: &Features) -> Self {
        let blocks = features.fpu_bytes.div_ceil(64);
        let mut this = Self(alloc::vec![Block([0; 64]); blocks].into_boxed_slice());
        let bytes = this.bytes_mut();
        bytes[CONTROL..CONTROL + 2].copy_from_slice(&DEFAULT_CONTROL.to_le_bytes());
        bytes[MXCSR..MXCSR + 4].copy_from_slice(&DEFAULT_MXCSR.to_le_bytes());
        this
    }

    /// Saves this CPU's registers.
    pub(in crate::x86) fn save(&mut self, features: &Features) {
        assert!(self.0.len() * 64 >= features.fpu_bytes);
        let to = self.0.as_mut_ptr();
        let (low, high) = (features.xcr0 as u32, (features.xcr0 >> 32) as u32);
        // SAFETY: the area is 64-byte aligned and as long as the state that XCR0 (512 bytes without XSAVE) selects.
        unsafe {
            if features.xsave {
                asm!("xsave64 [{}]", in(reg) to, in("eax") low, in("edx") high, options(nostack));
            } else {
                asm!("fxsave64 [{}]", in(reg) to, options(nostack));
            }
        }
    }

    /// Loads this CPU's registers.
    pub(in crate::x86) fn load(&self, features: &Features) {
        assert!(self.0.len() * 64 >= features.fpu_bytes);
        let from = self.0.as_ptr();
        let (low, high) = (features.xcr0 as u32, (features.xcr0 >> 32) as u32);
        // SAFETY: length and alignment as in `save`; the contents come from `save`, `new` or `set_bytes`, none of which
        // leaves a reserved bit set, so the load cannot fault. Kernel code keeps nothing in these registers.
        unsafe {
            if features.xsave {
                asm!("xrstor64 [{}]", in(reg) from, in("eax") low, in("edx") high, options(nostack));
            } else {
                asm!("fxrstor64 [{}]", in(reg) from, options(nostack));
            }
        }
    }

    /// The state as bytes.
    pub(in crate::x86) fn bytes(&self) -> &[u8] {
        // SAFETY: `Block` is 64 plain bytes without padding.
        unsafe { core::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 64) }
    }

    /// Replaces the state by bytes from user space, corrected; missing bytes are 0.
    pub(in crate::x86) fn set_bytes(&mut self, from: &[u8], features: &Features, mxcsr_mask: u32) {
        let bytes = self.bytes_mut();
        let len = from.len().min(bytes.len());
        bytes.fill(0);
        bytes[..len].copy_from_slice(&from[..len]);
        let at = MXCSR..MXCSR + 4;
        let mxcsr = u32::from_le_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]) & mxcsr_mask;
        bytes[at].copy_from_slice(&mxcsr.to_le_bytes());
        if features.xsave {
            let mut used = [0; 8];
            used.copy_from_slice(&bytes[HEADER..HEADER + 8]);
            let used = u64::from_le_bytes(used) & features.xcr0;
            bytes[HEADER..HEADER_END].fill(0);
            bytes[HEADER..HEADER + 8].copy_from_slice(&used.to_le_bytes());
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.0.len() * 64;
        // SAFETY: `Block` is 64 plain bytes without padding.
        unsafe { core::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) }
    }
}

/// The MXCSR bits that this CPU allows.
pub(in crate::x86) fn mxcsr_mask(features: &Features) -> u32 {
    let mut state = Fpu::new(features);
    state.save(features);
    let bytes = state.bytes();
    let mask = u32::from_le_bytes([
        bytes[MXCSR_MASK],
        bytes[MXCSR_MASK + 1],
        bytes[MXCSR_MASK + 2],
        bytes[MXCSR_MASK + 3],
    ]);
    if mask == 0 { OLD_MXCSR_MASK } else { mask }
}
