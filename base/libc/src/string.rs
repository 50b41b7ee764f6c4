//! Memory and string functions: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/memcpy.html> and neighbours.
//!
//! Copying and filling are loops over eight-byte words: under emulation, the usual machine, that is twice as fast as SSE
//! registers and many times as fast as the string instructions (D-0302). The loops are assembly because the compiler
//! would turn a loop into a call of the very function it implements.

use crate::memory::malloc;
use crate::types::*;
use core::arch::asm;
use core::ptr;
use core::slice;

/// # Safety
/// `text` must be null or a C string that outlives the result.
pub(crate) unsafe fn bytes_or_empty<'a>(text: *const u8) -> &'a [u8] {
    if text.is_null() {
        return b"";
    }
    // SAFETY: the caller's string.
    unsafe { slice::from_raw_parts(text, strlen(text)) }
}

/// Copies by overlapping loads, so that up to 32 bytes need no loop. All loads come before all stores: the ranges may
/// overlap.
///
/// # Safety
/// Both ranges must be valid for `len <= 32` bytes.
#[inline(always)]
unsafe fn copy_small(to: *mut u8, from: *const u8, len: usize) {
    macro_rules! ends {
        ($unit:ty) => {{
            // SAFETY: `len` is between the unit's size and twice that.
            unsafe {
                let last = len - size_of::<$unit>();
                let (a, b) = (
                    from.cast::<$unit>().read_unaligned(),
                    from.add(last).cast::<$unit>().read_unaligned(),
                );
                to.cast::<$unit>().write_unaligned(a);
                to.add(last).cast::<$unit>().write_unaligned(b);
            }
        }};
    }
    match len {
        16.. => ends!(u128),
        8.. => ends!(u64),
        4.. => ends!(u32),
        2.. => ends!(u16),
        // SAFETY: one byte is there.
        1 => unsafe { *to = *from },
        _ => {}
    }
}

const SMALL: usize = 32;

/// # Safety
/// Both ranges must be valid for `len > 32` bytes; where they overlap, `to` must be below `from`.
unsafe fn copy_forward(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the loop moves whole blocks of 32 bytes; the last 32 bytes are read before the loop could overwrite them
    // and written after it.
    unsafe {
        asm!(
            "mov {l0}, [rsi + rdx - 32]",
            "mov {l1}, [rsi + rdx - 24]",
            "mov {l2}, [rsi + rdx - 16]",
            "mov {l3}, [rsi + rdx - 8]",
            "2:",
            "mov {a}, [rsi]",
            "mov {b}, [rsi + 8]",
            "mov [rdi], {a}",
            "mov [rdi + 8], {b}",
            "mov {a}, [rsi + 16]",
            "mov {b}, [rsi + 24]",
            "mov [rdi + 16], {a}",
            "mov [rdi + 24], {b}",
            "add rsi, 32",
            "add rdi, 32",
            "sub rdx, 32",
            "cmp rdx, 32",
            "jae 2b",
            "mov [rdi + rdx - 32], {l0}",
            "mov [rdi + rdx - 24], {l1}",
            "mov [rdi + rdx - 16], {l2}",
            "mov [rdi + rdx - 8], {l3}",
            a = out(reg) _, b = out(reg) _,
            l0 = out(reg) _, l1 = out(reg) _, l2 = out(reg) _, l3 = out(reg) _,
            inout("rdi") to => _, inout("rsi") from => _, inout("rdx") len => _,
            options(nostack),
        );
    }
}

/// # Safety
/// Both ranges must be valid for `len > 32` bytes; where they overlap, `to` must be above `from`.
unsafe fn copy_backward(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the mirror image of `copy_forward`: the first 32 bytes are read at the start and written at the end.
    unsafe {
        asm!(
            "mov {l0}, [rsi]",
            "mov {l1}, [rsi + 8]",
            "mov {l2}, [rsi + 16]",
            "mov {l3}, [rsi + 24]",
            "2:",
            "mov {a}, [rsi + rdx - 8]",
            "mov {b}, [rsi + rdx - 16]",
            "mov [rdi + rdx - 8], {a}",
            "mov [rdi + rdx - 16], {b}",
            "mov {a}, [rsi + rdx - 24]",
            "mov {b}, [rsi + rdx - 32]",
            "mov [rdi + rdx - 24], {a}",
            "mov [rdi + rdx - 32], {b}",
            "sub rdx, 32",
            "cmp rdx, 32",
            "jae 2b",
            "mov [rdi], {l0}",
            "mov [rdi + 8], {l1}",
            "mov [rdi + 16], {l2}",
            "mov [rdi + 24], {l3}",
            a = out(reg) _, b = out(reg) _,
            l0 = out(reg) _, l1 = out(reg) _, l2 = out(reg) _, l3 = out(reg) _,
            in("rdi") to, in("rsi") from, inout("rdx") len => _,
            options(nostack),
        );
    }
}

/// # Safety
/// The range must be valid for `len > 32` bytes.
unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    // SAFETY: whole blocks of 64 bytes, then 32 more if there is room, then the last 32 again; all inside the range.
    unsafe {
        asm!(
            "sub rdx, 64",
            "jb 3f",
            "2:",
            "mov [rdi], rax",
            "mov [rdi + 8], rax",
            "mov [rdi + 16], rax",
            "mov [rdi + 24], rax",
            "mov [rdi + 32], rax",
            "mov [rdi + 40], rax",
            "mov [rdi + 48], rax",
            "mov [rdi + 56], rax",
            "add rdi, 64",
            "sub rdx, 64",
            "jae 2b",
            "3:",
            "add rdx, 32",
            "js 4f",
            "mov [rdi], rax",
            "mov [rdi + 8], rax",
            "mov [rdi + 16], rax",
            "mov [rdi + 24], rax",
            "4:",
            "mov [rdi + rdx], rax",
            "mov [rdi + rdx + 8], rax",
            "mov [rdi + rdx + 16], rax",
            "mov [rdi + rdx + 24], rax",
            in("rax") u64::from(byte) * 0x0101_0101_0101_0101,
            inout("rdi") to => _, inout("rdx") len => _,
            options(nostack),
        );
    }
}

/// # Safety
/// Both ranges must be valid for `len` bytes.
#[inline]
unsafe fn compare(a: *const u8, b: *const u8, len: usize) -> c_int {
    let mut at = 0;
    // SAFETY: all reads are below `len`.
    unsafe {
        while at + 8 <= len {
            let (x, y) = (
                a.add(at).cast::<u64>().read_unaligned(),
                b.add(at).cast::<u64>().read_unaligned(),
            );
            if x != y {
                return if x.swap_bytes() < y.swap_bytes() {
                    -1
                } else {
                    1
                };
            }
            at += 8;
        }
        while at < len {
            let (x, y) = (*a.add(at), *b.add(at));
            if x != y {
                return c_int::from(x) - c_int::from(y);
            }
            at += 1;
        }
    }
    0
}

/// Finds the first byte equal to `byte` or zero, reading aligned words, which never cross into another page.
///
/// # Safety
/// `text` must be a C string.
unsafe fn find_or_end(text: *const u8, byte: u8) -> *const u8 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let pattern = LOW * u64::from(byte);
    let mut at = text;
    // SAFETY: bytes up to the NUL are the string's; an aligned word with one byte of it is readable as a whole. The
    // volatile read keeps the compiler from making a strlen of this loop.
    unsafe {
        while !(at as usize).is_multiple_of(8) {
            if *at == byte || *at == 0 {
                return at;
            }
            at = at.add(1);
        }
        loop {
            let word = at.cast::<u64>().read_volatile();
            let other = word ^ pattern;
            let zeros = word.wrapping_sub(LOW) & !word & HIGH;
            let matches = other.wrapping_sub(LOW) & !other & HIGH;
            if zeros | matches != 0 {
                return at.add(((zeros | matches).trailing_zeros() / 8) as usize);
            }
            at = at.add(8);
        }
    }
}

fn lower(byte: u8) -> u8 {
    byte.to_ascii_lowercase()
}

/// # Safety
/// Both must be C strings or valid for `limit` bytes.
unsafe fn compare_strings(a: *const u8, b: *const u8, limit: usize, map: fn(u8) -> u8) -> c_int {
    for at in 0..limit {
        // SAFETY: neither string has ended before `at`.
        let (x, y) = unsafe { (map(*a.add(at)), map(*b.add(at))) };
        if x != y || x == 0 {
            return c_int::from(x) - c_int::from(y);
        }
    }
    0
}

fn same(byte: u8) -> u8 {
    byte
}

/// # Safety
/// `text` must be a C string, `set` too.
unsafe fn span(text: *const u8, set: *const u8, while_member: bool) -> usize {
    let mut members = [false; 256];
    // SAFETY: both strings end in NUL, where the loops stop.
    unsafe {
        for &byte in bytes_or_empty(set) {
            members[usize::from(byte)] = true;
        }
        let text = bytes_or_empty(text);
        text.iter()
            .position(|&byte| members[usize::from(byte)] != while_member)
            .unwrap_or(text.len())
    }
}

static mut STRTOK_REST: *mut u8 = ptr::null_mut();

c_api! {
    fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        if len <= SMALL { copy_small(to, from, len) } else { copy_forward(to, from, len) }
        to
    }
    fn mempcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        memcpy(to, from, len).add(len)
    }
    fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        if len <= SMALL {
            copy_small(to, from, len);
        } else if (to as usize).wrapping_sub(from as usize) >= len {
            copy_forward(to, from, len);
        } else {
            copy_backward(to, from, len);
        }
        to
    }
    fn memset(to: *mut u8, byte: c_int, len: usize) -> *mut u8 {
        if len > SMALL {
            fill(to, byte as u8, len);
        } else {
            let pattern = [byte as u8; SMALL];
            copy_small(to, pattern.as_ptr(), len);
        }
        to
    }
    fn memcmp(a: *const u8, b: *const u8, len: usize) -> c_int {
        compare(a, b, len)
    }
    fn bcmp(a: *const u8, b: *const u8, len: usize) -> c_int {
        compare(a, b, len)
    }
    fn bzero(to: *mut u8, len: usize) {
        memset(to, 0, len);
    }
    fn explicit_bzero(to: *mut u8, len: usize) {
        memset(to, 0, len);
        asm!("/* {0} */", in(reg) to, options(nostack, preserves_flags));
    }
    fn memchr(text: *const u8, byte: c_int, len: usize) -> *const u8 {
        let bytes = slice::from_raw_parts(text, if text.is_null() { 0 } else { len });
        bytes.iter().position(|&other| other == byte as u8).map_or(ptr::null(), |at| text.add(at))
    }
    fn memrchr(text: *const u8, byte: c_int, len: usize) -> *const u8 {
        (0..len).rev().find(|&at| *text.add(at) == byte as u8).map_or(ptr::null(), |at| text.add(at))
    }
    fn memmem(text: *const u8, len: usize, part: *const u8, part_len: usize) -> *const u8 {
        if part_len == 0 {
            return text;
        }
        if part_len > len {
            return ptr::null();
        }
        let part = slice::from_raw_parts(part, part_len);
        let windows = slice::from_raw_parts(text, len).windows(part_len);
        windows.into_iter().position(|window| window == part).map_or(ptr::null(), |at| text.add(at))
    }
    fn strlen(text: *const u8) -> usize {
        find_or_end(text, 0).offset_from_unsigned(text)
    }
    fn strnlen(text: *const u8, limit: usize) -> usize {
        let mut len = 0;
        while len < limit && text.add(len).read_volatile() != 0 {
            len += 1;
        }
        len
    }
    fn strcmp(a: *const u8, b: *const u8) -> c_int {
        compare_strings(a, b, usize::MAX, same)
    }
    fn strncmp(a: *const u8, b: *const u8, limit: usize) -> c_int {
        compare_strings(a, b, limit, same)
    }
    fn strcoll(a: *const u8, b: *const u8) -> c_int {
        compare_strings(a, b, usize::MAX, same)
    }
    fn strcasecmp(a: *const u8, b: *const u8) -> c_int {
        compare_strings(a, b, usize::MAX, lower)
    }
    fn strncasecmp(a: *const u8, b: *const u8, limit: usize) -> c_int {
        compare_strings(a, b, limit, lower)
    }
    fn strcpy(to: *mut u8, from: *const u8) -> *mut u8 {
        memcpy(to, from, strlen(from) + 1)
    }
    fn stpcpy(to: *mut u8, from: *const u8) -> *mut u8 {
        let len = strlen(from);
        memcpy(to, from, len + 1).add(len)
    }
    fn strncpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        let copied = strnlen(from, len);
        memcpy(to, from, copied);
        memset(to.add(copied), 0, len - copied);
        to
    }
    fn strcat(to: *mut u8, from: *const u8) -> *mut u8 {
        strcpy(to.add(strlen(to)), from);
        to
    }
    fn strncat(to: *mut u8, from: *const u8, limit: usize) -> *mut u8 {
        let end = to.add(strlen(to));
        let len = strnlen(from, limit);
        memcpy(end, from, len);
        *end.add(len) = 0;
        to
    }
    fn strlcpy(to: *mut u8, from: *const u8, room: usize) -> usize {
        let len = strlen(from);
        if room > 0 {
            let copied = len.min(room - 1);
            memcpy(to, from, copied);
            *to.add(copied) = 0;
        }
        len
    }
    fn strlcat(to: *mut u8, from: *const u8, room: usize) -> usize {
        let used = strnlen(to, room);
        used + strlcpy(to.add(used), from, room - used)
    }
    fn strchr(text: *const u8, byte: c_int) -> *const u8 {
        let found = find_or_end(text, byte as u8);
        if *found == byte as u8 { found } else { ptr::null() }
    }
    fn strchrnul(text: *const u8, byte: c_int) -> *const u8 {
        find_or_end(text, byte as u8)
    }
    fn strrchr(text: *const u8, byte: c_int) -> *const u8 {
        memrchr(text, byte, strlen(text) + 1)
    }
    fn strstr(text: *const u8, part: *const u8) -> *const u8 {
        memmem(text, strlen(text), part, strlen(part))
    }
    fn strspn(text: *const u8, set: *const u8) -> usize {
        span(text, set, true)
    }
    fn strcspn(text: *const u8, set: *const u8) -> usize {
        span(text, set, false)
    }
    fn strpbrk(text: *const u8, set: *const u8) -> *const u8 {
        let found = text.add(span(text, set, false));
        if *found == 0 { ptr::null() } else { found }
    }
    fn strsep(rest: *mut *mut u8, set: *const u8) -> *mut u8 {
        let text = *rest;
        if !text.is_null() {
            let end = text.add(span(text, set, false));
            *rest = if *end == 0 { ptr::null_mut() } else { end.add(1) };
            *end = 0;
        }
        text
    }
    fn strtok_r(text: *mut u8, set: *const u8, rest: *mut *mut u8) -> *mut u8 {
        let text = if text.is_null() { *rest } else { text };
        if text.is_null() {
            return text;
        }
        let start = text.add(span(text, set, true));
        *rest = start;
        if *start == 0 { ptr::null_mut() } else { strsep(rest, set) }
    }
    /// Not safe against threads, as POSIX says.
    fn strtok(text: *mut u8, set: *const u8) -> *mut u8 {
        strtok_r(text, set, &raw mut STRTOK_REST)
    }
    fn strndup(text: *const u8, limit: usize) -> *mut u8 {
        let len = strnlen(text, limit);
        let copy = malloc(len + 1);
        if !copy.is_null() {
            memcpy(copy, text, len);
            *copy.add(len) = 0;
        }
        copy
    }
    fn strdup(text: *const u8) -> *mut u8 {
        strndup(text, usize::MAX)
    }
}
