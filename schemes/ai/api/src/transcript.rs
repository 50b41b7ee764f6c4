//! Conversations as JSON Lines: one `{"role": …, "content": …}` per message.

use serde_json::{Value, json};

use crate::limits;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

impl Role {
    const ALL: [(&'static str, Role); 4] = [
        ("system", Role::System),
        ("user", Role::User),
        ("assistant", Role::Assistant),
        ("tool", Role::Tool),
    ];

    /// The name in transcripts.
    pub fn name(self) -> &'static str {
        Role::ALL
            .iter()
            .find(|(_, role)| *role == self)
            .map_or("user", |(name, _)| name)
    }

    /// The role of that name.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL
            .iter()
            .find(|(of, _)| *of == name)
            .map(|(_, role)| *role)
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Message {
        Message {
            role,
            content: content.into(),
        }
    }

    /// The message as JSON.
    pub fn json(&self) -> Value {
        json!({ "role": self.role.name(), "content": self.content })
    }

    /// Reads a message. A content in parts (`[{"type": "text", "text": …}]`) is joined.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn from_json(value: &Value) -> Result<Message, String> {
        let role = value
            .get("role")
            .and_then(Value::as_str)
            .ok_or("a message without a role")?;
        let role = match role {
            // What OpenAI calls the system's message today.
            "developer" => Role::System,
            name => Role::from_name(name).ok_or_else(|| format!("unknown role {name:?}"))?,
        };
        let content = match value.get("content") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) => String::new(),
            Some(Value::Array(parts)) => {
                let texts = parts
                    .iter()
                    .map(|part| part.get("text").and_then(Value::as_str));
                texts
                    .collect::<Option<Vec<_>>>()
                    .ok_or("a content part that is not text")?
                    .concat()
            }
            _ => return Err("a message without content".to_owned()),
        };
        Ok(Message { role, content })
    }
}

/// A transcript as text.
pub fn write(messages: &[Message]) -> String {
    messages
        .iter()
        .map(|message| format!("{}\n", message.json()))
        .collect()
}

/// Reads a transcript.
///
/// # Errors
/// The line and what is wrong with it.
pub fn read(text: &str) -> Result<Vec<Message>, String> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let messages = lines.map(|(at, line)| {
        let value =
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1))?;
        Message::from_json(&value).map_err(|error| format!("line {}: {error}", at + 1))
    });
    let messages: Vec<Message> = messages.collect::<Result<_, _>>()?;
    if messages.len() > limits::MESSAGES {
        return Err(format!(
            "{} messages, more than {}",
            messages.len(),
            limits::MESSAGES
        ));
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_survives_the_way_there_and_back() {
        let messages = [
            Message::new(Role::System, "a\nb"),
            Message::new(Role::User, "\"é\""),
        ];
        assert_eq!(read(&write(&messages)).unwrap(), messages);
    }

    #[test]
    fn bad_lines_are_named() {
        for text in [
            "{",
            "{\"role\":\"user\"}",
            "{\"role\":\"king\",\"content\":\"\"}",
            "[]",
            "{\"content\":\"x\"}",
        ] {
            let error = read(&format!("\n{text}\n")).unwrap_err();
            assert!(error.starts_with("line 2: "), "{error}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
    }
}
