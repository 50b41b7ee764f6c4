//! The command line.

use std::path::PathBuf;

use ai_api::Settings;

/// What `ai --help` prints.
pub(crate) const HELP: &str = "\
usage: ai [options] QUESTION...        ask; what comes on standard input is put behind the question
       ai [options] chat               talk; Ctrl-C stops a reply, Ctrl-D ends
       ai models                       the installed models
       ai show MODEL                   a model's card
       ai add FILE [NAME] [--to DIR]   install a GGUF file, with its hash
       ai embed TEXT                   a text's vector
       ai bench                        how fast the model answers
       ai ps                           what is loaded and running
options:
  -m, --model NAME       --system TEXT        --temperature X      --top-p X
  --top-k N              --min-p X            --seed N             --max-tokens N
  --stop TEXT            --schema JSON|@FILE  --json               -h, --help
";

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Ask(String),
    Chat,
    Models,
    Show(String),
    Add {
        file: PathBuf,
        name: Option<String>,
        folder: Option<PathBuf>,
    },
    Embed(String),
    Bench,
    Ps,
    Help,
}

/// The whole line.
#[derive(Debug, PartialEq)]
pub(crate) struct Args {
    pub(crate) command: Command,
    pub(crate) settings: Settings,
    pub(crate) json: bool,
}

impl Args {
    /// Reads the arguments behind the program's name.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Args, String> {
        let mut args = args;
        let mut settings = Settings::default();
        let (mut json, mut folder, mut words) = (false, None, Vec::new());
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "-h" | "--help" => {
                    return Ok(Args {
                        command: Command::Help,
                        settings,
                        json,
                    });
                }
                "--json" => json = true,
                "--to" => folder = Some(PathBuf::from(value()?)),
                "--schema" => {
                    let text = value()?;
                    let schema = match text.strip_prefix('@') {
                        Some(file) => std::fs::read_to_string(file)
                            .map_err(|error| format!("{file}: {error}"))?,
                        None => text,
                    };
                    settings
                        .set("schema", &schema)
                        .map_err(|error| error.to_string())?;
                }
                "--" => words.extend(args.by_ref()),
                "-m" | "--model" => settings
                    .set("model", &value()?)
                    .map_err(|error| error.to_string())?,
                option if option.starts_with("--") => {
                    let key = option[2..].replace('-', "_");
                    settings
                        .set(&key, &value()?)
                        .map_err(|error| error.to_string())?;
                }
                _ => words.push(arg),
            }
        }
        let command = command(words, folder)?;
        Ok(Args {
            command,
            settings,
            json,
        })
    }
}

fn command(words: Vec<String>, folder: Option<PathBuf>) -> Result<Command, String> {
    let list: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(match list[..] {
        ["chat"] => Command::Chat,
        ["models"] => Command::Models,
        ["ps"] => Command::Ps,
        ["bench"] => Command::Bench,
        ["help"] => Command::Help,
        ["show", name] => Command::Show(name.to_owned()),
        ["show"] => return Err("show wants a model's name".to_owned()),
        ["add", file] => Command::Add {
            file: file.into(),
            name: None,
            folder,
        },
        ["add", file, name] => Command::Add {
            file: file.into(),
            name: Some(name.to_owned()),
            folder,
        },
        ["add"] => return Err("add wants a file".to_owned()),
        ["embed", ..] => Command::Embed(words[1..].join(" ")),
        _ => Command::Ask(words.join(" ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn questions_and_commands_are_told_apart() {
        assert_eq!(
            parse("what can you do?").unwrap().command,
            Command::Ask("what can you do?".into())
        );
        assert_eq!(parse("chat").unwrap().command, Command::Chat);
        assert_eq!(parse("-- chat").unwrap().command, Command::Chat);
        assert_eq!(
            parse("chat with me").unwrap().command,
            Command::Ask("chat with me".into())
        );
        assert_eq!(
            parse("embed a b").unwrap().command,
            Command::Embed("a b".into())
        );
        assert_eq!(parse("").unwrap().command, Command::Ask(String::new()));
    }

    #[test]
    fn options_become_settings() {
        let args = parse("-m tiny --temperature 0 --max-tokens 5 --json hi").unwrap();
        assert_eq!(args.settings.model.as_deref(), Some("tiny"));
        assert_eq!(
            (args.settings.temperature, args.settings.max_tokens),
            (Some(0.0), Some(5))
        );
        assert!(args.json);
        for bad in ["--temperature hot x", "--colour red x", "--seed"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
