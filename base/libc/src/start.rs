//! From the kernel's entry to `main`, and from `exit` to the end.
//!
//! The stack at `_start` is the System V one: argc, argument pointers, NULL, environment pointers, NULL, auxiliary vector.
//! `-u _start` on the linker's command line brings this object into every program.

use crate::sync::Mutex;
use crate::types::*;
use crate::{environment, fs, process, thread};
use core::arch::naked_asm;
use core::slice;
use valence_abi::layout::auxv;

/// What `atexit` can hold; POSIX asks for 32.
const ATEXIT_MAX: usize = 128;
/// Entries looked at in the auxiliary vector.
const AUXV_MAX: usize = 64;
const PT_TLS: u32 = 7;
const PT_GNU_EH_FRAME: u32 = 0x6474_E550;

/// MXCSR with all exceptions masked, and the x87 control word likewise.
static MXCSR: u32 = 0x1F80;
static X87_CONTROL: u16 = 0x037F;

/// The program's entry.
///
/// # Safety
/// Only the kernel jumps here.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "xor ebp, ebp",
        "mov rdi, rsp",
        "and rsp, -16",
        "ldmxcsr [rip + {mxcsr}]",
        "fldcw [rip + {x87}]",
        "call {start}",
        "ud2",
        mxcsr = sym MXCSR,
        x87 = sym X87_CONTROL,
        start = sym start,
    )
}

/// An ELF program header.
#[repr(C)]
pub(crate) struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: usize,
    pub(crate) address: usize,
    physical: usize,
    file_len: usize,
    pub(crate) memory_len: usize,
    align: usize,
}

/// The auxiliary vector's entries of interest.
struct Auxv([(usize, usize); AUXV_MAX]);

impl Auxv {
    /// # Safety
    /// `vector` must be the process's auxiliary vector.
    unsafe fn read(mut vector: *const (usize, usize)) -> Auxv {
        let mut entries = [(auxv::NULL, 0); AUXV_MAX];
        for entry in &mut entries {
            // SAFETY: the vector ends with an AT_NULL entry, where the loop stops.
            unsafe {
                *entry = *vector;
                if entry.0 == auxv::NULL {
                    break;
                }
                vector = vector.add(1);
            }
        }
        Auxv(entries)
    }

    fn get(&self, key: usize) -> usize {
        self.0
            .iter()
            .find(|entry| entry.0 == key)
            .map_or(0, |entry| entry.1)
    }
}

static mut PROGRAM_HEADERS: (usize, usize) = (0, 0);

/// The program's headers, for thread-local storage and unwinding.
pub(crate) fn program_headers() -> &'static [ProgramHeader] {
    // SAFETY: written once by `start` before any thread exists; the kernel mapped the headers with the image.
    unsafe {
        match PROGRAM_HEADERS {
            (0, _) => &[],
            (address, count) => slice::from_raw_parts(address as *const ProgramHeader, count),
        }
    }
}

unsafe extern "C" {
    fn main(argc: c_int, argv: *mut *mut c_char, envp: *mut *mut c_char) -> c_int;
    static __preinit_array_start: [extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char); 0];
    static __preinit_array_end: [extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char); 0];
    static __init_array_start: [extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char); 0];
    static __init_array_end: [extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char); 0];
    static __fini_array_start: [extern "C" fn(); 0];
    static __fini_array_end: [extern "C" fn(); 0];
}

unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: `stack` is the kernel's initial stack, laid out as the module says; nothing else runs yet.
    unsafe {
        let argc = *stack;
        let argv = stack.add(1) as *mut *mut c_char;
        let envp = argv.add(argc + 1);
        let mut end = envp;
        while !(*end).is_null() {
            end = end.add(1);
        }
        let vector = Auxv::read(end.add(1).cast());
        PROGRAM_HEADERS = (vector.get(auxv::PHDR), vector.get(auxv::PHNUM));
        let random = vector.get(auxv::RANDOM) as *const usize;
        install_tls(if random.is_null() {
            0x9E37_79B9_7F4A_7C00
        } else {
            *random & !0xFF
        });
        environment::set_initial(envp);
        let state = vector.get(auxv::LIBC_STATE);
        if state != 0 {
            fs::restore_state(slice::from_raw_parts(
                state as *const u8,
                vector.get(auxv::LIBC_STATE_LEN),
            ));
        }
        let argc = argc as c_int;
        for function in range(
            &raw const __preinit_array_start,
            &raw const __preinit_array_end,
        ) {
            function(argc, argv, envp);
        }
        for function in range(&raw const __init_array_start, &raw const __init_array_end) {
            function(argc, argv, envp);
        }
        exit(main(argc, argv, envp))
    }
}

/// # Safety
/// Both must be the linker's symbols around one array.
unsafe fn range<T>(start: *const [T; 0], end: *const [T; 0]) -> &'static [T] {
    let (start, end) = (start.cast::<T>(), end.cast::<T>());
    // SAFETY: the linker puts both symbols around one array; equal addresses mean an empty one.
    unsafe { slice::from_raw_parts(start, (end as usize - start as usize) / size_of::<T>()) }
}

/// # Safety
/// Called once, from `start`.
unsafe fn install_tls(canary: usize) {
    let segment = program_headers()
        .iter()
        .find(|header| header.kind == PT_TLS);
    // SAFETY: the segment is mapped where its header says (programs are not relocated).
    unsafe {
        match segment {
            Some(tls) => {
                let image = slice::from_raw_parts(tls.address as *const u8, tls.file_len);
                thread::install_main(image, tls.memory_len, tls.align.max(1), canary);
            }
            None => thread::install_main(&[], 0, 1, canary),
        }
    }
}

/// The segment that holds the unwind table's index.
pub(crate) fn unwind_header() -> Option<&'static ProgramHeader> {
    program_headers()
        .iter()
        .find(|header| header.kind == PT_GNU_EH_FRAME)
}

#[derive(Clone, Copy)]
enum AtExit {
    Plain(extern "C" fn()),
    WithArgument(extern "C" fn(*mut c_void), usize),
}

struct AtExitList {
    entries: [Option<AtExit>; ATEXIT_MAX],
    len: usize,
}

static AT_EXIT: Mutex<AtExitList> = Mutex::new(AtExitList {
    entries: [None; ATEXIT_MAX],
    len: 0,
});

fn register(entry: AtExit) -> c_int {
    let mut list = AT_EXIT.lock();
    let len = list.len;
    if len == ATEXIT_MAX {
        return -1;
    }
    list.entries[len] = Some(entry);
    list.len += 1;
    0
}

fn take_newest() -> Option<AtExit> {
    let mut list = AT_EXIT.lock();
    list.len = list.len.checked_sub(1)?;
    let len = list.len;
    list.entries[len]
}

#[unsafe(no_mangle)]
static __dso_handle: u8 = 0;

c_api! {
    fn atexit(function: extern "C" fn()) -> c_int {
        register(AtExit::Plain(function))
    }
    fn __cxa_atexit(function: extern "C" fn(*mut c_void), argument: *mut c_void, _dso: *mut c_void) -> c_int {
        register(AtExit::WithArgument(function, argument as usize))
    }
    fn exit(status: c_int) -> ! {
        thread::run_tls_destructors();
        while let Some(entry) = take_newest() {
            match entry {
                AtExit::Plain(function) => function(),
                AtExit::WithArgument(function, argument) => function(argument as *mut c_void),
            }
        }
        for function in range(&raw const __fini_array_start, &raw const __fini_array_end).iter().rev() {
            function();
        }
        let _ = crate::stdio::flush_all();
        process::exit_now(status)
    }
}
