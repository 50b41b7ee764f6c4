//! `std::fs` on the root file system.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use guest_tests::scratch::Scratch;
use guest_tests::{Group, OrFail, Outcome, check, check_eq, group};

/// Size of the large file, and of the pieces it is written in.
const LARGE_BYTES: u64 = 256 * 1024 * 1024;
const PIECE_BYTES: usize = 1024 * 1024;

/// The usual operations.
pub(crate) const GROUP: Group = group!(
    "files",
    guest_tests::DEFAULT_LIMIT,
    [
        what_is_written_can_be_read,
        create_new_refuses_an_existing_file,
        a_missing_file_is_not_found,
        append_goes_to_the_end,
        truncate_empties_and_set_len_resizes,
        seek_and_positioned_reads_agree,
        rename_replaces_the_target,
        a_directory_moves_with_its_content,
        symlinks_are_followed_and_read,
        a_symlink_loop_is_an_error,
        hard_links_share_the_file,
        metadata_tells_kind_size_and_mode,
        modification_time_is_now,
        read_dir_lists_every_entry_once,
        a_folder_of_hundreds_of_files,
        remove_dir_refuses_a_full_folder,
        remove_dir_all_removes_the_tree,
        canonicalize_resolves_dots_and_links,
        relative_paths_follow_the_current_dir,
        copy_copies_the_bytes,
        an_open_file_survives_its_name,
        a_file_is_not_a_directory,
        long_names_are_refused_not_cut,
    ]
);

/// One large file: slow, so in a group of its own.
pub(crate) const LARGE: Group = group!(
    "large-file",
    Duration::from_secs(600),
    [a_file_of_256_mib_keeps_its_bytes]
);

fn what_is_written_can_be_read() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("a");
    fs::write(&path, b"hello\0world").or_fail("write")?;
    check_eq!(fs::read(&path).or_fail("read")?, b"hello\0world");
    fs::write(&path, b"short").or_fail("write again")?;
    check_eq!(fs::read_to_string(&path).or_fail("read again")?, "short");
    Ok(())
}

fn create_new_refuses_an_existing_file() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("a");
    File::create_new(&path).or_fail("first create_new")?;
    let error = File::create_new(&path)
        .err()
        .ok_or("second create_new worked")?;
    check_eq!(error.kind(), ErrorKind::AlreadyExists);
    Ok(())
}

fn a_missing_file_is_not_found() -> Outcome {
    let scratch = Scratch::new()?;
    let error = File::open(scratch.join("none"))
        .err()
        .ok_or("open worked")?;
    check_eq!(error.kind(), ErrorKind::NotFound);
    let error = fs::remove_file(scratch.join("none"))
        .err()
        .ok_or("remove worked")?;
    check_eq!(error.kind(), ErrorKind::NotFound);
    let error = File::create(scratch.join("none/x"))
        .err()
        .ok_or("create worked")?;
    check_eq!(error.kind(), ErrorKind::NotFound);
    Ok(())
}

fn append_goes_to_the_end() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("log");
    fs::write(&path, b"one\n").or_fail("write")?;
    let mut first = OpenOptions::new()
        .append(true)
        .open(&path)
        .or_fail("append")?;
    let mut second = OpenOptions::new()
        .append(true)
        .open(&path)
        .or_fail("append")?;
    first.write_all(b"two\n").or_fail("first")?;
    second.write_all(b"three\n").or_fail("second")?;
    first.write_all(b"four\n").or_fail("first again")?;
    check_eq!(
        fs::read_to_string(&path).or_fail("read")?,
        "one\ntwo\nthree\nfour\n"
    );
    Ok(())
}

fn truncate_empties_and_set_len_resizes() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("a");
    fs::write(&path, vec![7u8; 10_000]).or_fail("write")?;
    let file = OpenOptions::new().write(true).open(&path).or_fail("open")?;
    file.set_len(20_000).or_fail("grow")?;
    let bytes = fs::read(&path).or_fail("read")?;
    check_eq!(bytes.len(), 20_000);
    check!(bytes[..10_000].iter().all(|&b| b == 7));
    check!(bytes[10_000..].iter().all(|&b| b == 0));
    file.set_len(3).or_fail("shrink")?;
    check_eq!(fs::read(&path).or_fail("read")?, [7, 7, 7]);
    File::create(&path).or_fail("truncate")?;
    check_eq!(fs::metadata(&path).or_fail("metadata")?.len(), 0);
    Ok(())
}

fn seek_and_positioned_reads_agree() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("a");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .or_fail("open")?;
    file.write_all(b"0123456789").or_fail("write")?;
    check_eq!(file.seek(SeekFrom::Start(4)).or_fail("seek")?, 4);
    let mut two = [0u8; 2];
    file.read_exact(&mut two).or_fail("read")?;
    check_eq!(&two, b"45");
    check_eq!(file.seek(SeekFrom::Current(-1)).or_fail("seek back")?, 5);
    check_eq!(
        file.seek(SeekFrom::End(-3)).or_fail("seek from the end")?,
        7
    );
    file.read_exact(&mut two).or_fail("read")?;
    check_eq!(&two, b"78");
    file.read_exact_at(&mut two, 1).or_fail("read at")?;
    check_eq!(&two, b"12");
    check_eq!(file.stream_position().or_fail("position")?, 9);
    file.write_all_at(b"xy", 3).or_fail("write at")?;
    check!(file.seek(SeekFrom::Current(-100)).is_err());
    check_eq!(fs::read_to_string(&path).or_fail("read all")?, "012xy56789");
    Ok(())
}

fn rename_replaces_the_target() -> Outcome {
    let scratch = Scratch::new()?;
    let (from, to) = (scratch.join("from"), scratch.join("to"));
    fs::write(&from, b"new").or_fail("write")?;
    fs::write(&to, b"old").or_fail("write")?;
    fs::rename(&from, &to).or_fail("rename")?;
    check!(!from.exists());
    check_eq!(fs::read_to_string(&to).or_fail("read")?, "new");
    check!(fs::rename(&from, &to).is_err());
    Ok(())
}

fn a_directory_moves_with_its_content() -> Outcome {
    let scratch = Scratch::new()?;
    fs::create_dir_all(scratch.join("a/b")).or_fail("mkdir")?;
    fs::create_dir(scratch.join("c")).or_fail("mkdir")?;
    fs::write(scratch.join("a/b/file"), b"x").or_fail("write")?;
    fs::rename(scratch.join("a/b"), scratch.join("c/d")).or_fail("rename")?;
    check_eq!(fs::read(scratch.join("c/d/file")).or_fail("read")?, b"x");
    check!(!scratch.join("a/b").exists());
    Ok(())
}

fn symlinks_are_followed_and_read() -> Outcome {
    let scratch = Scratch::new()?;
    fs::create_dir(scratch.join("dir")).or_fail("mkdir")?;
    fs::write(scratch.join("dir/file"), b"through").or_fail("write")?;
    symlink("dir/file", scratch.join("relative")).or_fail("symlink")?;
    symlink(scratch.join("dir"), scratch.join("absolute")).or_fail("symlink")?;
    symlink("nowhere", scratch.join("dangling")).or_fail("symlink")?;
    check_eq!(
        fs::read_to_string(scratch.join("relative")).or_fail("relative")?,
        "through"
    );
    check_eq!(
        fs::read_to_string(scratch.join("absolute/file")).or_fail("absolute")?,
        "through"
    );
    check_eq!(
        fs::read_link(scratch.join("relative"))
            .or_fail("read_link")?
            .to_string_lossy(),
        "dir/file"
    );
    let link = fs::symlink_metadata(scratch.join("relative")).or_fail("lstat")?;
    check!(link.file_type().is_symlink());
    check!(
        fs::metadata(scratch.join("relative"))
            .or_fail("stat")?
            .is_file()
    );
    check_eq!(
        fs::metadata(scratch.join("dangling"))
            .err()
            .ok_or("followed")?
            .kind(),
        ErrorKind::NotFound
    );
    fs::remove_file(scratch.join("relative")).or_fail("remove a link")?;
    check!(scratch.join("dir/file").exists());
    Ok(())
}

fn a_symlink_loop_is_an_error() -> Outcome {
    let scratch = Scratch::new()?;
    symlink("b", scratch.join("a")).or_fail("symlink")?;
    symlink("a", scratch.join("b")).or_fail("symlink")?;
    check!(File::open(scratch.join("a")).is_err());
    Ok(())
}

fn hard_links_share_the_file() -> Outcome {
    let scratch = Scratch::new()?;
    let (a, b) = (scratch.join("a"), scratch.join("b"));
    fs::write(&a, b"1").or_fail("write")?;
    fs::hard_link(&a, &b).or_fail("link")?;
    check_eq!(fs::metadata(&a).or_fail("stat")?.nlink(), 2);
    check_eq!(
        fs::metadata(&a).or_fail("stat")?.ino(),
        fs::metadata(&b).or_fail("stat")?.ino()
    );
    fs::write(&b, b"22").or_fail("write")?;
    fs::remove_file(&b).or_fail("remove")?;
    check_eq!(fs::read(&a).or_fail("read")?, b"22");
    Ok(())
}

fn metadata_tells_kind_size_and_mode() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("a");
    fs::write(&path, [1u8; 5000]).or_fail("write")?;
    let metadata = fs::metadata(&path).or_fail("stat")?;
    check!(metadata.is_file() && !metadata.is_dir());
    check_eq!(metadata.len(), 5000);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).or_fail("chmod")?;
    check_eq!(
        fs::metadata(&path).or_fail("stat")?.permissions().mode() & 0o777,
        0o640
    );
    let by_handle = File::open(&path)
        .or_fail("open")?
        .metadata()
        .or_fail("fstat")?;
    check_eq!(by_handle.ino(), metadata.ino());
    check!(fs::metadata(scratch.path()).or_fail("stat")?.is_dir());
    Ok(())
}

fn modification_time_is_now() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("a");
    let before = SystemTime::now();
    fs::write(&path, b"x").or_fail("write")?;
    let modified = fs::metadata(&path)
        .or_fail("stat")?
        .modified()
        .or_fail("modified")?;
    let slack = Duration::from_secs(5);
    check!(modified + slack >= before);
    check!(modified <= SystemTime::now() + slack);
    Ok(())
}

fn read_dir_lists_every_entry_once() -> Outcome {
    let scratch = Scratch::new()?;
    fs::write(scratch.join("file"), b"").or_fail("write")?;
    fs::create_dir(scratch.join("dir")).or_fail("mkdir")?;
    symlink("file", scratch.join("link")).or_fail("symlink")?;
    let mut seen = Vec::new();
    for entry in fs::read_dir(scratch.path()).or_fail("read_dir")? {
        let entry = entry.or_fail("entry")?;
        let kind = entry.file_type().or_fail("file_type")?;
        let letter = match (kind.is_file(), kind.is_dir(), kind.is_symlink()) {
            (true, _, _) => 'f',
            (_, true, _) => 'd',
            (_, _, true) => 'l',
            _ => '?',
        };
        seen.push(format!("{letter} {}", entry.file_name().to_string_lossy()));
    }
    seen.sort();
    check_eq!(seen, ["d dir", "f file", "l link"]);
    Ok(())
}

fn a_folder_of_hundreds_of_files() -> Outcome {
    const COUNT: usize = 300;
    let scratch = Scratch::new()?;
    for number in 0..COUNT {
        let name = format!("a-file-with-a-longer-name-{number:04}");
        fs::write(scratch.join(&name), name.as_bytes()).or_fail("write")?;
    }
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(scratch.path()).or_fail("read_dir")? {
        let name = entry.or_fail("entry")?.file_name();
        check!(seen.insert(name.clone()));
        check_eq!(
            fs::read(scratch.path().join(&name)).or_fail("read")?,
            name.as_encoded_bytes()
        );
    }
    check_eq!(seen.len(), COUNT);
    Ok(())
}

fn remove_dir_refuses_a_full_folder() -> Outcome {
    let scratch = Scratch::new()?;
    fs::create_dir(scratch.join("dir")).or_fail("mkdir")?;
    fs::write(scratch.join("dir/file"), b"").or_fail("write")?;
    check!(fs::remove_dir(scratch.join("dir")).is_err());
    check!(scratch.join("dir/file").exists());
    check!(fs::remove_file(scratch.join("dir")).is_err());
    fs::remove_file(scratch.join("dir/file")).or_fail("remove")?;
    fs::remove_dir(scratch.join("dir")).or_fail("rmdir")?;
    check!(!scratch.join("dir").exists());
    Ok(())
}

fn remove_dir_all_removes_the_tree() -> Outcome {
    let scratch = Scratch::new()?;
    for dir in ["t/a/b/c", "t/d/e"] {
        fs::create_dir_all(scratch.join(dir)).or_fail("mkdir")?;
        for number in 0..10 {
            fs::write(scratch.join(dir).join(number.to_string()), b"x").or_fail("write")?;
        }
    }
    fs::write(scratch.join("outside"), b"stays").or_fail("write")?;
    symlink(scratch.join("outside"), scratch.join("t/link")).or_fail("symlink")?;
    fs::remove_dir_all(scratch.join("t")).or_fail("remove_dir_all")?;
    check!(!scratch.join("t").exists());
    check!(scratch.join("outside").exists());
    Ok(())
}

fn canonicalize_resolves_dots_and_links() -> Outcome {
    let scratch = Scratch::new()?;
    fs::create_dir_all(scratch.join("a/b")).or_fail("mkdir")?;
    symlink("a/b", scratch.join("short")).or_fail("symlink")?;
    let direct = scratch.join("a/b").canonicalize().or_fail("canonicalize")?;
    let indirect = scratch
        .join("a/../short/./")
        .canonicalize()
        .or_fail("canonicalize")?;
    check_eq!(indirect, direct);
    check!(direct.ends_with("a/b"));
    check!(scratch.join("a/c").canonicalize().is_err());
    Ok(())
}

fn relative_paths_follow_the_current_dir() -> Outcome {
    let scratch = Scratch::new()?;
    let old = std::env::current_dir().or_fail("current_dir")?;
    fs::create_dir(scratch.join("sub")).or_fail("mkdir")?;
    std::env::set_current_dir(scratch.join("sub")).or_fail("chdir")?;
    let outcome = (|| {
        fs::write("file", b"x").or_fail("relative write")?;
        check!(scratch.join("sub/file").exists());
        fs::write("../up", b"x").or_fail("write above")?;
        check!(scratch.join("up").exists());
        std::env::set_current_dir("..").or_fail("chdir up")?;
        check!(fs::metadata("sub/file").is_ok());
        let now = std::env::current_dir().or_fail("current_dir")?;
        check_eq!(
            now.canonicalize().or_fail("canonicalize")?,
            scratch.path().canonicalize().or_fail("canonicalize")?
        );
        check!(std::env::set_current_dir("none").is_err());
        Ok(())
    })();
    std::env::set_current_dir(old).or_fail("chdir back")?;
    outcome
}

fn copy_copies_the_bytes() -> Outcome {
    let scratch = Scratch::new()?;
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(scratch.join("a"), &bytes).or_fail("write")?;
    check_eq!(
        fs::copy(scratch.join("a"), scratch.join("b")).or_fail("copy")?,
        bytes.len() as u64
    );
    check!(fs::read(scratch.join("b")).or_fail("read")? == bytes);
    Ok(())
}

fn an_open_file_survives_its_name() -> Outcome {
    let scratch = Scratch::new()?;
    fs::write(scratch.join("a"), b"still here").or_fail("write")?;
    let mut file = File::open(scratch.join("a")).or_fail("open")?;
    fs::remove_file(scratch.join("a")).or_fail("remove")?;
    let mut text = String::new();
    file.read_to_string(&mut text).or_fail("read")?;
    check_eq!(text, "still here");
    check!(!scratch.join("a").exists());
    Ok(())
}

fn a_file_is_not_a_directory() -> Outcome {
    let scratch = Scratch::new()?;
    fs::write(scratch.join("a"), b"").or_fail("write")?;
    check!(File::open(scratch.join("a/b")).is_err());
    check!(fs::read_dir(scratch.join("a")).is_err());
    check!(fs::create_dir(scratch.join("a")).is_err());
    check!(File::create(scratch.path()).is_err());
    Ok(())
}

fn long_names_are_refused_not_cut() -> Outcome {
    let scratch = Scratch::new()?;
    let name = "n".repeat(1000);
    check!(fs::write(scratch.join(&name), b"").is_err());
    check_eq!(fs::read_dir(scratch.path()).or_fail("read_dir")?.count(), 0);
    let path = format!("{}/{}", scratch.path().display(), "d/".repeat(5000));
    check!(fs::metadata(path).is_err());
    Ok(())
}

fn a_file_of_256_mib_keeps_its_bytes() -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.join("large");
    let mut file = File::create(&path).or_fail("create")?;
    let mut piece = vec![0u8; PIECE_BYTES];
    let pieces = LARGE_BYTES / PIECE_BYTES as u64;
    for number in 0..pieces {
        fill(&mut piece, number);
        file.write_all(&piece).or_fail("write")?;
    }
    file.sync_all().or_fail("sync")?;
    drop(file);
    check_eq!(fs::metadata(&path).or_fail("stat")?.len(), LARGE_BYTES);
    let mut file = File::open(&path).or_fail("open")?;
    let mut back = vec![0u8; PIECE_BYTES];
    for number in 0..pieces {
        file.read_exact(&mut back).or_fail("read")?;
        fill(&mut piece, number);
        if back != piece {
            return Err(format!("piece {number} differs"));
        }
    }
    check_eq!(file.read(&mut back).or_fail("read at the end")?, 0);
    fs::remove_file(&path).or_fail("remove")
}

/// Fills a piece with bytes that depend on its number.
fn fill(piece: &mut [u8], number: u64) {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for word in piece.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
}
