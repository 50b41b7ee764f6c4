//! Event queues over pipes and timers.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use event::{EventFlags, RawEventQueue};
use guest_tests::{Group, OrFail, Outcome, check, check_eq, group};

/// All about event queues.
pub(crate) const GROUP: Group = group!(
    "events",
    guest_tests::DEFAULT_LIMIT,
    [
        a_filled_pipe_is_readable,
        what_is_ready_already_is_told,
        a_drained_pipe_is_writable_again,
        two_sources_are_told_apart,
        an_unsubscribed_source_is_silent,
        the_closed_end_wakes_the_reader,
        a_timer_fires_at_its_time,
        a_queue_can_watch_a_queue,
    ]
);

/// A clock's file reads and takes this: seconds, then nanoseconds in 4 bytes and 4 of padding.
const TIME_BYTES: usize = 16;

fn fd(file: &impl AsRawFd) -> usize {
    file.as_raw_fd() as usize
}

fn a_filled_pipe_is_readable() -> Outcome {
    let (mut reader, mut writer) = std::io::pipe().or_fail("pipe")?;
    let queue = RawEventQueue::new().or_fail("queue")?;
    queue
        .subscribe(fd(&reader), 5, EventFlags::READ)
        .or_fail("subscribe")?;
    let writing = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        writer.write_all(b"x").map(|()| writer)
    });
    let start = Instant::now();
    let event = queue.next_event().or_fail("event")?;
    check_eq!(
        (event.fd, event.user_data, event.flags),
        (fd(&reader), 5, EventFlags::READ.bits())
    );
    check!(start.elapsed() >= Duration::from_millis(190));
    reader.read_exact(&mut [0u8; 1]).or_fail("read")?;
    writing
        .join()
        .map_err(|_| "the writer panicked")?
        .or_fail("write")?;
    Ok(())
}

fn what_is_ready_already_is_told() -> Outcome {
    let (reader, mut writer) = std::io::pipe().or_fail("pipe")?;
    writer.write_all(b"early").or_fail("write")?;
    let queue = RawEventQueue::new().or_fail("queue")?;
    queue
        .subscribe(fd(&reader), 1, EventFlags::READ)
        .or_fail("subscribe")?;
    queue
        .subscribe(fd(&writer), 2, EventFlags::WRITE)
        .or_fail("subscribe")?;
    let mut seen = [
        queue.next_event().or_fail("event")?.user_data,
        queue.next_event().or_fail("event")?.user_data,
    ];
    seen.sort_unstable();
    check_eq!(seen, [1, 2]);
    Ok(())
}

fn a_drained_pipe_is_writable_again() -> Outcome {
    let (mut reader, writer) = std::io::pipe().or_fail("pipe")?;
    let raw = fd(&writer);
    libredox::call::fcntl(
        raw,
        syscall::F_SETFL,
        syscall::O_NONBLOCK | syscall::O_WRONLY,
    )
    .or_fail("nonblocking")?;
    let mut written = 0;
    loop {
        match libredox::call::write(raw, &[0u8; 4096]) {
            Ok(count) => written += count,
            Err(error) if error.is_wouldblock() => break,
            Err(error) => return Err(format!("write: {error}")),
        }
        check!(written < 64 << 20);
    }
    let queue = RawEventQueue::new().or_fail("queue")?;
    queue
        .subscribe(raw, 9, EventFlags::WRITE)
        .or_fail("subscribe")?;
    let draining = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        let mut left = written;
        let mut buffer = vec![0u8; 65536];
        while left > 0 {
            left -= reader.read(&mut buffer)?.min(left);
        }
        Ok::<_, std::io::Error>(reader)
    });
    let start = Instant::now();
    check_eq!(queue.next_event().or_fail("event")?.user_data, 9);
    check!(start.elapsed() >= Duration::from_millis(190));
    draining
        .join()
        .map_err(|_| "the reader panicked")?
        .or_fail("read")?;
    Ok(())
}

fn two_sources_are_told_apart() -> Outcome {
    let (first, _keep) = std::io::pipe().or_fail("pipe")?;
    let (second, mut writer) = std::io::pipe().or_fail("pipe")?;
    let queue = RawEventQueue::new().or_fail("queue")?;
    queue
        .subscribe(fd(&first), 1, EventFlags::READ)
        .or_fail("subscribe")?;
    queue
        .subscribe(fd(&second), 2, EventFlags::READ)
        .or_fail("subscribe")?;
    writer.write_all(b"x").or_fail("write")?;
    check_eq!(queue.next_event().or_fail("event")?.user_data, 2);
    Ok(())
}

fn an_unsubscribed_source_is_silent() -> Outcome {
    let (first, mut first_writer) = std::io::pipe().or_fail("pipe")?;
    let (second, mut second_writer) = std::io::pipe().or_fail("pipe")?;
    let queue = RawEventQueue::new().or_fail("queue")?;
    queue
        .subscribe(fd(&first), 1, EventFlags::READ)
        .or_fail("subscribe")?;
    queue
        .subscribe(fd(&second), 2, EventFlags::READ)
        .or_fail("subscribe")?;
    queue.unsubscribe(fd(&first)).or_fail("unsubscribe")?;
    first_writer.write_all(b"x").or_fail("write")?;
    second_writer.write_all(b"x").or_fail("write")?;
    check_eq!(queue.next_event().or_fail("event")?.user_data, 2);
    Ok(())
}

fn the_closed_end_wakes_the_reader() -> Outcome {
    let (mut reader, writer) = std::io::pipe().or_fail("pipe")?;
    let queue = RawEventQueue::new().or_fail("queue")?;
    queue
        .subscribe(fd(&reader), 3, EventFlags::READ)
        .or_fail("subscribe")?;
    let closing = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        drop(writer);
    });
    check_eq!(queue.next_event().or_fail("event")?.user_data, 3);
    check_eq!(reader.read(&mut [0u8; 4]).or_fail("read")?, 0);
    closing.join().map_err(|_| "panicked".to_string())
}

fn a_timer_fires_at_its_time() -> Outcome {
    let mut timer = File::options()
        .read(true)
        .write(true)
        .open("/scheme/time/4")
        .or_fail("timer")?;
    let mut now = [0u8; TIME_BYTES];
    check_eq!(timer.read(&mut now).or_fail("read")?, TIME_BYTES);
    let mut seconds = i64::from_ne_bytes(now[..8].try_into().or_fail("seconds")?);
    let mut nanos = i32::from_ne_bytes(now[8..12].try_into().or_fail("nanoseconds")?);
    nanos += 300_000_000;
    if nanos >= 1_000_000_000 {
        (seconds, nanos) = (seconds + 1, nanos - 1_000_000_000);
    }
    let mut deadline = [0u8; TIME_BYTES];
    deadline[..8].copy_from_slice(&seconds.to_ne_bytes());
    deadline[8..12].copy_from_slice(&nanos.to_ne_bytes());
    let queue = RawEventQueue::new().or_fail("queue")?;
    queue
        .subscribe(fd(&timer), 4, EventFlags::READ)
        .or_fail("subscribe")?;
    let start = Instant::now();
    timer.write_all(&deadline).or_fail("set")?;
    check_eq!(queue.next_event().or_fail("event")?.user_data, 4);
    check!(start.elapsed() >= Duration::from_millis(280));
    check!(start.elapsed() < Duration::from_secs(5));
    Ok(())
}

fn a_queue_can_watch_a_queue() -> Outcome {
    let inner = libredox::Fd::open(
        "/scheme/event",
        libredox::flag::O_RDWR | libredox::flag::O_CREAT,
        0,
    )
    .or_fail("inner")?;
    let (reader, mut writer) = std::io::pipe().or_fail("pipe")?;
    // Event { id, flags, data }, as the event scheme takes it.
    let mut subscription = Vec::new();
    for word in [fd(&reader), 1, 11] {
        subscription.extend(word.to_ne_bytes());
    }
    inner.write(&subscription).or_fail("subscribe inner")?;
    let outer = RawEventQueue::new().or_fail("queue")?;
    outer
        .subscribe(inner.raw(), 6, EventFlags::READ)
        .or_fail("subscribe outer")?;
    let writing = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        writer.write_all(b"x").map(|()| writer)
    });
    check_eq!(outer.next_event().or_fail("outer event")?.user_data, 6);
    let mut event = [0u8; 24];
    check_eq!(inner.read(&mut event).or_fail("inner event")?, 24);
    check_eq!(
        usize::from_ne_bytes(event[16..].try_into().or_fail("data")?),
        11
    );
    writing
        .join()
        .map_err(|_| "the writer panicked")?
        .or_fail("write")?;
    Ok(())
}
