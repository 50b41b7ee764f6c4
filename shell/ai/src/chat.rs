//! `ai chat`: a conversation on a session of its own, so that Ctrl-C can stop a reply from outside.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ai_api::{Client, Role};

use crate::args::Args;
use crate::ask::{Waiting, explain};

const COMMANDS: &str = "/history  /reset  /save  /set OPTION VALUE  /settings  /quit\n";

pub(crate) fn chat(client: &Client, args: &Args) -> io::Result<()> {
    let session = client.new_session()?;
    let ctl = format!("session/{session}/ctl");
    client
        .control(&ctl, args.settings.lines().trim_end())
        .map_err(|error| explain(client, error))?;
    let answering = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(client.clone(), ctl.clone(), answering.clone());

    let terminal = io::stdin().is_terminal();
    if terminal {
        println!("Ctrl-C stops a reply, Ctrl-D ends. {COMMANDS}");
    }
    let mut lines = io::stdin().lock().lines();
    loop {
        if terminal {
            print!("> ");
            io::stdout().flush()?;
        }
        let Some(line) = lines.next() else { break };
        let line = line?;
        match line.trim() {
            "" => {}
            "/quit" | "/exit" => break,
            "/help" => print!("{COMMANDS}"),
            "/history" => history(client, session)?,
            "/settings" => print!("{}", client.read(&ctl)?),
            "/reset" | "/save" => told(client.control(&ctl, &line.trim()[1..])),
            line if line.starts_with("/set ") => told(client.control(&ctl, &line[5..])),
            line => {
                answering.store(true, Ordering::Relaxed);
                let done = turn(client, session, line);
                answering.store(false, Ordering::Relaxed);
                told(done);
            }
        }
    }
    client.control(&ctl, "close").or(Ok(()))
}

/// An error ends the turn, not the conversation.
fn told(result: io::Result<()>) {
    if let Err(error) = result {
        eprintln!("ai: {error}");
    }
}

fn turn(client: &Client, session: u64, text: &str) -> io::Result<()> {
    let why = |error: io::Error| {
        let words = client
            .read(&format!("session/{session}/error"))
            .unwrap_or_default();
        if words.trim().is_empty() {
            explain(client, error)
        } else {
            io::Error::other(words.trim().to_owned())
        }
    };
    client
        .control(&format!("session/{session}/prompt"), text)
        .map_err(why)?;
    let mut stream = std::fs::File::open(client.root().join(format!("session/{session}/stream")))?;
    let waiting = Waiting::start(client.clone());
    let mut out = io::stdout().lock();
    let mut buf = [0; 4096];
    loop {
        let count = stream.read(&mut buf).map_err(why);
        waiting.stop();
        let count = count?;
        if count == 0 {
            break;
        }
        out.write_all(&buf[..count])?;
        out.flush()?;
    }
    writeln!(out)
}

fn history(client: &Client, session: u64) -> io::Result<()> {
    for message in client.messages(session)? {
        let who = if message.role == Role::User {
            ">"
        } else {
            message.role.name()
        };
        println!("{who} {}", message.content);
    }
    Ok(())
}

/// Ctrl-C while a reply is coming stops it; otherwise it ends the program, as everywhere.
fn stop_on_interrupt(client: Client, ctl: String, answering: Arc<AtomicBool>) {
    let handler = move || {
        if answering.load(Ordering::Relaxed) {
            told(client.control(&ctl, "cancel"));
        } else {
            // The session's own end is not worth waiting for: an idle one goes by itself.
            std::process::exit(130);
        }
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        eprintln!("ai: Ctrl-C will end the program: {error}");
    }
}
