//! The guest test suite: test programs on a test image, and host scripts for what needs more than one boot.
//!
//! Every file in `/usr/libexec/tests` of the image is a test, `NAME.sh` a shell script and any other a program: it passes
//! with status 0, is skipped with status 77 and fails with any other. All run in one boot; a test that brings the guest down or runs out of time fails, and the
//! next one gets a fresh boot. Scripts `NAME.sh` of a folder on the host are tests too; they boot by themselves with the
//! command in `$GUEST`. The closing line is `N passed, N failed, N skipped`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::session::{Capture, Session, Settings};

/// Where the test programs lie on the image.
pub const TEST_FOLDER: &str = "/usr/libexec/tests";
const STATUS_SKIP: i32 = 77;
/// Output of a failed test beyond this is cut in the middle of nowhere: the beginning says most.
const MAX_SHOWN_BYTES: usize = 16 * 1024;

/// What happened to a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// Counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the counts, under their own names
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Counts {
    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Skipped => self.skipped += 1,
        }
    }

    /// The closing line.
    pub fn line(&self) -> String {
        let skipped = if self.skipped > 0 {
            format!(", {} skipped", self.skipped)
        } else {
            String::new()
        };
        format!("{} passed, {} failed{skipped}", self.passed, self.failed)
    }
}

/// What to run.
pub struct Plan {
    /// How to boot.
    pub settings: Settings,
    /// Only tests whose names contain this.
    pub filter: Option<String>,
    /// Folder of host scripts.
    pub scripts: Option<PathBuf>,
}

/// Runs the suite and prints the table to stdout.
pub fn run(plan: &Plan) -> Result<Counts> {
    let mut counts = Counts::default();
    run_programs(plan, &mut counts)?;
    if let Some(folder) = &plan.scripts {
        run_scripts(plan, folder, &mut counts)?;
    }
    if counts == Counts::default() {
        bail!(
            "no test was found (none in {TEST_FOLDER} of the image, none in the folder of scripts)"
        );
    }
    println!("{}", counts.line());
    Ok(counts)
}

fn run_programs(plan: &Plan, counts: &mut Counts) -> Result<()> {
    let mut session = Some(Session::start(plan.settings.clone())?);
    let names = match session.as_mut() {
        Some(session) => list(session)?,
        None => Vec::new(),
    };
    for name in names.iter().filter(|name| plan.wants(name)) {
        let start = Instant::now();
        let mut running = match session.take() {
            Some(session) => session,
            None => Session::start(plan.settings.clone())?,
        };
        let mut output = Capture::default();
        let result = running.run(&command(name), &mut output);
        let (verdict, how) = match &result {
            Ok(0) => (Verdict::Passed, String::new()),
            Ok(STATUS_SKIP) => (Verdict::Skipped, String::new()),
            Ok(status) => (Verdict::Failed, format!("status {status}")),
            Err(error) => (Verdict::Failed, format!("{error:#}")),
        };
        report(name, verdict, &how, &output.0, start);
        counts.add(verdict);
        if result.is_ok() {
            session = Some(running);
        }
    }
    Ok(())
}

/// The command line of a test.
fn command(name: &str) -> String {
    let shell = if name.ends_with(".sh") {
        "/bin/sh "
    } else {
        ""
    };
    format!("{shell}{TEST_FOLDER}/{name}")
}

/// Names of the test programs, sorted.
fn list(session: &mut Session) -> Result<Vec<String>> {
    let mut output = Capture::default();
    let status = session.run(&format!("ls {TEST_FOLDER}"), &mut output)?;
    let text = String::from_utf8_lossy(&output.0).into_owned();
    if status != 0 {
        bail!(
            "cannot list {TEST_FOLDER} in the guest (is this a test image?): {}",
            text.trim()
        );
    }
    let mut names: Vec<_> = text.split_whitespace().map(String::from).collect();
    names.sort();
    Ok(names)
}

fn run_scripts(plan: &Plan, folder: &Path, counts: &mut Counts) -> Result<()> {
    let mut scripts = Vec::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sh") {
            scripts.push(path);
        }
    }
    scripts.sort();
    for script in scripts {
        let name = script
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        if !plan.wants(&name) {
            continue;
        }
        let start = Instant::now();
        let output = Command::new("bash")
            .arg(&script)
            .env("GUEST", std::env::current_exe()?)
            .env("IMAGE", &plan.settings.folder)
            .stdin(Stdio::null())
            .output()
            .context("cannot run bash")?;
        let verdict = match output.status.code() {
            Some(0) => Verdict::Passed,
            Some(STATUS_SKIP) => Verdict::Skipped,
            _ => Verdict::Failed,
        };
        let shown = [output.stdout, output.stderr].concat();
        report(&name, verdict, &output.status.to_string(), &shown, start);
        counts.add(verdict);
    }
    Ok(())
}

impl Plan {
    fn wants(&self, name: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| name.contains(filter))
    }
}

fn report(name: &str, verdict: Verdict, how: &str, output: &[u8], start: Instant) {
    let word = match verdict {
        Verdict::Passed => "ok  ",
        Verdict::Failed => "FAIL",
        Verdict::Skipped => "skip",
    };
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{word} {name:32} {:6.1} s",
        start.elapsed().as_secs_f64()
    )
    .ok();
    if verdict != Verdict::Passed {
        let text =
            String::from_utf8_lossy(&output[..output.len().min(MAX_SHOWN_BYTES)]).into_owned();
        let how = if verdict == Verdict::Failed { how } else { "" };
        for line in text.lines().chain(how.lines()) {
            writeln!(out, "     {line}").ok();
        }
    }
    out.flush().ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_counts_and_names_skipped_tests_only_if_there_are_any() {
        let mut counts = Counts::default();
        for verdict in [Verdict::Passed, Verdict::Passed, Verdict::Failed] {
            counts.add(verdict);
        }
        assert_eq!(counts.line(), "2 passed, 1 failed");
        counts.add(Verdict::Skipped);
        assert_eq!(counts.line(), "2 passed, 1 failed, 1 skipped");
    }
}
