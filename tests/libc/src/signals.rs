//! Handlers, masks, waiting for signals, interrupted calls.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use guest_tests::{Group, Outcome, check, check_eq, group};
use libc::c_int;

use crate::call::{close, done, fork, in_child, pipe, read, size_error, write, zero};

/// All about signals. Tests that change a disposition do so in a child.
pub(crate) const GROUP: Group = group!(
    "libc-signals",
    guest_tests::DEFAULT_LIMIT,
    [
        a_handler_runs_and_the_program_goes_on,
        a_handler_keeps_the_registers,
        a_blocked_signal_waits,
        a_handler_blocks_its_own_signal,
        one_shot_handlers_are_reset,
        siginfo_names_the_sender,
        a_read_is_interrupted,
        a_restarting_read_goes_on,
        a_sleep_is_interrupted,
        sigwait_takes_a_blocked_signal,
        suspend_waits_for_a_handler,
        the_end_of_a_child_is_signalled,
        ignored_signals_do_nothing,
        handlers_are_gone_after_exec,
        an_alarm_comes_in_time,
        a_timer_signals,
        an_alternate_stack_is_used,
        a_handler_may_leave_by_panic_free_exit,
        many_signals_arrive,
        stopped_children_continue,
        bad_numbers_are_refused,
    ]
);

static SEEN: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);

extern "C" fn note(signal: c_int) {
    SEEN.store(signal, Ordering::SeqCst);
    COUNT.fetch_add(1, Ordering::SeqCst);
}

/// Installs a handler with flags.
fn handle(signal: c_int, handler: extern "C" fn(c_int), flags: c_int) {
    // SAFETY: an all-zero sigaction is valid; the handlers here use atomics and write(2) only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags as _;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

fn set_of(signals: &[c_int]) -> libc::sigset_t {
    // SAFETY: an all-zero set is valid for sigemptyset.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        set
    }
}

fn mask(how: c_int, signals: &[c_int]) {
    let set = set_of(signals);
    // SAFETY: a valid set.
    unsafe { libc::sigprocmask(how, &set, std::ptr::null_mut()) };
}

fn raise(signal: c_int) {
    // SAFETY: a signal to this thread.
    unsafe { libc::raise(signal) };
}

fn in_clean_child(child: impl FnOnce() -> c_int) -> Outcome {
    let status = in_child(child)?;
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
        return Ok(());
    }
    let status: std::process::ExitStatus = std::os::unix::process::ExitStatusExt::from_raw(status);
    Err(format!("the child ended with {status}"))
}

fn a_handler_runs_and_the_program_goes_on() -> Outcome {
    in_clean_child(|| {
        handle(libc::SIGUSR1, note, 0);
        let numbers: Vec<u64> = (0..100).collect();
        raise(libc::SIGUSR1);
        // SAFETY: a signal to this process.
        unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
        c_int::from(
            SEEN.load(Ordering::SeqCst) != libc::SIGUSR1
                || COUNT.load(Ordering::SeqCst) != 2
                || numbers.iter().sum::<u64>() != 4950,
        )
    })
}

fn a_handler_keeps_the_registers() -> Outcome {
    extern "C" fn spoil(_signal: c_int) {
        let spoiled: f64 = (1..50).map(|n| f64::from(n).sqrt()).sum();
        COUNT.fetch_add(spoiled as u32, Ordering::SeqCst);
    }
    in_clean_child(|| {
        handle(libc::SIGALRM, spoil, libc::SA_RESTART);
        let timer = libc::itimerval {
            it_interval: libc::timeval {
                tv_sec: 0,
                tv_usec: 2000,
            },
            it_value: libc::timeval {
                tv_sec: 0,
                tv_usec: 2000,
            },
        };
        // SAFETY: valid timer values.
        if unsafe { setitimer(0, &timer, std::ptr::null_mut()) } != 0 {
            return 5;
        }
        let sum = |step: f64| (0..3_000_000).map(|n| step * f64::from(n & 7)).sum::<f64>();
        let (first, second) = (sum(0.5), sum(0.5));
        c_int::from(first != second || first != 0.5 * 28.0 * 375_000.0)
    })
}

unsafe extern "C" {
    fn sigsuspend(mask: *const libc::sigset_t) -> c_int;
    fn setitimer(which: c_int, new: *const libc::itimerval, old: *mut libc::itimerval) -> c_int;
}

fn a_blocked_signal_waits() -> Outcome {
    in_clean_child(|| {
        handle(libc::SIGUSR1, note, 0);
        mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
        raise(libc::SIGUSR1);
        raise(libc::SIGUSR1);
        if COUNT.load(Ordering::SeqCst) != 0 {
            return 1;
        }
        // SAFETY: an all-zero set is valid, and sigpending fills it.
        unsafe {
            let mut pending = std::mem::zeroed();
            libc::sigpending(&mut pending);
            if libc::sigismember(&pending, libc::SIGUSR1) != 1
                || libc::sigismember(&pending, libc::SIGUSR2) != 0
            {
                return 2;
            }
        }
        mask(libc::SIG_UNBLOCK, &[libc::SIGUSR1]);
        c_int::from(COUNT.load(Ordering::SeqCst) != 1) * 3
    })
}

fn a_handler_blocks_its_own_signal() -> Outcome {
    static DEPTH: AtomicU32 = AtomicU32::new(0);
    static DEEPEST: AtomicU32 = AtomicU32::new(0);
    extern "C" fn nested(signal: c_int) {
        let depth = DEPTH.fetch_add(1, Ordering::SeqCst) + 1;
        DEEPEST.fetch_max(depth, Ordering::SeqCst);
        if COUNT.fetch_add(1, Ordering::SeqCst) == 0 {
            raise(signal);
        }
        DEPTH.fetch_sub(1, Ordering::SeqCst);
    }
    in_clean_child(|| {
        handle(libc::SIGUSR1, nested, 0);
        raise(libc::SIGUSR1);
        if (DEEPEST.load(Ordering::SeqCst), COUNT.load(Ordering::SeqCst)) != (1, 2) {
            return 1;
        }
        COUNT.store(0, Ordering::SeqCst);
        handle(libc::SIGUSR1, nested, libc::SA_NODEFER);
        raise(libc::SIGUSR1);
        c_int::from(DEEPEST.load(Ordering::SeqCst) != 2) * 2
    })
}

fn one_shot_handlers_are_reset() -> Outcome {
    let status = in_child(|| {
        handle(libc::SIGUSR1, note, libc::SA_RESETHAND);
        raise(libc::SIGUSR1);
        raise(libc::SIGUSR1);
        3
    })?;
    check!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGUSR1);
    Ok(())
}

fn siginfo_names_the_sender() -> Outcome {
    static SENDER: AtomicI32 = AtomicI32::new(0);
    extern "C" fn with_info(
        signal: c_int,
        info: *mut libc::siginfo_t,
        _context: *mut libc::c_void,
    ) {
        // SAFETY: the system passes a valid siginfo.
        let (number, sender) = unsafe { ((*info).si_signo, (*info).si_pid()) };
        SENDER.store(if number == signal { sender } else { -1 }, Ordering::SeqCst);
    }
    in_clean_child(|| {
        // SAFETY: an all-zero sigaction is valid; the handler uses atomics only.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = with_info as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO as _;
            libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut());
            libc::kill(libc::getpid(), libc::SIGUSR2);
            c_int::from(SENDER.load(Ordering::SeqCst) != libc::getpid())
        }
    })
}

/// Sends SIGUSR1 to this process after a time, by a child.
fn signal_later(millis: u32) -> Result<libc::pid_t, String> {
    // SAFETY: plain calls.
    let target = unsafe { libc::getpid() };
    fork(move || {
        // SAFETY: plain calls.
        unsafe {
            libc::usleep(millis * 1000);
            libc::kill(target, libc::SIGUSR1);
        }
        0
    })
}

fn a_read_is_interrupted() -> Outcome {
    in_clean_child(|| {
        handle(libc::SIGUSR1, note, 0);
        let (Ok(ends), Ok(_)) = (pipe(0), signal_later(200)) else {
            return 9;
        };
        let result = size_error(read(ends[0], &mut [0; 4]));
        c_int::from(result != Ok(libc::EINTR) || COUNT.load(Ordering::SeqCst) != 1)
    })
}

fn a_restarting_read_goes_on() -> Outcome {
    in_clean_child(|| {
        handle(libc::SIGUSR1, note, libc::SA_RESTART);
        let (Ok(ends), Ok(_)) = (pipe(0), signal_later(100)) else {
            return 9;
        };
        let Ok(_) = fork(|| {
            // SAFETY: plain call.
            unsafe { libc::usleep(400_000) };
            write(ends[1], b"late");
            0
        }) else {
            return 9;
        };
        let mut bytes = [0; 8];
        c_int::from(read(ends[0], &mut bytes) != 4 || COUNT.load(Ordering::SeqCst) != 1)
    })
}

fn a_sleep_is_interrupted() -> Outcome {
    in_clean_child(|| {
        handle(libc::SIGUSR1, note, 0);
        let Ok(_) = signal_later(200) else { return 9 };
        let wanted = libc::timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        let mut rest = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let start = Instant::now();
        // SAFETY: valid times.
        let result = unsafe { libc::nanosleep(&wanted, &mut rest) };
        c_int::from(result != -1 || start.elapsed() > Duration::from_secs(10) || rest.tv_sec < 10)
    })
}

fn sigwait_takes_a_blocked_signal() -> Outcome {
    in_clean_child(|| {
        mask(libc::SIG_BLOCK, &[libc::SIGUSR1, libc::SIGUSR2]);
        let Ok(_) = signal_later(100) else { return 9 };
        let mut got = 0;
        // SAFETY: a valid set and place.
        let result = unsafe { libc::sigwait(&set_of(&[libc::SIGUSR1, libc::SIGUSR2]), &mut got) };
        c_int::from(zero(result, "sigwait").is_err() || got != libc::SIGUSR1)
    })
}

fn suspend_waits_for_a_handler() -> Outcome {
    in_clean_child(|| {
        handle(libc::SIGUSR1, note, 0);
        mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
        let Ok(_) = signal_later(100) else { return 9 };
        // SAFETY: a valid set.
        let result = unsafe { sigsuspend(&set_of(&[])) };
        c_int::from(result != -1 || COUNT.load(Ordering::SeqCst) != 1)
    })
}

fn the_end_of_a_child_is_signalled() -> Outcome {
    in_clean_child(|| {
        handle(libc::SIGCHLD, note, libc::SA_RESTART);
        for round in 1..=3 {
            if in_child(|| 0).is_err() || COUNT.load(Ordering::SeqCst) != round {
                return round as c_int;
            }
        }
        0
    })
}

fn ignored_signals_do_nothing() -> Outcome {
    in_clean_child(|| {
        // SAFETY: the signals are ignored.
        unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
        raise(libc::SIGTERM);
        // Ignored by default.
        raise(libc::SIGCHLD);
        raise(libc::SIGWINCH);
        // What cannot be ignored.
        // SAFETY: the call is refused.
        c_int::from(unsafe { libc::signal(libc::SIGKILL, libc::SIG_IGN) } != libc::SIG_ERR)
    })
}

fn handlers_are_gone_after_exec() -> Outcome {
    let status = in_child(|| {
        handle(libc::SIGUSR1, note, 0);
        let arguments = [
            c"sh".as_ptr(),
            c"-c".as_ptr(),
            c"kill -USR1 $$; sleep 5; exit 3".as_ptr(),
            std::ptr::null(),
        ];
        // SAFETY: terminated strings in a terminated list.
        unsafe { libc::execv(c"/bin/sh".as_ptr(), arguments.as_ptr()) };
        9
    })?;
    check!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGUSR1);
    Ok(())
}

fn an_alarm_comes_in_time() -> Outcome {
    in_clean_child(|| {
        handle(libc::SIGALRM, note, 0);
        let start = Instant::now();
        // SAFETY: plain calls.
        unsafe {
            libc::alarm(1);
            libc::pause();
        }
        let took = start.elapsed();
        c_int::from(took < Duration::from_millis(950) || took > Duration::from_secs(5))
    })
}

fn a_timer_signals() -> Outcome {
    in_clean_child(|| {
        handle(libc::SIGALRM, note, 0);
        let once = libc::itimerval {
            it_interval: libc::timeval {
                tv_sec: 0,
                tv_usec: 0,
            },
            it_value: libc::timeval {
                tv_sec: 0,
                tv_usec: 100_000,
            },
        };
        // SAFETY: valid timer values.
        unsafe {
            if setitimer(0, &once, std::ptr::null_mut()) != 0 {
                return 5;
            }
            libc::pause();
        }
        c_int::from(COUNT.load(Ordering::SeqCst) != 1)
    })
}

fn an_alternate_stack_is_used() -> Outcome {
    static INSIDE: AtomicU32 = AtomicU32::new(0);
    static START: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    const BYTES: usize = 64 * 1024;
    extern "C" fn look(_signal: c_int) {
        let local = 0u8;
        let here = (&raw const local).addr();
        let start = START.load(Ordering::SeqCst);
        INSIDE.store(
            u32::from((start..start + BYTES).contains(&here)),
            Ordering::SeqCst,
        );
    }
    in_clean_child(|| {
        let memory = vec![0u8; BYTES].leak();
        START.store(memory.as_ptr().addr(), Ordering::SeqCst);
        let stack = libc::stack_t {
            ss_sp: memory.as_mut_ptr().cast(),
            ss_flags: 0,
            ss_size: BYTES,
        };
        // SAFETY: the memory is leaked, so it stays.
        if unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) } != 0 {
            return 5;
        }
        handle(libc::SIGUSR1, look, libc::SA_ONSTACK);
        raise(libc::SIGUSR1);
        c_int::from(INSIDE.load(Ordering::SeqCst) != 1)
    })
}

fn a_handler_may_leave_by_panic_free_exit() -> Outcome {
    extern "C" fn leave(_signal: c_int) {
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) }
    }
    in_clean_child(|| {
        handle(libc::SIGTERM, leave, 0);
        raise(libc::SIGTERM);
        9
    })
}

fn many_signals_arrive() -> Outcome {
    const ROUNDS: u32 = 500;
    in_clean_child(|| {
        handle(libc::SIGUSR1, note, libc::SA_RESTART);
        for round in 1..=ROUNDS {
            raise(libc::SIGUSR1);
            if COUNT.load(Ordering::SeqCst) != round {
                return 1;
            }
        }
        0
    })
}

fn stopped_children_continue() -> Outcome {
    let ends = pipe(0)?;
    let pid = fork(|| {
        read(ends[0], &mut [0; 1]);
        6
    })?;
    let mut status = 0;
    // SAFETY: our own child; a valid place for the status.
    unsafe {
        done(libc::kill(pid, libc::SIGSTOP), "SIGSTOP")?;
        done(libc::waitpid(pid, &mut status, libc::WUNTRACED), "waitpid")?;
        check!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGSTOP);
        write(ends[1], b"x");
        libc::usleep(100_000);
        check_eq!(libc::waitpid(pid, &mut status, libc::WNOHANG), 0);
        done(libc::kill(pid, libc::SIGCONT), "SIGCONT")?;
        done(libc::waitpid(pid, &mut status, 0), "waitpid")?;
    }
    check!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 6);
    close(&ends);
    Ok(())
}

fn bad_numbers_are_refused() -> Outcome {
    // SAFETY: the calls are refused, or signal nothing.
    unsafe {
        for signal in [-1, 1000] {
            check_eq!(
                crate::call::error(libc::kill(libc::getpid(), signal))?,
                libc::EINVAL
            );
            check_eq!(
                crate::call::error(libc::sigaction(
                    signal,
                    std::ptr::null(),
                    std::ptr::null_mut()
                ))?,
                libc::EINVAL
            );
        }
        check_eq!(
            crate::call::error(libc::kill(999_999, libc::SIGTERM))?,
            libc::ESRCH
        );
        check_eq!(libc::kill(libc::getpid(), 0), 0);
    }
    Ok(())
}
