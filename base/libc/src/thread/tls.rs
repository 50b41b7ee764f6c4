//! Where the thread-local block of the program comes from and how one is laid out.

use super::{Tcb, current};
use crate::types::*;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use valence_abi::PAGE_SIZE;
use valence_abi::flags::{MAP_PRIVATE, PROT_READ, PROT_WRITE};

/// The program's PT_TLS segment.
static IMAGE: AtomicUsize = AtomicUsize::new(0);
static IMAGE_LEN: AtomicUsize = AtomicUsize::new(0);
/// Distance from the block's start to the control block: the memory size rounded up to the segment's alignment.
static BLOCK_LEN: AtomicUsize = AtomicUsize::new(0);
static ALIGN: AtomicUsize = AtomicUsize::new(align_of::<Tcb>());
static CANARY: AtomicUsize = AtomicUsize::new(0);

fn round_up(value: usize, to: usize) -> usize {
    (value + to - 1) & !(to - 1)
}

/// Bytes that [`place`] needs below the end it is given.
pub(super) fn footprint() -> usize {
    round_up(size_of::<Tcb>(), ALIGN.load(Relaxed)) + ALIGN.load(Relaxed) + BLOCK_LEN.load(Relaxed)
}

/// Lays out block and control block so that they end below `end`; the memory is zero. Returns the control block and the
/// first address below the block.
///
/// # Safety
/// `end - footprint()..end` must be fresh zeroed memory.
pub(super) unsafe fn place(end: usize) -> (*mut Tcb, usize) {
    let align = ALIGN.load(Relaxed);
    let tcb = ((end - size_of::<Tcb>()) & !(align - 1)) as *mut Tcb;
    let block = tcb as usize - BLOCK_LEN.load(Relaxed);
    // SAFETY: the caller's memory covers block and control block; the image is the program's own segment.
    unsafe {
        ptr::copy_nonoverlapping(
            IMAGE.load(Relaxed) as *const u8,
            block as *mut u8,
            IMAGE_LEN.load(Relaxed),
        );
        (*tcb).this = tcb;
        (*tcb).canary = CANARY.load(Relaxed);
    }
    (tcb, block)
}

/// Sets up the main thread. Called once, before anything that uses `errno` or thread-locals.
///
/// # Safety
/// `image` must be the program's PT_TLS segment; `canary` any value with a zero low byte.
pub(crate) unsafe fn install_main(image: &[u8], memory_len: usize, align: usize, canary: usize) {
    // The linker counts the block's length in units of the segment's own alignment.
    BLOCK_LEN.store(round_up(memory_len, align), Relaxed);
    ALIGN.store(align.max(align_of::<Tcb>()), Relaxed);
    IMAGE.store(image.as_ptr() as usize, Relaxed);
    IMAGE_LEN.store(image.len(), Relaxed);
    CANARY.store(canary, Relaxed);
    let len = round_up(footprint(), PAGE_SIZE);
    // SAFETY: a new anonymous mapping, zeroed, of which `place` uses the end.
    unsafe {
        let mapped = syscall!(
            MMAP,
            0,
            len,
            PROT_READ | PROT_WRITE | MAP_PRIVATE,
            usize::MAX,
            0
        );
        let Ok(base) = mapped else {
            crate::process::exit_now(crate::process::EXIT_NO_START)
        };
        let (tcb, _) = place(base + len);
        if syscall!(SET_FS_BASE, tcb).is_err() {
            crate::process::exit_now(crate::process::EXIT_NO_START);
        }
    }
    super::renew_tid();
}

/// The argument of `__tls_get_addr`.
#[repr(C)]
struct TlsIndex {
    module: usize,
    offset: usize,
}

c_api! {
    /// Static programs are relaxed to direct access; the symbol must exist all the same.
    fn __tls_get_addr(index: *const TlsIndex) -> *mut c_void {
        let block = ptr::from_ref(current()) as usize - BLOCK_LEN.load(Relaxed);
        (block + (*index).offset) as *mut c_void
    }
}
