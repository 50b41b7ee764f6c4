//! The rest of `stdlib.h` and `ctype.h`: numbers from text, sorting, searching, character classes (C locale).
//! <https://pubs.opengroup.org/onlinepubs/9799919799/functions/qsort.html>

use crate::number::{Integer, parse_float, parse_integer};
use crate::string::bytes_or_empty;
use crate::types::*;
use crate::{e, error};
use core::ptr;

/// Reads an integer from C text and tells where it ended.
///
/// # Safety
/// `text` must be a C string; `end` null or valid.
unsafe fn integer(text: *const u8, end: *mut *const u8, base: c_int) -> Integer {
    // SAFETY: the caller's string.
    let parsed = unsafe { parse_integer(bytes_or_empty(text), base as u32) };
    let parsed = parsed.unwrap_or_else(|| {
        error::set(e::EINVAL);
        Integer {
            magnitude: 0,
            negative: false,
            overflowed: false,
            len: 0,
        }
    });
    if !end.is_null() {
        // SAFETY: the caller's pointer.
        unsafe { *end = text.add(parsed.len) };
    }
    parsed
}

fn clamp(parsed: Integer, low: i64, high: i64) -> i64 {
    let limit = if parsed.negative {
        low.unsigned_abs()
    } else {
        high as u64
    };
    if parsed.overflowed || parsed.magnitude > limit {
        error::set(e::ERANGE);
        return if parsed.negative { low } else { high };
    }
    if parsed.negative {
        parsed.magnitude.wrapping_neg() as i64
    } else {
        parsed.magnitude as i64
    }
}

type Compare = extern "C" fn(*const u8, *const u8) -> c_int;

/// Heap sort: no memory of its own, no bad cases.
///
/// # Safety
/// `base` must hold `count` elements of `size` bytes.
unsafe fn heap_sort(
    base: *mut u8,
    count: usize,
    size: usize,
    compare: impl Fn(*const u8, *const u8) -> c_int,
) {
    // SAFETY: all indices are below `count`.
    let at = |index: usize| unsafe { base.add(index * size) };
    // SAFETY: different elements do not overlap.
    let swap = |a: usize, b: usize| unsafe { ptr::swap_nonoverlapping(at(a), at(b), size) };
    let sink = |mut root: usize, end: usize| {
        while 2 * root + 1 < end {
            let mut child = 2 * root + 1;
            if child + 1 < end && compare(at(child), at(child + 1)) < 0 {
                child += 1;
            }
            if compare(at(root), at(child)) >= 0 {
                return;
            }
            swap(root, child);
            root = child;
        }
    };
    for root in (0..count / 2).rev() {
        sink(root, count);
    }
    for end in (1..count).rev() {
        swap(0, end);
        sink(0, end);
    }
}

macro_rules! classes {
    ($($name:ident => $test:expr;)*) => {
        c_api! { $(fn $name(c: c_int) -> c_int {
            let test: fn(&u8) -> bool = $test;
            c_int::from(u8::try_from(c).is_ok_and(|byte| test(&byte)))
        })* }
    };
}

classes! {
    isalnum => u8::is_ascii_alphanumeric;
    isalpha => u8::is_ascii_alphabetic;
    isblank => |byte| matches!(byte, b' ' | b'\t');
    iscntrl => u8::is_ascii_control;
    isdigit => u8::is_ascii_digit;
    isgraph => u8::is_ascii_graphic;
    islower => u8::is_ascii_lowercase;
    isprint => |byte| matches!(byte, b' '..=b'~');
    ispunct => u8::is_ascii_punctuation;
    isspace => |byte| matches!(byte, b' ' | b'\t'..=b'\r');
    isupper => u8::is_ascii_uppercase;
    isxdigit => u8::is_ascii_hexdigit;
}

static mut RANDOM_STATE: u32 = 1;

c_api! {
    fn strtol(text: *const u8, end: *mut *const u8, base: c_int) -> c_long {
        clamp(integer(text, end, base), i64::MIN, i64::MAX)
    }
    fn strtoll(text: *const u8, end: *mut *const u8, base: c_int) -> c_long {
        strtol(text, end, base)
    }
    fn strtoimax(text: *const u8, end: *mut *const u8, base: c_int) -> c_long {
        strtol(text, end, base)
    }
    fn strtoul(text: *const u8, end: *mut *const u8, base: c_int) -> c_ulong {
        let parsed = integer(text, end, base);
        if parsed.overflowed {
            error::set(e::ERANGE);
            return u64::MAX;
        }
        if parsed.negative { parsed.magnitude.wrapping_neg() } else { parsed.magnitude }
    }
    fn strtoull(text: *const u8, end: *mut *const u8, base: c_int) -> c_ulong {
        strtoul(text, end, base)
    }
    fn strtoumax(text: *const u8, end: *mut *const u8, base: c_int) -> c_ulong {
        strtoul(text, end, base)
    }
    fn atoi(text: *const u8) -> c_int {
        strtol(text, ptr::null_mut(), 10) as c_int
    }
    fn atol(text: *const u8) -> c_long {
        strtol(text, ptr::null_mut(), 10)
    }
    fn atoll(text: *const u8) -> c_long {
        strtol(text, ptr::null_mut(), 10)
    }
    fn strtod(text: *const u8, end: *mut *const u8) -> f64 {
        let (value, len) = parse_float(bytes_or_empty(text));
        if !end.is_null() {
            *end = text.add(len);
        }
        value
    }
    fn strtof(text: *const u8, end: *mut *const u8) -> f32 {
        strtod(text, end) as f32
    }
    fn atof(text: *const u8) -> f64 {
        strtod(text, ptr::null_mut())
    }
    fn abs(value: c_int) -> c_int {
        value.wrapping_abs()
    }
    fn labs(value: c_long) -> c_long {
        value.wrapping_abs()
    }
    fn llabs(value: c_long) -> c_long {
        value.wrapping_abs()
    }
    fn qsort(base: *mut u8, count: usize, size: usize, compare: Compare) {
        heap_sort(base, count, size, |a, b| compare(a, b))
    }
    fn qsort_r(
        base: *mut u8, count: usize, size: usize,
        compare: extern "C" fn(*const u8, *const u8, *mut c_void) -> c_int, argument: *mut c_void,
    ) {
        heap_sort(base, count, size, |a, b| compare(a, b, argument))
    }
    fn bsearch(key: *const u8, base: *const u8, count: usize, size: usize, compare: Compare) -> *const u8 {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            let element = base.add(middle * size);
            match compare(key, element) {
                0 => return element,
                order if order < 0 => high = middle,
                _ => low = middle + 1,
            }
        }
        ptr::null()
    }
    fn tolower(c: c_int) -> c_int {
        u8::try_from(c).map_or(c, |byte| c_int::from(byte.to_ascii_lowercase()))
    }
    fn toupper(c: c_int) -> c_int {
        u8::try_from(c).map_or(c, |byte| c_int::from(byte.to_ascii_uppercase()))
    }
    fn isascii(c: c_int) -> c_int {
        c_int::from((0..128).contains(&c))
    }
    fn srand(seed: c_uint) {
        RANDOM_STATE = seed;
    }
    /// The portable example generator of the C standard, 31 bits: not for secrets.
    fn rand() -> c_int {
        RANDOM_STATE = rand_step(RANDOM_STATE);
        (RANDOM_STATE >> 1) as c_int
    }
    fn rand_r(seed: *mut c_uint) -> c_int {
        *seed = rand_step(*seed);
        (*seed >> 1) as c_int
    }
    fn srandom(seed: c_uint) {
        srand(seed)
    }
    fn random() -> c_long {
        c_long::from(rand())
    }
}

fn rand_step(state: u32) -> u32 {
    state.wrapping_mul(1_103_515_245).wrapping_add(12_345)
}
