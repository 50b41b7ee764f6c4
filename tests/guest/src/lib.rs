//! The harness of the guest test-suite: what a test is, how one runs, how the outcome is told.
//!
//! A test is a function that returns `Err(text)` when something is not as it should be. Every group of tests runs in a
//! process of its own, so that a crash costs one group and is counted as a failure. A test that does not end within its
//! limit ends the group as a failure: a hang must not look like success, and must not stop the tests of other groups.
//!
//! Output: one line per test, `ok` or `FAIL` first; the last line has the sums. Exit status 0 only if all passed.
#![forbid(unsafe_code)]

pub mod client;
pub mod scratch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What a test says: nothing, or why it failed.
pub type Outcome = Result<(), String>;

/// Time a test may take unless its group says otherwise.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

/// One test.
#[derive(Clone, Copy)]
pub struct Test {
    /// Says the behaviour that is checked.
    pub name: &'static str,
    /// The check.
    pub run: fn() -> Outcome,
}

/// Tests that run in one process.
#[derive(Clone, Copy)]
pub struct Group {
    /// The word that chooses the group on the command line.
    pub name: &'static str,
    /// Limit of each test.
    pub limit: Duration,
    /// The tests, in the order in which they run.
    pub tests: &'static [Test],
}

/// Makes a [`Group`] from function names; the name of a function is the name of its test.
#[macro_export]
macro_rules! group {
    ($name:literal, $limit:expr, [$($test:ident),* $(,)?]) => {
        $crate::Group {
            name: $name,
            limit: $limit,
            tests: &[$($crate::Test { name: stringify!($test), run: $test }),*],
        }
    };
}

/// Fails the test with the condition's text unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr) => {
        if !$condition {
            return Err(format!(
                "{}:{}: not so: {}",
                file!(),
                line!(),
                stringify!($condition)
            ));
        }
    };
}

/// Fails the test with both values unless they are equal.
#[macro_export]
macro_rules! check_eq {
    ($left:expr, $right:expr) => {
        match (&$left, &$right) {
            (left, right) => {
                if left != right {
                    let place = concat!(file!(), ":", line!());
                    return Err(format!(
                        "{place}: {} is {left:?}, expected {right:?}",
                        stringify!($left)
                    ));
                }
            }
        }
    };
}

/// Turns an error into the text of a failed test, with what was tried.
pub trait OrFail<T> {
    /// `what` says what was tried.
    fn or_fail(self, what: &str) -> Result<T, String>;
}

impl<T, E: std::fmt::Display> OrFail<T> for Result<T, E> {
    fn or_fail(self, what: &str) -> Result<T, String> {
        self.map_err(|error| format!("{what}: {error}"))
    }
}

/// Runs the groups named on the command line (all if none is named) and gives the exit status.
///
/// `GROUP` runs a group in a process of its own, `GROUP/TEST` one test of it; `--list` prints the names.
pub fn run(groups: &[Group], arguments: &[String]) -> i32 {
    match arguments.first().map(String::as_str) {
        Some("--list") => {
            for group in groups {
                for test in group.tests {
                    println!("{}/{}", group.name, test.name);
                }
            }
            0
        }
        Some("--inside") => run_inside(groups, &arguments[1..]),
        _ => run_all(groups, arguments),
    }
}

/// Starts one process per wanted group.
fn run_all(groups: &[Group], wanted: &[String]) -> i32 {
    let is_wanted =
        |group: &Group| wanted.is_empty() || wanted.iter().any(|word| group_of(word) == group.name);
    if let Some(word) = wanted
        .iter()
        .find(|word| !groups.iter().any(|group| group.name == group_of(word)))
    {
        eprintln!("there is no group {word}; --list shows the names");
        return 2;
    }
    let mut failed_groups = Vec::new();
    for group in groups.iter().filter(|group| is_wanted(group)) {
        let selected = wanted.iter().filter(|word| group_of(word) == group.name);
        let status = Command::new(client::own_program())
            .arg("--inside")
            .arg(group.name)
            .args(selected)
            .status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => {
                if status.code() != Some(1) {
                    println!(
                        "FAIL {}: the group's process ended with {status}",
                        group.name
                    );
                }
                failed_groups.push(group.name);
            }
            Err(error) => {
                println!("FAIL {}: cannot be started: {error}", group.name);
                failed_groups.push(group.name);
            }
        }
    }
    if failed_groups.is_empty() {
        println!("all groups passed");
        0
    } else {
        println!("failed groups: {}", failed_groups.join(" "));
        1
    }
}

fn group_of(word: &str) -> &str {
    word.split('/').next().unwrap_or(word)
}

/// Runs the tests of one group in this process.
fn run_inside(groups: &[Group], arguments: &[String]) -> i32 {
    let Some((name, wanted)) = arguments.split_first() else {
        return 2;
    };
    let Some(group) = groups.iter().find(|group| group.name == name) else {
        return 2;
    };
    let is_wanted = |test: &Test| {
        wanted.is_empty()
            || wanted
                .iter()
                .any(|word| word == name || word == &format!("{name}/{}", test.name))
    };
    let (mut passed, mut failed) = (0, 0);
    for test in group.tests.iter().filter(|test| is_wanted(test)) {
        let start = Instant::now();
        let outcome = run_limited(group, test);
        let millis = start.elapsed().as_millis();
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("ok   {name}/{} ({millis} ms)", test.name);
            }
            Err(reason) => {
                failed += 1;
                println!("FAIL {name}/{} ({millis} ms): {reason}", test.name);
            }
        }
    }
    println!("{name}: {passed} passed, {failed} failed");
    i32::from(failed > 0 || passed == 0)
}

/// Runs a test on a thread; ends the process if it takes longer than the group's limit.
fn run_limited(group: &Group, test: &Test) -> Outcome {
    let (sender, receiver) = mpsc::channel();
    let run = test.run;
    let thread = std::thread::Builder::new()
        .spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(run))
                .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(&*panic))));
            let _ = sender.send(outcome);
        })
        .or_fail("cannot start a thread")?;
    match receiver.recv_timeout(group.limit) {
        Ok(outcome) => {
            let _ = thread.join();
            outcome
        }
        Err(_) => {
            println!(
                "FAIL {}/{}: no end after {:?}",
                group.name, test.name, group.limit
            );
            std::process::exit(1);
        }
    }
}

/// The message of a caught panic.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "a value that is not text"
    }
}
