//! What the machine keeps for threads that run beside one another: vector registers, time, memory that others unmap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use guest_tests::{Group, Outcome, check, check_eq, group};

/// Tests of this module.
pub(crate) const GROUP: Group = group!(
    "machine-kept",
    guest_tests::DEFAULT_LIMIT,
    [
        floating_point_registers_survive_switches,
        time_never_goes_back_on_any_cpu,
        pages_are_zero_after_others_used_them,
        a_replaced_page_is_seen_by_every_cpu,
    ]
);

const PAGE: usize = 4096;

fn floating_point_registers_survive_switches() -> Outcome {
    let threads: Vec<_> = (0..6)
        .map(|i| {
            thread::spawn(move || {
                let (first, mut value) = (f64::from(i) + 0.5, f64::from(i) + 0.5);
                for round in 0..100_000 {
                    value = std::hint::black_box(value * 1.000_000_1) / 1.000_000_1;
                    if round % 500 == 0 {
                        thread::yield_now();
                    }
                }
                (value - first).abs() < 0.001
            })
        })
        .collect();
    for thread in threads {
        check!(thread.join().unwrap_or(false));
    }
    Ok(())
}

fn time_never_goes_back_on_any_cpu() -> Outcome {
    let start = Instant::now();
    let latest = Arc::new(AtomicU64::new(0));
    let back = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (latest, back) = (Arc::clone(&latest), Arc::clone(&back));
            thread::spawn(move || {
                for _ in 0..20_000 {
                    // Read first: a time taken afterwards must not be before it.
                    let seen = latest.load(Ordering::SeqCst);
                    let now = start.elapsed().as_nanos() as u64;
                    if now < seen {
                        back.fetch_add(1, Ordering::SeqCst);
                    }
                    latest.fetch_max(now, Ordering::SeqCst);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| drop(thread.join()));
    check_eq!(back.load(Ordering::SeqCst), 0);
    Ok(())
}

fn pages_are_zero_after_others_used_them() -> Outcome {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(|| {
                (0..100).all(|_| {
                    let pages = map(16 * PAGE);
                    // SAFETY: 16 fresh pages that only this thread knows.
                    let bytes = unsafe { std::slice::from_raw_parts_mut(pages, 16 * PAGE) };
                    let zero = bytes.iter().step_by(64).all(|byte| *byte == 0);
                    bytes.iter_mut().step_by(64).for_each(|byte| *byte = 0xA5);
                    unmap(pages, 16 * PAGE);
                    zero
                })
            })
        })
        .collect();
    for thread in threads {
        check!(thread.join().unwrap_or(false));
    }
    Ok(())
}

/// One thread replaces a page and then announces the number it wrote there; the other must never see an older one.
fn a_replaced_page_is_seen_by_every_cpu() -> Outcome {
    const ROUNDS: u64 = 300;
    let page = map(PAGE) as usize;
    let announced = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (announced, done) = (Arc::clone(&announced), Arc::clone(&done));
        thread::spawn(move || {
            let mut stale = 0;
            while !done.load(Ordering::SeqCst) {
                let expected = announced.load(Ordering::SeqCst);
                let found = number(page).load(Ordering::SeqCst);
                // 0 is the new page before its number was written.
                if found != 0 && found < expected {
                    stale += 1;
                }
            }
            stale
        })
    };
    for round in 1..=ROUNDS {
        check!(replace(page));
        number(page).store(round, Ordering::SeqCst);
        announced.store(round, Ordering::SeqCst);
        if round % 16 == 0 {
            thread::yield_now();
        }
    }
    done.store(true, Ordering::SeqCst);
    check_eq!(reader.join().unwrap_or(1), 0);
    unmap(page as *mut u8, PAGE);
    Ok(())
}

fn number(page: usize) -> &'static AtomicU64 {
    // SAFETY: the page stays mapped (it is only ever replaced) until the reader has ended.
    unsafe { &*(page as *const AtomicU64) }
}

fn map(len: usize) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    assert!(at != libc::MAP_FAILED, "no memory");
    at.cast()
}

fn replace(page: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: replaces the one page that these two threads share, whose contents are not referred to as plain memory.
    let at = unsafe { libc::mmap(page as *mut libc::c_void, PAGE, protection, flags, -1, 0) };
    at as usize == page
}

fn unmap(at: *mut u8, len: usize) {
    // SAFETY: `map` made it, and no reference to it is left.
    unsafe { libc::munmap(at.cast(), len) };
}
