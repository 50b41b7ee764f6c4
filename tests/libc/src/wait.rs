//! poll and epoll; terminals as far as a program without one sees them; pseudo terminals.

use std::time::{Duration, Instant};

use guest_tests::{Group, Outcome, check, check_eq, group};
use libc::c_int;

use crate::call::{close, done, error, fork, in_child, pipe, read, size_error, write};

/// All about waiting for descriptors.
pub(crate) const GROUP: Group = group!(
    "libc-wait",
    guest_tests::DEFAULT_LIMIT,
    [
        poll_tells_what_is_ready,
        poll_waits_and_times_out,
        poll_finds_bad_and_closed_ones,
        files_are_always_ready,
        epoll_tells_the_token,
        edges_are_told_once,
        the_end_behind_data_is_told,
        an_epoll_wait_sees_later_additions,
        select_by_pselect_of_children,
        no_terminal_is_said_so,
        a_pseudo_terminal_edits_lines,
        interrupt_keys_signal_the_foreground_group,
        raw_mode_passes_bytes,
        window_size_is_kept,
    ]
);

fn poll(fds: &mut [libc::pollfd], millis: c_int) -> c_int {
    // SAFETY: a valid list.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis) }
}

fn entry(fd: c_int, events: i16) -> libc::pollfd {
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}

fn poll_tells_what_is_ready() -> Outcome {
    let (first, second) = (pipe(0)?, pipe(0)?);
    let mut list = [
        entry(first[0], libc::POLLIN),
        entry(first[1], libc::POLLOUT),
        entry(second[0], libc::POLLIN),
        entry(-1, libc::POLLIN),
    ];
    check_eq!(poll(&mut list, 0), 1);
    check_eq!(list.map(|entry| entry.revents), [0, libc::POLLOUT, 0, 0]);
    write(first[1], b"x");
    check_eq!(poll(&mut list, -1), 2);
    check_eq!(
        list.map(|entry| entry.revents),
        [libc::POLLIN, libc::POLLOUT, 0, 0]
    );
    close(&[first, second].concat());
    Ok(())
}

fn poll_waits_and_times_out() -> Outcome {
    let ends = pipe(0)?;
    let start = Instant::now();
    check_eq!(poll(&mut [entry(ends[0], libc::POLLIN)], 200), 0);
    check!(
        start.elapsed() >= Duration::from_millis(195) && start.elapsed() < Duration::from_secs(5)
    );
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        write(ends[1], b"x")
    });
    let start = Instant::now();
    check_eq!(poll(&mut [entry(ends[0], libc::POLLIN)], 20_000), 1);
    check!(
        start.elapsed() >= Duration::from_millis(190) && start.elapsed() < Duration::from_secs(10)
    );
    check_eq!(writer.join().map_err(|_| "panicked")?, 1);
    check_eq!(poll(&mut [], 10), 0);
    close(&ends);
    Ok(())
}

fn poll_finds_bad_and_closed_ones() -> Outcome {
    let ends = pipe(0)?;
    let mut list = [entry(999, libc::POLLIN), entry(ends[0], libc::POLLIN)];
    check_eq!(poll(&mut list, 0), 1);
    check_eq!(list[0].revents, libc::POLLNVAL);
    close(&[ends[1]]);
    let mut list = [entry(ends[0], libc::POLLIN)];
    check_eq!(poll(&mut list, 1000), 1);
    check!(list[0].revents & (libc::POLLHUP | libc::POLLIN) != 0);
    close(&[ends[0]]);
    Ok(())
}

fn files_are_always_ready() -> Outcome {
    // SAFETY: a terminated path.
    let fd = done(
        unsafe { libc::open(c"/etc/passwd".as_ptr(), libc::O_RDONLY) },
        "open",
    )?;
    let mut list = [entry(fd, libc::POLLIN)];
    check_eq!(poll(&mut list, 1000), 1);
    check!(list[0].revents & libc::POLLIN != 0);
    close(&[fd]);
    Ok(())
}

fn epoll() -> Result<c_int, String> {
    // SAFETY: plain call.
    done(
        unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) },
        "epoll_create1",
    )
}

fn control(epoll: c_int, operation: c_int, fd: c_int, events: c_int, token: u64) -> c_int {
    // SAFETY: an all-zero event is valid.
    let mut event: libc::epoll_event = unsafe { std::mem::zeroed() };
    (event.events, event.u64) = (events as u32, token);
    // SAFETY: a valid event.
    unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) }
}

/// Tokens and flags of what is ready.
fn ready(epoll: c_int, millis: c_int) -> Vec<(u64, u32)> {
    // SAFETY: all-zero events are valid, and the list has room for 8.
    unsafe {
        let mut events: [libc::epoll_event; 8] = std::mem::zeroed();
        let count = libc::epoll_wait(epoll, events.as_mut_ptr(), 8, millis);
        (0..count.max(0) as usize)
            .map(|n| (events[n].u64, events[n].events))
            .collect()
    }
}

fn epoll_tells_the_token() -> Outcome {
    let (epoll, ends) = (epoll()?, pipe(0)?);
    check_eq!(
        control(
            epoll,
            libc::EPOLL_CTL_ADD,
            ends[0],
            libc::EPOLLIN,
            0xdead_beef_cafe
        ),
        0
    );
    check_eq!(
        error(control(
            epoll,
            libc::EPOLL_CTL_ADD,
            ends[0],
            libc::EPOLLIN,
            1
        ))?,
        libc::EEXIST
    );
    check_eq!(ready(epoll, 0), []);
    write(ends[1], b"x");
    check_eq!(
        ready(epoll, 1000),
        [(0xdead_beef_cafe, libc::EPOLLIN as u32)]
    );
    // Level: told again until it is read.
    check_eq!(ready(epoll, 0).len(), 1);
    check_eq!(
        control(epoll, libc::EPOLL_CTL_MOD, ends[0], libc::EPOLLIN, 2),
        0
    );
    check_eq!(ready(epoll, 0), [(2, libc::EPOLLIN as u32)]);
    // SAFETY: no event is needed to delete.
    check_eq!(
        unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, ends[0], std::ptr::null_mut()) },
        0
    );
    check_eq!(ready(epoll, 0), []);
    close(&[epoll, ends[0], ends[1]]);
    Ok(())
}

fn edges_are_told_once() -> Outcome {
    let (epoll, ends) = (epoll()?, pipe(libc::O_NONBLOCK)?);
    check_eq!(
        control(
            epoll,
            libc::EPOLL_CTL_ADD,
            ends[0],
            libc::EPOLLIN | libc::EPOLLET,
            7
        ),
        0
    );
    write(ends[1], b"one");
    check_eq!(ready(epoll, 1000).len(), 1);
    check_eq!(ready(epoll, 50), []);
    write(ends[1], b"two");
    check_eq!(ready(epoll, 1000).len(), 1);
    check_eq!(read(ends[0], &mut [0; 16]), 6);
    check_eq!(ready(epoll, 50), []);
    write(ends[1], b"three");
    check_eq!(ready(epoll, 1000).len(), 1);
    close(&[epoll, ends[0], ends[1]]);
    Ok(())
}

/// Bytes and the end of the stream told at once: either the event says so, or the end is told after the bytes are read.
fn the_end_behind_data_is_told() -> Outcome {
    let (epoll, ends) = (epoll()?, pipe(libc::O_NONBLOCK)?);
    let added = control(
        epoll,
        libc::EPOLL_CTL_ADD,
        ends[0],
        libc::EPOLLIN | libc::EPOLLET,
        5,
    );
    check_eq!(added, 0);
    write(ends[1], b"last");
    close(&[ends[1]]);
    let told = ready(epoll, 1000);
    check_eq!(told.len(), 1);
    check_eq!(read(ends[0], &mut [0; 64]), 4);
    let says_end = told[0].1 & (libc::EPOLLHUP | libc::EPOLLRDHUP) as u32 != 0;
    check!(says_end || ready(epoll, 1000).len() == 1);
    check_eq!(read(ends[0], &mut [0; 64]), 0);
    close(&[epoll, ends[0]]);
    Ok(())
}

fn an_epoll_wait_sees_later_additions() -> Outcome {
    let (epoll, ends) = (epoll()?, pipe(0)?);
    write(ends[1], b"x");
    let adder = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        control(
            epoll,
            libc::EPOLL_CTL_ADD,
            ends[0],
            libc::EPOLLIN | libc::EPOLLET,
            9,
        )
    });
    let start = Instant::now();
    check_eq!(ready(epoll, 20_000), [(9, libc::EPOLLIN as u32)]);
    check!(start.elapsed() < Duration::from_secs(10));
    check_eq!(adder.join().map_err(|_| "panicked")?, 0);
    close(&[epoll, ends[0], ends[1]]);
    Ok(())
}

/// A signal ends poll, which is how programs wait for children and descriptors at once. In a process of one thread: with
/// several, any of them may take the signal.
fn select_by_pselect_of_children() -> Outcome {
    extern "C" fn nothing(_signal: c_int) {}
    let start = Instant::now();
    let status = in_child(|| {
        let Ok(ends) = pipe(0) else { return 9 };
        // SAFETY: the handler does nothing.
        unsafe { libc::signal(libc::SIGCHLD, nothing as *const () as usize) };
        let Ok(_) = fork(|| {
            // SAFETY: plain call.
            unsafe { libc::usleep(200_000) };
            0
        }) else {
            return 8;
        };
        let result = poll(&mut [entry(ends[0], libc::POLLIN)], 20_000);
        c_int::from(error(result) != Ok(libc::EINTR))
    })?;
    check_eq!(status, 0);
    check!(start.elapsed() < Duration::from_secs(10));
    Ok(())
}

fn no_terminal_is_said_so() -> Outcome {
    let ends = pipe(0)?;
    // SAFETY: an all-zero termios is valid; the calls are refused.
    unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        check_eq!(libc::isatty(ends[0]), 0);
        check_eq!(
            error(libc::tcgetattr(ends[0], &mut settings))?,
            libc::ENOTTY
        );
        check_eq!(error(libc::tcgetpgrp(ends[0]))?, libc::ENOTTY);
    }
    close(&ends);
    Ok(())
}

/// A pseudo terminal: the side of the emulator and the side of the program.
fn pty() -> Result<[c_int; 2], String> {
    unsafe extern "C" {
        fn openpty(
            master: *mut c_int,
            slave: *mut c_int,
            name: *mut libc::c_char,
            settings: *const libc::termios,
            size: *const libc::winsize,
        ) -> c_int;
    }
    let (mut master, mut slave) = (0, 0);
    // SAFETY: valid places; the rest may be null.
    let result = unsafe {
        openpty(
            &mut master,
            &mut slave,
            std::ptr::null_mut(),
            std::ptr::null(),
            std::ptr::null(),
        )
    };
    done(result, "openpty")?;
    Ok([master, slave])
}

fn settings(fd: c_int) -> Result<libc::termios, String> {
    // SAFETY: an all-zero termios is valid, and the call fills it.
    unsafe {
        let mut settings = std::mem::zeroed();
        done(libc::tcgetattr(fd, &mut settings), "tcgetattr")?;
        Ok(settings)
    }
}

fn read_some(fd: c_int) -> Vec<u8> {
    let mut bytes = [0u8; 256];
    let count = read(fd, &mut bytes).max(0) as usize;
    bytes[..count].to_vec()
}

fn a_pseudo_terminal_edits_lines() -> Outcome {
    let [master, slave] = pty()?;
    // SAFETY: plain call.
    check_eq!(unsafe { libc::isatty(slave) }, 1);
    let settings = settings(slave)?;
    check!(settings.c_lflag & libc::ICANON != 0 && settings.c_lflag & libc::ECHO != 0);
    write(master, b"helxx\x7f\x7flo\n");
    check_eq!(read_some(slave), b"hello\n");
    check!(poll(&mut [entry(master, libc::POLLIN)], 1000) == 1);
    check!(read_some(master).starts_with(b"helxx"));
    write(slave, b"a\nb");
    check_eq!(read_some(master), b"a\r\nb");
    // The end-of-file key on an empty line is the end.
    write(master, b"\x04");
    check_eq!(read_some(slave), b"");
    close(&[master, slave]);
    Ok(())
}

fn interrupt_keys_signal_the_foreground_group() -> Outcome {
    let [master, slave] = pty()?;
    let ends = pipe(0)?;
    let pid = fork(|| {
        // SAFETY: plain calls; the new session makes the terminal its own.
        unsafe {
            libc::setsid();
            if libc::ioctl(slave, libc::TIOCSCTTY as _, 0) != 0 {
                return 5;
            }
            if libc::tcsetpgrp(slave, libc::getpid()) != 0
                || libc::tcgetpgrp(slave) != libc::getpid()
            {
                return 6;
            }
        }
        write(ends[1], b"r");
        read_some(slave);
        7
    })?;
    let mut byte = [0u8; 1];
    let started = poll(&mut [entry(ends[0], libc::POLLIN)], 10_000) == 1;
    if started {
        read(ends[0], &mut byte);
        std::thread::sleep(Duration::from_millis(100));
        write(master, b"\x03");
    }
    let mut status = 0;
    // SAFETY: our own child; a valid place for the status.
    done(unsafe { libc::waitpid(pid, &mut status, 0) }, "waitpid")?;
    check!(started);
    check!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGINT);
    close(&[master, slave, ends[0], ends[1]]);
    Ok(())
}

fn raw_mode_passes_bytes() -> Outcome {
    let [master, slave] = pty()?;
    let mut settings = settings(slave)?;
    // SAFETY: valid settings.
    unsafe {
        libc::cfmakeraw(&mut settings);
        done(
            libc::tcsetattr(slave, libc::TCSANOW, &settings),
            "tcsetattr",
        )?;
    }
    write(master, b"\x03\x7f\r");
    check_eq!(read_some(slave), b"\x03\x7f\r");
    check_eq!(poll(&mut [entry(master, libc::POLLIN)], 100), 0);
    write(slave, b"x\ny");
    check_eq!(read_some(master), b"x\ny");
    // SAFETY: F_SETFL takes flags.
    unsafe { libc::fcntl(slave, libc::F_SETFL, libc::O_RDWR | libc::O_NONBLOCK) };
    let number = size_error(read(slave, &mut [0; 4]))?;
    check!(number == libc::EAGAIN || number == libc::EWOULDBLOCK);
    close(&[master, slave]);
    Ok(())
}

fn window_size_is_kept() -> Outcome {
    let [master, slave] = pty()?;
    let size = libc::winsize {
        ws_row: 30,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: a valid size in, a valid place out.
    unsafe {
        done(
            libc::ioctl(master, libc::TIOCSWINSZ as _, &size),
            "TIOCSWINSZ",
        )?;
        let mut back: libc::winsize = std::mem::zeroed();
        done(
            libc::ioctl(slave, libc::TIOCGWINSZ as _, &mut back),
            "TIOCGWINSZ",
        )?;
        check_eq!((back.ws_row, back.ws_col), (30, 100));
    }
    close(&[master, slave]);
    Ok(())
}
