//! Child processes: pipes, exit codes, signals, environment, working directory.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use guest_tests::client::{Helper, own_program};
use guest_tests::scratch::Scratch;
use guest_tests::{Group, OrFail, Outcome, check, check_eq, group};

/// All about processes.
pub(crate) const GROUP: Group = group!(
    "process",
    guest_tests::DEFAULT_LIMIT,
    [
        output_and_exit_code_come_back,
        input_goes_through_a_pipe,
        stderr_is_apart,
        null_is_end_of_file,
        a_missing_program_is_not_found,
        a_file_that_is_no_program_is_refused,
        a_killed_child_says_which_signal,
        try_wait_does_not_block,
        the_environment_is_passed_and_cleared,
        the_working_directory_is_passed,
        arguments_are_kept,
        a_pipeline_of_three,
        a_large_stream_through_two_pipes,
        a_closed_pipe_is_a_broken_pipe,
        a_process_can_replace_itself,
        many_children_one_after_another,
        many_children_at_once,
        descriptors_are_not_inherited,
        children_of_several_threads,
        the_shell_runs_a_script,
    ]
);

/// Many processes: slow, so in a group of its own.
pub(crate) const STRESS: Group = group!(
    "process-stress",
    Duration::from_secs(300),
    [
        two_hundred_children,
        threads_that_fork_while_others_allocate
    ]
);

fn role(name: &str) -> Command {
    let mut command = Command::new(own_program());
    command.arg("--role").arg(name);
    command
}

/// Roles that the tests of this group start; gives the exit code.
pub(crate) fn play(name: &str, arguments: &[String]) -> Option<i32> {
    let mut input = Vec::new();
    match name {
        "exit" => return arguments.first().and_then(|code| code.parse().ok()),
        "echo-arguments" => println!("{}", arguments.join("|")),
        "upper" => {
            std::io::stdin().read_to_end(&mut input).ok()?;
            std::io::stdout()
                .write_all(&input.to_ascii_uppercase())
                .ok()?;
        }
        "count" => {
            let copied = std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok()?;
            println!("{copied}");
        }
        "both" => {
            println!("to stdout");
            eprintln!("to stderr");
        }
        "sleep" => std::thread::sleep(Duration::from_secs(600)),
        "environment" => {
            let mut all: Vec<_> = std::env::vars()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            all.sort();
            println!("{}", all.join("\n"));
        }
        "directory" => println!("{}", std::env::current_dir().ok()?.display()),
        "replace" => {
            let error = role("exit").arg("23").exec();
            eprintln!("exec: {error}");
            return Some(99);
        }
        "use-descriptor" => {
            let fd: usize = arguments.first()?.parse().ok()?;
            return Some(i32::from(libredox::call::fstat(fd).is_ok()));
        }
        "hold" | "read-one" => {
            let mut file = std::fs::File::open(arguments.first()?).ok()?;
            println!("ready");
            if name == "read-one" {
                return Some(i32::from(file.read_exact(&mut [0u8; 1]).is_err()));
            }
            std::io::stdin().read_to_end(&mut input).ok()?;
        }
        "ready-then-wait" => {
            println!("ready");
            std::io::stdin().read_to_end(&mut input).ok()?;
            return Some(5);
        }
        _ => return None,
    }
    Some(0)
}

fn output_and_exit_code_come_back() -> Outcome {
    let output = role("echo-arguments").arg("x").output().or_fail("output")?;
    check!(output.status.success());
    check_eq!(String::from_utf8_lossy(&output.stdout), "x\n");
    for code in [0, 1, 7, 255] {
        let status = role("exit")
            .arg(code.to_string())
            .status()
            .or_fail("status")?;
        check_eq!(status.code(), Some(code));
    }
    Ok(())
}

fn input_goes_through_a_pipe() -> Outcome {
    let mut child = role("upper")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .or_fail("spawn")?;
    child
        .stdin
        .take()
        .ok_or("no stdin")?
        .write_all(b"through a pipe")
        .or_fail("write")?;
    let output = child.wait_with_output().or_fail("wait")?;
    check_eq!(String::from_utf8_lossy(&output.stdout), "THROUGH A PIPE");
    check!(output.status.success());
    Ok(())
}

fn stderr_is_apart() -> Outcome {
    let output = role("both").output().or_fail("output")?;
    check_eq!(String::from_utf8_lossy(&output.stdout), "to stdout\n");
    check_eq!(String::from_utf8_lossy(&output.stderr), "to stderr\n");
    Ok(())
}

fn null_is_end_of_file() -> Outcome {
    let output = role("count")
        .stdin(Stdio::null())
        .output()
        .or_fail("output")?;
    check_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
    let status = role("both")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .or_fail("status")?;
    check!(status.success());
    Ok(())
}

fn a_missing_program_is_not_found() -> Outcome {
    let error = Command::new("/usr/bin/no-such-program")
        .spawn()
        .err()
        .ok_or("it was started")?;
    check_eq!(error.kind(), ErrorKind::NotFound);
    let error = Command::new("no-such-program")
        .spawn()
        .err()
        .ok_or("it was started")?;
    check_eq!(error.kind(), ErrorKind::NotFound);
    Ok(())
}

fn a_file_that_is_no_program_is_refused() -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new()?;
    let own = std::fs::read(own_program()).or_fail("read own program")?;
    // A file that is not ELF at all would go to the shell, as execvp has it.
    let mut wild = own.clone();
    wild[24..32].copy_from_slice(&u64::MAX.to_le_bytes()); // its entry point
    wild[32..40].copy_from_slice(&u64::MAX.to_le_bytes()); // where its program headers lie
    let damaged = [("cut", own[..100].to_vec()), ("wild", wild)];
    for (name, bytes) in damaged {
        let path = scratch.join(name);
        std::fs::write(&path, bytes).or_fail("write")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).or_fail("chmod")?;
        // execvp hands what the kernel refuses to the shell, which cannot read it either.
        if let Ok(mut child) = Command::new(&path).stderr(Stdio::null()).spawn() {
            let status = child.wait().or_fail("wait")?;
            if status.success() {
                return Err(format!("{name} was run"));
            }
        }
    }
    Ok(())
}

fn a_killed_child_says_which_signal() -> Outcome {
    let mut child = role("sleep").spawn().or_fail("spawn")?;
    std::thread::sleep(Duration::from_millis(100));
    child.kill().or_fail("kill")?;
    let status = child.wait().or_fail("wait")?;
    check_eq!(status.signal(), Some(9));
    check_eq!(status.code(), None);
    Ok(())
}

fn try_wait_does_not_block() -> Outcome {
    let mut child = role("upper")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .or_fail("spawn")?;
    check!(child.try_wait().or_fail("try_wait")?.is_none());
    drop(child.stdin.take());
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().or_fail("try_wait")? {
            check!(status.success());
            return Ok(());
        }
        check!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn the_environment_is_passed_and_cleared() -> Outcome {
    let output = role("environment")
        .env_clear()
        .env("ONE", "1")
        .env("TWO", "zwei drei")
        .output()
        .or_fail("output")?;
    check_eq!(
        String::from_utf8_lossy(&output.stdout),
        "ONE=1\nTWO=zwei drei\n"
    );
    let output = role("environment")
        .env("ADDED", "yes")
        .output()
        .or_fail("output")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    check!(text.lines().any(|line| line == "ADDED=yes"));
    check_eq!(
        text.lines().any(|line| line.starts_with("PATH=")),
        std::env::var_os("PATH").is_some()
    );
    Ok(())
}

fn the_working_directory_is_passed() -> Outcome {
    let scratch = Scratch::new()?;
    let output = role("directory")
        .current_dir(scratch.path())
        .output()
        .or_fail("output")?;
    let expected = scratch.path().canonicalize().or_fail("canonicalize")?;
    check_eq!(
        String::from_utf8_lossy(&output.stdout).trim_end(),
        expected.to_string_lossy()
    );
    check!(
        role("directory")
            .current_dir(scratch.join("none"))
            .output()
            .is_err()
    );
    Ok(())
}

fn arguments_are_kept() -> Outcome {
    let long = "x".repeat(20_000);
    let arguments = ["", "two words", "ümläut", "-flag", "$HOME*", &long];
    let output = role("echo-arguments")
        .args(arguments)
        .output()
        .or_fail("output")?;
    check_eq!(
        String::from_utf8_lossy(&output.stdout),
        arguments.join("|") + "\n"
    );
    Ok(())
}

fn a_pipeline_of_three() -> Outcome {
    let mut first = role("echo-arguments")
        .args(["a", "b"])
        .stdout(Stdio::piped())
        .spawn()
        .or_fail("first")?;
    let mut second = role("upper")
        .stdin(first.stdout.take().ok_or("no stdout")?)
        .stdout(Stdio::piped())
        .spawn()
        .or_fail("second")?;
    let third = role("count")
        .stdin(second.stdout.take().ok_or("no stdout")?)
        .output()
        .or_fail("third")?;
    check_eq!(String::from_utf8_lossy(&third.stdout), "4\n");
    check!(first.wait().or_fail("wait")?.success());
    check!(second.wait().or_fail("wait")?.success());
    Ok(())
}

fn a_large_stream_through_two_pipes() -> Outcome {
    const BYTES: usize = 4 << 20;
    let mut child = role("upper")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .or_fail("spawn")?;
    let mut input = child.stdin.take().ok_or("no stdin")?;
    let writer = std::thread::spawn(move || {
        let piece = b"abcdefg\n".repeat(1024);
        for _ in 0..BYTES / piece.len() {
            input.write_all(&piece)?;
        }
        Ok::<(), std::io::Error>(())
    });
    let output = child.wait_with_output().or_fail("wait")?;
    writer
        .join()
        .map_err(|_| "the writer panicked")?
        .or_fail("writing")?;
    check_eq!(output.stdout.len(), BYTES);
    check!(output.stdout.chunks(8).all(|chunk| chunk == b"ABCDEFG\n"));
    Ok(())
}

fn a_closed_pipe_is_a_broken_pipe() -> Outcome {
    let (reader, mut writer) = std::io::pipe().or_fail("pipe")?;
    drop(reader);
    let error = writer.write_all(b"x").err().ok_or("the write worked")?;
    check_eq!(error.kind(), ErrorKind::BrokenPipe);
    let (mut reader, writer) = std::io::pipe().or_fail("pipe")?;
    drop(writer);
    check_eq!(reader.read(&mut [0u8; 8]).or_fail("read")?, 0);
    Ok(())
}

fn a_process_can_replace_itself() -> Outcome {
    check_eq!(role("replace").status().or_fail("status")?.code(), Some(23));
    Ok(())
}

fn many_children_one_after_another() -> Outcome {
    for n in 0..30 {
        check_eq!(
            role("exit")
                .arg(n.to_string())
                .status()
                .or_fail("status")?
                .code(),
            Some(n)
        );
    }
    Ok(())
}

fn many_children_at_once() -> Outcome {
    let mut helpers = Vec::new();
    for _ in 0..10 {
        helpers.push(Helper::start("ready-then-wait", &[])?);
    }
    for helper in helpers {
        check_eq!(helper.wait()?, Some(5));
    }
    Ok(())
}

fn descriptors_are_not_inherited() -> Outcome {
    use std::os::fd::AsRawFd;
    let scratch = Scratch::new()?;
    let file = std::fs::File::create(scratch.join("secret")).or_fail("create")?;
    let status = role("use-descriptor")
        .arg(file.as_raw_fd().to_string())
        .status()
        .or_fail("status")?;
    check_eq!(status.code(), Some(0));
    let clone = file.try_clone().or_fail("clone")?;
    let status = role("use-descriptor")
        .arg(clone.as_raw_fd().to_string())
        .status()
        .or_fail("status")?;
    check_eq!(status.code(), Some(0));
    Ok(())
}

fn children_of_several_threads() -> Outcome {
    let handles: Vec<_> = (0..4)
        .map(|n| {
            std::thread::spawn(move || -> Outcome {
                for round in 0..5 {
                    let text = format!("{n}-{round}");
                    let output = role("echo-arguments")
                        .arg(&text)
                        .output()
                        .or_fail("output")?;
                    check_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), text);
                }
                Ok(())
            })
        })
        .collect();
    handles
        .into_iter()
        .try_for_each(|handle| handle.join().map_err(|_| "a thread panicked")?)
}

fn the_shell_runs_a_script() -> Outcome {
    let script = "set -e; n=0; for w in a b c; do n=$((n+1)); done; echo $n | { read x; echo got $x; }; (exit 3) || echo $?; exit 4";
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .stdin(Stdio::null())
        .output()
        .or_fail("sh")?;
    check_eq!(String::from_utf8_lossy(&output.stdout), "got 3\n3\n");
    check_eq!(output.status.code(), Some(4));
    Ok(())
}

fn two_hundred_children() -> Outcome {
    for n in 0..200 {
        check_eq!(
            role("exit")
                .arg("7")
                .status()
                .or_fail(&format!("child {n}"))?
                .code(),
            Some(7)
        );
    }
    Ok(())
}

/// A child forked while another thread holds the allocator's lock must not wait for ever.
fn threads_that_fork_while_others_allocate() -> Outcome {
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let allocating: Vec<_> = (0..2)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::black_box((0..100).map(|n| vec![0u8; n * 10]).collect::<Vec<_>>());
                }
            })
        })
        .collect();
    let mut outcome = Ok(());
    for n in 0..20 {
        match role("exit").arg("3").status() {
            Ok(status) if status.code() == Some(3) => {}
            other => outcome = Err(format!("child {n}: {other:?}")),
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for thread in allocating {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    outcome
}
