//! A client in a few lines: everything is a file, so this only opens the right ones.
//!
//! The root is `$AI_ROOT` where it is set (a hosted mount), else `/scheme/ai`.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::settings::Settings;
use crate::transcript::Message;

/// Where the scheme is in the booted system.
const SCHEME: &str = "/scheme/ai";
/// The variable that names a mount instead.
const ROOT_VARIABLE: &str = "AI_ROOT";

/// A way to the scheme.
#[derive(Clone, Debug)]
pub struct Client {
    root: PathBuf,
}

/// A conversation; it ends when this is dropped.
pub struct Chat {
    file: File,
    held: Vec<u8>,
}

impl Client {
    /// The scheme of this system, or the mount that `$AI_ROOT` names.
    ///
    /// # Errors
    /// Where nothing serves it.
    pub fn open() -> io::Result<Client> {
        Client::at(env::var_os(ROOT_VARIABLE).map_or_else(|| PathBuf::from(SCHEME), PathBuf::from))
    }

    /// The scheme at a path.
    ///
    /// # Errors
    /// Where nothing serves it.
    pub fn at(root: impl Into<PathBuf>) -> io::Result<Client> {
        let root = root.into();
        fs::metadata(root.join("status")).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("no ai: scheme at {}: {error}", root.display()),
            )
        })?;
        Ok(Client { root })
    }

    /// The root's path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn open_query(&self, file: &str, settings: &Settings) -> io::Result<File> {
        let path = self.root.join(format!("{file}{}", settings.query()));
        OpenOptions::new().read(true).write(true).open(path)
    }

    /// Begins a conversation.
    ///
    /// # Errors
    /// As the scheme says.
    pub fn chat(&self, settings: &Settings) -> io::Result<Chat> {
        Ok(Chat {
            file: self.open_query("chat", settings)?,
            held: Vec::new(),
        })
    }

    /// Begins a raw completion.
    ///
    /// # Errors
    /// As the scheme says.
    pub fn complete(&self, settings: &Settings) -> io::Result<Chat> {
        Ok(Chat {
            file: self.open_query("complete", settings)?,
            held: Vec::new(),
        })
    }

    /// Writes a request to a file and reads the whole answer.
    ///
    /// # Errors
    /// As the scheme says.
    pub fn ask(&self, path: &str, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.root.join(path))?;
        file.write_all(request)?;
        let mut answer = Vec::new();
        file.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// The vectors of some texts, of unit length.
    ///
    /// # Errors
    /// As the scheme says.
    pub fn embed(&self, texts: &[&str]) -> io::Result<Vec<Vec<f32>>> {
        let lines: String = texts
            .iter()
            .map(|text| format!("{}\n", Value::from(*text)))
            .collect();
        let answer = self.ask("embed?format=f32&lines=1", lines.as_bytes())?;
        let floats: Vec<f32> = answer
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        if texts.is_empty() || floats.is_empty() || !floats.len().is_multiple_of(texts.len()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the answer has a wrong size",
            ));
        }
        Ok(floats
            .chunks_exact(floats.len() / texts.len())
            .map(<[f32]>::to_vec)
            .collect())
    }

    /// The names of the installed models.
    ///
    /// # Errors
    /// As the scheme says.
    pub fn models(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.root.join("models"))?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// What a file says.
    ///
    /// # Errors
    /// As the scheme says.
    pub fn read(&self, path: &str) -> io::Result<String> {
        fs::read_to_string(self.root.join(path))
    }

    /// Writes a control line.
    ///
    /// # Errors
    /// As the scheme says.
    pub fn control(&self, path: &str, line: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.root.join(path))?;
        file.write_all(format!("{line}\n").as_bytes())
    }

    /// Makes a session and gives its number.
    ///
    /// # Errors
    /// As the scheme says.
    pub fn new_session(&self) -> io::Result<u64> {
        let text = self.read("session/new")?;
        text.trim()
            .parse()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// The transcript of a session.
    ///
    /// # Errors
    /// As the scheme says.
    pub fn messages(&self, session: u64) -> io::Result<Vec<Message>> {
        let text = self.read(&format!("session/{session}/messages"))?;
        crate::transcript::read(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl Chat {
    /// Says something. The reply is then read; what is left of an earlier one is cut off.
    ///
    /// # Errors
    /// As the scheme says.
    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.held.clear();
        self.file.write_all(text.as_bytes())
    }

    /// The next piece of the reply as it comes; `None` at its end.
    ///
    /// # Errors
    /// As the scheme says.
    pub fn read(&mut self) -> io::Result<Option<String>> {
        let mut buf = [0; 4096];
        let count = self.file.read(&mut buf)?;
        if count == 0 {
            return Ok(None);
        }
        self.held.extend_from_slice(&buf[..count]);
        let text = String::from_utf8(core::mem::take(&mut self.held))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Some(text))
    }

    /// The whole reply.
    ///
    /// # Errors
    /// As the scheme says.
    pub fn read_all(&mut self) -> io::Result<String> {
        let mut all = String::new();
        while let Some(text) = self.read()? {
            all.push_str(&text);
        }
        Ok(all)
    }
}
