//! What the unwinder of libgcc asks for: where the unwind table of a code address is (redox-facts 4.6).
//!
//! A static program is one object. `_dl_find_object` serves gcc 12 and later, `dl_iterate_phdr` older ones.

use crate::start;
use crate::types::*;
use core::ptr;

/// glibc's `struct dl_find_object`.
#[repr(C)]
struct FoundObject {
    flags: u64,
    map_start: usize,
    map_end: usize,
    link_map: usize,
    eh_frame: usize,
    reserved: [u64; 7],
}

/// C's `struct dl_phdr_info`.
#[repr(C)]
struct PhdrInfo {
    base: usize,
    name: *const c_char,
    headers: *const start::ProgramHeader,
    count: u16,
    added: u64,
    removed: u64,
    tls_module: usize,
    tls_data: *mut c_void,
}

unsafe extern "C" {
    /// The linker's: the executable's first address and the first one behind it.
    static __executable_start: u8;
    static _end: u8;
}

c_api! {
    fn _dl_find_object(address: usize, out: *mut FoundObject) -> c_int {
        let (map_start, map_end) = ((&raw const __executable_start) as usize, (&raw const _end) as usize);
        let Some(header) = start::unwind_header() else { return -1 };
        if !(map_start..map_end).contains(&address) {
            return -1;
        }
        out.write(FoundObject { flags: 0, map_start, map_end, link_map: 0, eh_frame: header.address, reserved: [0; 7] });
        0
    }
    fn dl_iterate_phdr(
        callback: extern "C" fn(*mut PhdrInfo, usize, *mut c_void) -> c_int, data: *mut c_void,
    ) -> c_int {
        let headers = start::program_headers();
        let mut info = PhdrInfo {
            base: 0, name: c"".as_ptr(), headers: headers.as_ptr(), count: headers.len() as u16, added: 1, removed: 0,
            tls_module: 1, tls_data: ptr::null_mut(),
        };
        callback(&raw mut info, size_of::<PhdrInfo>(), data)
    }
    /// Nothing can be loaded at run time: programs are static.
    fn dlopen(_name: *const u8, _flags: c_int) -> *mut c_void {
        ptr::null_mut()
    }
    fn dlsym(_handle: *mut c_void, _name: *const u8) -> *mut c_void {
        ptr::null_mut()
    }
    fn dlclose(_handle: *mut c_void) -> c_int {
        -1
    }
    fn dlerror() -> *const c_char {
        c"programs are static: nothing can be loaded".as_ptr()
    }
    fn dladdr(_address: *const c_void, _out: *mut c_void) -> c_int {
        0
    }
}
