//! Other processes of a test: this program again in another role, usually the probe daemon.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::OrFail;

/// Path of the program that has all roles.
const PROGRAM: &str = "/usr/bin/guest-tests";

/// This program's path, to start it again.
pub fn own_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from(PROGRAM))
}

/// A helper process that tells over its standard output when it is ready and is told over its standard input.
pub struct Helper {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts `guest-tests --role ROLE ARGUMENTS…` and waits for its line `ready`.
    pub fn start(role: &str, arguments: &[&str]) -> Result<Helper, String> {
        let mut child = Command::new(PROGRAM)
            .arg("--role")
            .arg(role)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .or_fail("cannot start a helper")?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("helper without output")?;
        let mut helper = Helper {
            child,
            input,
            output: BufReader::new(output),
        };
        match helper.line()?.as_str() {
            "ready" => Ok(helper),
            other => Err(format!(
                "the helper {role} said {other:?}, expected \"ready\""
            )),
        }
    }

    /// The next line it writes, without its end; empty at the end of the output.
    pub fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.output
            .read_line(&mut line)
            .or_fail("reading from a helper")?;
        Ok(line.trim_end().to_string())
    }

    /// Sends it a line.
    pub fn tell(&mut self, line: &str) -> Result<(), String> {
        let input = self.input.as_mut().ok_or("the helper's input is closed")?;
        writeln!(input, "{line}").or_fail("writing to a helper")
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) -> Result<(), String> {
        self.child.kill().or_fail("killing a helper")?;
        self.child.wait().or_fail("waiting for a helper")?;
        Ok(())
    }

    /// Waits for its own end and gives its exit code.
    pub fn wait(mut self) -> Result<Option<i32>, String> {
        drop(self.input.take());
        let status = self.child.wait().or_fail("waiting for a helper")?;
        Ok(status.code())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
