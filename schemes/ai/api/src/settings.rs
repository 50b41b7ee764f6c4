//! The options of a conversation, as `ctl` lines (`temperature 0.7`) and as a query (`?temperature=0.7`).
//!
//! Writing what [`Settings::lines`] gives restores the same settings: state is read in the form in which it is set.

use crate::limits;

/// Options; what is `None` is the daemon's default.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "each is the ctl line of its name")]
pub struct Settings {
    pub model: Option<String>,
    pub system: Option<String>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<usize>,
    pub min_p: Option<f32>,
    pub repeat_penalty: Option<f32>,
    pub seed: Option<u64>,
    pub max_tokens: Option<usize>,
    pub stop: Vec<String>,
    pub schema: Option<String>,
    pub grammar: Option<String>,
    /// `interactive` (the default) or `batch`.
    pub batch: bool,
}

/// A `ctl` line that acts rather than sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the ctl line of its name")]
pub enum Action {
    Cancel,
    Reset,
    Save,
    Close,
}

/// What was wrong with a line: the key, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSetting(pub String);

impl core::fmt::Display for BadSetting {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadSetting {}

impl Settings {
    /// Takes one `ctl` line. An empty line does nothing.
    ///
    /// # Errors
    /// For unknown keys and values out of range; nothing is changed then.
    pub fn line(&mut self, line: &str) -> Result<Option<Action>, BadSetting> {
        if line.len() > limits::LINE_BYTES {
            return Err(BadSetting(format!("a line of {} bytes", line.len())));
        }
        let line = line.trim_start();
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (key, value) {
            ("", _) => Ok(None),
            ("cancel", "") => Ok(Some(Action::Cancel)),
            ("reset", "") => Ok(Some(Action::Reset)),
            ("save", "") => Ok(Some(Action::Save)),
            ("close", "") => Ok(Some(Action::Close)),
            (key, value) => self.set(key, &unescape(value)).map(|()| None),
        }
    }

    /// Sets one option.
    ///
    /// # Errors
    /// As [`Settings::line`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), BadSetting> {
        match key {
            "model" if value.len() > limits::NAME_BYTES || value.contains('/') => {
                return Err(BadSetting(format!("model {value:?} is no name of a model")));
            }
            "model" => self.model = text(value),
            "system" => self.system = text(value),
            "temperature" => self.temperature = within(key, value, 0.0, 5.0)?,
            "top_p" => self.top_p = within(key, value, 0.0, 1.0)?,
            "min_p" => self.min_p = within(key, value, 0.0, 1.0)?,
            "repeat_penalty" => self.repeat_penalty = within(key, value, 0.1, 10.0)?,
            "top_k" => self.top_k = number(key, value)?,
            "max_tokens" => self.max_tokens = number(key, value)?,
            "seed" => self.seed = number(key, value)?,
            "stop" if value.is_empty() => self.stop.clear(),
            "stop" if self.stop.len() >= limits::STOPS => {
                return Err(BadSetting(format!(
                    "more than {} stop texts",
                    limits::STOPS
                )));
            }
            "stop" => self.stop.push(value.to_owned()),
            "schema" => self.schema = text(value),
            "grammar" => self.grammar = text(value),
            "class" => match value {
                "interactive" => self.batch = false,
                "batch" => self.batch = true,
                _ => return Err(BadSetting(format!("class {value:?}: interactive or batch"))),
            },
            _ => return Err(BadSetting(format!("unknown option {key:?}"))),
        }
        Ok(())
    }

    /// The lines that set these options.
    pub fn lines(&self) -> String {
        let mut out = String::new();
        for (key, value) in self.pairs() {
            out.push_str(key);
            out.push(' ');
            out.push_str(&escape(&value));
            out.push('\n');
        }
        out
    }

    /// The options as keys and values, in the order of their description.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        fn shown<T: ToString>(value: &Option<T>) -> Option<String> {
            value.as_ref().map(T::to_string)
        }
        let single = [
            ("model", self.model.clone()),
            ("system", self.system.clone()),
            ("temperature", shown(&self.temperature)),
            ("top_p", shown(&self.top_p)),
            ("top_k", shown(&self.top_k)),
            ("min_p", shown(&self.min_p)),
            ("repeat_penalty", shown(&self.repeat_penalty)),
            ("seed", shown(&self.seed)),
            ("max_tokens", shown(&self.max_tokens)),
            ("schema", self.schema.clone()),
            ("grammar", self.grammar.clone()),
            ("class", self.batch.then(|| "batch".to_owned())),
        ];
        let mut pairs: Vec<_> = single
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        pairs.extend(self.stop.iter().map(|stop| ("stop", stop.clone())));
        pairs
    }

    /// The options as a query with its `?`; empty where there are none.
    pub fn query(&self) -> String {
        let pairs: Vec<_> = self
            .pairs()
            .iter()
            .map(|(key, value)| format!("{key}={}", percent(value)))
            .collect();
        if pairs.is_empty() {
            String::new()
        } else {
            format!("?{}", pairs.join("&"))
        }
    }
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn within(key: &str, value: &str, low: f32, high: f32) -> Result<Option<f32>, BadSetting> {
    match value.trim().parse::<f32>() {
        Ok(number) if (low..=high).contains(&number) => Ok(Some(number)),
        _ => Err(BadSetting(format!(
            "{key} {value:?} is not a number from {low} to {high}"
        ))),
    }
}

fn number<T: core::str::FromStr>(key: &str, value: &str) -> Result<Option<T>, BadSetting> {
    let parsed = value.trim().parse();
    parsed
        .map(Some)
        .map_err(|_| BadSetting(format!("{key} {value:?} is not a whole number")))
}

/// A line holds one value; a line end in it is written `\n`, a backslash `\\`.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (_, true) => match letters.next() {
                Some('n') => out.push('\n'),
                Some('\\') => out.push('\\'),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            (letter, false) => out.push(letter),
        }
    }
    out
}

/// Percent-encodes what has a meaning in paths and queries.
pub fn percent(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte))
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_can_be_written_back() {
        let mut settings = Settings::default();
        let lines = "model tiny\nsystem Be brief.\\nBe kind.\\\\\ntemperature 0.5\ntop_p 0.9\ntop_k 5\nmin_p 0.1\n\
                     repeat_penalty 1.5\nseed 7\nmax_tokens 9\nschema {\"type\": \"object\"}\nclass batch\nstop END\nstop \\n\n";
        for line in lines.lines() {
            assert_eq!(settings.line(line), Ok(None), "{line}");
        }
        assert_eq!(settings.system.as_deref(), Some("Be brief.\nBe kind.\\"));
        assert_eq!(settings.stop, ["END", "\n"]);
        let mut again = Settings::default();
        for line in settings.lines().lines() {
            again.line(line).unwrap();
        }
        assert_eq!(again, settings);
    }

    #[test]
    fn bad_lines_change_nothing_and_say_why() {
        let mut settings = Settings::default();
        for line in [
            "temperature hot",
            "temperature 9",
            "temperature NaN",
            "colour red",
            "top_k -1",
            "model a/b",
            "class x",
            "cancel now",
        ] {
            let error = settings.line(line).unwrap_err();
            assert!(error.0.contains(line.split(' ').next().unwrap()), "{error}");
        }
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn actions_are_told_from_options() {
        let mut settings = Settings::default();
        assert_eq!(settings.line("cancel"), Ok(Some(Action::Cancel)));
        assert_eq!(settings.line("  "), Ok(None));
    }

    #[test]
    fn a_query_is_encoded() {
        let settings = Settings {
            system: Some("a b&c/é".into()),
            seed: Some(1),
            ..Settings::default()
        };
        assert_eq!(settings.query(), "?system=a%20b%26c%2F%C3%A9&seed=1");
    }
}
