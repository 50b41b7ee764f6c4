//! A client's view of a scheme daemon, for both generations of redox-scheme and both ways of serving.
//!
//! Most tests do an operation and look into the daemon's notes: it must have received the request it should, once.

mod plain;
mod waiting;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use guest_tests::client::Helper;
use guest_tests::{Group, OrFail, Outcome, Test};
use libredox::Fd;

/// How long a daemon's note may take to appear.
const NOTE_LIMIT: Duration = Duration::from_secs(10);

/// A generation of redox-scheme and a way of serving, as a number for the tests' type parameter.
const STYLES: [(&str, &str); 3] = [("011", "loop"), ("012", "loop"), ("012", "wrapper")];

use plain::*;
use waiting::*;

macro_rules! styled_group {
    ($name:literal, $style:literal, [$($test:ident),* $(,)?]) => {
        Group {
            name: $name,
            limit: guest_tests::DEFAULT_LIMIT,
            tests: &[$(Test { name: stringify!($test), run: $test::<$style> }),*],
        }
    };
}

macro_rules! all_styles {
    ($tests:tt) => {
        /// The tests, once per generation and way of serving.
        pub(crate) const GROUPS: [Group; 3] = [
            styled_group!("scheme-011-loop", 0, $tests),
            styled_group!("scheme-012-loop", 1, $tests),
            styled_group!("scheme-012-wrapper", 2, $tests),
        ];
    };
}

all_styles!([
    open_read_write_seek,
    open_errors_come_back,
    the_caller_is_named,
    large_and_unaligned_buffers,
    empty_buffers,
    metadata_operations_arrive,
    rename_and_unlink_arrive,
    dup_with_a_word,
    dup_shares_the_handle,
    the_path_of_a_handle,
    a_folder_is_listed,
    statvfs_arrives,
    a_call_answers_in_place,
    the_daemon_returns_a_foreign_descriptor,
    a_descriptor_is_sent,
    a_descriptor_is_received,
    a_deferred_read_is_answered_later,
    answers_in_another_order,
    a_nonblocking_read_does_not_wait,
    readiness_is_announced,
    the_last_close_closes,
    a_dead_client_is_cancelled,
    many_clients_at_once,
    a_dead_daemon_fails_its_callers,
    an_exit_inside_an_open_fails_it,
    a_name_is_taken_only_once,
]);

/// A running probe daemon.
struct Probe {
    name: String,
    daemon: Helper,
}

impl Probe {
    fn start<const STYLE: usize>() -> Result<Probe, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("probe-{}-{number}", std::process::id());
        Ok(Probe {
            daemon: start_daemon::<STYLE>(&name)?,
            name,
        })
    }

    fn path(&self, reference: &str) -> String {
        format!("/scheme/{}/{reference}", self.name)
    }

    fn notes(&self) -> Result<Vec<String>, String> {
        let text = fs::read_to_string(self.path("log")).or_fail("reading the notes")?;
        Ok(text.lines().map(str::to_string).collect())
    }

    /// Waits until a note is there, and checks that it is there only once.
    fn expect_note(&self, note: &str) -> Outcome {
        let start = Instant::now();
        loop {
            let notes = self.notes()?;
            match notes.iter().filter(|line| *line == note).count() {
                0 if start.elapsed() > NOTE_LIMIT => {
                    return Err(format!("no note {note:?} among {notes:?}"));
                }
                0 => thread::sleep(Duration::from_millis(10)),
                1 => return Ok(()),
                _ => return Err(format!("note {note:?} more than once: {notes:?}")),
            }
        }
    }

    fn open(&self, reference: &str, flags: i32) -> Result<Fd, String> {
        Fd::open(&self.path(reference), flags, 0).or_fail(reference)
    }

    fn file(&self, reference: &str) -> Result<File, String> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(self.path(reference))
            .or_fail(reference)
    }
}

fn start_daemon<const STYLE: usize>(name: &str) -> Result<Helper, String> {
    let (generation, style) = STYLES[STYLE];
    Helper::start(&format!("daemon-{generation}"), &[name, style])
}
