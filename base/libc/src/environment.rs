//! The environment: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/setenv.html>.
//!
//! `environ` first points at the strings on the initial stack. The first change copies the array to the heap; strings
//! given to `putenv` stay the program's, strings made here are leaked when replaced, because a program may still hold
//! what `getenv` returned. A lock orders changes; reading is unlocked, as programs expect of `environ`.

use crate::memory::{free, malloc};
use crate::string::bytes_or_empty;
use crate::sync::{Lock, Mutex};
use crate::types::*;
use crate::{Errno, e, error};
use core::ptr;

#[unsafe(no_mangle)]
static mut environ: *mut *mut c_char = ptr::null_mut();

/// The array made by this module: its address and how many entries it has room for (the NULL not counted).
struct Owned {
    array: usize,
    room: usize,
}

static OWNED: Mutex<Owned> = Mutex::new(Owned { array: 0, room: 0 });

/// The environment's lock, for fork.
pub(crate) fn lock() -> &'static Lock {
    OWNED.raw()
}

/// # Safety
/// `envp` must be the NULL-terminated array of the initial stack.
pub(crate) unsafe fn set_initial(envp: *mut *mut c_char) {
    // SAFETY: only the main thread runs yet.
    unsafe { environ = envp }
}

/// The array as it is now.
pub(crate) fn array() -> *mut *mut c_char {
    // SAFETY: a plain read of the pointer.
    unsafe { environ }
}

/// Index of the entry `name=…` and the count of entries.
///
/// # Safety
/// `environ` must be null or a NULL-terminated array of strings.
unsafe fn find(name: &[u8]) -> (Option<usize>, usize) {
    let (mut found, mut count) = (None, 0);
    let entries = array();
    if entries.is_null() {
        return (None, 0);
    }
    // SAFETY: the array ends with NULL, the strings with NUL.
    unsafe {
        while !(*entries.add(count)).is_null() {
            let entry = bytes_or_empty((*entries.add(count)).cast());
            if found.is_none()
                && entry.get(name.len()) == Some(&b'=')
                && &entry[..name.len()] == name
            {
                found = Some(count);
            }
            count += 1;
        }
    }
    (found, count)
}

/// The value of a variable.
pub(crate) fn get(name: &[u8]) -> Option<&'static [u8]> {
    // SAFETY: as `getenv` may assume: the program keeps `environ` in order.
    unsafe {
        let (Some(index), _) = find(name) else {
            return None;
        };
        Some(&bytes_or_empty((*array().add(index)).cast())[name.len() + 1..])
    }
}

fn valid_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&b'=')
}

/// Makes room for one more entry.
///
/// # Safety
/// As for [`find`]; `owned` is locked.
unsafe fn reserve(owned: &mut Owned, count: usize) -> Result<(), Errno> {
    if owned.array != 0 && owned.array == array() as usize && count < owned.room {
        return Ok(());
    }
    let room = (count + 1) * 2;
    // SAFETY: the new array has room for all entries and the NULL; the old one is freed only if it was made here.
    unsafe {
        let new = malloc((room + 1) * size_of::<*mut c_char>()).cast::<*mut c_char>();
        if new.is_null() {
            return Err(e::ENOMEM);
        }
        if count > 0 {
            ptr::copy_nonoverlapping(array(), new, count);
        }
        *new.add(count) = ptr::null_mut();
        if owned.array != 0 && owned.array == array() as usize {
            free(owned.array as *mut u8);
        }
        environ = new;
        *owned = Owned {
            array: new as usize,
            room,
        };
    }
    Ok(())
}

/// Puts `entry` (`name=value`) in the place of the old one or at the end.
///
/// # Safety
/// `entry` must stay valid.
unsafe fn put(name: &[u8], entry: *mut c_char) -> Result<(), Errno> {
    let mut owned = OWNED.lock();
    // SAFETY: under the lock; `reserve` made room for a new entry.
    unsafe {
        let (found, count) = find(name);
        reserve(&mut owned, count)?;
        let index = found.unwrap_or(count);
        *array().add(index) = entry;
        if found.is_none() {
            *array().add(count + 1) = ptr::null_mut();
        }
    }
    Ok(())
}

/// # Safety
/// As for [`find`].
unsafe fn set(name: &[u8], value: &[u8]) -> Result<(), Errno> {
    // SAFETY: the new string has room for both parts, `=` and NUL.
    unsafe {
        let entry = malloc(name.len() + value.len() + 2);
        if entry.is_null() {
            return Err(e::ENOMEM);
        }
        ptr::copy_nonoverlapping(name.as_ptr(), entry, name.len());
        *entry.add(name.len()) = b'=';
        ptr::copy_nonoverlapping(value.as_ptr(), entry.add(name.len() + 1), value.len());
        *entry.add(name.len() + 1 + value.len()) = 0;
        put(name, entry.cast())
    }
}

c_api! {
    fn getenv(name: *const u8) -> *const u8 {
        get(bytes_or_empty(name)).map_or(ptr::null(), <[u8]>::as_ptr)
    }
    fn secure_getenv(name: *const u8) -> *const u8 {
        getenv(name)
    }
    fn setenv(name: *const u8, value: *const u8, overwrite: c_int) -> c_int {
        let name = bytes_or_empty(name);
        if !valid_name(name) {
            return error::int(Err(e::EINVAL));
        }
        if overwrite == 0 && get(name).is_some() {
            return 0;
        }
        error::int(set(name, bytes_or_empty(value)).map(|()| 0))
    }
    fn unsetenv(name: *const u8) -> c_int {
        let name = bytes_or_empty(name);
        if !valid_name(name) {
            return error::int(Err(e::EINVAL));
        }
        let _owned = OWNED.lock();
        while let (Some(index), count) = find(name) {
            ptr::copy(array().add(index + 1), array().add(index), count - index);
        }
        0
    }
    fn putenv(entry: *mut u8) -> c_int {
        let text = bytes_or_empty(entry);
        match text.iter().position(|&byte| byte == b'=') {
            Some(end) => error::int(put(&text[..end], entry.cast()).map(|()| 0)),
            None => unsetenv(entry),
        }
    }
    fn clearenv() -> c_int {
        let mut owned = OWNED.lock();
        if owned.array != 0 && owned.array == array() as usize {
            free(owned.array as *mut u8);
        }
        *owned = Owned { array: 0, room: 0 };
        environ = ptr::null_mut();
        0
    }
}
