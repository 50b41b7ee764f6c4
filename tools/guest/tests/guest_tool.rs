//! The guest tool against a guest that is played by this very test program: a script named like QEMU runs it again with
//! the arguments that QEMU would get. No virtual machine is needed.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place {
            folder: tempfile::tempdir().unwrap(),
        };
        for name in [
            "valence.img",
            "boot/kernel",
            "boot/initfs",
            "boot/boot.conf",
        ] {
            let path = place.path("image").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x=1\n").unwrap();
        }
        let qemu = place.path("bin/qemu-system-x86_64");
        fs::create_dir(place.path("bin")).unwrap();
        let program = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\nPLAYED=\"$*\" exec {} --exact play_the_guest --ignored --nocapture\n",
            program.display()
        );
        fs::write(&qemu, script).unwrap();
        fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn guest(&self, arguments: &[&str]) -> Output {
        let path = format!(
            "{}:{}",
            self.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        Command::new(env!("CARGO_BIN_EXE_guest"))
            .arg(self.path("image"))
            .args(arguments)
            .env("PATH", path)
            .env_remove("uefi")
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn output_and_status_are_the_commands_and_nothing_else() {
    let output = Place::new().guest(&["--", "three"]);
    assert_eq!(text(&output.stdout), "a\nb\nc\n");
    assert_eq!(text(&output.stderr), "note\n");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn commands_run_in_one_boot_until_one_fails() {
    let output = Place::new().guest(&["--", "count", "count", "three", "count"]);
    assert_eq!(text(&output.stdout), "1\n2\na\nb\nc\n");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn a_script_file_is_run_line_by_line() {
    let place = Place::new();
    fs::write(place.path("script"), "# text\n\ncount\ncount\n").unwrap();
    let script = place.path("script");
    let output = place.guest(&["--script", script.to_str().unwrap()]);
    assert_eq!(text(&output.stdout), "1\n2\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_kernel_panic_ends_the_run_and_shows_the_log() {
    let output = Place::new().guest(&["--", "panic"]);
    assert_eq!(output.status.code(), Some(125));
    let message = text(&output.stderr);
    assert!(
        message.contains("gave up") && message.contains("  | KERNEL PANIC: played"),
        "{message}"
    );
}

#[test]
fn a_command_that_hangs_is_ended_by_its_limit() {
    let output = Place::new().guest(&["--timeout", "1", "--", "hang"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(
        text(&output.stderr).contains("did not end within 1 s"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_guest_that_goes_away_is_an_error() {
    let output = Place::new().guest(&["--", "leave"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(
        text(&output.stderr).contains("QEMU ended"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_missing_image_says_what_to_do() {
    let place = Place::new();
    fs::remove_file(place.path("image/valence.img")).unwrap();
    let output = place.guest(&["--", "three"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(
        text(&output.stderr).contains("make image"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_missing_qemu_says_what_to_do() {
    let output = Command::new(env!("CARGO_BIN_EXE_guest"))
        .arg(Place::new().path("image"))
        .args(["--", "three"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(
        text(&output.stderr).contains("make "),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_suite_prints_a_table_and_goes_on_after_a_dead_guest() {
    let output = Place::new().guest(&["--suite"]);
    let table = text(&output.stdout);
    let words: Vec<_> = table
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(words.starts_with(&["ok"]), "{table}");
    assert!(
        table.contains("FAIL leave") && table.contains("ok   last"),
        "{table}"
    );
    assert!(
        table.ends_with("\n2 passed, 1 failed, 1 skipped\n"),
        "{table}"
    );
    assert_eq!(output.status.code(), Some(1));
}

/// The guest's side: not a test, see the top.
#[test]
#[ignore = "played by the tests above"]
fn play_the_guest() {
    let Ok(arguments) = std::env::var("PLAYED") else {
        return;
    };
    let path_after = |mark: &str| {
        let rest = &arguments[arguments.find(mark).unwrap() + mark.len()..];
        rest.split_whitespace().next().unwrap().to_string()
    };
    let mut line = UnixStream::connect(path_after("id=command,path=")).unwrap();
    line.write_all(b"noise from the firmware\r\nH\0\0\0\0")
        .unwrap();
    let mut count = 0;
    loop {
        let mut header = [0; 5];
        if line.read_exact(&mut header).is_err() || header[0] == b'Q' {
            return;
        }
        let length = u32::from_le_bytes(header[1..].try_into().unwrap()) as usize;
        let mut command = vec![0; length];
        line.read_exact(&mut command).unwrap();
        let command = String::from_utf8(command).unwrap();
        let (out, err, status) = match command.rsplit('/').next().unwrap() {
            "three" => ("a\nb\nc\n".to_string(), "note\n", 7),
            "count" => {
                count += 1;
                (format!("{count}\n"), "", 0)
            }
            "tests" => ("first leave skipped last\n".into(), "", 0),
            "skipped" => (String::new(), "", 77),
            "panic" => {
                fs::write(path_after("id=debug,path="), "boot\nKERNEL PANIC: played\n").unwrap();
                continue;
            }
            "hang" => continue,
            "leave" => return,
            _ => (String::new(), "", 0),
        };
        for (tag, bytes) in [
            (b'O', out.as_bytes()),
            (b'E', err.as_bytes()),
            (b'X', &i32::to_le_bytes(status)[..]),
        ] {
            line.write_all(&[tag]).unwrap();
            line.write_all(&(bytes.len() as u32).to_le_bytes()).unwrap();
            line.write_all(bytes).unwrap();
        }
    }
}
