//! C's variable arguments on x86_64: the layout of `va_list`, and the way from a variadic call to a function that takes
//! one. <https://gitlab.com/x86-psABIs/x86-64-ABI> (section 3.5.7)
//!
//! Stable Rust cannot define variadic functions, so each one is a few instructions that store the argument registers,
//! build a `va_list` and call the function of the same name with `v`.

use crate::printf::Arguments;
use crate::types::*;
use core::slice;

/// Bytes of general and of all argument registers in the save area.
const GENERAL_END: u32 = 48;
const VECTOR_END: u32 = 176;

/// `va_list`: where the next argument is.
#[repr(C)]
pub(crate) struct VaList {
    general: u32,
    vector: u32,
    overflow: *const u64,
    saved: *const u8,
}

impl VaList {
    fn next(&mut self) -> u64 {
        // SAFETY: the list was built by a caller for the arguments that the format names, as printf's page demands.
        unsafe {
            if self.general < GENERAL_END {
                let value = self.saved.add(self.general as usize).cast::<u64>().read();
                self.general += 8;
                return value;
            }
            self.overflowing()
        }
    }

    /// # Safety
    /// Another argument must have been passed in memory.
    unsafe fn overflowing(&mut self) -> u64 {
        // SAFETY: as the caller says.
        unsafe {
            let value = self.overflow.read();
            self.overflow = self.overflow.add(1);
            value
        }
    }
}

impl Arguments for VaList {
    fn integer(&mut self) -> u64 {
        self.next()
    }

    fn double(&mut self) -> f64 {
        // SAFETY: as for `next`.
        unsafe {
            if self.vector < VECTOR_END {
                let value = self.saved.add(self.vector as usize).cast::<f64>().read();
                self.vector += 16;
                return value;
            }
            f64::from_bits(self.overflowing())
        }
    }

    fn string(&mut self, limit: usize) -> &[u8] {
        let text = self.next() as *const u8;
        if text.is_null() {
            return b"(null)";
        }
        // SAFETY: a C string, or at least `limit` bytes.
        unsafe { slice::from_raw_parts(text, crate::string::strnlen(text, limit)) }
    }

    fn store_count(&mut self, count: usize, size: usize) {
        let out = self.next() as *mut u8;
        let bytes = (count as u64).to_le_bytes();
        // SAFETY: the caller's integer of that size.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), out, size.min(bytes.len())) };
    }
}

/// Defines a variadic function with `$fixed` named arguments, in registers, that calls `$target` with the list as the
/// argument after them, in register `$list`.
macro_rules! variadic {
    ($($name:ident($fixed:literal, $list:literal) => $target:ident;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`: stores its arguments for `", stringify!($target), "`.")]
            ///
            /// # Safety
            /// As the function's POSIX page says.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn $name() {
                core::arch::naked_asm!(
                    // 176 bytes of registers, 24 of va_list, and 8 to align.
                    "sub rsp, 216",
                    "mov [rsp], rdi", "mov [rsp + 8], rsi", "mov [rsp + 16], rdx",
                    "mov [rsp + 24], rcx", "mov [rsp + 32], r8", "mov [rsp + 40], r9",
                    "movaps [rsp + 48], xmm0", "movaps [rsp + 64], xmm1", "movaps [rsp + 80], xmm2",
                    "movaps [rsp + 96], xmm3", "movaps [rsp + 112], xmm4", "movaps [rsp + 128], xmm5",
                    "movaps [rsp + 144], xmm6", "movaps [rsp + 160], xmm7",
                    "mov dword ptr [rsp + 176], 8 * {fixed}",
                    "mov dword ptr [rsp + 180], 48",
                    "lea rax, [rsp + 224]", "mov [rsp + 184], rax",
                    "mov [rsp + 192], rsp",
                    concat!("lea ", $list, ", [rsp + 176]"),
                    "call {target}",
                    "add rsp, 216",
                    "ret",
                    fixed = const $fixed,
                    target = sym $target,
                )
            }
        )*
    };
}

use super::print::{vasprintf, vdprintf, vfprintf, vprintf, vsnprintf, vsprintf, vsyslog};

variadic! {
    printf(1, "rsi") => vprintf;
    fprintf(2, "rdx") => vfprintf;
    dprintf(2, "rdx") => vdprintf;
    sprintf(2, "rdx") => vsprintf;
    snprintf(3, "rcx") => vsnprintf;
    asprintf(2, "rdx") => vasprintf;
    syslog(2, "rdx") => vsyslog;
}

const _: () = assert!(size_of::<VaList>() == 24 && size_of::<c_int>() == 4);
