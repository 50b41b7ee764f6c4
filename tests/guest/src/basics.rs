//! What every program takes for granted: time, environment, arguments, memory, caught panics, random numbers.

use std::collections::HashMap;
use std::io::Read;
use std::panic::catch_unwind;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use guest_tests::{Group, OrFail, Outcome, check, check_eq, group, panic_text};

/// Seconds from 1970 to 2024: the clock must be set later than that.
const START_OF_2024: u64 = 1_704_067_200;

/// The basics.
pub(crate) const GROUP: Group = group!(
    "basics",
    guest_tests::DEFAULT_LIMIT,
    [
        the_clock_is_set,
        monotonic_time_never_goes_back,
        a_sleep_takes_its_time,
        short_sleeps_end,
        environment_variables_can_be_set,
        the_own_path_is_known,
        large_allocations_are_zeroed,
        much_memory_is_given_back,
        small_allocations_do_not_overlap,
        hash_maps_differ_in_order,
        random_bytes_are_not_constant,
        zero_null_and_full_reads,
        a_panic_is_caught,
        a_panic_in_a_thread_is_reported,
        a_panic_runs_destructors,
        arithmetic_checks_panic,
        text_and_numbers_format,
        a_link_beside_scheme_paths_works,
    ]
);

fn the_clock_is_set() -> Outcome {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .or_fail("clock")?;
    check!(now.as_secs() > START_OF_2024);
    Ok(())
}

fn monotonic_time_never_goes_back() -> Outcome {
    let mut last = Instant::now();
    let start = last;
    for _ in 0..20_000 {
        let now = Instant::now();
        check!(now >= last);
        last = now;
    }
    check!(last > start);
    Ok(())
}

fn a_sleep_takes_its_time() -> Outcome {
    let (start, wall) = (Instant::now(), SystemTime::now());
    std::thread::sleep(Duration::from_millis(500));
    check!(start.elapsed() >= Duration::from_millis(500));
    check!(start.elapsed() < Duration::from_millis(2500));
    let wall = wall.elapsed().or_fail("the clock went back")?;
    check!(wall >= Duration::from_millis(490) && wall < Duration::from_millis(2500));
    Ok(())
}

fn short_sleeps_end() -> Outcome {
    let start = Instant::now();
    for _ in 0..50 {
        std::thread::sleep(Duration::from_micros(100));
    }
    check!(start.elapsed() < Duration::from_secs(5));
    Ok(())
}

fn environment_variables_can_be_set() -> Outcome {
    check!(std::env::var_os("GUEST_TESTS_NONE").is_none());
    check!(std::env::vars_os().count() > 0);
    check!(std::env::var_os("PATH").is_some());
    Ok(())
}

fn the_own_path_is_known() -> Outcome {
    let path = std::env::current_exe().or_fail("current_exe")?;
    check!(path.ends_with("guest-tests"));
    check!(path.exists());
    check!(std::env::args().next().is_some());
    Ok(())
}

fn large_allocations_are_zeroed() -> Outcome {
    let mut block = vec![0u8; 64 << 20];
    for offset in (0..block.len()).step_by(4096) {
        check_eq!(block[offset], 0);
        block[offset] = 1;
    }
    check_eq!(
        block
            .iter()
            .step_by(4096)
            .map(|&b| usize::from(b))
            .sum::<usize>(),
        (64 << 20) / 4096
    );
    Ok(())
}

fn much_memory_is_given_back() -> Outcome {
    // 4 GiB in total: more than the machine has, unless freed blocks are used again.
    for round in 0..64u8 {
        let block = vec![round + 1; 64 << 20];
        check_eq!(block[block.len() - 1], round + 1);
    }
    Ok(())
}

fn small_allocations_do_not_overlap() -> Outcome {
    let mut blocks: Vec<Vec<u32>> = Vec::new();
    for n in 0..20_000u32 {
        blocks.push(vec![n; (n % 97) as usize + 1]);
        if n % 3 == 0 {
            let index = (n as usize * 31) % blocks.len();
            blocks.swap_remove(index);
        }
    }
    for block in &blocks {
        check!(block.iter().all(|n| *n == block[0]) && block.len() == (block[0] % 97) as usize + 1);
    }
    Ok(())
}

fn hash_maps_differ_in_order() -> Outcome {
    let order = || {
        (0..64)
            .map(|n| (n, ()))
            .collect::<HashMap<u32, ()>>()
            .into_keys()
            .collect::<Vec<_>>()
    };
    let first = std::thread::spawn(order).join().map_err(|_| "thread")?;
    let second = std::thread::spawn(order).join().map_err(|_| "thread")?;
    check!(first != second);
    Ok(())
}

fn random_bytes_are_not_constant() -> Outcome {
    for path in ["/scheme/rand", "/dev/urandom", "rand:"] {
        let mut blocks = [[0u8; 32]; 2];
        for block in &mut blocks {
            let mut file = std::fs::File::open(path).or_fail(path)?;
            file.read_exact(block).or_fail(path)?;
        }
        check!(blocks[0] != blocks[1]);
        check!(blocks[0] != [0; 32]);
    }
    Ok(())
}

fn zero_null_and_full_reads() -> Outcome {
    for path in ["/dev/zero", "/scheme/zero"] {
        let mut bytes = [7u8; 100];
        std::fs::File::open(path)
            .or_fail(path)?
            .read_exact(&mut bytes)
            .or_fail(path)?;
        check_eq!(bytes, [0; 100]);
    }
    for path in ["/dev/null", "/scheme/null"] {
        check_eq!(std::fs::read(path).or_fail(path)?.len(), 0);
        std::fs::write(path, b"gone").or_fail(path)?;
    }
    Ok(())
}

fn a_panic_is_caught() -> Outcome {
    for n in 0..3 {
        let result = catch_unwind(|| {
            if n < 10 {
                panic!("number {n}");
            }
        });
        let panic = result.err().ok_or("no panic")?;
        check_eq!(panic_text(&*panic), format!("number {n}"));
    }
    Ok(())
}

fn a_panic_in_a_thread_is_reported() -> Outcome {
    let result = std::thread::spawn(|| -> u32 { panic!("in a thread") }).join();
    check_eq!(panic_text(&*result.err().ok_or("no panic")?), "in a thread");
    Ok(())
}

fn a_panic_runs_destructors() -> Outcome {
    use std::cell::RefCell;
    use std::panic::AssertUnwindSafe;
    struct Note<'a>(&'a RefCell<Vec<u32>>, u32);
    impl Drop for Note<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    let notes = RefCell::new(Vec::new());
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _first = Note(&notes, 1);
        let _second = Note(&notes, 2);
        deep(20);
    }));
    check!(result.is_err());
    check_eq!(notes.into_inner(), [2, 1]);
    Ok(())
}

fn deep(n: u32) -> u32 {
    assert!(n > 0, "at the bottom");
    let text = n.to_string();
    deep(n - 1) + text.len() as u32
}

fn arithmetic_checks_panic() -> Outcome {
    let zero = std::hint::black_box(0u32);
    let empty: Vec<u32> = std::hint::black_box(Vec::new());
    check!(catch_unwind(|| 1 / zero).is_err());
    check!(catch_unwind(|| empty[zero as usize]).is_err());
    Ok(())
}

fn text_and_numbers_format() -> Outcome {
    check_eq!(
        format!(
            "{:.3} {:e} {:#x} {:?}",
            std::f64::consts::PI,
            1.5e300,
            255,
            "ä\n"
        ),
        "3.142 1.5e300 0xff \"ä\\n\""
    );
    check_eq!("1e-7".parse::<f64>().or_fail("parse")?, 1e-7);
    check!((2.0f64.sqrt().powi(2) - 2.0).abs() < 1e-12);
    check!((1.0f64.exp().ln() - 1.0).abs() < 1e-12 && (0.5f64.sin().asin() - 0.5).abs() < 1e-12);
    Ok(())
}

fn a_link_beside_scheme_paths_works() -> Outcome {
    // Both spellings of a path name the same file.
    let legacy = std::fs::read_to_string("file:/etc/passwd");
    let plain = std::fs::read_to_string("/etc/passwd").or_fail("plain")?;
    let modern = std::fs::read_to_string("/scheme/file/etc/passwd").or_fail("modern")?;
    check_eq!(modern, plain);
    check_eq!(legacy.or_fail("legacy")?, plain);
    Ok(())
}
