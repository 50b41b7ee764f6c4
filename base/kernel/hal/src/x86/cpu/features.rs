//! What the CPU can do, and switching it on.
//!
//! Required: NX, SSE2, FXSAVE, `syscall` (every x86_64 CPU since 2004). Used when present: SMEP, SMAP, UMIP, XSAVE with AVX
//! and AVX-512, 1 GiB pages, RDRAND.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};

use alloc::string::String;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::Msr;
use x86_64::registers::xcontrol::XCr0;

use super::vectors;
use crate::frame::{KERNEL_CODE, USER_DATA};

/// Optional features of this machine (the first CPU speaks for all).
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::x86) struct Features {
    pub(in crate::x86) smep: bool,
    pub(in crate::x86) smap: bool,
    pub(in crate::x86) umip: bool,
    pub(in crate::x86) xsave: bool,
    pub(in crate::x86) rdrand: bool,
    pub(in crate::x86) large_pages: bool,
    /// Vector state that XSAVE handles, as bits of XCR0.
    pub(in crate::x86) xcr0: u64,
    /// Bytes of the saved floating-point state.
    pub(in crate::x86) fpu_bytes: usize,
}

impl Features {
    /// Asks this CPU.
    pub(in crate::x86) fn detect() -> Self {
        let max = __cpuid(0).eax;
        let basic = __cpuid(1);
        let structured = if max >= 7 {
            __cpuid_count(7, 0)
        } else {
            __cpuid(0x8000_0000)
        };
        let has7 = max >= 7;
        let extended = __cpuid(0x8000_0001);
        let bit = |word: u32, n: u32| word >> n & 1 != 0;
        let mut this = Self {
            smep: has7 && bit(structured.ebx, 7),
            smap: has7 && bit(structured.ebx, 20),
            umip: has7 && bit(structured.ecx, 2),
            xsave: bit(basic.ecx, 26) && max >= 0xD,
            rdrand: bit(basic.ecx, 30),
            large_pages: bit(extended.edx, 26),
            xcr0: 0,
            fpu_bytes: FXSAVE_BYTES,
        };
        assert!(
            bit(extended.edx, 20),
            "this CPU has no NX (execute-disable); it may be off in the firmware"
        );
        if this.xsave {
            this.size_xsave();
        }
        this
    }

    fn size_xsave(&mut self) {
        const X87_SSE: u64 = 0b11;
        const AVX: u64 = 0b100;
        const AVX512: u64 = 0b1110_0000;
        let supported = __cpuid_count(0xD, 0).eax;
        self.xcr0 = X87_SSE;
        for group in [AVX, AVX512] {
            if u64::from(supported) & group == group {
                self.xcr0 |= group;
            } else {
                break;
            }
        }
        // Standard format: 512 + 64 bytes, then each component where CPUID puts it.
        let component = |i: u32| __cpuid_count(0xD, i);
        let ends = (2..8)
            .filter(|i| self.xcr0 >> i & 1 != 0)
            .map(|i| component(i).eax + component(i).ebx);
        self.fpu_bytes = ends.max().unwrap_or(0).max(576) as usize;
    }

    /// Sets this CPU's control registers. `syscall` enters the kernel from here on.
    pub(in crate::x86) fn enable(&self) {
        let mut cr0 = Cr0::read();
        cr0.remove(Cr0Flags::EMULATE_COPROCESSOR | Cr0Flags::TASK_SWITCHED);
        cr0.remove(Cr0Flags::CACHE_DISABLE | Cr0Flags::NOT_WRITE_THROUGH);
        cr0.insert(
            Cr0Flags::MONITOR_COPROCESSOR | Cr0Flags::NUMERIC_ERROR | Cr0Flags::WRITE_PROTECT,
        );
        // SAFETY: paging and protection stay on; the rest concerns floating point and caches.
        unsafe { Cr0::write(cr0) };

        let mut cr4 =
            Cr4::read() | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE | Cr4Flags::PAGE_GLOBAL;
        cr4.remove(Cr4Flags::FSGSBASE | Cr4Flags::PCID);
        cr4.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, self.smep);
        cr4.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, self.smap);
        cr4.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, self.umip);
        cr4.set(Cr4Flags::OSXSAVE, self.xsave);
        // SAFETY: only features that CPUID reports; the kernel touches no page of user mode, so SMEP and SMAP cost nothing.
        unsafe { Cr4::write(cr4) };
        if self.xsave {
            // SAFETY: bits that CPUID reports, x87 and SSE among them.
            unsafe { XCr0::write_raw(self.xcr0) };
        }
        enable_syscall();
        set_memory_types();
    }
}

/// Bytes that FXSAVE writes.
const FXSAVE_BYTES: usize = 512;

fn enable_syscall() {
    const STAR: u32 = 0xC000_0081;
    const LSTAR: u32 = 0xC000_0082;
    const CSTAR: u32 = 0xC000_0083;
    const FMASK: u32 = 0xC000_0084;
    // Trap, interrupt, direction, I/O privilege, nested task, resume, alignment check.
    const CLEARED_FLAGS: u64 = 0x0005_7700;
    // `sysret` takes SS = base + 8 and CS = base + 16.
    let base = u64::from(USER_DATA) - 8;
    let star = base << 48 | u64::from(KERNEL_CODE) << 32;
    // SAFETY: NX and `syscall` exist (checked in `detect`); the entry is the one written for it.
    unsafe {
        Efer::update(|efer| {
            efer.insert(EferFlags::SYSTEM_CALL_EXTENSIONS | EferFlags::NO_EXECUTE_ENABLE);
        });
        Msr::new(STAR).write(star);
        Msr::new(LSTAR).write(vectors::syscall_entry as *const () as u64);
        // `syscall` from 32-bit code (AMD only): there is no 32-bit user code segment, so it never comes.
        Msr::new(CSTAR).write(0);
        Msr::new(FMASK).write(CLEARED_FLAGS);
    }
}

/// Attribute entry 4 becomes write-combining; 0 to 3 keep their reset values (see `page_entry`).
fn set_memory_types() {
    const PAT: u32 = 0x277;
    const TYPES: u64 = 0x0007_0401_0007_0406;
    // SAFETY: no mapping uses entry 4 before this write; entries 0 to 3 do not change.
    unsafe { Msr::new(PAT).write(TYPES) };
}

/// A random word from the CPU. Call only if [`Features::rdrand`].
pub(in crate::x86) fn random() -> Option<u64> {
    const TRIES: usize = 16;
    (0..TRIES).find_map(|_| {
        let (value, ok): (u64, u8);
        // SAFETY: the instruction exists (the caller checked) and changes registers only.
        unsafe {
            asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) ok, options(nomem, nostack));
        }
        (ok != 0).then_some(value)
    })
}

/// The brand string, and the features that matter to programs.
pub(in crate::x86) fn describe(features: &Features) -> String {
    let mut name = [0u8; 48];
    if __cpuid(0x8000_0000).eax >= 0x8000_0004 {
        for (i, part) in name.chunks_exact_mut(16).enumerate() {
            let words = __cpuid(0x8000_0002 + i as u32);
            for (bytes, word) in part
                .chunks_exact_mut(4)
                .zip([words.eax, words.ebx, words.ecx, words.edx])
            {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
    let text = String::from_utf8_lossy(&name);
    let mut line = String::from(text.trim_matches(['\0', ' ']));
    let flags = [
        ("smep", features.smep),
        ("smap", features.smap),
        ("umip", features.umip),
        ("xsave", features.xsave),
        ("avx", features.xcr0 & 0b100 != 0),
        ("avx512", features.xcr0 & 0b1110_0000 != 0),
        ("rdrand", features.rdrand),
    ];
    for (flag, _) in flags.iter().filter(|(_, on)| *on) {
        line.push(' ');
        line.push_str(flag);
    }
    line
}
