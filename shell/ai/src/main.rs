//! `ai`: ask the system's model from the shell. A client of the `ai:` scheme and nothing else; see `--help`.
#![forbid(unsafe_code)]

mod add;
mod args;
mod ask;
mod chat;
mod info;

use std::process::ExitCode;

use ai_api::Client;
use args::{Args, Command};

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(text) => {
            eprintln!("ai: {text}");
            return ExitCode::from(2);
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output is gone: `ai … | head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ai: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> std::io::Result<()> {
    if let Command::Help = args.command {
        print!("{}", args::HELP);
        return Ok(());
    }
    if let Command::Add { file, name, folder } = &args.command {
        return add::add(file, name.as_deref(), folder.as_deref());
    }
    let client = Client::open()?;
    match &args.command {
        Command::Ask(question) => ask::ask(&client, &args, question),
        Command::Chat => chat::chat(&client, &args),
        Command::Models => info::models(&client, args.json),
        Command::Show(name) => info::show(&client, name),
        Command::Embed(text) => info::embed(&client, text),
        Command::Bench => info::bench(&client, &args),
        Command::Ps => info::ps(&client),
        Command::Help | Command::Add { .. } => Ok(()),
    }
}
