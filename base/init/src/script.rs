//! Legacy scripts: one command per line.
//!
//! `requires_weak A B` names units to start before; `nowait COMMAND` starts without waiting; anything else is
//! a command that is waited for. A command may begin with `NAME=VALUE` settings. `#` starts a comment line.
//! Words are separated by white space; there is no quoting. `$NAME` is replaced when the command runs.

/// One line that runs a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Variables set for it, in order.
    pub envs: Vec<(String, String)>,
    /// Program.
    pub program: String,
    /// Arguments.
    pub args: Vec<String>,
    /// Whether the script goes on only when it has ended.
    pub wait: bool,
}

/// The units a script requires and its commands.
pub fn parse(text: &str) -> Result<(Vec<String>, Vec<Command>), String> {
    let mut requires = Vec::new();
    let mut commands = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace().peekable();
        if words.next_if_eq(&"requires_weak").is_some() {
            requires.extend(words.map(str::to_owned));
            continue;
        }
        let wait = words.next_if_eq(&"nowait").is_none();
        let mut envs = Vec::new();
        while let Some((name, value)) = words.peek().and_then(|word| setting(word)) {
            envs.push((name.to_owned(), value.to_owned()));
            words.next();
        }
        let Some(program) = words.next() else {
            return Err(format!("line {}: no command", index + 1));
        };
        let args = words.map(str::to_owned).collect();
        commands.push(Command {
            envs,
            program: program.to_owned(),
            args,
            wait,
        });
    }
    Ok((requires, commands))
}

/// `NAME=VALUE` where NAME is one that a variable can have.
pub fn setting(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let mut bytes = name.bytes();
    let first = bytes.next()?;
    let valid = (first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    valid.then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms_are_told_apart() {
        let text = "# desktop\nrequires_weak 00_base 10_net\n\nnowait VT=3 orbital login\necho a=b";
        let (requires, commands) = parse(text).unwrap();
        assert_eq!(requires, ["00_base", "10_net"]);
        assert_eq!(commands.len(), 2);
        assert_eq!(commands[0].envs, [("VT".to_owned(), "3".to_owned())]);
        assert_eq!(
            (commands[0].program.as_str(), commands[0].wait),
            ("orbital", false)
        );
        assert_eq!(commands[1].program, "echo");
        assert_eq!(commands[1].args, ["a=b"]);
        assert!(commands[1].wait);
    }

    #[test]
    fn a_line_without_a_command_is_named() {
        assert_eq!(parse("echo\nnowait A=1").unwrap_err(), "line 2: no command");
    }

    #[test]
    fn an_option_with_an_equals_sign_is_no_setting() {
        assert_eq!(setting("--a=b"), None);
        assert_eq!(setting("=b"), None);
        assert_eq!(setting("A_1=b=c"), Some(("A_1", "b=c")));
    }
}
