//! The `aid` program behind a FUSE mount, used by real programs. Skips loudly where there is no FUSE.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ai_engine::invent::Recipe;
use ai_engine::quant::Format;
use tempfile::TempDir;

struct Hosted {
    daemon: Child,
    dir: TempDir,
}

impl Hosted {
    fn start() -> Option<Hosted> {
        if let Err(reason) = scheme_server::fuse::available() {
            eprintln!("SKIPPED: no FUSE here: {reason}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        for folder in ["models", "mnt"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(
            dir.path().join("models/tiny.gguf"),
            Recipe::tiny("llama", Format::Q4_0).file(),
        )
        .unwrap();
        let daemon = Self::spawn(dir.path());
        Some(Hosted { daemon, dir })
    }

    fn spawn(dir: &Path) -> Child {
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_aid"))
            .arg("--mount")
            .arg(dir.join("mnt"))
            .arg("--models")
            .arg(dir.join("models"))
            .args(["--threads", "1"])
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !dir.join("mnt/status").exists() {
            assert!(daemon.try_wait().unwrap().is_none(), "aid ended at once");
            assert!(Instant::now() < deadline, "aid does not mount");
            std::thread::sleep(Duration::from_millis(5));
        }
        daemon
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    fn shell(&self, script: &str) -> Output {
        let mut shell = Command::new("bash");
        shell
            .args(["-ec", script])
            .current_dir(self.root())
            .env("AI_ROOT", self.root());
        shell.stdin(Stdio::null()).output().unwrap()
    }

    fn stop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
        // A killed server leaves its mount behind.
        let _ = Command::new("umount").arg("-l").arg(self.root()).status();
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.stop();
    }
}

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn shell_c_and_rust_get_the_same_reply() {
    let Some(hosted) = Hosted::start() else {
        return;
    };
    let by_descriptor =
        hosted.shell("exec 3<>'chat?temperature=0&max_tokens=12'; echo hello >&3; cat <&3");
    let by_session = hosted.shell(
        "n=$(cat session/new); printf 'temperature 0\\nmax_tokens 12\\n' > session/$n/ctl; echo hello > session/$n/prompt; cat session/$n/stream",
    );
    let want = text(&by_descriptor);
    assert!(!want.is_empty());
    assert_eq!(text(&by_session), want);

    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/c");
    let program = hosted.dir.path().join("example");
    let built = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .args([sources.join("example.c"), sources.join("ai.c")])
        .status();
    match built {
        Ok(status) => assert!(status.success()),
        Err(error) => return eprintln!("SKIPPED: no C compiler: {error}"),
    }
    let output = Command::new(program)
        .args(["hello", "temperature 0", "max_tokens 12"])
        .env("AI_ROOT", hosted.root())
        .output()
        .unwrap();
    assert_eq!(text(&output), want);

    let client = ai_api::Client::at(hosted.root()).unwrap();
    let mut settings = ai_api::Settings::default();
    settings.set("temperature", "0").unwrap();
    settings.set("max_tokens", "12").unwrap();
    let mut chat = client.chat(&settings).unwrap();
    chat.send("hello").unwrap();
    assert_eq!(chat.read_all().unwrap(), want);
    assert_eq!(client.models().unwrap(), ["tiny"]);
}

#[test]
fn a_reader_of_a_killed_daemon_gets_an_error_at_once_and_the_next_daemon_works() {
    let Some(mut hosted) = Hosted::start() else {
        return;
    };
    let open = |root: &Path| {
        let path = root.join("chat?max_tokens=480&temperature=0");
        File::options().read(true).write(true).open(path).unwrap()
    };
    let mut chat = open(&hosted.root());
    chat.write_all(b"hello").unwrap();
    chat.read_exact(&mut [0; 4]).unwrap();
    hosted.stop();
    let asked = Instant::now();
    assert!(chat.read_to_end(&mut Vec::new()).is_err());
    assert!(asked.elapsed() < Duration::from_secs(2));
    drop(chat);
    hosted.daemon = Hosted::spawn(hosted.dir.path());
    let mut chat = open(&hosted.root());
    chat.write_all(b"hello").unwrap();
    chat.read_exact(&mut [0; 4]).unwrap();
}

#[test]
fn a_client_killed_mid_reply_leaves_the_daemon_idle() {
    let Some(hosted) = Hosted::start() else {
        return;
    };
    let script = "exec 3<>'chat?max_tokens=490&temperature=0'; echo hello >&3; exec cat <&3";
    let mut client = Command::new("bash")
        .args(["-c", script])
        .current_dir(hosted.root())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    client
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut [0; 2])
        .unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    let status = || fs::read_to_string(hosted.root().join("models/tiny/status")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !status().contains("active 0") {
        assert!(Instant::now() < deadline, "{}", status());
        std::thread::sleep(Duration::from_millis(10));
    }
}
