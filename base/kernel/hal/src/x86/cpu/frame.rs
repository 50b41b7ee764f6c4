//! What the entry code leaves on the kernel stack: the user registers, in one form for system calls and interrupts.

use kernel_core::machine::Registers;

use crate::page_entry;

/// Saved state at the top of a kernel stack. The order is that of the pushes in `vectors`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(in crate::x86) struct Frame {
    pub(in crate::x86) rax: u64,
    pub(in crate::x86) rbx: u64,
    pub(in crate::x86) rcx: u64,
    pub(in crate::x86) rdx: u64,
    pub(in crate::x86) rsi: u64,
    pub(in crate::x86) rdi: u64,
    pub(in crate::x86) rbp: u64,
    pub(in crate::x86) r8: u64,
    pub(in crate::x86) r9: u64,
    pub(in crate::x86) r10: u64,
    pub(in crate::x86) r11: u64,
    pub(in crate::x86) r12: u64,
    pub(in crate::x86) r13: u64,
    pub(in crate::x86) r14: u64,
    pub(in crate::x86) r15: u64,
    pub(in crate::x86) vector: u64,
    pub(in crate::x86) code: u64,
    pub(in crate::x86) rip: u64,
    pub(in crate::x86) cs: u64,
    pub(in crate::x86) rflags: u64,
    pub(in crate::x86) rsp: u64,
    pub(in crate::x86) ss: u64,
}

const _: () = assert!(size_of::<Frame>() == super::vectors::FRAME_BYTES);

/// Kernel code selector.
pub(in crate::x86) const KERNEL_CODE: u16 = 0x08;
/// Kernel data selector.
pub(in crate::x86) const KERNEL_DATA: u16 = 0x10;
/// User data selector. `sysret` wants it just below the code selector.
pub(in crate::x86) const USER_DATA: u16 = 0x20 | 3;
/// User code selector.
pub(in crate::x86) const USER_CODE: u16 = 0x28 | 3;

/// How to go back to user mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(in crate::x86) enum Leave {
    /// `iretq`: every register as given.
    Interrupt = 0,
    /// `sysretq`: faster, but takes rip from rcx and the flags from r11.
    Call = 1,
}

/// Carry, parity, adjust, zero, sign, trap, direction, overflow, nested task is left out, resume is left out,
/// alignment check, identification.
const USER_FLAGS: u64 = 0x0024_0DD5;
const INTERRUPTS_ON: u64 = 1 << 9;
const ALWAYS_ONE: u64 = 1 << 1;
const TRAP_FLAG: u64 = 1 << 8;

/// Fetching from here faults in user mode: what a return to a non-canonical address is turned into.
const NOWHERE: u64 = 0xFFFF_FFFF_FFFF_F000;

impl Frame {
    /// The user registers.
    pub(in crate::x86) fn registers(&self) -> Registers {
        Registers {
            rax: self.rax,
            rbx: self.rbx,
            rcx: self.rcx,
            rdx: self.rdx,
            rsi: self.rsi,
            rdi: self.rdi,
            rbp: self.rbp,
            r8: self.r8,
            r9: self.r9,
            r10: self.r10,
            r11: self.r11,
            r12: self.r12,
            r13: self.r13,
            r14: self.r14,
            r15: self.r15,
            rip: self.rip,
            rsp: self.rsp,
            rflags: self.rflags,
        }
    }

    /// Puts user registers in place, corrected so that leaving cannot fault, and says how to leave.
    pub(in crate::x86) fn set(&mut self, r: &Registers) -> Leave {
        let canonical = (r.rip << 16) as i64 >> 16 == r.rip as i64;
        *self = Self {
            rax: r.rax,
            rbx: r.rbx,
            rcx: r.rcx,
            rdx: r.rdx,
            rsi: r.rsi,
            rdi: r.rdi,
            rbp: r.rbp,
            r8: r.r8,
            r9: r.r9,
            r10: r.r10,
            r11: r.r11,
            r12: r.r12,
            r13: r.r13,
            r14: r.r14,
            r15: r.r15,
            vector: 0,
            code: 0,
            rip: if canonical { r.rip } else { NOWHERE },
            cs: USER_CODE.into(),
            rflags: (r.rflags & USER_FLAGS) | INTERRUPTS_ON | ALWAYS_ONE,
            rsp: r.rsp,
            ss: USER_DATA.into(),
        };
        self.way()
    }

    fn way(&self) -> Leave {
        let user = page_entry::is_user(kernel_core::machine::Page(self.rip >> 12));
        let exact = self.rcx == self.rip && self.r11 == self.rflags;
        if user && exact && self.rflags & TRAP_FLAG == 0 {
            Leave::Call
        } else {
            Leave::Interrupt
        }
    }
}
