//! What the entry code leaves on the kernel stack: the user registers, in one form for system calls and interrupts.

use kernel_core::machine::Registers;

use crate::page_entry;

/// Saved state at the top of a kernel stack. The order is that of the pushes in `vectors`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[allow(missing_docs, reason = "register names, and what the CPU pushes")]
pub struct Frame {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub vector: u64,
    pub code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Bytes of a `Frame`.
pub const FRAME_BYTES: usize = size_of::<Frame>();

/// Kernel code selector.
pub const KERNEL_CODE: u16 = 0x08;
/// Kernel data selector.
pub const KERNEL_DATA: u16 = 0x10;
/// User data selector. `sysret` wants it just below the code selector.
pub const USER_DATA: u16 = 0x20 | 3;
/// User code selector.
pub const USER_CODE: u16 = 0x28 | 3;

/// How to go back to user mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Leave {
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
    /// Writes the user registers to their place (field by field: a whole value would be copied twice).
    pub fn store(&self, to: &mut Registers) {
        to.rax = self.rax;
        to.rbx = self.rbx;
        to.rcx = self.rcx;
        to.rdx = self.rdx;
        to.rsi = self.rsi;
        to.rdi = self.rdi;
        to.rbp = self.rbp;
        to.r8 = self.r8;
        to.r9 = self.r9;
        to.r10 = self.r10;
        to.r11 = self.r11;
        to.r12 = self.r12;
        to.r13 = self.r13;
        to.r14 = self.r14;
        to.r15 = self.r15;
        to.rip = self.rip;
        to.rsp = self.rsp;
        to.rflags = self.rflags;
    }

    /// Puts user registers in place, corrected so that leaving cannot fault, and says how to leave.
    pub fn set(&mut self, r: &Registers) -> Leave {
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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn frame() -> Frame {
        // SAFETY: `Frame` is integers only.
        unsafe { core::mem::zeroed() }
    }

    fn syscall_registers() -> Registers {
        let (rip, rflags) = (0x40_0002, 0x246);
        Registers {
            rip,
            rflags,
            rcx: rip,
            r11: rflags,
            ..Registers::default()
        }
    }

    #[test]
    fn a_system_call_goes_back_the_fast_way_with_registers_unchanged() {
        let mut f = frame();
        let r = Registers {
            rax: 1,
            r15: 15,
            rsp: 0x7FFF_0000,
            rbp: 6,
            ..syscall_registers()
        };
        assert_eq!(f.set(&r), Leave::Call);
        let mut stored = Registers::default();
        f.store(&mut stored);
        assert_eq!(stored, r);
        assert_eq!((f.cs, f.ss), (0x2B, 0x23));
    }

    #[test]
    fn any_other_rcx_r11_or_single_stepping_takes_the_full_way() {
        for change in [
            |r: &mut Registers| r.rcx += 1,
            |r: &mut Registers| r.r11 ^= 1,
            |r: &mut Registers| {
                r.rflags |= TRAP_FLAG;
                r.r11 |= TRAP_FLAG;
            },
        ] {
            let mut r = syscall_registers();
            change(&mut r);
            assert_eq!(frame().set(&r), Leave::Interrupt);
        }
    }

    #[test]
    fn the_fast_way_is_never_taken_to_an_address_that_could_fault_in_the_kernel() {
        for rip in [
            0x7FFF_FFFF_F000,
            0x8000_0000_0000,
            0xFFFF_FFFF_FFFF_0000,
            u64::MAX >> 1,
        ] {
            let r = Registers {
                rip,
                rcx: rip,
                ..syscall_registers()
            };
            assert_eq!(frame().set(&r), Leave::Interrupt, "{rip:#x}");
        }
    }

    #[test]
    fn a_return_to_a_non_canonical_address_faults_in_user_mode() {
        let mut f = frame();
        f.set(&Registers {
            rip: 0x8000_0000_0000,
            ..Registers::default()
        });
        assert_eq!(f.rip, NOWHERE);
    }

    #[test]
    fn flags_that_belong_to_the_kernel_cannot_be_set() {
        let mut f = frame();
        f.set(&Registers {
            rflags: u64::MAX,
            ..Registers::default()
        });
        const IO_PRIVILEGE: u64 = 3 << 12;
        const VIRTUAL: u64 = 7 << 17;
        assert_eq!(
            f.rflags & (IO_PRIVILEGE | (VIRTUAL & !(1 << 18)) | 1 << 14 | 1 << 16),
            0
        );
        f.set(&Registers::default());
        assert_eq!(f.rflags, INTERRUPTS_ON | ALWAYS_ONE);
    }
}
