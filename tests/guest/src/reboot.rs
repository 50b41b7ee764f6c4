//! Files across a reboot: the host runs `guest-tests keep write`, boots again, runs `guest-tests keep check`.

use std::fs;
use std::path::Path;

use guest_tests::{OrFail, Outcome, check, check_eq};

const FOLDER: &str = "/var/guest-tests-kept";
const FILES: u32 = 50;

/// `write` leaves files behind, `check` looks for them and removes them. Gives the exit status.
pub(crate) fn run(what: Option<&str>) -> i32 {
    let outcome = match what {
        Some("write") => write(),
        Some("check") => check(),
        _ => Err("say write or check".into()),
    };
    match outcome {
        Ok(()) => println!("ok   keep"),
        Err(ref reason) => println!("FAIL keep: {reason}"),
    }
    i32::from(outcome.is_err())
}

fn content(number: u32) -> Vec<u8> {
    (0..number * 997)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn write() -> Outcome {
    let _ = fs::remove_dir_all(FOLDER);
    fs::create_dir_all(Path::new(FOLDER).join("sub")).or_fail("mkdir")?;
    for number in 0..FILES {
        fs::write(Path::new(FOLDER).join(number.to_string()), content(number)).or_fail("write")?;
    }
    fs::write(Path::new(FOLDER).join("old-name"), b"renamed").or_fail("write")?;
    fs::rename(
        Path::new(FOLDER).join("old-name"),
        Path::new(FOLDER).join("sub/new-name"),
    )
    .or_fail("rename")?;
    fs::write(Path::new(FOLDER).join("removed"), b"x").or_fail("write")?;
    fs::remove_file(Path::new(FOLDER).join("removed")).or_fail("remove")?;
    let last = fs::File::open(Path::new(FOLDER).join("1")).or_fail("open")?;
    last.sync_all().or_fail("sync")
}

fn check() -> Outcome {
    for number in 0..FILES {
        let bytes = fs::read(Path::new(FOLDER).join(number.to_string())).or_fail("read")?;
        if bytes != content(number) {
            return Err(format!("file {number} differs"));
        }
    }
    check_eq!(
        fs::read(Path::new(FOLDER).join("sub/new-name")).or_fail("read")?,
        b"renamed"
    );
    check!(!Path::new(FOLDER).join("removed").exists());
    check!(!Path::new(FOLDER).join("old-name").exists());
    fs::remove_dir_all(FOLDER).or_fail("remove")
}
