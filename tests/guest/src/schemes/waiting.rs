//! Requests that wait, readiness, and the death of either side.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use event::{EventFlags, RawEventQueue};
use guest_tests::client::Helper;
use guest_tests::{OrFail, Outcome, check, check_eq};
use libredox::flag::{O_NONBLOCK, O_RDONLY, O_RDWR};

use super::{NOTE_LIMIT, Probe, STYLES, start_daemon};

pub(super) fn a_deferred_read_is_answered_later<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let path = probe.path("stream");
    let reader = thread::spawn(move || {
        let start = Instant::now();
        let mut bytes = [0u8; 32];
        let count = File::open(path).and_then(|mut file| file.read(&mut bytes));
        (count.map(|count| bytes[..count].to_vec()), start.elapsed())
    });
    thread::sleep(Duration::from_millis(300));
    // Meanwhile the daemon serves others.
    probe.file("file/other")?.write_all(b"x").or_fail("write")?;
    check!(!reader.is_finished());
    fs::write(probe.path("stream"), b"late").or_fail("push")?;
    let (bytes, took) = reader.join().map_err(|_| "the reader panicked")?;
    check_eq!(bytes.or_fail("read")?, b"late");
    check!(took >= Duration::from_millis(290));
    Ok(())
}

pub(super) fn answers_in_another_order<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let path = probe.path("never");
    // This one waits for ever; it ends with the process.
    thread::spawn(move || File::open(path).and_then(|mut file| file.read(&mut [0u8; 1])));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let path = probe.path("stream");
            thread::spawn(move || {
                File::open(path).and_then(|mut file| {
                    let mut byte = [0u8; 1];
                    file.read_exact(&mut byte).map(|()| byte[0])
                })
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(100));
    for byte in b"abcd" {
        fs::write(probe.path("stream"), [*byte]).or_fail("push")?;
    }
    let mut got = Vec::new();
    for reader in readers {
        got.push(
            reader
                .join()
                .map_err(|_| "a reader panicked")?
                .or_fail("read")?,
        );
    }
    got.sort_unstable();
    check_eq!(got, b"abcd");
    Ok(())
}

pub(super) fn a_nonblocking_read_does_not_wait<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let fd = probe.open("stream", O_RDWR | O_NONBLOCK)?;
    let error = fd.read(&mut [0u8; 8]).err().ok_or("the read worked")?;
    check!(error.is_wouldblock());
    fd.write(b"now").or_fail("write")?;
    let mut bytes = [0u8; 8];
    check_eq!(fd.read(&mut bytes).or_fail("read")?, 3);
    Ok(())
}

pub(super) fn readiness_is_announced<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let fd = probe.open("stream", O_RDONLY | O_NONBLOCK)?;
    let queue = RawEventQueue::new().or_fail("queue")?;
    queue
        .subscribe(fd.raw(), 77, EventFlags::READ)
        .or_fail("subscribe")?;
    let path = probe.path("stream");
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        fs::write(path, b"event")
    });
    let start = Instant::now();
    let event = queue.next_event().or_fail("event")?;
    check_eq!((event.fd, event.user_data), (fd.raw(), 77));
    check!(start.elapsed() >= Duration::from_millis(190));
    let mut bytes = [0u8; 8];
    check_eq!(fd.read(&mut bytes).or_fail("read")?, 5);
    writer
        .join()
        .map_err(|_| "the writer panicked")?
        .or_fail("push")?;
    check!(
        probe
            .notes()?
            .iter()
            .any(|note| note == "stream: fevent 1" || note == "stream: fevent 3")
    );
    Ok(())
}

pub(super) fn the_last_close_closes<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    drop(probe.file("file/c")?);
    probe.expect_note("file/c: close")?;
    // A process that ends closes what it had open.
    let path = probe.path("file/d");
    drop(probe.file("file/d")?);
    probe.expect_note("file/d: close")?;
    Helper::start("hold", &[&path])?.kill()?;
    let start = Instant::now();
    while probe
        .notes()?
        .iter()
        .filter(|note| *note == "file/d: close")
        .count()
        != 2
    {
        check!(start.elapsed() < NOTE_LIMIT);
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

pub(super) fn a_dead_client_is_cancelled<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let mut client = Helper::start("read-one", &[&probe.path("stream")])?;
    thread::sleep(Duration::from_millis(200));
    client.kill()?;
    if STYLES[STYLE].1 == "loop" {
        probe.expect_note("cancel")?;
    }
    // What comes afterwards is not lost to the dead one.
    fs::write(probe.path("stream"), b"z").or_fail("push")?;
    let mut bytes = [0u8; 4];
    let fd = probe.open("stream", O_RDONLY | O_NONBLOCK)?;
    check_eq!(fd.read(&mut bytes).or_fail("read")?, 1);
    Ok(())
}

pub(super) fn many_clients_at_once<const STYLE: usize>() -> Outcome {
    const ROUNDS: usize = 50;
    let probe = Probe::start::<STYLE>()?;
    let clients: Vec<_> = (0..6u8)
        .map(|who| {
            let path = probe.path(&format!("file/client-{who}"));
            thread::spawn(move || -> Outcome {
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .open(path);
                let file = file.or_fail("open")?;
                for round in 0..ROUNDS {
                    let bytes = vec![who; 100 + round * 97];
                    file.write_all_at(&bytes, 0).or_fail("write")?;
                    let mut back = vec![0u8; bytes.len()];
                    file.read_exact_at(&mut back, 0).or_fail("read")?;
                    check!(back == bytes);
                }
                Ok(())
            })
        })
        .collect();
    clients
        .into_iter()
        .try_for_each(|client| client.join().map_err(|_| "a client panicked")?)
}

pub(super) fn a_dead_daemon_fails_its_callers<const STYLE: usize>() -> Outcome {
    let mut probe = Probe::start::<STYLE>()?;
    let open = probe.open("stream", O_RDWR)?;
    let path = probe.path("never");
    let waiting =
        thread::spawn(move || File::open(path).and_then(|mut file| file.read(&mut [0u8; 1])));
    thread::sleep(Duration::from_millis(200));
    check!(!waiting.is_finished());
    probe.daemon.kill()?;
    let error = waiting
        .join()
        .map_err(|_| "the reader panicked")?
        .err()
        .ok_or("the read worked")?;
    check_eq!(error.raw_os_error(), Some(19));
    check_eq!(
        open.write(b"x").err().ok_or("the write worked")?.errno(),
        19
    );
    check!(File::open(probe.path("stream")).is_err());
    // The name is free again, and the new daemon is not confused with the old one.
    let restarted = start_daemon::<STYLE>(&probe.name)?;
    probe.daemon = restarted;
    probe
        .file("file/again")?
        .write_all(b"new")
        .or_fail("write")?;
    check_eq!(
        open.write(b"x")
            .err()
            .ok_or("the old handle works")?
            .errno(),
        19
    );
    drop(open);
    check_eq!(
        fs::read_to_string(probe.path("file/again")).or_fail("read")?,
        "new"
    );
    Ok(())
}

pub(super) fn an_exit_inside_an_open_fails_it<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let error = File::open(probe.path("die"))
        .err()
        .ok_or("the open worked")?;
    check_eq!(error.raw_os_error(), Some(19));
    Ok(())
}

pub(super) fn a_name_is_taken_only_once<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let second = start_daemon::<STYLE>(&probe.name);
    check!(second.is_err());
    check!(probe.file("file/still-first").is_ok());
    Ok(())
}
