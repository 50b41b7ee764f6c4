//! One question, one answer.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ai_api::Client;
use serde_json::json;

use crate::args::Args;

/// Most bytes that are taken from standard input.
const INPUT_BYTES: u64 = 4 << 20;

pub(crate) fn ask(client: &Client, args: &Args, question: &str) -> io::Result<()> {
    let message = message(question)?;
    if message.is_empty() {
        print!("{}", crate::args::HELP);
        return Ok(());
    }
    let begun = Instant::now();
    let mut chat = client.chat(&args.settings)?;
    chat.send(&message)?;
    let waiting = Waiting::start(client.clone());
    let mut reply = String::new();
    let mut out = io::stdout().lock();
    while let Some(text) = chat.read().map_err(|error| explain(client, error))? {
        waiting.stop();
        if !args.json {
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        reply.push_str(&text);
    }
    waiting.stop();
    if args.json {
        let seconds = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        writeln!(out, "{}", json!({ "reply": reply, "seconds": seconds }))?;
    } else if !reply.ends_with('\n') {
        writeln!(out)?;
    }
    Ok(())
}

/// The question, with standard input behind it where that is no terminal.
fn message(question: &str) -> io::Result<String> {
    let mut input = Vec::new();
    if !io::stdin().is_terminal() {
        io::stdin().take(INPUT_BYTES + 1).read_to_end(&mut input)?;
    }
    if input.len() as u64 > INPUT_BYTES {
        return Err(io::Error::other(
            "standard input is too long for a question",
        ));
    }
    let input = String::from_utf8_lossy(&input);
    Ok(match (question.is_empty(), input.trim().is_empty()) {
        (_, true) => question.to_owned(),
        (true, false) => input.into_owned(),
        (false, false) => format!("{question}\n\n{input}"),
    })
}

/// Adds what a bare error number does not say.
pub(crate) fn explain(client: &Client, error: io::Error) -> io::Error {
    let models = client.models().unwrap_or_default();
    let text = match error.raw_os_error() {
        Some(2) if models.is_empty() => {
            "no model is installed; `ai add FILE` installs one".to_owned()
        }
        Some(2) => format!("no such model; there are: {}", models.join(", ")),
        Some(90) => "the question does not fit the model's context".to_owned(),
        Some(74) => "the model's file is damaged; `ai ps` says more".to_owned(),
        Some(12) => "there is not enough memory for this model or question".to_owned(),
        Some(16) => "too many requests are waiting".to_owned(),
        _ => return error,
    };
    io::Error::new(error.kind(), text)
}

/// Says on a terminal what the wait is for, when there is one.
pub(crate) struct Waiting {
    is_over: Arc<AtomicBool>,
}

impl Waiting {
    pub(crate) fn start(client: Client) -> Waiting {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        if io::stderr().is_terminal() {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(700));
                let mut shown = false;
                while !seen.load(Ordering::Relaxed) {
                    let status = client.read("status").unwrap_or_default();
                    let is_loading = status.lines().any(|line| line.contains(" loading "));
                    let what = if is_loading {
                        "loading the model"
                    } else {
                        "reading"
                    };
                    eprint!("\r\x1b[K({what}…)");
                    shown = true;
                    std::thread::sleep(Duration::from_millis(300));
                }
                if shown {
                    eprint!("\r\x1b[K");
                }
            });
        }
        Waiting { is_over }
    }

    pub(crate) fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
