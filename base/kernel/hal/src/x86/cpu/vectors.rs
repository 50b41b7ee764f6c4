//! The way into the kernel and out of it, in assembly.
//!
//! Every entry from user mode ends with a `Frame` at the top of this CPU's kernel stack and a call of `trap_user`; its answer
//! says how to leave. An interrupt from kernel mode can only come while the CPU idles, where nothing on the stack is worth
//! keeping: `trap_idle` starts again at the top of the stack. So no kernel stack ever holds more than one entry, except
//! for two handlers that touch nothing but atomics (`poke_entry`, `nmi_entry`) and return where they came from.
//! An exception in kernel mode is a bug and goes to the panic.

use core::arch::global_asm;
use core::mem::offset_of;

use super::local::{SCRATCH, STACK_TOP};
use crate::frame::{FRAME_BYTES, Frame, USER_CODE, USER_DATA};
use crate::x86::dispatch;
use crate::x86::panic::{self, STOPPED};

/// Non-maskable interrupt: the panic stops CPUs with it.
pub(in crate::x86) const NMI: usize = 2;
/// A fault while a fault was delivered.
pub(in crate::x86) const DOUBLE_FAULT: usize = 8;
/// Page fault.
pub(in crate::x86) const PAGE_FAULT: u64 = 14;
/// The hardware is broken.
pub(in crate::x86) const MACHINE_CHECK: usize = 18;
/// First vector that is not an exception.
pub(in crate::x86) const FIRST_INTERRUPT: u64 = 32;
/// Local timer.
pub(in crate::x86) const TIMER: u8 = 0x20;
/// Another CPU wants this one to schedule.
pub(in crate::x86) const KICK: u8 = 0x21;
/// Another CPU wants this one to drop its translations or to look again at what it waits for. In the highest priority
/// class, so that it alone comes through while `halt_for_poke` waits.
pub(in crate::x86) const POKE: u8 = 0xF0;
/// COM1; COM2 follows.
pub(in crate::x86) const SERIAL: u8 = 0x23;
/// Keyboard.
pub(in crate::x86) const KEYBOARD: u8 = 0x25;
/// Mouse.
pub(in crate::x86) const MOUSE: u8 = 0x26;
/// First message-signalled interrupt.
pub(in crate::x86) const MSI: u8 = 0x40;
/// Raised by a controller that changed its mind.
pub(in crate::x86) const SPURIOUS: u8 = 0xFF;
/// Not a vector of the CPU: a system call.
pub(in crate::x86) const SYSCALL: u64 = 0x100;
/// Not a vector of the CPU: its first entry.
pub(in crate::x86) const START: u64 = 0x101;

unsafe extern "C" {
    static trap_stubs: u8;
    fn nmi_entry();
    fn poke_entry();
    fn double_fault_entry();
    fn machine_check_entry();
    /// Where `syscall` goes.
    pub(in crate::x86) fn syscall_entry();
    /// Drops the stack and calls `trap_idle` with this vector. Needs the kernel's GS.
    pub(in crate::x86) fn enter_fresh(vector: u64) -> !;
    /// Drops the stack and waits for interrupts. Needs the kernel's GS, and the kernel lock free.
    pub(in crate::x86) fn idle() -> !;
    /// Halts until [`POKE`] (or an NMI) came; one that is pending already ends it at once. Every other interrupt waits.
    pub(in crate::x86) fn halt_for_poke();
}

const STUB_BYTES: usize = 16;

/// The handler of a vector.
pub(in crate::x86) fn handler(vector: usize) -> u64 {
    match vector {
        NMI => nmi_entry as *const () as u64,
        DOUBLE_FAULT => double_fault_entry as *const () as u64,
        MACHINE_CHECK => machine_check_entry as *const () as u64,
        v if v == usize::from(POKE) => poke_entry as *const () as u64,
        _ => (&raw const trap_stubs as usize + vector * STUB_BYTES) as u64,
    }
}

// The pushes give the order of `Frame`, last field first.
global_asm!(
    ".macro save_registers",
    "push r15", "push r14", "push r13", "push r12", "push r11", "push r10", "push r9", "push r8",
    "push rbp", "push rdi", "push rsi", "push rdx", "push rcx", "push rbx", "push rax",
    ".endm",
    ".macro load_registers",
    "pop rax", "pop rbx", "pop rcx", "pop rdx", "pop rsi", "pop rdi", "pop rbp",
    "pop r8", "pop r9", "pop r10", "pop r11", "pop r12", "pop r13", "pop r14", "pop r15",
    ".endm",

    // One stub for each vector, 16 bytes each. Vectors without an error code push 0 in its place.
    ".balign 16",
    ".globl trap_stubs",
    "trap_stubs:",
    ".set vector, 0",
    ".rept 256",
    "  .balign 16",
    "  .if (vector != 8) && (vector != 17) && (vector != 21) && (vector != 29) && (vector != 30) && ((vector < 10) || (vector > 14))",
    "    push 0",
    "  .endif",
    "  push vector",
    "  jmp trap_common",
    "  .set vector, vector + 1",
    ".endr",

    ".balign 16",
    "trap_common:",
    "save_registers",
    "test byte ptr [rsp + {cs}], 3",
    "jz 2f",
    "swapgs",
    // Clears what user mode may have set: alignment check (which would lift SMAP), direction, nested task.
    "push 2",
    "popfq",
    "mov rdi, rsp",
    "xor ebp, ebp",
    "call {trap_user}",
    "jmp leave",
    "2:",
    "mov rdi, [rsp + {vector}]",
    "cmp rdi, {first_interrupt}",
    "jae enter_fresh",
    "mov rdi, rsp",
    "call {trap_kernel}",
    "ud2",

    ".balign 16",
    ".globl syscall_entry",
    "syscall_entry:",
    "swapgs",
    "mov gs:[{scratch}], rsp",
    "mov rsp, gs:[{stack_top}]",
    "push {user_data}",
    "push qword ptr gs:[{scratch}]",
    "push r11",
    "push {user_code}",
    "push rcx",
    "push 0",
    "push {syscall}",
    "save_registers",
    "mov rdi, rsp",
    "xor ebp, ebp",
    "call {trap_user}",
    // fall through

    "leave:",
    "test eax, eax",
    "load_registers",
    "jnz 3f",
    "add rsp, 16",
    "swapgs",
    "iretq",
    "3:",
    // rcx and r11 hold rip and flags already; interrupts are off until `sysretq` loads the flags.
    "mov rsp, [rsp + 40]",
    "swapgs",
    "sysretq",

    ".balign 16",
    ".globl enter_fresh",
    "enter_fresh:",
    "cld",
    "mov rsi, rdi",
    "mov rsp, gs:[{stack_top}]",
    "sub rsp, {frame_bytes}",
    "mov rdi, rsp",
    "xor ebp, ebp",
    "call {trap_idle}",
    "jmp leave",

    ".globl idle",
    "idle:",
    "mov rsp, gs:[{stack_top}]",
    "xor ebp, ebp",
    // `sti` takes effect after `hlt` has begun, so no interrupt is lost between them.
    "4: sti",
    "hlt",
    "cli",
    "jmp 4b",

    // The task priority in CR8 holds back all classes below that of the poke.
    ".balign 16",
    ".globl halt_for_poke",
    "halt_for_poke:",
    "mov eax, 14",
    "mov cr8, rax",
    "sti",
    "hlt",
    "cli",
    "xor eax, eax",
    "mov cr8, rax",
    "ret",

    ".balign 16",
    ".globl poke_entry",
    "poke_entry:",
    "push 0",
    "push 0",
    "save_registers",
    "test byte ptr [rsp + {cs}], 3",
    "jz 5f",
    "swapgs",
    "5:",
    "push 2",
    "popfq",
    "call {poked}",
    "test byte ptr [rsp + {cs}], 3",
    "jz 6f",
    "swapgs",
    "6:",
    "load_registers",
    "add rsp, 16",
    "iretq",

    // Uses nothing of the interrupted code: not its GS, not its stack.
    ".balign 16",
    ".globl nmi_entry",
    "nmi_entry:",
    "cmp byte ptr [rip + {stopped}], 0",
    "jne 7f",
    "iretq",
    "7: cli",
    "hlt",
    "jmp 7b",

    // Double fault (its error code is always 0) and machine check (which has none): both only report.
    ".balign 16",
    ".globl double_fault_entry",
    "double_fault_entry:",
    "push {double_fault}",
    "jmp 8f",
    ".globl machine_check_entry",
    "machine_check_entry:",
    "push 0",
    "push {machine_check}",
    "8: save_registers",
    "cld",
    "mov rdi, rsp",
    "call {fatal}",
    "ud2",

    cs = const offset_of!(Frame, cs),
    vector = const offset_of!(Frame, vector),
    first_interrupt = const FIRST_INTERRUPT,
    scratch = const SCRATCH,
    stack_top = const STACK_TOP,
    user_data = const USER_DATA,
    user_code = const USER_CODE,
    syscall = const SYSCALL,
    frame_bytes = const FRAME_BYTES,
    double_fault = const DOUBLE_FAULT,
    machine_check = const MACHINE_CHECK,
    trap_user = sym dispatch::trap_user,
    trap_idle = sym dispatch::trap_idle,
    trap_kernel = sym panic::trap_kernel,
    fatal = sym panic::trap_fatal,
    poked = sym dispatch::poked,
    stopped = sym STOPPED,
);
