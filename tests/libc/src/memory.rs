//! malloc and mmap: alignment, zeroes, sharing, rights, and memory of a scheme daemon.

use std::ptr::null_mut;

use guest_tests::scratch::Scratch;
use guest_tests::{Group, OrFail, Outcome, check, check_eq, group};
use libc::{c_int, c_void};

use crate::call::{c, close, done, error, in_child};

/// All about memory.
pub(crate) const GROUP: Group = group!(
    "libc-memory",
    guest_tests::DEFAULT_LIMIT,
    [
        allocations_are_aligned_and_apart,
        zeroed_and_moved_allocations,
        impossible_sizes_are_refused,
        anonymous_memory_is_zero,
        private_memory_is_copied_on_fork,
        shared_memory_is_shared_with_children,
        a_file_is_mapped,
        rights_are_enforced,
        a_hole_faults,
        fixed_addresses_are_obeyed,
        a_named_object_is_shared,
        memory_of_a_daemon_is_shared,
    ]
);

const PAGE: usize = 4096;

fn map(size: usize, rights: c_int, flags: c_int, fd: c_int) -> Result<*mut u8, String> {
    // SAFETY: a new mapping at an address of the system's choice.
    let address = unsafe { libc::mmap(null_mut(), size, rights, flags, fd, 0) };
    if address == libc::MAP_FAILED {
        return Err(format!("mmap: {}", std::io::Error::last_os_error()));
    }
    Ok(address.cast())
}

fn unmap(address: *mut u8, size: usize) -> Outcome {
    // SAFETY: the range was mapped by this test.
    done(unsafe { libc::munmap(address.cast(), size) }, "munmap").map(|_| ())
}

const READ_WRITE: c_int = libc::PROT_READ | libc::PROT_WRITE;
const ANONYMOUS: c_int = libc::MAP_PRIVATE | libc::MAP_ANON;

fn allocations_are_aligned_and_apart() -> Outcome {
    // SAFETY: blocks are written within their sizes and freed once.
    unsafe {
        let blocks: Vec<_> = (1..200)
            .map(|size| (size, libc::malloc(size).cast::<u8>()))
            .collect();
        for &(size, block) in &blocks {
            check!(!block.is_null() && block.addr() % 16 == 0);
            block.write_bytes(size as u8, size);
        }
        for &(size, block) in &blocks {
            check!((0..size).all(|n| block.add(n).read() == size as u8));
            libc::free(block.cast());
        }
        libc::free(null_mut());
        for alignment in [16, 64, 4096, 1 << 20] {
            let mut block = null_mut::<c_void>();
            check_eq!(libc::posix_memalign(&mut block, alignment, 100), 0);
            check_eq!(block.addr() % alignment, 0);
            libc::free(block);
        }
        let mut block = null_mut::<c_void>();
        check_eq!(libc::posix_memalign(&mut block, 3, 100), libc::EINVAL);
    }
    Ok(())
}

fn zeroed_and_moved_allocations() -> Outcome {
    // SAFETY: blocks are used within their sizes and freed once.
    unsafe {
        for size in [1usize, 100, 5000, 1 << 20] {
            let block = libc::malloc(size).cast::<u8>();
            block.write_bytes(0xff, size);
            libc::free(block.cast());
            let block = libc::calloc(size, 1).cast::<u8>();
            check!((0..size).all(|n| block.add(n).read() == 0));
            block.write_bytes(9, size);
            let block = libc::realloc(block.cast(), size * 3).cast::<u8>();
            check!((0..size).all(|n| block.add(n).read() == 9));
            let block = libc::realloc(block.cast(), size / 2 + 1).cast::<u8>();
            check!((0..size / 2 + 1).all(|n| block.add(n).read() == 9));
            libc::free(block.cast());
        }
    }
    Ok(())
}

fn impossible_sizes_are_refused() -> Outcome {
    // SAFETY: nothing is allocated.
    unsafe {
        check!(
            std::hint::black_box(libc::malloc(std::hint::black_box(usize::MAX - 100))).is_null()
        );
        check!(
            std::hint::black_box(libc::calloc(std::hint::black_box(usize::MAX / 2), 3)).is_null()
        );
        check!(
            libc::mmap(
                null_mut(),
                usize::MAX & !0xfff,
                READ_WRITE,
                ANONYMOUS,
                -1,
                0
            ) == libc::MAP_FAILED
        );
        check!(libc::mmap(null_mut(), 0, READ_WRITE, ANONYMOUS, -1, 0) == libc::MAP_FAILED);
        check!(
            libc::mmap(null_mut(), PAGE, READ_WRITE, libc::MAP_PRIVATE, 999, 0) == libc::MAP_FAILED
        );
    }
    Ok(())
}

fn anonymous_memory_is_zero() -> Outcome {
    const SIZE: usize = 8 << 20;
    for _ in 0..3 {
        let memory = map(SIZE, READ_WRITE, ANONYMOUS, -1)?;
        check_eq!(memory.addr() % PAGE, 0);
        // SAFETY: within the mapping.
        unsafe {
            check!((0..SIZE).step_by(512).all(|n| memory.add(n).read() == 0));
            memory.write_bytes(0xaa, SIZE);
        }
        unmap(memory, SIZE)?;
    }
    Ok(())
}

fn private_memory_is_copied_on_fork() -> Outcome {
    let memory = map(PAGE * 4, READ_WRITE, ANONYMOUS, -1)?;
    // SAFETY: within the mapping, in both processes.
    unsafe {
        memory.write_bytes(1, PAGE * 4);
        let status = in_child(|| {
            memory.add(PAGE).write_volatile(2);
            c_int::from(memory.read_volatile() != 1)
        })?;
        check_eq!(status, 0);
        check_eq!(memory.add(PAGE).read_volatile(), 1);
    }
    unmap(memory, PAGE * 4)
}

fn shared_memory_is_shared_with_children() -> Outcome {
    let memory = map(PAGE * 2, READ_WRITE, libc::MAP_SHARED | libc::MAP_ANON, -1)?;
    // SAFETY: within the mapping, in both processes.
    unsafe {
        memory.write_volatile(1);
        let status = in_child(|| {
            memory.add(PAGE).write_volatile(7);
            c_int::from(memory.read_volatile() != 1)
        })?;
        check_eq!(status, 0);
        check_eq!(memory.add(PAGE).read_volatile(), 7);
    }
    unmap(memory, PAGE * 2)
}

fn a_file_is_mapped() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("a");
    let bytes: Vec<u8> = (0..10_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&path, &bytes).or_fail("write")?;
    let name = c(&path)?;
    // SAFETY: a terminated path; reads within the file's length.
    unsafe {
        let fd = done(libc::open(name.as_ptr(), libc::O_RDWR), "open")?;
        let memory = map(bytes.len(), libc::PROT_READ, libc::MAP_PRIVATE, fd)?;
        check!(std::slice::from_raw_parts(memory, bytes.len()) == bytes);
        unmap(memory, bytes.len())?;
        let memory = map(bytes.len(), READ_WRITE, libc::MAP_PRIVATE, fd)?;
        memory.write_volatile(99);
        check_eq!(memory.read_volatile(), 99);
        unmap(memory, bytes.len())?;
        close(&[fd]);
    }
    check_eq!(std::fs::read(&path).or_fail("read")?[0], 0);
    Ok(())
}

/// Signal that ends a child which touches an address.
fn touch(address: *mut u8, is_write: bool) -> Result<c_int, String> {
    let status = in_child(|| {
        // SAFETY: not safe when the range is not accessible: that is what is tested, in a process of its own.
        unsafe {
            if is_write {
                address.write_volatile(1);
            } else {
                address.read_volatile();
            }
        }
        0
    })?;
    Ok(if libc::WIFSIGNALED(status) {
        libc::WTERMSIG(status)
    } else {
        0
    })
}

fn rights_are_enforced() -> Outcome {
    let memory = map(PAGE * 3, READ_WRITE, ANONYMOUS, -1)?;
    // SAFETY: within the mapping.
    unsafe {
        memory.write_bytes(5, PAGE * 3);
        done(
            libc::mprotect(memory.add(PAGE).cast(), PAGE, libc::PROT_READ),
            "mprotect",
        )?;
        check_eq!(
            (
                touch(memory.add(PAGE), false)?,
                touch(memory.add(PAGE), true)?
            ),
            (0, libc::SIGSEGV)
        );
        check_eq!(
            (touch(memory, true)?, touch(memory.add(PAGE * 2), true)?),
            (0, 0)
        );
        done(
            libc::mprotect(memory.add(PAGE).cast(), PAGE, libc::PROT_NONE),
            "mprotect",
        )?;
        check_eq!(touch(memory.add(PAGE), false)?, libc::SIGSEGV);
        done(
            libc::mprotect(memory.add(PAGE).cast(), PAGE, READ_WRITE),
            "mprotect",
        )?;
        check_eq!(memory.add(PAGE).read_volatile(), 5);
        // Data is not executable.
        let status = in_child(|| {
            memory.write(0xc3);
            let function: extern "C" fn() = std::mem::transmute(memory);
            function();
            0
        })?;
        check!(libc::WIFSIGNALED(status));
    }
    unmap(memory, PAGE * 3)
}

fn a_hole_faults() -> Outcome {
    let memory = map(PAGE * 3, READ_WRITE, ANONYMOUS, -1)?;
    // SAFETY: within the mapping; the middle is not used afterwards by this process.
    unsafe {
        memory.write_bytes(3, PAGE * 3);
        unmap(memory.add(PAGE), PAGE)?;
        check_eq!(touch(memory.add(PAGE), false)?, libc::SIGSEGV);
        check_eq!(
            (memory.read_volatile(), memory.add(PAGE * 2).read_volatile()),
            (3, 3)
        );
        unmap(memory.add(PAGE * 2), PAGE)?;
    }
    unmap(memory, PAGE)
}

fn fixed_addresses_are_obeyed() -> Outcome {
    let memory = map(PAGE * 4, READ_WRITE, ANONYMOUS, -1)?;
    // SAFETY: the second mapping replaces a part of the first, which belongs to this test.
    unsafe {
        memory.write_bytes(8, PAGE * 4);
        let again = libc::mmap(
            memory.add(PAGE).cast(),
            PAGE,
            READ_WRITE,
            ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        );
        check_eq!(again.addr(), memory.add(PAGE).addr());
        check_eq!(
            (
                memory.add(PAGE).read_volatile(),
                memory.add(PAGE * 2).read_volatile()
            ),
            (0, 8)
        );
        let odd = libc::mmap(
            memory.add(7).cast(),
            PAGE,
            READ_WRITE,
            ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        );
        check!(odd == libc::MAP_FAILED);
        check_eq!(
            error(libc::munmap(memory.add(7).cast(), PAGE))?,
            libc::EINVAL
        );
    }
    unmap(memory, PAGE * 4)
}

fn a_named_object_is_shared() -> Outcome {
    let name = c(format!("/libc-tests-{}", std::process::id()))?;
    // SAFETY: a terminated name; accesses are within the mapped size.
    unsafe {
        let fd = done(
            libc::shm_open(
                name.as_ptr(),
                libc::O_CREAT | libc::O_RDWR | libc::O_EXCL,
                0o600,
            ),
            "shm_open",
        )?;
        done(libc::ftruncate(fd, PAGE as _), "ftruncate")?;
        let memory = map(PAGE, READ_WRITE, libc::MAP_SHARED, fd)?;
        let status = in_child(|| {
            let fd = libc::shm_open(name.as_ptr(), libc::O_RDWR, 0);
            let Ok(other) = map(PAGE, READ_WRITE, libc::MAP_SHARED, fd) else {
                return 1;
            };
            other.add(100).write_volatile(77);
            0
        })?;
        check_eq!(status, 0);
        check_eq!(memory.add(100).read_volatile(), 77);
        done(libc::shm_unlink(name.as_ptr()), "shm_unlink")?;
        check_eq!(
            error(libc::shm_open(name.as_ptr(), libc::O_RDWR, 0))?,
            libc::ENOENT
        );
        unmap(memory, PAGE)?;
        close(&[fd]);
    }
    Ok(())
}

#[cfg(target_os = "redox")]
fn memory_of_a_daemon_is_shared() -> Outcome {
    use guest_tests::client::Helper;
    for daemon in ["daemon-011", "daemon-012"] {
        let name = format!("mapped-{}-{daemon}", std::process::id());
        let _daemon = Helper::start(daemon, &[&name, "loop"])?;
        let path = c(format!("/scheme/{name}/map"))?;
        // SAFETY: a terminated path; accesses are within the mapped size.
        unsafe {
            let fd = done(libc::open(path.as_ptr(), libc::O_RDWR), "open")?;
            let memory = map(PAGE * 4, READ_WRITE, libc::MAP_SHARED, fd)?;
            check_eq!(memory.add(1).read_volatile(), 42);
            memory.add(PAGE * 2).write_volatile(5);
            let second = map(PAGE, READ_WRITE, libc::MAP_SHARED, fd)?;
            second.write_volatile(9);
            check_eq!(memory.read_volatile(), 9);
            // Too much is refused by the daemon.
            let much = libc::mmap(null_mut(), PAGE * 5, READ_WRITE, libc::MAP_SHARED, fd, 0);
            check!(much == libc::MAP_FAILED);
            unmap(second, PAGE)?;
            // What is mapped stays when the descriptor is closed.
            close(&[fd]);
            memory.add(PAGE * 3).write_volatile(6);
            let third = libc::open(path.as_ptr(), libc::O_RDWR);
            let again = map(PAGE, READ_WRITE, libc::MAP_SHARED, third)?;
            let notes = std::fs::read_to_string(format!("/scheme/{name}/log")).or_fail("notes")?;
            check!(notes.lines().any(|line| line == "map holds 9 0 5 6"));
            check!(notes.lines().any(|line| line == "map: munmap 0 4096"));
            unmap(again, PAGE)?;
            unmap(memory, PAGE * 4)?;
            close(&[third]);
        }
    }
    Ok(())
}

#[cfg(not(target_os = "redox"))]
fn memory_of_a_daemon_is_shared() -> Outcome {
    Ok(())
}
