//! Facts about the system: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/sysconf.html>, random bytes,
//! limits, names.

use crate::fs::{self, Fd};
use crate::string::bytes_or_empty;
use crate::types::*;
use crate::{Errno, e, error};
use core::slice;
use valence_abi::PAGE_SIZE;
use valence_abi::flags::{O_CLOEXEC, O_RDONLY};

const ARG_MAX: usize = 1 << 20;
const OPEN_MAX: usize = 1024;
const HOST_NAME_MAX: usize = 64;
const TICKS_PER_SECOND: usize = 100;
const POSIX_VERSION: usize = 200_809;
/// The kernel's ENTROPY call gives at most this much at a time.
const ENTROPY_MAX: usize = 256;
const GETENTROPY_MAX: usize = 256;
const ENTRY_MAX: usize = 1024;

/// Random bytes from the scheme `rand`, or from the kernel while that does not serve.
pub(crate) fn fill_random(buf: &mut [u8]) -> Result<(), Errno> {
    let mut filled = 0;
    if let Ok(fd) = fs::open_kernel(b"rand", O_RDONLY | O_CLOEXEC) {
        let fd = Fd(fd);
        while filled < buf.len() {
            match fs::read_fd(fd.0, &mut buf[filled..]) {
                Ok(0) | Err(_) => break,
                Ok(len) => filled += len,
            }
        }
    }
    for part in buf[filled..].chunks_mut(ENTROPY_MAX) {
        // SAFETY: the buffer is as long as stated.
        unsafe { syscall!(ENTROPY, part.as_mut_ptr(), part.len())? };
    }
    Ok(())
}

/// One line per processor.
fn processors() -> usize {
    let mut text = [0; 4096];
    let len = fs::read_file(b"/scheme/sys/cpu", &mut text).unwrap_or(0);
    let lines = text[..len]
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .count();
    lines.max(1)
}

/// Total and available pages, from the kernel's scheme `memory`.
fn pages() -> Result<(u64, u64), Errno> {
    let fd = Fd(fs::open_kernel(b"memory", O_CLOEXEC)?);
    let stat = fs::statvfs_of(fd.0)?;
    let scale = |blocks: u64| blocks * stat.bsize.max(1) / PAGE_SIZE as u64;
    Ok((scale(stat.blocks), scale(stat.bavail)))
}

fn limit_of(resource: c_int) -> Result<Rlimit, Errno> {
    const RLIMIT_STACK: c_int = 3;
    const RLIMIT_CORE: c_int = 4;
    const RLIMIT_NOFILE: c_int = 7;
    const RLIMITS: c_int = 15;
    const UNLIMITED: u64 = u64::MAX;
    const MAIN_STACK: u64 = 8 << 20;
    let same = |value| Rlimit {
        cur: value,
        max: value,
    };
    match resource {
        RLIMIT_STACK => Ok(same(MAIN_STACK)),
        RLIMIT_CORE => Ok(same(0)),
        RLIMIT_NOFILE => Ok(same(OPEN_MAX as u64)),
        0..RLIMITS => Ok(same(UNLIMITED)),
        _ => Err(e::EINVAL),
    }
}

fn trimmed_line(text: &[u8]) -> &[u8] {
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or(b"");
    line.trim_ascii()
}

fn host_name(buf: &mut [u8; HOST_NAME_MAX]) -> &[u8] {
    let len = fs::read_file(b"/etc/hostname", buf).unwrap_or(0);
    let line = trimmed_line(&buf[..len]);
    if line.is_empty() { b"valence" } else { line }
}

fn put(field: &mut [u8; 65], text: &[u8]) {
    let len = text.len().min(field.len() - 1);
    *field = [0; 65];
    field[..len].copy_from_slice(&text[..len]);
}

c_api! {
    fn sysconf(name: c_int) -> c_long {
        let value = match name {
            0 => ARG_MAX,
            2 => TICKS_PER_SECOND,
            3 => 0,
            4 => OPEN_MAX,
            5 => 16,
            6 => 16,
            7 | 8 => 1,
            29 => POSIX_VERSION,
            30 => PAGE_SIZE,
            44 => 255,
            57 | 58 => processors(),
            69 | 70 => ENTRY_MAX,
            71 => 256,
            72 => 32,
            173 => 32,
            180 => HOST_NAME_MAX,
            // _SC_PHYS_PAGES and _SC_AVPHYS_PAGES as relibc numbers them.
            59 => return pages().map_or_else(|errno| error::long(Err(errno)) as c_long, |pages| pages.0 as c_long),
            60 => return pages().map_or_else(|errno| error::long(Err(errno)) as c_long, |pages| pages.1 as c_long),
            _ => return error::long(Err(e::EINVAL)) as c_long,
        };
        value as c_long
    }
    fn get_nprocs() -> c_int {
        processors() as c_int
    }
    fn confstr(name: c_int, buf: *mut u8, len: usize) -> usize {
        const PATH: &[u8] = b"/usr/bin:/bin\0";
        if name != 0 {
            error::set(e::EINVAL);
            return 0;
        }
        core::ptr::copy_nonoverlapping(PATH.as_ptr(), buf, len.min(PATH.len()));
        PATH.len()
    }
    fn uname(out: *mut Utsname) -> c_int {
        let mut text = [0; 512];
        let len = fs::read_file(b"/scheme/sys/uname", &mut text).unwrap_or(0);
        let mut lines = text[..len].split(|&byte| byte == b'\n');
        let out = &mut *out;
        out.fields = [[0; 65]; 6];
        // sysname, release, machine, version in the scheme's order; C's: sysname, nodename, release, version, machine.
        for (field, default) in [(0, "Valence"), (2, ""), (4, "x86_64"), (3, "")] {
            let line = lines.next().unwrap_or(b"");
            put(&mut out.fields[field], if line.is_empty() { default.as_bytes() } else { line });
        }
        let mut name = [0; HOST_NAME_MAX];
        let name = host_name(&mut name);
        put(&mut out.fields[1], name);
        0
    }
    fn gethostname(buf: *mut u8, len: usize) -> c_int {
        let mut name = [0; HOST_NAME_MAX];
        let name = host_name(&mut name);
        if name.len() >= len {
            return error::int(Err(e::ENAMETOOLONG));
        }
        core::ptr::copy_nonoverlapping(name.as_ptr(), buf, name.len());
        *buf.add(name.len()) = 0;
        0
    }
    fn getdomainname(buf: *mut u8, len: usize) -> c_int {
        if len > 0 {
            *buf = 0;
        }
        0
    }
    fn sethostname(name: *const u8, len: usize) -> c_int {
        let name = slice::from_raw_parts(name, len);
        if len > HOST_NAME_MAX {
            return error::int(Err(e::EINVAL));
        }
        use valence_abi::flags::{O_CREAT, O_TRUNC, O_WRONLY};
        let fd = fs::open_at(fs::AT_FDCWD, b"/etc/hostname", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644);
        error::int(fd.and_then(|fd| {
            let fd = Fd(fd);
            fs::write_all(fd.0, name)?;
            fs::write_all(fd.0, b"\n")?;
            Ok(0)
        }))
    }
    fn getrandom(buf: *mut u8, len: usize, _flags: c_uint) -> isize {
        error::long(fill_random(slice::from_raw_parts_mut(buf, len)).map(|()| len))
    }
    fn getentropy(buf: *mut u8, len: usize) -> c_int {
        if len > GETENTROPY_MAX {
            return error::int(Err(e::EIO));
        }
        error::int(fill_random(slice::from_raw_parts_mut(buf, len)).map(|()| 0))
    }
    fn arc4random_buf(buf: *mut u8, len: usize) {
        if fill_random(slice::from_raw_parts_mut(buf, len)).is_err() {
            crate::process::abort_process();
        }
    }
    fn arc4random() -> u32 {
        let mut bytes = [0; 4];
        arc4random_buf(bytes.as_mut_ptr(), bytes.len());
        u32::from_ne_bytes(bytes)
    }
    fn arc4random_uniform(bound: u32) -> u32 {
        if bound < 2 {
            return 0;
        }
        // Values below this would make small results more likely.
        let floor = bound.wrapping_neg() % bound;
        loop {
            let value = arc4random();
            if value >= floor {
                return value % bound;
            }
        }
    }
    fn getrlimit(resource: c_int, out: *mut Rlimit) -> c_int {
        error::int(limit_of(resource).map(|limit| {
            out.write(limit);
            0
        }))
    }
    /// Limits are fixed: setting one to what it is succeeds, anything else is refused.
    fn setrlimit(resource: c_int, limit: *const Rlimit) -> c_int {
        error::int(limit_of(resource).and_then(|fixed| {
            if (*limit).cur == fixed.cur && (*limit).max == fixed.max { Ok(0) } else { Err(e::EPERM) }
        }))
    }
    /// Nothing is measured per process yet (CAVEATS.md).
    fn getrusage(_who: c_int, _out: *mut c_void) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn getloadavg(_out: *mut f64, _count: c_int) -> c_int {
        -1
    }
    /// All processes have priority 0.
    fn getpriority(_which: c_int, _who: c_uint) -> c_int {
        0
    }
    fn setpriority(_which: c_int, _who: c_uint, priority: c_int) -> c_int {
        error::int(if priority == 0 { Ok(0) } else { Err(e::ENOSYS) })
    }
    fn getauxval(_kind: c_ulong) -> c_ulong {
        error::set(e::ENOENT);
        0
    }
    fn setlocale(_category: c_int, name: *const u8) -> *const c_char {
        match bytes_or_empty(name) {
            b"" | b"C" | b"POSIX" => c"C".as_ptr(),
            _ => core::ptr::null(),
        }
    }
    fn nl_langinfo(item: c_int) -> *const c_char {
        const CODESET: c_int = 0;
        if item == CODESET { c"UTF-8".as_ptr() } else { c"".as_ptr() }
    }
}
