//! fork, exec, wait, groups, exit handlers.

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};

use guest_tests::{Group, Outcome, check, check_eq, group};
use libc::c_int;

use crate::call::{close, done, error, fork, in_child, pipe, read, write};

/// All about processes.
pub(crate) const GROUP: Group = group!(
    "libc-processes",
    guest_tests::DEFAULT_LIMIT,
    [
        fork_copies_memory,
        wait_tells_codes_and_signals,
        waiting_without_children_fails,
        wait_without_hanging,
        any_child_is_found,
        orphans_are_adopted,
        process_groups_are_separate,
        a_group_gets_the_signal,
        exit_runs_handlers_and_quick_exit_does_not,
        fork_handlers_run,
        exec_passes_arguments_and_environment,
        exec_keeps_what_is_not_close_on_exec,
        the_environment_can_be_changed,
        crashes_end_only_the_process,
        deep_recursion_ends_only_the_process,
        user_numbers_are_root,
    ]
);

fn wait(pid: libc::pid_t) -> Result<c_int, String> {
    let mut status = 0;
    // SAFETY: a valid place for the status.
    done(unsafe { libc::waitpid(pid, &mut status, 0) }, "waitpid")?;
    Ok(status)
}

fn fork_copies_memory() -> Outcome {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let mut local = vec![1u8; 3 << 20];
    let status = in_child(|| {
        NUMBER.store(2, Ordering::SeqCst);
        local.fill(2);
        c_int::from(NUMBER.load(Ordering::SeqCst) != 2 || local.iter().any(|byte| *byte != 2))
    })?;
    check_eq!(status, 0);
    check_eq!(NUMBER.load(Ordering::SeqCst), 1);
    check!(local.iter().all(|byte| *byte == 1));
    Ok(())
}

fn wait_tells_codes_and_signals() -> Outcome {
    for code in [0, 1, 42, 255] {
        let status = in_child(|| code)?;
        check!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == code);
    }
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGINT, libc::SIGUSR1] {
        let status = in_child(|| {
            // SAFETY: a signal to this process.
            unsafe { libc::raise(signal) };
            9
        })?;
        check!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal);
    }
    let status = in_child(|| std::process::abort())?;
    check!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT);
    Ok(())
}

fn waiting_without_children_fails() -> Outcome {
    // In a child, because this process may have others.
    let status = in_child(|| {
        // SAFETY: no status is wanted.
        let result = unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) };
        c_int::from(error(result) != Ok(libc::ECHILD))
    })?;
    check_eq!(status, 0);
    Ok(())
}

fn wait_without_hanging() -> Outcome {
    let ends = pipe(0)?;
    let pid = fork(|| {
        read(ends[0], &mut [0; 1]);
        5
    })?;
    let mut status = 0;
    // SAFETY: a valid place for the status.
    check_eq!(unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) }, 0);
    write(ends[1], b"x");
    let status = wait(pid)?;
    check_eq!(libc::WEXITSTATUS(status), 5);
    // SAFETY: no status is wanted.
    check_eq!(
        error(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) })?,
        libc::ECHILD
    );
    close(&ends);
    Ok(())
}

fn any_child_is_found() -> Outcome {
    let status = in_child(|| {
        let mut pids = Vec::new();
        for code in 1..=5 {
            let Ok(pid) = fork(|| code) else { return 9 };
            pids.push(pid);
        }
        let mut sum = 0;
        for _ in 0..5 {
            let mut status = 0;
            // SAFETY: a valid place for the status.
            let pid = unsafe { libc::waitpid(-1, &mut status, 0) };
            let Some(at) = pids.iter().position(|known| *known == pid) else {
                return 8;
            };
            if libc::WEXITSTATUS(status) != at as c_int + 1 {
                return 7;
            }
            sum += libc::WEXITSTATUS(status);
        }
        c_int::from(sum != 15)
    })?;
    check_eq!(status, 0);
    Ok(())
}

fn orphans_are_adopted() -> Outcome {
    let ends = pipe(0)?;
    let status = in_child(|| {
        let orphan = fork(|| {
            // SAFETY: plain calls.
            let parent = unsafe {
                libc::usleep(300_000);
                libc::getppid()
            };
            write(ends[1], &parent.to_ne_bytes());
            0
        });
        c_int::from(orphan.is_err())
    })?;
    check_eq!(status, 0);
    let mut bytes = [0u8; 4];
    check_eq!(read(ends[0], &mut bytes), 4);
    let parent = c_int::from_ne_bytes(bytes);
    check!(parent != 0 && parent as u32 != std::process::id() || parent == 1);
    close(&ends);
    Ok(())
}

fn process_groups_are_separate() -> Outcome {
    let status = in_child(|| {
        // SAFETY: plain calls.
        unsafe {
            let before = libc::getpgrp();
            if libc::setpgid(0, 0) != 0
                || libc::getpgrp() != libc::getpid()
                || libc::getpgid(0) == before
            {
                return 1;
            }
            let Ok(status) = in_child(|| c_int::from(libc::getpgrp() == libc::getpid())) else {
                return 2;
            };
            if status != 0 {
                return 3;
            }
            // A group leader cannot start a session, its child can.
            if libc::setsid() != -1 {
                return 4;
            }
            let Ok(status) = in_child(|| c_int::from(libc::setsid() != libc::getpid())) else {
                return 5;
            };
            status
        }
    })?;
    check_eq!(status, 0);
    // SAFETY: plain call.
    check_eq!(error(unsafe { libc::getpgid(999_999) })?, libc::ESRCH);
    Ok(())
}

fn a_group_gets_the_signal() -> Outcome {
    let ends = pipe(0)?;
    let leader = fork(|| {
        // SAFETY: plain calls.
        unsafe {
            libc::setpgid(0, 0);
            let Ok(member) = fork(|| {
                write(ends[1], b"m");
                libc::pause();
                0
            }) else {
                return 9;
            };
            write(ends[1], b"l");
            // The leader survives the signal and looks how its child ended.
            libc::signal(libc::SIGTERM, libc::SIG_IGN);
            let mut status = 0;
            libc::waitpid(member, &mut status, 0);
            c_int::from(!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGTERM))
        }
    })?;
    check_eq!(read(ends[0], &mut [0; 1]), 1);
    check_eq!(read(ends[0], &mut [0; 1]), 1);
    // SAFETY: plain calls; the group is our child's.
    unsafe {
        libc::usleep(100_000);
        check_eq!(done(libc::kill(-leader, libc::SIGTERM), "kill")?, 0);
    }
    check_eq!(wait(leader)?, 0);
    close(&ends);
    Ok(())
}

fn exit_runs_handlers_and_quick_exit_does_not() -> Outcome {
    static END: AtomicU32 = AtomicU32::new(0);
    extern "C" fn first() {
        write(END.load(Ordering::SeqCst) as c_int, b"1");
    }
    extern "C" fn second() {
        write(END.load(Ordering::SeqCst) as c_int, b"2");
    }
    for (quick, expected) in [(false, &b"21"[..]), (true, b"")] {
        let ends = pipe(0)?;
        END.store(ends[1] as u32, Ordering::SeqCst);
        let status = in_child(|| {
            // SAFETY: the handlers use nothing but the pipe.
            unsafe {
                libc::atexit(first);
                libc::atexit(second);
                if quick { libc::_exit(4) } else { libc::exit(4) }
            }
        })?;
        check_eq!(libc::WEXITSTATUS(status), 4);
        close(&[ends[1]]);
        let mut bytes = [0u8; 8];
        let count = read(ends[0], &mut bytes);
        check_eq!(&bytes[..count as usize], expected);
        close(&[ends[0]]);
    }
    Ok(())
}

fn fork_handlers_run() -> Outcome {
    static BEFORE: AtomicU32 = AtomicU32::new(0);
    static PARENT: AtomicU32 = AtomicU32::new(0);
    static CHILD: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C" fn before() {
        BEFORE.fetch_add(1, Ordering::SeqCst);
    }
    unsafe extern "C" fn parent() {
        PARENT.fetch_add(1, Ordering::SeqCst);
    }
    unsafe extern "C" fn child() {
        CHILD.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: the handlers only count.
    check_eq!(
        unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) },
        0
    );
    let status = in_child(|| {
        let counts = [&BEFORE, &PARENT, &CHILD].map(|count| count.load(Ordering::SeqCst));
        c_int::from(counts != [1, 0, 1])
    })?;
    check_eq!(status, 0);
    check_eq!(
        [&BEFORE, &PARENT, &CHILD].map(|count| count.load(Ordering::SeqCst)),
        [1, 1, 0]
    );
    Ok(())
}

/// Runs /bin/sh -c TEXT by execve with this environment, its output in a pipe.
fn shell(text: &str, environment: &[&std::ffi::CStr]) -> Result<(String, c_int), String> {
    let ends = pipe(libc::O_CLOEXEC)?;
    let text = CString::new(text).map_err(|_| "NUL")?;
    let arguments = [
        c"sh".as_ptr(),
        c"-c".as_ptr(),
        text.as_ptr(),
        std::ptr::null(),
    ];
    let mut environment: Vec<_> = environment.iter().map(|text| text.as_ptr()).collect();
    environment.push(std::ptr::null());
    let pid = fork(|| {
        // SAFETY: terminated strings in terminated lists.
        unsafe {
            libc::dup2(ends[1], 1);
            libc::execve(
                c"/bin/sh".as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
            );
        }
        99
    })?;
    close(&[ends[1]]);
    let mut output = Vec::new();
    let mut bytes = [0u8; 256];
    loop {
        match read(ends[0], &mut bytes) {
            count if count > 0 => output.extend_from_slice(&bytes[..count as usize]),
            _ => break,
        }
    }
    close(&[ends[0]]);
    Ok((String::from_utf8_lossy(&output).into_owned(), wait(pid)?))
}

fn exec_passes_arguments_and_environment() -> Outcome {
    let (output, status) = shell(
        "echo \"$ONE-$TWO\"; exit 6",
        &[c"ONE=1", c"TWO=2 3", c"PATH=/usr/bin"],
    )?;
    check_eq!(output, "1-2 3\n");
    check_eq!(libc::WEXITSTATUS(status), 6);
    // SAFETY: terminated strings; nothing is replaced because the program does not exist.
    let result = unsafe {
        libc::execve(
            c"/no/such".as_ptr(),
            [std::ptr::null()].as_ptr(),
            [std::ptr::null()].as_ptr(),
        )
    };
    check_eq!(error(result)?, libc::ENOENT);
    Ok(())
}

/// This program again, with the word that makes it look at a descriptor.
fn exec_keeps_what_is_not_close_on_exec() -> Outcome {
    let program = crate::call::c(guest_tests::client::own_program())?;
    for (flags, expected) in [(0, 1), (libc::FD_CLOEXEC, 0)] {
        let ends = pipe(0)?;
        let number = CString::new(ends[1].to_string()).map_err(|_| "NUL")?;
        let arguments = [
            program.as_ptr(),
            c"--is-open".as_ptr(),
            number.as_ptr(),
            std::ptr::null(),
        ];
        let status = in_child(|| {
            // SAFETY: terminated strings in a terminated list.
            unsafe {
                libc::fcntl(ends[1], libc::F_SETFD, flags);
                libc::execv(program.as_ptr(), arguments.as_ptr());
            }
            99
        })?;
        check_eq!(libc::WEXITSTATUS(status), expected);
        close(&ends);
    }
    Ok(())
}

fn the_environment_can_be_changed() -> Outcome {
    let status = in_child(|| {
        // SAFETY: terminated strings; the child has one thread.
        unsafe {
            let is = |name: &std::ffi::CStr, value: Option<&std::ffi::CStr>| {
                let found = libc::getenv(name.as_ptr());
                match value {
                    None => found.is_null(),
                    Some(value) => !found.is_null() && std::ffi::CStr::from_ptr(found) == value,
                }
            };
            libc::setenv(c"A".as_ptr(), c"1".as_ptr(), 1);
            libc::setenv(c"A".as_ptr(), c"2".as_ptr(), 0);
            if !is(c"A", Some(c"1")) {
                return 1;
            }
            libc::setenv(c"A".as_ptr(), c"3".as_ptr(), 1);
            if !is(c"A", Some(c"3")) || libc::unsetenv(c"A".as_ptr()) != 0 || !is(c"A", None) {
                return 2;
            }
            c_int::from(error(libc::setenv(c"B=".as_ptr(), c"".as_ptr(), 1)) != Ok(libc::EINVAL))
        }
    })?;
    check_eq!(status, 0);
    Ok(())
}

fn crashes_end_only_the_process() -> Outcome {
    let crash = |address: usize| {
        in_child(move || {
            // SAFETY: not safe: the process shall be ended by the access.
            unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
            3
        })
    };
    // Nothing, the last page of the lower half, the kernel's half, no address at all, and code, which is not writable.
    let code = (crashes_end_only_the_process as fn() -> Outcome) as usize;
    for address in [
        0,
        8,
        0x7fff_ffff_f000,
        0xffff_8000_0000_0000,
        0x8000_0000_0000,
        code,
    ] {
        let status = crash(address)?;
        check!(libc::WIFSIGNALED(status));
        check!([libc::SIGSEGV, libc::SIGBUS].contains(&libc::WTERMSIG(status)));
    }
    for (instruction, signal) in [(0u8, libc::SIGILL), (1, libc::SIGSEGV), (2, libc::SIGFPE)] {
        let status = in_child(move || {
            // SAFETY: not safe: the process shall be ended by the instruction.
            unsafe {
                match instruction {
                    0 => std::arch::asm!("ud2"),
                    1 => std::arch::asm!("hlt"),
                    _ => {
                        std::arch::asm!("xor edx, edx", "xor ecx, ecx", "mov eax, 1", "div ecx", out("eax") _, out("ecx") _, out("edx") _)
                    }
                }
            }
            3
        })?;
        check!(libc::WIFSIGNALED(status));
        check_eq!(libc::WTERMSIG(status), signal);
    }
    Ok(())
}

fn deep_recursion_ends_only_the_process() -> Outcome {
    #[allow(unconditional_recursion)]
    fn down(n: u64) -> u64 {
        let local = std::hint::black_box([n; 128]);
        down(n + 1) + local[7]
    }
    let status = in_child(|| std::hint::black_box(down(0)) as c_int)?;
    check!(libc::WIFSIGNALED(status));
    Ok(())
}

fn user_numbers_are_root() -> Outcome {
    // SAFETY: plain calls.
    unsafe {
        check_eq!(
            (
                libc::getuid(),
                libc::geteuid(),
                libc::getgid(),
                libc::getegid()
            ),
            (0, 0, 0, 0)
        );
        let status = in_child(|| {
            if libc::setgid(1000) != 0 || libc::setuid(1000) != 0 {
                return 1;
            }
            c_int::from(libc::getuid() != 1000 || libc::geteuid() != 1000 || libc::setuid(0) == 0)
        })?;
        check_eq!(status, 0);
    }
    Ok(())
}
