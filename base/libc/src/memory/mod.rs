//! The heap: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/malloc.html>. D-0301 tells the choice.
//!
//! Small and middle blocks come from dlmalloc behind one lock. Blocks of `LARGE_MIN` bytes and more get a mapping of
//! their own, so that freeing returns them to the system and growing moves pages instead of bytes. Which kind a block is
//! shows in the word before it: dlmalloc always has one of the two low bits set there, a large block has none.

mod map;

pub(crate) use map::{map, unmap};

use crate::sync::{Guard, Lock, Mutex};
use crate::types::*;
use crate::{Errno, e, error};
use core::ptr;
use dlmalloc::{Allocator, Dlmalloc};
use valence_abi::PAGE_SIZE;
use valence_abi::flags::{MAP_PRIVATE, PROT_READ, PROT_WRITE};

/// From this size on, a block is a mapping.
const LARGE_MIN: usize = 512 << 10;
/// How much the heap grows at a time.
const GRANULARITY: usize = 256 << 10;
/// Alignment of every block.
const ALIGN: usize = 16;
/// Bytes before a large block: its mapping's length, and its distance from the mapping's start (a multiple of 16).
const LARGE_HEADER: usize = 16;
const USED_BITS: usize = 3;

/// Where dlmalloc gets memory.
struct Pages;

// SAFETY: regions are fresh anonymous mappings, owned by the heap until it unmaps them.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let size = size.next_multiple_of(GRANULARITY);
        match map_anonymous(size) {
            Ok(address) => (address as *mut u8, size, 0),
            Err(_) => (ptr::null_mut(), 0, 0),
        }
    }
    fn remap(&self, old: *mut u8, old_len: usize, new_len: usize, can_move: bool) -> *mut u8 {
        // SAFETY: dlmalloc names a region of its own.
        let mapped = unsafe { syscall!(MREMAP, old, old_len, new_len, can_move) };
        mapped.map_or(ptr::null_mut(), |address| address as *mut u8)
    }
    fn free_part(&self, region: *mut u8, old_len: usize, new_len: usize) -> bool {
        // SAFETY: the tail of a region of the heap's own.
        unsafe { syscall!(MUNMAP, region.add(new_len), old_len - new_len) }.is_ok()
    }
    fn free(&self, region: *mut u8, len: usize) -> bool {
        // SAFETY: a region of the heap's own.
        unsafe { syscall!(MUNMAP, region, len) }.is_ok()
    }
    fn can_release_part(&self, _flags: u32) -> bool {
        true
    }
    fn allocates_zeros(&self) -> bool {
        true
    }
    fn page_size(&self) -> usize {
        PAGE_SIZE
    }
}

static HEAP: Mutex<Dlmalloc<Pages>> = Mutex::new(Dlmalloc::new_with_allocator(Pages));

fn heap() -> Guard<'static, Dlmalloc<Pages>> {
    HEAP.lock()
}

/// The heap's lock, for fork.
pub(crate) fn heap_lock() -> &'static Lock {
    HEAP.raw()
}

/// New zeroed memory that nobody else uses.
pub(crate) fn map_anonymous(len: usize) -> Result<usize, Errno> {
    // SAFETY: a new mapping touches no memory in use.
    unsafe {
        syscall!(
            MMAP,
            0,
            len,
            PROT_READ | PROT_WRITE | MAP_PRIVATE,
            usize::MAX,
            0
        )
    }
}

fn allocate_large(size: usize, align: usize) -> *mut u8 {
    let offset = LARGE_HEADER.next_multiple_of(align.max(ALIGN));
    let Some(len) = size
        .checked_add(offset + PAGE_SIZE - 1)
        .map(|len| len & !(PAGE_SIZE - 1))
    else {
        return ptr::null_mut();
    };
    // Mappings are page-aligned; a larger alignment is met by mapping more.
    let slack = if align > PAGE_SIZE { align } else { 0 };
    let Ok(base) = map_anonymous(len.saturating_add(slack)) else {
        return ptr::null_mut();
    };
    let block = (base + offset).next_multiple_of(align.max(ALIGN));
    // SAFETY: the header lies inside the new mapping, before the block.
    unsafe {
        let header = (block as *mut usize).sub(2);
        header.write(len + slack);
        header.add(1).write(block - base);
    }
    block as *mut u8
}

/// The mapping of a large block: base and length; `None` for a block of dlmalloc's.
///
/// # Safety
/// `block` must be a live block.
unsafe fn large(block: *mut u8) -> Option<(usize, usize)> {
    // SAFETY: both kinds of blocks keep a word there.
    unsafe {
        let header = block.cast::<usize>().sub(2);
        let distance = header.add(1).read();
        (distance & USED_BITS == 0).then(|| (block as usize - distance, header.read()))
    }
}

/// # Safety
/// `block` must be a live block.
unsafe fn usable(block: *mut u8) -> usize {
    // SAFETY: as above; dlmalloc keeps the chunk's size with its flag bits in the word before the block, and a used
    // chunk may also use the next chunk's first word.
    unsafe {
        match large(block) {
            Some((base, len)) => base + len - block as usize,
            None => (block.cast::<usize>().sub(1).read() & !7) - size_of::<usize>(),
        }
    }
}

fn allocate(size: usize, align: usize) -> *mut u8 {
    let block = if size > isize::MAX as usize {
        ptr::null_mut()
    } else if size >= LARGE_MIN {
        allocate_large(size, align)
    } else {
        // SAFETY: `align` is a power of two.
        unsafe {
            if align <= ALIGN {
                heap().c_malloc(size)
            } else {
                heap().c_memalign(align, size)
            }
        }
    };
    if block.is_null() {
        error::set(e::ENOMEM);
    }
    block
}

/// # Safety
/// `block` must be a live large block.
unsafe fn grow_large(block: *mut u8, base: usize, len: usize, size: usize) -> Option<*mut u8> {
    let distance = block as usize - base;
    if size < LARGE_MIN || distance > PAGE_SIZE {
        return None;
    }
    let new_len = (size.checked_add(distance + PAGE_SIZE - 1)?) & !(PAGE_SIZE - 1);
    if new_len == len {
        return Some(block);
    }
    // SAFETY: the block's own mapping; the header moves with its pages and gets the new length.
    unsafe {
        let base = syscall!(MREMAP, base, len, new_len, true).ok()?;
        let block = (base + distance) as *mut u8;
        block.cast::<usize>().sub(2).write(new_len);
        Some(block)
    }
}

c_api! {
    fn malloc(size: usize) -> *mut u8 {
        allocate(size, ALIGN)
    }
    fn calloc(count: usize, size: usize) -> *mut u8 {
        let Some(size) = count.checked_mul(size) else {
            error::set(e::ENOMEM);
            return ptr::null_mut();
        };
        let block = allocate(size, ALIGN);
        // A mapping is zero already.
        if !block.is_null() && size < LARGE_MIN {
            block.write_bytes(0, size);
        }
        block
    }
    fn free(block: *mut u8) {
        if block.is_null() {
            return;
        }
        match large(block) {
            Some((base, len)) => drop(syscall!(MUNMAP, base, len)),
            None => heap().c_free(block),
        }
    }
    fn cfree(block: *mut u8) {
        free(block)
    }
    fn realloc(block: *mut u8, size: usize) -> *mut u8 {
        if block.is_null() {
            return allocate(size, ALIGN);
        }
        let old = match large(block) {
            Some((base, len)) => {
                if let Some(block) = grow_large(block, base, len, size) {
                    return block;
                }
                usable(block)
            }
            None if size < LARGE_MIN => {
                let block = heap().c_realloc(block, size);
                if block.is_null() {
                    error::set(e::ENOMEM);
                }
                return block;
            }
            None => usable(block),
        };
        let new = allocate(size, ALIGN);
        if !new.is_null() {
            ptr::copy_nonoverlapping(block, new, old.min(size));
            free(block);
        }
        new
    }
    fn reallocarray(block: *mut u8, count: usize, size: usize) -> *mut u8 {
        match count.checked_mul(size) {
            Some(size) => realloc(block, size),
            None => {
                error::set(e::ENOMEM);
                ptr::null_mut()
            }
        }
    }
    fn posix_memalign(out: *mut *mut u8, align: usize, size: usize) -> c_int {
        if !align.is_power_of_two() || !align.is_multiple_of(size_of::<usize>()) {
            return c_int::from(e::EINVAL.0);
        }
        let block = allocate(size, align);
        if block.is_null() {
            return c_int::from(e::ENOMEM.0);
        }
        *out = block;
        0
    }
    fn aligned_alloc(align: usize, size: usize) -> *mut u8 {
        if !align.is_power_of_two() {
            error::set(e::EINVAL);
            return ptr::null_mut();
        }
        allocate(size, align)
    }
    fn memalign(align: usize, size: usize) -> *mut u8 {
        aligned_alloc(align, size)
    }
    fn valloc(size: usize) -> *mut u8 {
        allocate(size, PAGE_SIZE)
    }
    fn malloc_usable_size(block: *mut u8) -> usize {
        if block.is_null() { 0 } else { usable(block) }
    }
}
