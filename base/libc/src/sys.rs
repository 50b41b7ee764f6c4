//! The system-call instruction, and nothing else. Numbers and meaning: `valence_abi::syscall`.

use crate::Errno;
use core::arch::asm;
pub(crate) use valence_abi::syscall as nr;

/// Makes a system call.
///
/// # Safety
/// Pointers among the arguments must be valid for what the call does with them.
#[inline]
pub(crate) unsafe fn call(number: usize, a: usize, b: usize, c: usize) -> Result<usize, Errno> {
    let result: usize;
    // SAFETY: the kernel keeps every register but rax, rcx and r11; the caller vouches for the pointers.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    valence_abi::errno::decode(result)
}

/// Makes a system call with up to six arguments.
///
/// # Safety
/// As for [`call`].
#[inline]
pub(crate) unsafe fn call6(number: usize, args: [usize; 6]) -> Result<usize, Errno> {
    let result: usize;
    // SAFETY: as in `call`.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
             in("r10") args[3], in("r8") args[4], in("r9") args[5],
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    valence_abi::errno::decode(result)
}

/// `syscall!(NAME, args…)`: the call `valence_abi::syscall::NAME` with arguments cast to words. Needs an unsafe context.
macro_rules! syscall {
    ($name:ident) => { $crate::sys::call($crate::sys::nr::$name, 0, 0, 0) };
    ($name:ident, $a:expr) => { $crate::sys::call($crate::sys::nr::$name, $a as usize, 0, 0) };
    ($name:ident, $a:expr, $b:expr) => { $crate::sys::call($crate::sys::nr::$name, $a as usize, $b as usize, 0) };
    ($name:ident, $a:expr, $b:expr, $c:expr) => {
        $crate::sys::call($crate::sys::nr::$name, $a as usize, $b as usize, $c as usize)
    };
    ($name:ident, $a:expr, $b:expr, $c:expr, $d:expr) => {
        $crate::sys::call6($crate::sys::nr::$name, [$a as usize, $b as usize, $c as usize, $d as usize, 0, 0])
    };
    ($name:ident, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        $crate::sys::call6($crate::sys::nr::$name, [$a as usize, $b as usize, $c as usize, $d as usize, $e as usize, 0])
    };
    ($name:ident, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr) => {
        $crate::sys::call6($crate::sys::nr::$name,
            [$a as usize, $b as usize, $c as usize, $d as usize, $e as usize, $f as usize])
    };
}
