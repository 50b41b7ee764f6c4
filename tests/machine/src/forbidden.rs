//! Instructions that belong to the kernel, jumps and accesses to its half, and system calls in odd states.

use std::arch::asm;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use guest_tests::client::own_program;
use guest_tests::{Group, OrFail, Outcome, check, group};

/// Tests of this module.
pub(crate) const GROUP: Group = group!(
    "machine-forbidden",
    guest_tests::DEFAULT_LIMIT,
    [
        privileged_instructions_end_the_program,
        interrupts_cannot_be_raised,
        the_kernels_half_is_out_of_reach,
        far_transfers_to_kernel_segments_end_the_program,
        running_out_of_stack_ends_the_program,
        writable_memory_cannot_be_executed,
        the_last_user_page_cannot_be_mapped,
        calls_in_odd_states_return,
        kernel_addresses_are_in_no_text,
    ]
);

/// What a child does.
type Deed = unsafe fn();

const KERNEL_MEMORY: u64 = 0xFFFF_8000_0000_0000;
const KERNEL_CODE: u64 = 0xFFFF_FFFF_8020_0000;
const NOT_CANONICAL: u64 = 0x0000_8000_0000_0000;
const YIELD: u64 = 0x30F;

macro_rules! deed {
    ($name:literal, $($assembly:tt)*) => {{
        unsafe fn deed() {
            // SAFETY: the child ends here, by a signal if the system is as it should be; nothing runs after it.
            unsafe { asm!($($assembly)*) }
        }
        ($name, deed as Deed)
    }};
}

fn privileged() -> Vec<(&'static str, Deed)> {
    vec![
        deed!("hlt", "hlt"),
        deed!("cli", "cli"),
        deed!("in", "in al, 0x60", out("al") _),
        deed!("out", "out 0x80, al", in("al") 0u8),
        deed!("in-with-io-privilege", "pushfq", "or qword ptr [rsp], 0x3000", "popfq", "in al, 0x60", out("al") _),
        deed!("read-cr3", "mov rax, cr3", out("rax") _),
        deed!("write-dr7", "mov dr7, rax"),
        deed!("wrmsr", "wrmsr", in("ecx") 0xC000_0082u32, in("eax") 0, in("edx") 0),
        deed!("swapgs", "swapgs"),
        deed!("sysret", "sysretq"),
        deed!("lgdt", "lgdt [{}]", in(reg) &[0u64; 2]),
        deed!("invlpg", "invlpg [{}]", in(reg) 0u64),
        deed!("xsetbv", "xsetbv", in("ecx") 0, in("eax") 7, in("edx") 0),
    ]
}

fn interrupts() -> Vec<(&'static str, Deed)> {
    vec![
        deed!("int-timer", "int 0x20"),
        deed!("int-flush", "int 0x22"),
        deed!("int-double-fault", "int 8"),
        deed!("int-nmi", "int 2"),
        deed!("int-linux", "int 0x80"),
        deed!("breakpoint", "int3"),
        deed!("single-step-into-a-call",
            "pushfq", "or qword ptr [rsp], 0x100", "popfq", "syscall", "nop",
            inout("rax") YIELD => _, out("rcx") _, out("r11") _),
    ]
}

fn kernel_half() -> Vec<(&'static str, Deed)> {
    vec![
        deed!("read-kernel-memory", "mov rax, [{}]", in(reg) KERNEL_MEMORY, out("rax") _),
        deed!("write-kernel-image", "mov [{}], rax", in(reg) KERNEL_CODE),
        deed!("jump-to-kernel", "jmp {}", in(reg) KERNEL_CODE),
        deed!("jump-nowhere", "jmp {}", in(reg) NOT_CANONICAL),
        deed!("call-nowhere", "call {}", in(reg) NOT_CANONICAL << 4),
        deed!("stack-nowhere", "mov rsp, {}", "push rax", in(reg) NOT_CANONICAL),
        deed!("read-through-gs", "mov {0:e}, 0x23", "mov gs, {0:e}", "mov rax, gs:[0]", out(reg) _, out("rax") _),
    ]
}

fn far_transfers() -> Vec<(&'static str, Deed)> {
    vec![
        deed!("far-return-to-data", "push 0x10", "push 0", "retfq"),
        deed!(
            "far-return-to-kernel",
            "push 0x8",
            "lea rax, [rip + 2f]",
            "push rax",
            "retfq",
            "2: hlt"
        ),
        deed!(
            "interrupt-return-to-kernel",
            "mov rcx, rsp",
            "push 0x10",
            "push rcx",
            "push 0x202",
            "push 0x8",
            "lea rax, [rip + 3f]",
            "push rax",
            "iretq",
            "3: hlt"
        ),
        deed!("kernel-stack-segment", "mov {0:e}, 0x10", "mov ss, {0:e}", out(reg) _),
    ]
}

fn odd_states() -> Vec<(&'static str, Deed)> {
    vec![
        deed!("alignment-check",
            "pushfq", "or qword ptr [rsp], 0x40000", "popfq", "syscall",
            "pushfq", "and qword ptr [rsp], ~0x40000", "popfq",
            inout("rax") YIELD => _, out("rcx") _, out("r11") _),
        deed!("direction", "std", "syscall", "cld", inout("rax") YIELD => _, out("rcx") _, out("r11") _),
        deed!("no-segments",
            "xor {0:e}, {0:e}", "mov ds, {0:e}", "mov es, {0:e}", "mov gs, {0:e}", "syscall",
            out(reg) _, inout("rax") YIELD => _, out("rcx") _, out("r11") _),
        deed!("stack-in-the-kernels-half",
            "mov r12, rsp", "mov rsp, {0}", "syscall", "mov rsp, r12",
            in(reg) KERNEL_MEMORY, inout("rax") YIELD => _, out("rcx") _, out("r11") _, out("r12") _),
        deed!("unknown-number", "syscall", inout("rax") u64::MAX => _, out("rcx") _, out("r11") _),
    ]
}

/// Plays the child: 0 if it survived the deed.
pub(crate) fn play(name: &str) -> i32 {
    match name {
        "deep" => return deep(1) as i32 & 1,
        "execute-data" => execute_data(),
        _ => {}
    }
    let all = [
        privileged(),
        interrupts(),
        kernel_half(),
        far_transfers(),
        odd_states(),
    ]
    .concat();
    let Some((_, deed)) = all.into_iter().find(|(deed, _)| *deed == name) else {
        return 2;
    };
    // SAFETY: this process exists to do it.
    unsafe { deed() };
    0
}

fn child(name: &str) -> Result<std::process::ExitStatus, String> {
    let mut command = Command::new(own_program());
    command
        .args(["--role", name])
        .stdin(Stdio::null())
        .status()
        .or_fail(name)
}

fn all_die(deeds: &[(&'static str, Deed)]) -> Outcome {
    for (name, _) in deeds {
        let status = child(name)?;
        if status.signal().is_none() {
            return Err(format!(
                "{name}: the child ended with {status}, not by a signal"
            ));
        }
    }
    Ok(())
}

fn privileged_instructions_end_the_program() -> Outcome {
    all_die(&privileged())
}

fn interrupts_cannot_be_raised() -> Outcome {
    all_die(&interrupts())
}

fn the_kernels_half_is_out_of_reach() -> Outcome {
    all_die(&kernel_half())
}

fn far_transfers_to_kernel_segments_end_the_program() -> Outcome {
    all_die(&far_transfers())
}

fn running_out_of_stack_ends_the_program() -> Outcome {
    check!(child("deep")?.signal().is_some());
    Ok(())
}

fn writable_memory_cannot_be_executed() -> Outcome {
    check!(child("execute-data")?.signal() == Some(libc::SIGSEGV));
    let both = libc::PROT_WRITE | libc::PROT_EXEC;
    check!(map(std::ptr::null_mut(), both, 0).is_null());
    Ok(())
}

fn the_last_user_page_cannot_be_mapped() -> Outcome {
    const LAST: usize = 0x7FFF_FFFF_F000;
    let protection = libc::PROT_READ | libc::PROT_EXEC;
    check!(map(LAST as *mut u8, protection, libc::MAP_FIXED).is_null());
    Ok(())
}

fn calls_in_odd_states_return() -> Outcome {
    for (name, _) in odd_states() {
        let status = child(name)?;
        if !status.success() {
            return Err(format!("{name}: the child ended with {status}"));
        }
    }
    Ok(())
}

fn kernel_addresses_are_in_no_text() -> Outcome {
    for entry in std::fs::read_dir("/scheme/sys")
        .or_fail("/scheme/sys")?
        .flatten()
    {
        let Ok(text) = std::fs::read_to_string(entry.path()) else {
            continue;
        };
        // The log tells at which address a program faulted, and the tests above chose kernel addresses.
        let lines = text.lines().filter(|line| !line.contains("process "));
        let text = lines.collect::<Vec<_>>().join("\n").to_lowercase();
        for start in ["ffff8", "ffffc", "ffffd", "ffffffff8"] {
            if text.contains(start) {
                return Err(format!("{} holds {start}…", entry.path().display()));
            }
        }
    }
    Ok(())
}

#[expect(unconditional_recursion, reason = "it is to run out of stack")]
fn deep(depth: u64) -> u64 {
    let block = [depth; 512];
    std::hint::black_box(&block);
    deep(depth + 1) + block[7]
}

fn execute_data() {
    const RETURN: u8 = 0xC3;
    let page = map(std::ptr::null_mut(), libc::PROT_READ | libc::PROT_WRITE, 0);
    if page.is_null() {
        return;
    }
    // SAFETY: a fresh page; calling it is the deed that must end this process.
    unsafe {
        page.write(RETURN);
        std::mem::transmute::<*mut u8, extern "C" fn()>(page)();
    }
}

/// A fresh page, or null.
fn map(at: *mut u8, protection: i32, flags: i32) -> *mut u8 {
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping; nothing of this program lies at the fixed address that one test asks for.
    let page = unsafe { libc::mmap(at.cast(), 4096, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        std::ptr::null_mut()
    } else {
        page.cast()
    }
}
