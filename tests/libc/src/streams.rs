//! Pipes, socket pairs, file locks: what connects processes.

use guest_tests::scratch::Scratch;
use guest_tests::{Group, Outcome, check, check_eq, group};
use libc::c_int;

use crate::call::{self, close, done, fork, pipe, read, size_error, write};
use crate::descriptors::open;

/// All about streams.
pub(crate) const GROUP: Group = group!(
    "libc-streams",
    guest_tests::DEFAULT_LIMIT,
    [
        a_pipe_is_full_and_empty_without_waiting,
        a_broken_pipe_signals_or_fails,
        a_socket_pair_carries_both_ways,
        nonblocking_by_ioctl,
        file_locks_exclude_other_processes,
    ]
);

fn a_pipe_is_full_and_empty_without_waiting() -> Outcome {
    let ends = pipe(libc::O_NONBLOCK)?;
    let is_again = |number| number == libc::EAGAIN || number == libc::EWOULDBLOCK;
    check!(is_again(size_error(read(ends[0], &mut [0; 8]))?));
    let mut total = 0;
    let last = loop {
        match write(ends[1], &[7; 1000]) {
            -1 => break call::error(-1)?,
            count => total += count,
        }
        check!(total < 16 << 20);
    };
    check!(is_again(last) && total >= 4096);
    let mut buffer = vec![0; 65536];
    let mut back = 0;
    loop {
        match read(ends[0], &mut buffer) {
            -1 => break,
            count => back += count,
        }
    }
    check_eq!(back, total);
    close(&[ends[1]]);
    check_eq!(read(ends[0], &mut buffer), 0);
    close(&[ends[0]]);
    Ok(())
}

fn a_broken_pipe_signals_or_fails() -> Outcome {
    let status = call::in_child(|| {
        let Ok(ends) = pipe(0) else { return 9 };
        close(&[ends[0]]);
        // SAFETY: the default action is what the test wants.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        write(ends[1], b"x");
        8
    })?;
    check!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGPIPE);
    let status = call::in_child(|| {
        let Ok(ends) = pipe(0) else { return 9 };
        close(&[ends[0]]);
        // SAFETY: the signal is ignored, so write fails.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        c_int::from(size_error(write(ends[1], b"x")) != Ok(libc::EPIPE))
    })?;
    check_eq!(status, 0);
    Ok(())
}

fn a_socket_pair_carries_both_ways() -> Outcome {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    done(
        unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()) },
        "socketpair",
    )?;
    let mut bytes = [0u8; 8];
    // SAFETY: the buffers are valid for their lengths.
    unsafe {
        check_eq!(libc::send(ends[0], b"ping".as_ptr().cast(), 4, 0), 4);
        check_eq!(libc::recv(ends[1], bytes.as_mut_ptr().cast(), 8, 0), 4);
        check_eq!(&bytes[..4], b"ping");
        check_eq!(write(ends[1], b"pong!"), 5);
        check_eq!(read(ends[0], &mut bytes), 5);
        let nothing = libc::recv(ends[0], bytes.as_mut_ptr().cast(), 8, libc::MSG_DONTWAIT);
        let number = size_error(nothing)?;
        check!(number == libc::EAGAIN || number == libc::EWOULDBLOCK);
        close(&[ends[1]]);
        check_eq!(libc::recv(ends[0], bytes.as_mut_ptr().cast(), 8, 0), 0);
    }
    close(&[ends[0]]);
    Ok(())
}

fn nonblocking_by_ioctl() -> Outcome {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    done(
        unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()) },
        "socketpair",
    )?;
    let mut on: c_int = 1;
    // SAFETY: FIONBIO reads an int.
    done(
        unsafe { libc::ioctl(ends[0], libc::FIONBIO as _, &mut on) },
        "FIONBIO",
    )?;
    let number = size_error(read(ends[0], &mut [0; 4]))?;
    check!(number == libc::EAGAIN || number == libc::EWOULDBLOCK);
    close(&ends);
    Ok(())
}

fn file_locks_exclude_other_processes() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("lock");
    let fd = open(&path, libc::O_RDWR | libc::O_CREAT)?;
    // SAFETY: plain descriptor call.
    done(unsafe { libc::flock(fd, libc::LOCK_EX) }, "flock")?;
    let try_lock = |path: std::path::PathBuf| {
        call::in_child(move || match open(&path, libc::O_RDWR) {
            // SAFETY: plain descriptor call.
            Ok(fd) => c_int::from(unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) } == 0),
            Err(_) => 9,
        })
    };
    check_eq!(libc::WEXITSTATUS(try_lock(path.clone())?), 0);
    // SAFETY: plain descriptor call.
    done(unsafe { libc::flock(fd, libc::LOCK_UN) }, "unlock")?;
    check_eq!(libc::WEXITSTATUS(try_lock(path.clone())?), 1);
    // A lock ends with the process that has it.
    let ends = pipe(0)?;
    let holder_path = path.clone();
    let holder = fork(move || {
        let Ok(fd) = open(&holder_path, libc::O_RDWR) else {
            return 9;
        };
        // SAFETY: plain calls.
        unsafe {
            libc::flock(fd, libc::LOCK_EX);
            write(ends[1], b"x");
            libc::pause();
        }
        0
    })?;
    check_eq!(read(ends[0], &mut [0; 1]), 1);
    check_eq!(libc::WEXITSTATUS(try_lock(path.clone())?), 0);
    // SAFETY: our own child.
    unsafe {
        libc::kill(holder, libc::SIGKILL);
        libc::waitpid(holder, std::ptr::null_mut(), 0);
    }
    check_eq!(libc::WEXITSTATUS(try_lock(path)?), 1);
    close(&[fd, ends[0], ends[1]]);
    Ok(())
}
