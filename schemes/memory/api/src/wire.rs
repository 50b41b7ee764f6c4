//! Requests and replies that are JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A search result: one line of `.search`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Number of the document in its collection.
    pub id: u32,
    /// How well it fits; larger is better.
    pub score: f32,
    /// Path in the collection.
    pub path: String,
    /// First byte of the passage, and the byte after its last.
    pub span: [u32; 2],
    /// The passage.
    pub text: String,
    /// Where it is from: `memory:/COLLECTION/PATH`.
    pub source: String,
    /// When the document was written, Unix milliseconds.
    pub time: u64,
}

/// What is written to `memory:/context`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextRequest {
    /// What the context is for.
    pub goal: String,
    /// Budget.
    pub tokens: usize,
    /// Collections to draw from; empty for all that the caller sees.
    #[serde(default)]
    pub from: Vec<String>,
}

/// A part of a context: one line of the reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContextPart {
    /// Where it is from.
    pub source: String,
    /// Place in the document.
    pub span: [u32; 2],
    /// Its tokens, with a heading line.
    pub tokens: usize,
    /// How well it fits.
    pub score: f32,
    /// The text.
    pub text: String,
}

/// A change: one line of `.history`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// What to write to `.undo`.
    pub id: u64,
    /// When, Unix milliseconds.
    pub time: u64,
    /// The document.
    pub path: String,
    /// `replaced`, `superseded`, `aged`, `expired`, `duplicate`, `similar`, `metadata` or `renamed`.
    pub change: String,
    /// The other document, tier, path or text that the change is about.
    pub detail: String,
    /// Whether it was taken back.
    pub undone: bool,
    /// What it said before, for a superseded document or replaced content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// A chunk's place and vector in an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportChunk {
    /// Place in the document.
    pub span: [u32; 2],
    /// Its vector.
    pub vector: Vec<f32>,
}

/// A document: one line of `.export`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExportLine {
    /// Path in the collection.
    pub path: String,
    /// When it was written, Unix milliseconds.
    #[serde(default)]
    pub time: u64,
    /// The content, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The content in hexadecimal, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// Metadata, as in `.meta`.
    #[serde(default)]
    pub metadata: String,
    /// Model of the vectors.
    #[serde(default)]
    pub model: String,
    /// Chunks with vectors.
    #[serde(default)]
    pub chunks: Vec<ExportChunk>,
}

impl ExportLine {
    /// The content; `None` if the line has none or it is not hexadecimal.
    pub fn content(&self) -> Option<Vec<u8>> {
        if let Some(text) = &self.text {
            return Some(text.clone().into_bytes());
        }
        let digits = self.bytes.as_ref()?.as_bytes();
        let (pairs, rest) = digits.as_chunks::<2>();
        let byte = |pair: &[u8; 2]| {
            let digit = |c: u8| char::from(c).to_digit(16);
            Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)
        };
        rest.is_empty().then(|| pairs.iter().map(byte).collect())?
    }

    /// Sets the content.
    pub fn set_content(&mut self, content: Vec<u8>) {
        match String::from_utf8(content) {
            Ok(text) => self.text = Some(text),
            Err(error) => {
                let digits = error.as_bytes().iter().map(|byte| format!("{byte:02x}"));
                self.bytes = Some(digits.collect());
            }
        }
    }
}

/// What may be written to `.import`.
#[derive(Clone, Debug, PartialEq)]
pub struct Import(pub Vec<ExportLine>);

/// What Chroma's client gives for `collection.get(include=["documents", "metadatas", "embeddings"])`.
#[derive(Deserialize)]
struct Chroma {
    ids: Vec<String>,
    documents: Vec<Option<String>>,
    #[serde(default)]
    metadatas: Option<Vec<Option<BTreeMap<String, Value>>>>,
}

impl Import {
    /// Reads JSON Lines as `.export` gives them, or one JSON object of Chroma's client.
    ///
    /// # Errors
    /// The number of the bad line and why, in words.
    pub fn parse(text: &str) -> Result<Import, String> {
        if let Ok(chroma) = serde_json::from_str::<Chroma>(text) {
            return Ok(Self::from_chroma(chroma));
        }
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        let parsed = lines.map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))
        });
        parsed
            .collect::<Result<Vec<ExportLine>, String>>()
            .map(Import)
    }

    /// Chroma's vectors are left out: they are of a model that the collection need not have; texts are embedded anew.
    fn from_chroma(chroma: Chroma) -> Import {
        let metadatas = chroma.metadatas.unwrap_or_default();
        let metadatas = metadatas.into_iter().chain(std::iter::repeat(None));
        let lines = chroma.ids.into_iter().zip(chroma.documents).zip(metadatas);
        let line = |((id, text), metadata): ((String, _), Option<BTreeMap<String, Value>>)| {
            let path = id
                .split('/')
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("/");
            let path = path.replace(|c: char| c.is_control(), "_");
            let path = if path.starts_with('.') {
                format!("_{path}")
            } else {
                path
            };
            let pairs = metadata.unwrap_or_default().into_iter();
            let metadata = pairs
                .filter_map(|(key, value)| metadata_line(&key, &value))
                .collect();
            Some(ExportLine {
                path,
                text: Some(text?),
                metadata,
                ..ExportLine::default()
            })
        };
        Import(lines.filter_map(line).collect())
    }
}

fn metadata_line(key: &str, value: &Value) -> Option<String> {
    let key: String = key
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "_-.".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    match value {
        Value::Bool(_) | Value::Number(_) => Some(format!("{key} = {value}\n")),
        Value::String(text) => {
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            Some(format!("{key} = \"{text}\"\n"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chroma_export_becomes_documents() {
        let text = r#"{"ids":["a/1","b"],"documents":["first","second"],"metadatas":[{"n":1,"s":"x"},null],
            "embeddings":[[0.1],[0.2]],"uris":null,"data":null,"included":["documents"]}"#;
        let Import(lines) = Import::parse(text).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (&lines[0].path[..], &lines[0].metadata[..]),
            ("a/1", "n = 1\ns = \"x\"\n")
        );
        assert_eq!(lines[1].content().unwrap(), b"second");
    }

    #[test]
    fn binary_content_survives_an_export() {
        let mut line = ExportLine::default();
        line.set_content(vec![0, 255, 16]);
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(
            Import::parse(&text).unwrap().0[0].content().unwrap(),
            [0, 255, 16]
        );
        assert_eq!(
            ExportLine {
                bytes: Some("0g".into()),
                ..Default::default()
            }
            .content(),
            None
        );
    }

    proptest! {
        #[test]
        fn any_import_is_read_without_panic(text in any::<String>()) {
            let _ = Import::parse(&text);
            let _ = serde_json::from_str::<ContextRequest>(&text);
        }
    }
}
