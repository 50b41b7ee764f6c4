//! Users and groups: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/getpwnam.html>, from `/etc/passwd` and
//! `/etc/group` (Redox's form, see `database`).

use crate::database::{self, Group as GroupLine, User};
use crate::fs::read_file;
use crate::identity;
use crate::memory::{free, malloc};
use crate::string::bytes_or_empty;
use crate::sync::Mutex;
use crate::types::*;
use crate::{Errno, e, environment, error};
use core::{ptr, slice};

/// Longest file that is read.
const FILE_MAX: usize = 64 << 10;
/// Room for one entry in the calls without a buffer.
const ENTRY_MAX: usize = 4096;

/// A file's content on the heap.
struct Content {
    base: *mut u8,
    len: usize,
}

impl Content {
    /// A file that is not there is empty: it names nobody.
    fn read(path: &[u8]) -> Result<Content, Errno> {
        let base = malloc(FILE_MAX);
        if base.is_null() {
            return Err(e::ENOMEM);
        }
        let mut content = Content { base, len: 0 };
        // SAFETY: the block is that long.
        content.len = match read_file(path, unsafe { slice::from_raw_parts_mut(base, FILE_MAX) }) {
            Ok(len) => len,
            Err(e::ENOENT | e::ENODEV) => 0,
            Err(errno) => return Err(errno),
        };
        Ok(content)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: so much was read.
        unsafe { slice::from_raw_parts(self.base, self.len) }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        free(self.base);
    }
}

/// The caller's buffer, filled from the front.
struct Room {
    next: *mut u8,
    left: usize,
}

impl Room {
    fn take(&mut self, len: usize, align: usize) -> Result<*mut u8, Errno> {
        let pad = self.next.align_offset(align);
        if self.left < pad + len {
            return Err(e::ERANGE);
        }
        let start = self.next.wrapping_add(pad);
        self.next = start.wrapping_add(len);
        self.left -= pad + len;
        Ok(start)
    }

    fn text(&mut self, text: &[u8]) -> Result<*mut c_char, Errno> {
        let start = self.take(text.len() + 1, 1)?;
        // SAFETY: `take` checked the room.
        unsafe {
            ptr::copy_nonoverlapping(text.as_ptr(), start, text.len());
            *start.add(text.len()) = 0;
        }
        Ok(start.cast())
    }
}

fn user_entry(user: &User<'_>, mut room: Room) -> Result<Passwd, Errno> {
    Ok(Passwd {
        name: room.text(user.name)?,
        passwd: room.text(b"x")?,
        uid: user.uid as c_int,
        gid: user.gid as c_int,
        gecos: room.text(user.gecos)?,
        dir: room.text(user.home)?,
        shell: room.text(user.shell)?,
    })
}

fn group_entry(group: &GroupLine<'_>, mut room: Room) -> Result<Group, Errno> {
    let count = group.member_names().count();
    let members = room
        .take(
            (count + 1) * size_of::<*mut c_char>(),
            align_of::<*mut c_char>(),
        )?
        .cast::<*mut c_char>();
    for (index, name) in group.member_names().enumerate() {
        let name = room.text(name)?;
        // SAFETY: room for all names and the NULL was taken.
        unsafe { *members.add(index) = name };
    }
    // SAFETY: as above.
    unsafe { *members.add(count) = ptr::null_mut() };
    Ok(Group {
        name: room.text(group.name)?,
        passwd: room.text(b"x")?,
        gid: group.gid as c_int,
        members,
    })
}

/// # Safety
/// `out` must be valid, `buf` valid for `len` bytes, `result` valid.
unsafe fn give_user(
    wanted: impl Fn(&User<'_>) -> bool,
    out: *mut Passwd,
    buf: *mut u8,
    len: usize,
    result: *mut *mut Passwd,
) -> c_int {
    let entry = Content::read(b"/etc/passwd").and_then(|content| {
        let user = database::users(content.bytes()).find(|user| wanted(user));
        user.map(|user| {
            user_entry(
                &user,
                Room {
                    next: buf,
                    left: len,
                },
            )
        })
        .transpose()
    });
    // SAFETY: the caller's structs.
    unsafe { give(entry, out, result) }
}

/// # Safety
/// As for [`give_user`].
unsafe fn give_group(
    wanted: impl Fn(&GroupLine<'_>) -> bool,
    out: *mut Group,
    buf: *mut u8,
    len: usize,
    result: *mut *mut Group,
) -> c_int {
    let entry = Content::read(b"/etc/group").and_then(|content| {
        let group = database::groups(content.bytes()).find(|group| wanted(group));
        group
            .map(|group| {
                group_entry(
                    &group,
                    Room {
                        next: buf,
                        left: len,
                    },
                )
            })
            .transpose()
    });
    // SAFETY: the caller's structs.
    unsafe { give(entry, out, result) }
}

/// # Safety
/// `out` and `result` must be valid.
unsafe fn give<T>(entry: Result<Option<T>, Errno>, out: *mut T, result: *mut *mut T) -> c_int {
    // SAFETY: the caller's structs.
    unsafe {
        *result = ptr::null_mut();
        match entry {
            Ok(Some(entry)) => {
                out.write(entry);
                *result = out;
                0
            }
            Ok(None) => 0,
            Err(errno) => c_int::from(errno.0),
        }
    }
}

/// An entry with its texts for the calls that bring no buffer; not safe against threads, as POSIX allows.
struct Static<T> {
    entry: core::mem::MaybeUninit<T>,
    buf: [u8; ENTRY_MAX],
}

static mut USER: Static<Passwd> = Static {
    entry: core::mem::MaybeUninit::uninit(),
    buf: [0; ENTRY_MAX],
};
static mut GROUP: Static<Group> = Static {
    entry: core::mem::MaybeUninit::uninit(),
    buf: [0; ENTRY_MAX],
};
/// Positions of `getpwent` and `getgrent`.
static NEXT: Mutex<(usize, usize)> = Mutex::new((0, 0));

/// # Safety
/// `call` must fill the entry as the `_r` functions do.
unsafe fn with_static<T>(
    place: *mut Static<T>,
    call: impl FnOnce(*mut T, *mut u8, usize, *mut *mut T) -> c_int,
) -> *mut T {
    let mut result = ptr::null_mut();
    // SAFETY: the statics live forever; `call` writes the entry before it is shown to anybody.
    let number = unsafe {
        let entry = (&raw mut (*place).entry).cast::<T>();
        call(
            entry,
            (&raw mut (*place).buf).cast::<u8>(),
            ENTRY_MAX,
            &raw mut result,
        )
    };
    if number != 0 {
        error::set(Errno(number as u16));
    }
    result
}

/// # Safety
/// `list` must have room for `*room` numbers.
unsafe fn groups_of(
    user: &[u8],
    primary: u32,
    list: *mut u32,
    room: *mut c_int,
) -> Result<usize, Errno> {
    let content = Content::read(b"/etc/group")?;
    let mut count = 0;
    let member = |group: &GroupLine<'_>| {
        group.gid != primary && group.member_names().any(|name| name == user)
    };
    let gids = database::groups(content.bytes())
        .filter(member)
        .map(|group| group.gid);
    for gid in core::iter::once(primary).chain(gids) {
        // SAFETY: within the caller's room.
        unsafe {
            if count < *room {
                *list.add(count as usize) = gid;
            }
        }
        count += 1;
    }
    // SAFETY: the caller's number.
    unsafe {
        let fits = count <= *room;
        *room = count;
        if fits {
            Ok(count as usize)
        } else {
            Err(e::ERANGE)
        }
    }
}

c_api! {
    fn getpwnam_r(name: *const u8, out: *mut Passwd, buf: *mut u8, len: usize, result: *mut *mut Passwd) -> c_int {
        let name = bytes_or_empty(name);
        give_user(|user| user.name == name, out, buf, len, result)
    }
    fn getpwuid_r(uid: u32, out: *mut Passwd, buf: *mut u8, len: usize, result: *mut *mut Passwd) -> c_int {
        give_user(|user| user.uid == uid, out, buf, len, result)
    }
    fn getgrnam_r(name: *const u8, out: *mut Group, buf: *mut u8, len: usize, result: *mut *mut Group) -> c_int {
        let name = bytes_or_empty(name);
        give_group(|group| group.name == name, out, buf, len, result)
    }
    fn getgrgid_r(gid: u32, out: *mut Group, buf: *mut u8, len: usize, result: *mut *mut Group) -> c_int {
        give_group(|group| group.gid == gid, out, buf, len, result)
    }
    fn getpwnam(name: *const u8) -> *mut Passwd {
        with_static(&raw mut USER, |out, buf, len, result| getpwnam_r(name, out, buf, len, result))
    }
    fn getpwuid(uid: u32) -> *mut Passwd {
        with_static(&raw mut USER, |out, buf, len, result| getpwuid_r(uid, out, buf, len, result))
    }
    fn getgrnam(name: *const u8) -> *mut Group {
        with_static(&raw mut GROUP, |out, buf, len, result| getgrnam_r(name, out, buf, len, result))
    }
    fn getgrgid(gid: u32) -> *mut Group {
        with_static(&raw mut GROUP, |out, buf, len, result| getgrgid_r(gid, out, buf, len, result))
    }
    fn setpwent() {
        NEXT.lock().0 = 0;
    }
    fn endpwent() {
        NEXT.lock().0 = 0;
    }
    fn getpwent() -> *mut Passwd {
        let index = {
            let mut next = NEXT.lock();
            next.0 += 1;
            next.0 - 1
        };
        with_static(&raw mut USER, |out, buf, len, result| {
            let seen = core::cell::Cell::new(0);
            give_user(|_| seen.replace(seen.get() + 1) == index, out, buf, len, result)
        })
    }
    fn setgrent() {
        NEXT.lock().1 = 0;
    }
    fn endgrent() {
        NEXT.lock().1 = 0;
    }
    fn getgrent() -> *mut Group {
        let index = {
            let mut next = NEXT.lock();
            next.1 += 1;
            next.1 - 1
        };
        with_static(&raw mut GROUP, |out, buf, len, result| {
            let seen = core::cell::Cell::new(0);
            give_group(|_| seen.replace(seen.get() + 1) == index, out, buf, len, result)
        })
    }
    fn getgrouplist(user: *const u8, primary: u32, list: *mut u32, room: *mut c_int) -> c_int {
        groups_of(bytes_or_empty(user), primary, list, room).map_or(-1, |count| count as c_int)
    }
    fn getlogin_r(buf: *mut u8, len: usize) -> c_int {
        let Ok(meta) = identity::meta(0) else { return c_int::from(e::ENXIO.0) };
        let Ok(content) = Content::read(b"/etc/passwd") else { return c_int::from(e::ENXIO.0) };
        let known = database::users(content.bytes()).find(|user| user.uid == meta.ruid);
        let Some(name) = known.map(|user| user.name).or_else(|| environment::get(b"USER")) else {
            return c_int::from(e::ENXIO.0);
        };
        Room { next: buf, left: len }.text(name).map_or_else(|errno| c_int::from(errno.0), |_| 0)
    }
    fn getlogin() -> *mut u8 {
        let buf = (&raw mut USER.buf).cast::<u8>();
        match getlogin_r(buf, ENTRY_MAX) {
            0 => buf,
            number => {
                error::set(Errno(number as u16));
                ptr::null_mut()
            }
        }
    }
}
