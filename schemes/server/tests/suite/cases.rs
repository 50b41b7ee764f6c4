//! What must hold through every transport. `suite!(connect)` makes one test per case.

use std::thread;
use std::time::{Duration, Instant};

use scheme_server::{Errno, Kind, OpenFlags};

use crate::{Client, ClientFile};

macro_rules! suite {
    ($connect:path) => {
        $crate::cases::suite!($connect:
            a_file_is_read_at_its_position, a_read_only_file_refuses_writers, a_missing_file_is_enoent,
            directories_list_and_refuse_writing, a_stream_waits_for_bytes, a_stream_answers_eagain_without_blocking,
            one_handle_wakes_another, what_was_written_is_submitted_at_close, truncate_then_write_replaces,
            files_are_made_renamed_and_removed, directories_are_made_and_removed,
            a_thousand_handles_opened_and_abandoned_leave_nothing, sync_is_answered, long_names_are_refused,
            big_writes_arrive_whole
        );
    };
    ($connect:path: $($case:ident),*) => {
        $(#[test]
        fn $case() {
            if let Some(client) = $connect() {
                $crate::cases::$case(&client);
            }
        })*
    };
}
pub(crate) use suite;

fn all(file: &mut impl ClientFile) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let part = file.read(4).unwrap();
        if part.is_empty() {
            return all;
        }
        all.extend(part);
    }
}

pub(crate) fn a_file_is_read_at_its_position(client: &impl Client) {
    let mut file = client.open("hello", OpenFlags::READ).unwrap();
    assert_eq!(file.read(5).unwrap(), b"hello");
    assert_eq!(all(&mut file), b", world\n");
    file.seek(7).unwrap();
    assert_eq!(file.read(5).unwrap(), b"world");
    assert_eq!(client.stat("hello").unwrap().size, 13);
}

pub(crate) fn a_read_only_file_refuses_writers(client: &impl Client) {
    assert_eq!(
        client.open("hello", OpenFlags::WRITE).err(),
        Some(Errno::EACCES)
    );
    assert_eq!(
        client.open("bell", OpenFlags::READ).err(),
        Some(Errno::EACCES)
    );
}

pub(crate) fn a_missing_file_is_enoent(client: &impl Client) {
    assert_eq!(
        client.open("nothing", OpenFlags::READ).err(),
        Some(Errno::ENOENT)
    );
    assert_eq!(client.stat("notes/nothing").err(), Some(Errno::ENOENT));
}

pub(crate) fn directories_list_and_refuse_writing(client: &impl Client) {
    let mut names = client.names("").unwrap();
    names.sort();
    assert_eq!(
        names,
        [
            "bell",
            "hello",
            "notes",
            "secret",
            "submit",
            "submitted",
            "upper"
        ]
    );
    assert_eq!(
        client.open("notes", OpenFlags::WRITE).err(),
        Some(Errno::EISDIR)
    );
    assert_eq!(client.names("hello").err(), Some(Errno::ENOTDIR));
    assert_eq!(client.stat("notes").unwrap().kind, Kind::Dir);
}

pub(crate) fn a_stream_waits_for_bytes(client: &impl Client) {
    let mut file = client.open("upper", OpenFlags::READ_WRITE).unwrap();
    assert_eq!(file.write(b"abc").unwrap(), 3);
    assert_eq!(file.read(100).unwrap(), b"ABC");
    assert_eq!(file.write(b"de").unwrap(), 2);
    assert_eq!(file.read(100).unwrap(), b"DE");
}

pub(crate) fn a_stream_answers_eagain_without_blocking(client: &impl Client) {
    let mut file = client
        .open("upper", OpenFlags::READ_WRITE.nonblocking())
        .unwrap();
    assert_eq!(file.read(100).err(), Some(Errno::EAGAIN));
    file.write(b"x").unwrap();
    assert_eq!(file.read(100).unwrap(), b"X");
    assert_eq!(file.read(100).err(), Some(Errno::EAGAIN));
}

pub(crate) fn one_handle_wakes_another(client: &impl Client) {
    let other = client.clone();
    let reader = thread::spawn(move || {
        let mut file = other.open("upper", OpenFlags::READ).unwrap();
        file.read(10)
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    while client.open_handles() == 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
    thread::sleep(Duration::from_millis(20));
    client
        .open("bell", OpenFlags::WRITE)
        .unwrap()
        .write(b"ring")
        .unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), b"");
}

pub(crate) fn what_was_written_is_submitted_at_close(client: &impl Client) {
    let mut file = client.open("submit", OpenFlags::REPLACE).unwrap();
    file.write(b"one").unwrap();
    assert_eq!(client.stat("submitted").unwrap().size, 0);
    file.write(b" two").unwrap();
    drop(file);
    assert_eq!(
        all(&mut client.open("submitted", OpenFlags::READ).unwrap()),
        b"one two"
    );
}

pub(crate) fn truncate_then_write_replaces(client: &impl Client) {
    client
        .open("notes/a", OpenFlags::REPLACE)
        .unwrap()
        .write(b"long text")
        .unwrap();
    client
        .open("notes/a", OpenFlags::REPLACE)
        .unwrap()
        .write(b"new")
        .unwrap();
    assert_eq!(
        all(&mut client.open("notes/a", OpenFlags::READ).unwrap()),
        b"new"
    );
    assert_eq!(client.stat("notes/a").unwrap().size, 3);
}

pub(crate) fn files_are_made_renamed_and_removed(client: &impl Client) {
    client
        .open("notes/a", OpenFlags::REPLACE)
        .unwrap()
        .write(b"text")
        .unwrap();
    let exclusive = OpenFlags {
        exclusive: true,
        ..OpenFlags::REPLACE
    };
    assert_eq!(client.open("notes/a", exclusive).err(), Some(Errno::EEXIST));
    client.rename("notes/a", "notes/b").unwrap();
    assert_eq!(client.names("notes").unwrap(), ["b"]);
    assert_eq!(
        all(&mut client.open("notes/b", OpenFlags::READ).unwrap()),
        b"text"
    );
    client.remove("notes/b", Kind::File).unwrap();
    assert_eq!(
        client.remove("notes/b", Kind::File).err(),
        Some(Errno::ENOENT)
    );
}

pub(crate) fn directories_are_made_and_removed(client: &impl Client) {
    client.make_dir("notes/d").unwrap();
    assert_eq!(client.make_dir("notes/d").err(), Some(Errno::EEXIST));
    client
        .open("notes/d/f", OpenFlags::REPLACE)
        .unwrap()
        .write(b"x")
        .unwrap();
    assert_eq!(
        client.remove("notes/d", Kind::Dir).err(),
        Some(Errno::ENOTEMPTY)
    );
    client.remove("notes/d/f", Kind::File).unwrap();
    client.remove("notes/d", Kind::Dir).unwrap();
    assert_eq!(client.stat("notes/d").err(), Some(Errno::ENOENT));
}

pub(crate) fn a_thousand_handles_opened_and_abandoned_leave_nothing(client: &impl Client) {
    for _ in 0..10 {
        let batch: Vec<_> = (0..100)
            .map(|_| client.open("upper", OpenFlags::READ_WRITE).unwrap())
            .collect();
        drop(batch);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while client.open_handles() > 0 {
        assert!(
            Instant::now() < deadline,
            "{} handles leak",
            client.open_handles()
        );
        thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn sync_is_answered(client: &impl Client) {
    let mut file = client.open("notes/s", OpenFlags::REPLACE).unwrap();
    file.write(b"x").unwrap();
    file.sync().unwrap();
}

pub(crate) fn long_names_are_refused(client: &impl Client) {
    let name = "n".repeat(5000);
    assert_eq!(
        client.open(&name, OpenFlags::READ).err(),
        Some(Errno::ENAMETOOLONG)
    );
}

pub(crate) fn big_writes_arrive_whole(client: &impl Client) {
    let data: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    let mut file = client.open("notes/big", OpenFlags::REPLACE).unwrap();
    let mut done = 0;
    while done < data.len() {
        done += file.write(&data[done..]).unwrap();
    }
    drop(file);
    let mut file = client.open("notes/big", OpenFlags::READ).unwrap();
    let mut got = Vec::new();
    loop {
        let part = file.read(100_000).unwrap();
        if part.is_empty() {
            break;
        }
        got.extend(part);
    }
    assert!(got == data);
}
