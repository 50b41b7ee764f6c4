//! Operations that are answered at once.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use guest_tests::{OrFail, Outcome, check, check_eq};
use libredox::Fd;
use libredox::flag::{O_DIRECTORY, O_RDONLY, O_RDWR};
use syscall::CallFlags;

use super::Probe;

pub(super) fn open_read_write_seek<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let mut file = probe.file("file/a")?;
    probe.expect_note("openat file/a")?;
    file.write_all(b"hello ").or_fail("write")?;
    file.write_all(b"world").or_fail("write")?;
    file.seek(SeekFrom::Start(1)).or_fail("seek")?;
    let mut four = [0u8; 4];
    file.read_exact(&mut four).or_fail("read")?;
    check_eq!(&four, b"ello");
    check_eq!(
        file.seek(SeekFrom::End(-5)).or_fail("seek from the end")?,
        6
    );
    let mut rest = String::new();
    file.read_to_string(&mut rest).or_fail("read the rest")?;
    check_eq!(rest, "world");
    file.write_all_at(b"J", 0).or_fail("write at")?;
    file.read_exact_at(&mut four, 0).or_fail("read at")?;
    check_eq!(&four, b"Jell");
    // The legacy spelling names the same file.
    check_eq!(
        fs::read_to_string(format!("{}:file/a", probe.name)).or_fail("legacy path")?,
        "Jello world"
    );
    let stream = File::open(probe.path("stream")).or_fail("stream")?;
    check!((&stream).seek(SeekFrom::Start(0)).is_err());
    Ok(())
}

pub(super) fn open_errors_come_back<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    check_eq!(
        File::open(probe.path("none")).err().ok_or("opened")?.kind(),
        ErrorKind::NotFound
    );
    for number in [1, 13, 28, 95, 110] {
        let error = File::open(probe.path(&format!("error/{number}")))
            .err()
            .ok_or("opened")?;
        check_eq!(error.raw_os_error(), Some(number));
    }
    probe.file("file/x")?;
    let again = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(probe.path("file/x"));
    check_eq!(
        again.err().ok_or("opened")?.kind(),
        ErrorKind::AlreadyExists
    );
    check!(File::open("/scheme/no-such-scheme/x").is_err());
    Ok(())
}

pub(super) fn the_caller_is_named<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let fd = probe.open("whoami", O_RDONLY)?;
    let mut text = [0u8; 64];
    let count = fd.read(&mut text).or_fail("read")?;
    let text = String::from_utf8_lossy(&text[..count]).into_owned();
    let ids: Vec<_> = text.split(' ').collect();
    check_eq!(ids.len(), 3);
    let uid = libredox::call::geteuid().or_fail("geteuid")?.to_string();
    // The pid of an open may be 0, as it is upstream.
    check!(ids[0] == "0" || ids[0] == std::process::id().to_string());
    check_eq!(ids[1], uid);
    Ok(())
}

pub(super) fn large_and_unaligned_buffers<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let file = probe.file("file/large")?;
    let source: Vec<u8> = (0..300_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for (start, length) in [
        (0, 300_000),
        (1, 5),
        (4095, 2),
        (4096, 4096),
        (7, 100_001),
        (12_345, 65_536),
    ] {
        file.write_all_at(&source[start..start + length], start as u64)
            .or_fail("write")?;
        let mut back = vec![0xEEu8; length + 32];
        file.read_exact_at(&mut back[13..13 + length], start as u64)
            .or_fail("read")?;
        check!(back[13..13 + length] == source[start..start + length]);
        check!(
            back[..13]
                .iter()
                .chain(&back[13 + length..])
                .all(|&byte| byte == 0xEE)
        );
    }
    Ok(())
}

pub(super) fn empty_buffers<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let mut file = probe.file("file/empty")?;
    check_eq!(file.write(&[]).or_fail("write nothing")?, 0);
    check_eq!(file.read(&mut []).or_fail("read nothing")?, 0);
    check_eq!(file.read(&mut [0u8; 16]).or_fail("read at the end")?, 0);
    Ok(())
}

pub(super) fn metadata_operations_arrive<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let file = probe.file("file/m")?;
    file.write_all_at(b"12345678", 0).or_fail("write")?;
    let metadata = file.metadata().or_fail("fstat")?;
    check!(metadata.is_file());
    check_eq!((metadata.len(), metadata.mode() & 0o777), (8, 0o640));
    file.set_len(3).or_fail("ftruncate")?;
    probe.expect_note("file/m: ftruncate 3")?;
    file.sync_all().or_fail("fsync")?;
    probe.expect_note("file/m: fsync")?;
    file.set_permissions(fs::Permissions::from_mode(0o751))
        .or_fail("fchmod")?;
    probe.expect_note("file/m: fchmod 751")?;
    let fd = file.as_raw_fd() as usize;
    libredox::call::fchown(fd, 12, 34).or_fail("fchown")?;
    probe.expect_note("file/m: fchown 12 34")?;
    let time = |tv_sec| libredox::data::TimeSpec { tv_sec, tv_nsec: 7 };
    libredox::call::futimens(fd, &[time(1000), time(2000)]).or_fail("futimens")?;
    probe.expect_note("file/m: futimens 2000")?;
    let after = file.metadata().or_fail("fstat")?;
    check_eq!((after.len(), after.mode() & 0o777), (3, 0o751));
    check_eq!(
        (after.uid(), after.gid(), after.mtime(), after.mtime_nsec()),
        (12, 34, 2000, 7)
    );
    let by_path = fs::metadata(probe.path("file/m")).or_fail("stat")?;
    check_eq!(by_path.mtime(), 2000);
    Ok(())
}

pub(super) fn rename_and_unlink_arrive<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    probe
        .file("file/old")?
        .write_all(b"moved")
        .or_fail("write")?;
    fs::rename(probe.path("file/old"), probe.path("file/new")).or_fail("rename")?;
    check_eq!(
        fs::read_to_string(probe.path("file/new")).or_fail("read")?,
        "moved"
    );
    check!(File::open(probe.path("file/old")).is_err());
    fs::hard_link(probe.path("file/new"), probe.path("file/link")).or_fail("link")?;
    let notes = probe.notes()?;
    check!(
        notes
            .iter()
            .any(|note| note.starts_with("file/new: flink ") && note.ends_with("file/link"))
    );
    fs::remove_file(probe.path("file/new")).or_fail("unlink")?;
    check!(File::open(probe.path("file/new")).is_err());
    check_eq!(
        fs::remove_file(probe.path("file/new"))
            .err()
            .ok_or("removed")?
            .kind(),
        ErrorKind::NotFound
    );
    // Not within one scheme: refused, and nothing is lost.
    probe.file("file/stays")?;
    check!(fs::rename(probe.path("file/stays"), "/tmp/guest-tests-moved").is_err());
    check!(File::open(probe.path("file/stays")).is_ok());
    Ok(())
}

pub(super) fn dup_with_a_word<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let stream = probe.open("stream", O_RDWR)?;
    let upper = Fd::new(stream.dup(b"upper").or_fail("dup")?);
    probe.expect_note("stream: dup upper")?;
    let mut text = [0u8; 16];
    let count = upper.read(&mut text).or_fail("read")?;
    check_eq!(&text[..count], b"STREAM");
    check_eq!(
        stream.dup(b"nonsense").err().ok_or("dup worked")?.errno(),
        22
    );
    Ok(())
}

pub(super) fn dup_shares_the_handle<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let mut first = probe.file("file/shared")?;
    let mut second = first.try_clone().or_fail("clone")?;
    first.write_all(b"abc").or_fail("write")?;
    second.write_all(b"def").or_fail("write")?;
    drop(first);
    second.seek(SeekFrom::Start(0)).or_fail("seek")?;
    let mut text = String::new();
    second.read_to_string(&mut text).or_fail("read")?;
    check_eq!(text, "abcdef");
    check!(
        !probe
            .notes()?
            .iter()
            .any(|note| note == "file/shared: close")
    );
    drop(second);
    probe.expect_note("file/shared: close")
}

pub(super) fn the_path_of_a_handle<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let fd = probe.open("stream", O_RDONLY)?;
    let mut path = [0u8; 256];
    let count = fd.fpath(&mut path).or_fail("fpath")?;
    check_eq!(
        String::from_utf8_lossy(&path[..count]),
        "/scheme/probe/stream"
    );
    Ok(())
}

pub(super) fn a_folder_is_listed<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let mut names = Vec::new();
    for entry in fs::read_dir(probe.path("dir")).or_fail("read_dir")? {
        let entry = entry.or_fail("entry")?;
        names.push((
            entry.file_name().to_string_lossy().into_owned(),
            entry.file_type().or_fail("type")?.is_dir(),
        ));
    }
    check_eq!(
        names,
        [("one".to_string(), false), ("two".to_string(), true)]
    );
    check!(
        fs::read_dir(probe.path("stream")).is_err()
            || fs::read_dir(probe.path("stream"))
                .is_ok_and(|mut d| d.next().is_none_or(|e| e.is_err()))
    );
    let dir = probe.open("dir", O_RDONLY | O_DIRECTORY)?;
    let below = dir.openat("nothing", O_RDONLY, 0);
    check_eq!(below.err().ok_or("opened")?.errno(), 2);
    probe.expect_note("openat dir/nothing")
}

pub(super) fn statvfs_arrives<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let fd = probe.open("dir", O_RDONLY)?;
    let stat = fd.statvfs().or_fail("fstatvfs")?;
    check_eq!(
        (stat.f_bsize, stat.f_blocks, stat.f_bfree, stat.f_bavail),
        (512, 1000, 600, 500)
    );
    probe.expect_note("dir: fstatvfs")
}

pub(super) fn a_call_answers_in_place<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let fd = probe.open("stream", O_RDWR)?;
    let mut payload = *b"forwards";
    let count = fd
        .call_rw(&mut payload, CallFlags::empty(), &[7, 8, 9])
        .or_fail("call")?;
    check_eq!((count, &payload), (8, b"sdrawrof"));
    probe.expect_note("stream: call [7, 8, 9]")
}

pub(super) fn the_daemon_returns_a_foreign_descriptor<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let mut bytes = [1u8; 10];
    let mut file = File::open(probe.path("zeros")).or_fail("open")?;
    file.read_exact(&mut bytes).or_fail("read")?;
    check_eq!(bytes, [0; 10]);
    Ok(())
}

pub(super) fn a_descriptor_is_sent<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let stream = probe.open("stream", O_RDWR)?;
    let (reader, mut writer) = std::io::pipe().or_fail("pipe")?;
    writer.write_all(b"by pipe").or_fail("write")?;
    let travelling = reader.try_clone().or_fail("clone")?;
    let number = std::os::fd::IntoRawFd::into_raw_fd(travelling) as usize;
    stream
        .call_wo(&number.to_ne_bytes(), CallFlags::FD, &[])
        .or_fail("sendfd")?;
    probe.expect_note("stream: sendfd by pipe")?;
    check!(libredox::call::fstat(number).is_err());
    Ok(())
}

pub(super) fn a_descriptor_is_received<const STYLE: usize>() -> Outcome {
    let probe = Probe::start::<STYLE>()?;
    let stream = probe.open("stream", O_RDWR)?;
    let mut slot = usize::MAX.to_ne_bytes();
    stream
        .call_ro(&mut slot, CallFlags::FD, &[])
        .or_fail("recvfd")?;
    let zero = Fd::new(usize::from_ne_bytes(slot));
    let mut bytes = [1u8; 4];
    check_eq!(zero.read(&mut bytes).or_fail("read")?, 4);
    check_eq!(bytes, [0; 4]);
    probe.expect_note("stream: recvfd 1")
}
