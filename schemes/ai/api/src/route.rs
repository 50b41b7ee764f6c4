//! Paths of the scheme as types. The one table of what exists; `ls` and `open` both follow it.

/// A file or directory of the scheme. A query is not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the path of its name; schemes.md describes them"
)]
pub enum Route {
    Root,
    Chat,
    Complete,
    Embed,
    Rerank,
    Tokenize,
    Detokenize,
    Status,
    Metrics,
    Sessions,
    SessionNew,
    Session(u64),
    SessionFile(u64, SessionFile),
    Models,
    Model(String),
    ModelFile(String, ModelFile),
    V1,
    V1Chat,
    V1File(V1),
}

/// Files of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the path of its name")]
pub enum SessionFile {
    Prompt,
    Stream,
    Messages,
    Ctl,
    Usage,
    Error,
}

/// Files of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the path of its name")]
pub enum ModelFile {
    Card,
    Ctl,
    Status,
}

/// Files of the OpenAI interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the path of its name")]
pub enum V1 {
    ChatCompletions,
    Completions,
    Embeddings,
    Models,
}

impl SessionFile {
    /// All of them, by name.
    pub const ALL: [(&'static str, SessionFile); 6] = [
        ("ctl", SessionFile::Ctl),
        ("error", SessionFile::Error),
        ("messages", SessionFile::Messages),
        ("prompt", SessionFile::Prompt),
        ("stream", SessionFile::Stream),
        ("usage", SessionFile::Usage),
    ];
}

impl ModelFile {
    /// All of them, by name.
    pub const ALL: [(&'static str, ModelFile); 3] = [
        ("card", ModelFile::Card),
        ("ctl", ModelFile::Ctl),
        ("status", ModelFile::Status),
    ];
}

/// Files at the top, by name.
pub const TOP: [(&str, Route); 8] = [
    ("chat", Route::Chat),
    ("complete", Route::Complete),
    ("detokenize", Route::Detokenize),
    ("embed", Route::Embed),
    ("metrics", Route::Metrics),
    ("rerank", Route::Rerank),
    ("status", Route::Status),
    ("tokenize", Route::Tokenize),
];

/// Directories at the top, by name.
pub const DIRS: [(&str, Route); 3] = [
    ("models", Route::Models),
    ("session", Route::Sessions),
    ("v1", Route::V1),
];

impl Route {
    /// The route of a path without slashes at its ends and without its query. `None`: there is no such path,
    /// whatever models and sessions exist.
    pub fn parse(path: &str) -> Option<Route> {
        let parts: Vec<&str> = if path.is_empty() {
            Vec::new()
        } else {
            path.split('/').collect()
        };
        fn find<T: Clone>(table: &[(&str, T)], name: &str) -> Option<T> {
            table
                .iter()
                .find(|(of, _)| *of == name)
                .map(|(_, found)| found.clone())
        }
        Some(match parts[..] {
            [] => Route::Root,
            [name] => find(&TOP, name).or_else(|| find(&DIRS, name))?,
            ["session", "new"] => Route::SessionNew,
            ["session", number] => Route::Session(session_number(number)?),
            ["session", number, file] => {
                Route::SessionFile(session_number(number)?, find(&SessionFile::ALL, file)?)
            }
            ["models", name] => Route::Model(name.to_owned()),
            ["models", name, file] => {
                Route::ModelFile(name.to_owned(), find(&ModelFile::ALL, file)?)
            }
            ["v1", "chat"] => Route::V1Chat,
            ["v1", "chat", "completions"] => Route::V1File(V1::ChatCompletions),
            ["v1", "completions"] => Route::V1File(V1::Completions),
            ["v1", "embeddings"] => Route::V1File(V1::Embeddings),
            ["v1", "models"] => Route::V1File(V1::Models),
            _ => return None,
        })
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(
            self,
            Route::Root
                | Route::Sessions
                | Route::Session(_)
                | Route::Models
                | Route::Model(_)
                | Route::V1
                | Route::V1Chat
        )
    }
}

/// Digits without a leading zero.
fn session_number(text: &str) -> Option<u64> {
    let is_plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_is_a_path() {
        for (name, route) in TOP.iter().chain(&DIRS) {
            assert_eq!(Route::parse(name).as_ref(), Some(route));
        }
        assert_eq!(
            Route::parse("session/7/ctl"),
            Some(Route::SessionFile(7, SessionFile::Ctl))
        );
        assert_eq!(
            Route::parse("models/a b/card"),
            Some(Route::ModelFile("a b".into(), ModelFile::Card))
        );
        assert_eq!(
            Route::parse("v1/chat/completions"),
            Some(Route::V1File(V1::ChatCompletions))
        );
        for wrong in [
            "nothing",
            "session/x",
            "session/07",
            "session/1/x",
            "chat/x",
            "v1/x",
            "session/99999999999999999999",
        ] {
            assert_eq!(Route::parse(wrong), None, "{wrong}");
        }
    }
}
