//! pthreads: values, kinds of mutexes, condition variables, keys, read-write locks, semaphores.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use guest_tests::{Group, Outcome, check, check_eq, group};
use libc::{c_int, c_void};

use crate::call::{in_child, zero};

/// All about threads.
pub(crate) const GROUP: Group = group!(
    "libc-threads",
    guest_tests::DEFAULT_LIMIT,
    [
        a_value_is_returned,
        mutexes_of_each_kind,
        a_timed_wait_ends,
        the_clock_of_a_condition_is_obeyed,
        key_destructors_run,
        once_runs_once,
        read_write_locks,
        semaphores_count,
        a_signal_for_one_thread,
        exit_ends_all_threads,
        each_thread_has_its_errno,
    ]
);

type Start = extern "C" fn(*mut c_void) -> *mut c_void;

fn spawn(start: Start, argument: usize) -> Result<libc::pthread_t, String> {
    // SAFETY: an all-zero pthread_t is only a place for the answer.
    let mut thread = unsafe { std::mem::zeroed() };
    // SAFETY: the start functions here take a number for a pointer.
    let result = unsafe {
        libc::pthread_create(
            &mut thread,
            std::ptr::null(),
            start,
            std::ptr::without_provenance_mut(argument),
        )
    };
    zero(result, "pthread_create")?;
    Ok(thread)
}

fn join(thread: libc::pthread_t) -> Result<usize, String> {
    let mut value = null_mut();
    // SAFETY: the thread is joined once.
    zero(
        unsafe { libc::pthread_join(thread, &mut value) },
        "pthread_join",
    )?;
    Ok(value.addr())
}

fn a_value_is_returned() -> Outcome {
    extern "C" fn double(argument: *mut c_void) -> *mut c_void {
        std::ptr::without_provenance_mut(argument.addr() * 2)
    }
    let threads: Vec<_> = (1..=10)
        .map(|n| spawn(double, n))
        .collect::<Result<_, _>>()?;
    for (n, thread) in threads.into_iter().enumerate() {
        check_eq!(join(thread)?, (n + 1) * 2);
    }
    // SAFETY: plain calls.
    check!(unsafe { libc::pthread_equal(libc::pthread_self(), libc::pthread_self()) } != 0);
    Ok(())
}

fn mutexes_of_each_kind() -> Outcome {
    // SAFETY: all objects are initialised before and destroyed after use, by one thread.
    unsafe {
        // Kinds 1 and 3 are both recursive here: their numbers differ between versions of the libc crate (CAVEATS.md).
        let checked = if cfg!(target_os = "redox") {
            0
        } else {
            libc::EDEADLK
        };
        for (kind, second) in [
            (libc::PTHREAD_MUTEX_RECURSIVE, 0),
            (libc::PTHREAD_MUTEX_ERRORCHECK, checked),
        ] {
            let mut attributes = std::mem::zeroed();
            zero(libc::pthread_mutexattr_init(&mut attributes), "attr")?;
            zero(
                libc::pthread_mutexattr_settype(&mut attributes, kind),
                "settype",
            )?;
            let mut mutex = std::mem::zeroed();
            zero(libc::pthread_mutex_init(&mut mutex, &attributes), "init")?;
            zero(libc::pthread_mutex_lock(&mut mutex), "lock")?;
            check_eq!(libc::pthread_mutex_lock(&mut mutex), second);
            if second == 0 {
                zero(libc::pthread_mutex_unlock(&mut mutex), "unlock")?;
            }
            zero(libc::pthread_mutex_unlock(&mut mutex), "unlock")?;
            if kind == libc::PTHREAD_MUTEX_ERRORCHECK {
                check_eq!(libc::pthread_mutex_unlock(&mut mutex), libc::EPERM);
            }
            zero(libc::pthread_mutex_destroy(&mut mutex), "destroy")?;
        }
        let mut plain = libc::PTHREAD_MUTEX_INITIALIZER;
        zero(libc::pthread_mutex_lock(&mut plain), "lock")?;
        check_eq!(libc::pthread_mutex_trylock(&mut plain), libc::EBUSY);
        zero(libc::pthread_mutex_unlock(&mut plain), "unlock")
    }
}

fn after(clock: libc::clockid_t, millis: i64) -> libc::timespec {
    // SAFETY: a valid place for the time.
    let mut time = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_nsec += millis * 1_000_000;
    time.tv_sec += time.tv_nsec / 1_000_000_000;
    time.tv_nsec %= 1_000_000_000;
    time
}

fn a_timed_wait_ends() -> Outcome {
    let (mut mutex, mut condition) = (
        libc::PTHREAD_MUTEX_INITIALIZER,
        libc::PTHREAD_COND_INITIALIZER,
    );
    let start = Instant::now();
    // SAFETY: the mutex is locked by this thread.
    unsafe {
        zero(libc::pthread_mutex_lock(&mut mutex), "lock")?;
        let deadline = after(libc::CLOCK_REALTIME, 200);
        check_eq!(
            libc::pthread_cond_timedwait(&mut condition, &mut mutex, &deadline),
            libc::ETIMEDOUT
        );
        check!(
            start.elapsed() >= Duration::from_millis(190)
                && start.elapsed() < Duration::from_secs(5)
        );
        let past = libc::timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        check_eq!(
            libc::pthread_cond_timedwait(&mut condition, &mut mutex, &past),
            libc::ETIMEDOUT
        );
        zero(libc::pthread_mutex_unlock(&mut mutex), "unlock")
    }
}

fn the_clock_of_a_condition_is_obeyed() -> Outcome {
    let mut mutex = libc::PTHREAD_MUTEX_INITIALIZER;
    // SAFETY: all objects are initialised before use.
    unsafe {
        let mut attributes = std::mem::zeroed();
        zero(libc::pthread_condattr_init(&mut attributes), "attr")?;
        zero(
            libc::pthread_condattr_setclock(&mut attributes, libc::CLOCK_MONOTONIC),
            "setclock",
        )?;
        let mut condition = std::mem::zeroed();
        zero(libc::pthread_cond_init(&mut condition, &attributes), "init")?;
        zero(libc::pthread_mutex_lock(&mut mutex), "lock")?;
        let start = Instant::now();
        let deadline = after(libc::CLOCK_MONOTONIC, 200);
        check_eq!(
            libc::pthread_cond_timedwait(&mut condition, &mut mutex, &deadline),
            libc::ETIMEDOUT
        );
        check!(
            start.elapsed() >= Duration::from_millis(190)
                && start.elapsed() < Duration::from_secs(5)
        );
        zero(libc::pthread_mutex_unlock(&mut mutex), "unlock")
    }
}

fn key_destructors_run() -> Outcome {
    static SUM: AtomicUsize = AtomicUsize::new(0);
    static KEY: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn add(value: *mut c_void) {
        SUM.fetch_add(value.addr(), Ordering::SeqCst);
    }
    extern "C" fn set(argument: *mut c_void) -> *mut c_void {
        let key = KEY.load(Ordering::SeqCst) as libc::pthread_key_t;
        // SAFETY: the key exists.
        unsafe {
            let before = libc::pthread_getspecific(key);
            libc::pthread_setspecific(key, argument);
            let after = libc::pthread_getspecific(key);
            std::ptr::without_provenance_mut(usize::from(before.is_null() && after == argument))
        }
    }
    let mut key = 0;
    // SAFETY: a valid place for the key.
    zero(
        unsafe { libc::pthread_key_create(&mut key, Some(add)) },
        "key",
    )?;
    KEY.store(key as usize, Ordering::SeqCst);
    for value in [3, 4] {
        check_eq!(join(spawn(set, value)?)?, 1);
    }
    check_eq!(SUM.load(Ordering::SeqCst), 7);
    Ok(())
}

fn once_runs_once() -> Outcome {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    // pthread_once_t is an int that starts at zero, on Linux and here.
    struct Shared(std::cell::UnsafeCell<c_int>);
    // SAFETY: pthread_once is made for concurrent use.
    unsafe impl Sync for Shared {}
    static ONCE: Shared = Shared(std::cell::UnsafeCell::new(0));
    extern "C" fn count() {
        RUNS.fetch_add(1, Ordering::SeqCst);
    }
    unsafe extern "C" {
        fn pthread_once(once: *mut c_int, run: extern "C" fn()) -> c_int;
    }
    extern "C" fn call(_argument: *mut c_void) -> *mut c_void {
        // SAFETY: the cell lives as long as the program.
        unsafe { pthread_once(ONCE.0.get(), count) };
        std::ptr::without_provenance_mut(RUNS.load(Ordering::SeqCst) as usize)
    }
    let threads: Vec<_> = (0..6).map(|n| spawn(call, n)).collect::<Result<_, _>>()?;
    for thread in threads {
        check_eq!(join(thread)?, 1);
    }
    Ok(())
}

fn read_write_locks() -> Outcome {
    let mut lock = libc::PTHREAD_RWLOCK_INITIALIZER;
    // SAFETY: one thread, balanced calls.
    unsafe {
        zero(libc::pthread_rwlock_rdlock(&mut lock), "read")?;
        zero(libc::pthread_rwlock_tryrdlock(&mut lock), "second read")?;
        check_eq!(libc::pthread_rwlock_trywrlock(&mut lock), libc::EBUSY);
        zero(libc::pthread_rwlock_unlock(&mut lock), "unlock")?;
        zero(libc::pthread_rwlock_unlock(&mut lock), "unlock")?;
        zero(libc::pthread_rwlock_trywrlock(&mut lock), "write")?;
        check_eq!(libc::pthread_rwlock_tryrdlock(&mut lock), libc::EBUSY);
        zero(libc::pthread_rwlock_unlock(&mut lock), "unlock")
    }
}

fn semaphores_count() -> Outcome {
    // SAFETY: the semaphore is initialised before use and outlives it.
    unsafe {
        let mut semaphore: libc::sem_t = std::mem::zeroed();
        check_eq!(libc::sem_init(&mut semaphore, 0, 2), 0);
        check_eq!(libc::sem_wait(&mut semaphore), 0);
        check_eq!(libc::sem_trywait(&mut semaphore), 0);
        check_eq!(
            crate::call::error(libc::sem_trywait(&mut semaphore))?,
            libc::EAGAIN
        );
        let deadline = after(libc::CLOCK_REALTIME, 100);
        check_eq!(
            crate::call::error(libc::sem_timedwait(&mut semaphore, &deadline))?,
            libc::ETIMEDOUT
        );
        check_eq!(libc::sem_post(&mut semaphore), 0);
        check_eq!(libc::sem_wait(&mut semaphore), 0);
        check_eq!(libc::sem_destroy(&mut semaphore), 0);
    }
    Ok(())
}

fn a_signal_for_one_thread() -> Outcome {
    static WHO: AtomicUsize = AtomicUsize::new(0);
    static READY: AtomicU32 = AtomicU32::new(0);
    fn own() -> usize {
        // SAFETY: plain call.
        unsafe { libc::pthread_self() as usize }
    }
    extern "C" fn note(_signal: c_int) {
        WHO.store(own(), Ordering::SeqCst);
    }
    extern "C" fn wait(_argument: *mut c_void) -> *mut c_void {
        READY.store(1, Ordering::SeqCst);
        while WHO.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::ptr::without_provenance_mut(usize::from(WHO.load(Ordering::SeqCst) == own()))
    }
    // SAFETY: the handler uses atomics only; the thread is alive until it saw the signal.
    unsafe {
        libc::signal(libc::SIGUSR2, note as *const () as usize);
        let thread = spawn(wait, 0)?;
        while READY.load(Ordering::SeqCst) == 0 {
            libc::sched_yield();
        }
        zero(libc::pthread_kill(thread, libc::SIGUSR2), "pthread_kill")?;
        check_eq!(join(thread)?, 1);
    }
    Ok(())
}

fn exit_ends_all_threads() -> Outcome {
    extern "C" fn spin(_argument: *mut c_void) -> *mut c_void {
        loop {
            std::hint::spin_loop();
        }
    }
    extern "C" fn block(_argument: *mut c_void) -> *mut c_void {
        std::thread::sleep(Duration::from_secs(600));
        null_mut()
    }
    let start = Instant::now();
    let status = in_child(|| {
        let (Ok(_), Ok(_)) = (spawn(spin, 0), spawn(block, 0)) else {
            return 9;
        };
        std::thread::sleep(Duration::from_millis(100));
        7
    })?;
    check_eq!(libc::WEXITSTATUS(status), 7);
    check!(start.elapsed() < Duration::from_secs(20));
    Ok(())
}

fn each_thread_has_its_errno() -> Outcome {
    extern "C" fn fail(_argument: *mut c_void) -> *mut c_void {
        // SAFETY: a descriptor that is not open.
        unsafe { libc::close(-1) };
        let number = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        std::ptr::without_provenance_mut(number as usize)
    }
    // SAFETY: a path that does not exist.
    unsafe { libc::access(c"/no/such".as_ptr(), libc::F_OK) };
    let mine = || std::io::Error::last_os_error().raw_os_error();
    let thread = spawn(fail, 0)?;
    let other = join(thread)?;
    // SAFETY: a path that does not exist.
    unsafe { libc::access(c"/no/such".as_ptr(), libc::F_OK) };
    check_eq!((other as c_int, mine()), (libc::EBADF, Some(libc::ENOENT)));
    Ok(())
}
