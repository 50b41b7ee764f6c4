//! Threads, locks, channels, thread-local values, rayon.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, OnceLock, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use guest_tests::{Group, OrFail, Outcome, check, check_eq, group};
use rayon::prelude::*;

/// Threads that tests of contention start.
const THREADS: usize = 8;

/// All about threads.
pub(crate) const GROUP: Group = group!(
    "threads",
    guest_tests::DEFAULT_LIMIT,
    [
        a_thread_returns_its_value,
        scoped_threads_borrow,
        a_hundred_threads_end,
        threads_have_their_own_deep_stacks,
        a_mutex_excludes,
        a_poisoned_mutex_says_so,
        a_condvar_wakes_the_waiter,
        a_condvar_wait_times_out,
        channels_deliver_in_order,
        a_bounded_channel_blocks_the_sender,
        receive_timeout_and_disconnect,
        a_barrier_lets_all_go_together,
        a_rwlock_shares_readers,
        once_runs_once,
        park_is_ended_by_unpark,
        thread_locals_are_per_thread,
        thread_local_destructors_run,
        two_threads_make_progress_at_once,
        rayon_uses_several_threads,
        rayon_sorts,
        threads_keep_their_float_registers,
    ]
);

fn join<T>(handle: thread::JoinHandle<T>) -> Result<T, String> {
    handle.join().map_err(|_| "a thread panicked".to_string())
}

fn a_thread_returns_its_value() -> Outcome {
    let handle = thread::spawn(|| (1..=100u32).sum::<u32>());
    check_eq!(join(handle)?, 5050);
    Ok(())
}

fn scoped_threads_borrow() -> Outcome {
    let mut numbers = vec![1, 2, 3, 4];
    thread::scope(|scope| {
        for number in &mut numbers {
            scope.spawn(move || *number *= 10);
        }
    });
    check_eq!(numbers, [10, 20, 30, 40]);
    Ok(())
}

fn a_hundred_threads_end() -> Outcome {
    for _ in 0..10 {
        let handles: Vec<_> = (0..10).map(|n| thread::spawn(move || n)).collect();
        let mut sum = 0;
        for handle in handles {
            sum += join(handle)?;
        }
        check_eq!(sum, 45);
    }
    Ok(())
}

fn depth(n: usize) -> usize {
    let local = [n; 64];
    if n == 0 {
        0
    } else {
        std::hint::black_box(local)[0] - n + 1 + depth(n - 1)
    }
}

fn threads_have_their_own_deep_stacks() -> Outcome {
    let handles: Vec<_> = (0..4).map(|_| thread::spawn(|| depth(1500))).collect();
    for handle in handles {
        check_eq!(join(handle)?, 1500);
    }
    let big = thread::Builder::new()
        .stack_size(16 << 20)
        .spawn(|| depth(12_000))
        .or_fail("big stack")?;
    check_eq!(join(big)?, 12_000);
    Ok(())
}

fn a_mutex_excludes() -> Outcome {
    const ROUNDS: usize = 5000;
    let counter = Arc::new(Mutex::new(0usize));
    let handles: Vec<_> = (0..THREADS)
        .map(|_| {
            let counter = counter.clone();
            thread::spawn(move || {
                for _ in 0..ROUNDS {
                    let mut guard = counter.lock().unwrap();
                    let old = *guard;
                    std::hint::spin_loop();
                    *guard = old + 1;
                }
            })
        })
        .collect();
    for handle in handles {
        join(handle)?;
    }
    check_eq!(*counter.lock().or_fail("lock")?, THREADS * ROUNDS);
    check!(counter.try_lock().is_ok());
    Ok(())
}

fn a_poisoned_mutex_says_so() -> Outcome {
    let mutex = Arc::new(Mutex::new(1));
    let in_thread = mutex.clone();
    let result = thread::spawn(move || {
        let _guard = in_thread.lock().unwrap();
        std::panic::resume_unwind(Box::new("on purpose"));
    })
    .join();
    check!(result.is_err());
    check!(mutex.is_poisoned());
    check!(mutex.lock().is_err());
    Ok(())
}

fn a_condvar_wakes_the_waiter() -> Outcome {
    let pair = Arc::new((Mutex::new(0u32), Condvar::new()));
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let pair = pair.clone();
            thread::spawn(move || {
                let guard = pair
                    .1
                    .wait_while(pair.0.lock().unwrap(), |n| *n < 3)
                    .unwrap();
                *guard
            })
        })
        .collect();
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(10));
        *pair.0.lock().or_fail("lock")? += 1;
        pair.1.notify_all();
    }
    for waiter in waiters {
        check_eq!(join(waiter)?, 3);
    }
    Ok(())
}

fn a_condvar_wait_times_out() -> Outcome {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let start = Instant::now();
    let guard = mutex.lock().or_fail("lock")?;
    let (_guard, result) = condvar
        .wait_timeout_while(guard, Duration::from_millis(200), |()| true)
        .or_fail("wait")?;
    check!(result.timed_out());
    check!(start.elapsed() >= Duration::from_millis(190));
    check!(start.elapsed() < Duration::from_secs(10));
    Ok(())
}

fn channels_deliver_in_order() -> Outcome {
    const COUNT: usize = 2000;
    let (sender, receiver) = mpsc::channel();
    let handles: Vec<_> = (0..4)
        .map(|who| {
            let sender = sender.clone();
            thread::spawn(move || (0..COUNT).for_each(|n| sender.send((who, n)).unwrap()))
        })
        .collect();
    drop(sender);
    let mut next = HashMap::new();
    for (who, n) in receiver {
        let expected = next.entry(who).or_insert(0);
        check_eq!(n, *expected);
        *expected += 1;
    }
    check!(next.len() == 4 && next.values().all(|&n| n == COUNT));
    handles.into_iter().try_for_each(join)
}

fn a_bounded_channel_blocks_the_sender() -> Outcome {
    let (sender, receiver) = mpsc::sync_channel(1);
    let sent = Arc::new(AtomicUsize::new(0));
    let in_thread = sent.clone();
    let handle = thread::spawn(move || {
        for n in 0..5 {
            sender.send(n).unwrap();
            in_thread.fetch_add(1, Ordering::SeqCst);
        }
    });
    thread::sleep(Duration::from_millis(100));
    check_eq!(sent.load(Ordering::SeqCst), 1);
    check_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    join(handle)
}

fn receive_timeout_and_disconnect() -> Outcome {
    let (sender, receiver) = mpsc::channel::<u8>();
    let result = receiver.recv_timeout(Duration::from_millis(50));
    check_eq!(result, Err(mpsc::RecvTimeoutError::Timeout));
    drop(sender);
    check_eq!(receiver.recv(), Err(mpsc::RecvError));
    Ok(())
}

fn a_barrier_lets_all_go_together() -> Outcome {
    let barrier = Arc::new(Barrier::new(4));
    let arrived = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..4)
        .map(|n| {
            let (barrier, arrived) = (barrier.clone(), arrived.clone());
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(n * 20));
                arrived.fetch_add(1, Ordering::SeqCst);
                let is_leader = barrier.wait().is_leader();
                (is_leader, arrived.load(Ordering::SeqCst))
            })
        })
        .collect();
    let mut leaders = 0;
    for handle in handles {
        let (is_leader, seen) = join(handle)?;
        leaders += usize::from(is_leader);
        check_eq!(seen, 4);
    }
    check_eq!(leaders, 1);
    Ok(())
}

fn a_rwlock_shares_readers() -> Outcome {
    let lock = RwLock::new(5);
    let first = lock.read().or_fail("read")?;
    let second = lock.try_read().or_fail("second reader")?;
    check!(lock.try_write().is_err());
    check_eq!(*first + *second, 10);
    drop((first, second));
    *lock.write().or_fail("write")? += 1;
    check_eq!(*lock.read().or_fail("read")?, 6);
    Ok(())
}

fn once_runs_once() -> Outcome {
    static ONCE: Once = Once::new();
    static CELL: OnceLock<usize> = OnceLock::new();
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let handles: Vec<_> = (0..THREADS)
        .map(|n| {
            thread::spawn(move || {
                ONCE.call_once(|| {
                    thread::sleep(Duration::from_millis(20));
                    RUNS.fetch_add(1, Ordering::SeqCst);
                });
                (RUNS.load(Ordering::SeqCst), *CELL.get_or_init(|| n))
            })
        })
        .collect();
    let mut values = Vec::new();
    for handle in handles {
        let (runs, value) = join(handle)?;
        check_eq!(runs, 1);
        values.push(value);
    }
    check!(values.iter().all(|value| *value == values[0]));
    Ok(())
}

fn park_is_ended_by_unpark() -> Outcome {
    let flag = Arc::new(AtomicBool::new(false));
    let in_thread = flag.clone();
    let handle = thread::spawn(move || {
        while !in_thread.load(Ordering::SeqCst) {
            thread::park();
        }
    });
    thread::sleep(Duration::from_millis(50));
    flag.store(true, Ordering::SeqCst);
    handle.thread().unpark();
    join(handle)?;
    let start = Instant::now();
    thread::park_timeout(Duration::from_millis(50));
    check!(start.elapsed() < Duration::from_secs(10));
    Ok(())
}

fn thread_locals_are_per_thread() -> Outcome {
    thread_local! { static VALUE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) }; }
    VALUE.with_borrow_mut(|value| value.push(1000));
    let handles: Vec<_> = (0..THREADS)
        .map(|n| {
            thread::spawn(move || {
                (0..100).for_each(|_| VALUE.with_borrow_mut(|value| value.push(n)));
                VALUE.with_borrow(|value| value.len() == 100 && value.iter().all(|v| *v == n))
            })
        })
        .collect();
    for handle in handles {
        check!(join(handle)?);
    }
    VALUE.with_borrow(|value| check_eq_outcome(value, &[1000]))
}

fn check_eq_outcome(value: &[usize], expected: &[usize]) -> Outcome {
    check_eq!(value, expected);
    Ok(())
}

fn thread_local_destructors_run() -> Outcome {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Noisy;
    impl Drop for Noisy {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local! { static VALUE: Noisy = const { Noisy }; }
    for count in 1..=3 {
        join(thread::spawn(|| VALUE.with(|_| ())))?;
        check_eq!(DROPPED.load(Ordering::SeqCst), count);
    }
    join(thread::spawn(|| ()))?;
    check_eq!(DROPPED.load(Ordering::SeqCst), 3);
    Ok(())
}

/// Each thread spins until it sees the other's turn: without preemption or a second CPU this never ends.
fn two_threads_make_progress_at_once() -> Outcome {
    const TURNS: usize = 20;
    let turn = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..2)
        .map(|who| {
            let turn = turn.clone();
            thread::spawn(move || {
                for n in 0..TURNS {
                    while turn.load(Ordering::SeqCst) != 2 * n + who {
                        std::hint::spin_loop();
                    }
                    turn.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    handles.into_iter().try_for_each(join)?;
    check_eq!(turn.load(Ordering::SeqCst), 2 * TURNS);
    Ok(())
}

fn pool() -> Result<rayon::ThreadPool, String> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(4)
        .build()
        .or_fail("thread pool")
}

fn rayon_uses_several_threads() -> Outcome {
    let pool = pool()?;
    check_eq!(pool.current_num_threads(), 4);
    let sum: u64 = pool.install(|| (0..2_000_000u64).into_par_iter().map(|n| n % 7).sum());
    check_eq!(sum, (0..2_000_000u64).map(|n| n % 7).sum::<u64>());
    let broadcast = pool.broadcast(|context| context.index());
    check_eq!(broadcast, [0, 1, 2, 3]);
    Ok(())
}

fn rayon_sorts() -> Outcome {
    let mut numbers: Vec<u32> = (0..200_000u32)
        .map(|n| n.wrapping_mul(2_654_435_761))
        .collect();
    pool()?.install(|| numbers.par_sort_unstable());
    check!(numbers.is_sorted());
    Ok(())
}

/// Threads that compute with different values get different results: their registers are not mixed up.
fn threads_keep_their_float_registers() -> Outcome {
    let handles: Vec<_> = (0..4)
        .map(|n| {
            thread::spawn(move || {
                let step = 1.0 + f64::from(n);
                let mut sums = [0.0f64; 8];
                for round in 0..200_000 {
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        *sum += step * (lane as f64 + 1.0);
                    }
                    if round % 50_000 == 0 {
                        thread::yield_now();
                    }
                }
                (step, sums)
            })
        })
        .collect();
    for handle in handles {
        let (step, sums) = join(handle)?;
        for (lane, sum) in sums.iter().enumerate() {
            check_eq!(*sum, step * (lane as f64 + 1.0) * 200_000.0);
        }
    }
    Ok(())
}
