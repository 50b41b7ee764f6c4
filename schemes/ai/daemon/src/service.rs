//! The service: what paths there are and what opening them gives. What handles do is in [`crate::io`].

use ai_api::route::{DIRS, ModelFile, Route, SessionFile, TOP};
use ai_api::{Settings, transcript};
use scheme_server::{
    Caller, Entry, Errno, HandleId, OpenFlags, Opened, Ready, Result, Service, Stat, Step, Wake,
    query, split_query,
};

use crate::catalogue::Catalogue;
use crate::config::Config;
use crate::conversation::Conversation;
use crate::exchange::{Exchange, Form, Kind};
use crate::handle::{Chat, Handle, Target};
use crate::reply::Reader;
use crate::sessions::Sessions;
use crate::{status, threads};

/// An open file of the scheme; what is inside is the daemon's own.
pub struct Open(Handle);

/// The `ai:` scheme.
pub struct Aid {
    pub(crate) catalogue: Catalogue,
    pub(crate) sessions: Sessions,
    threads: usize,
    wake: Option<Wake>,
}

impl Aid {
    /// A daemon that has loaded nothing yet.
    pub fn new(config: Config) -> Aid {
        let pool = threads::pool(config.threads);
        Aid {
            catalogue: Catalogue::new(config.models, pool, config.cache_bytes),
            sessions: Sessions::new(config.state),
            threads: config.threads,
            wake: None,
        }
    }

    pub(crate) fn wake(&self) -> Result<Wake> {
        self.wake.clone().ok_or(Errno::EIO)
    }

    fn status(&mut self) -> String {
        let default = self.catalogue.default_name();
        let shown = self.catalogue.shown();
        status::status(
            default.as_deref(),
            &shown,
            self.sessions.len(),
            self.threads,
        )
    }

    fn open_path(&mut self, caller: &Caller, path: &str, id: HandleId) -> Result<Opened<Handle>> {
        let (path, options) = split_query(path);
        let exchange = |kind: Kind| -> Result<Opened<Handle>> {
            let exchange = Box::new(Exchange::new(kind, settings(options)?));
            Ok(Opened::stream(Handle::Exchange { id, exchange }))
        };
        let text = |text: String| Ok(Opened::positioned(Handle::Text(text.into_bytes())));
        match Route::parse(path).ok_or(Errno::ENOENT)? {
            Route::Chat => {
                let settings = settings(options)?;
                if settings
                    .model
                    .as_deref()
                    .is_some_and(|name| !self.catalogue.has(name))
                {
                    return Err(Errno::ENOENT);
                }
                let conversation = Conversation::new(settings);
                let chat = Chat {
                    id,
                    conversation,
                    input: Vec::new(),
                    reader: None,
                    failure: None,
                };
                Ok(Opened::stream(Handle::Chat(Box::new(chat))))
            }
            Route::Complete => exchange(Kind::Complete),
            Route::Tokenize => exchange(Kind::Tokenize),
            Route::Detokenize => exchange(Kind::Detokenize),
            Route::V1File(of) => exchange(Kind::V1(of)),
            Route::Status => text(self.status()),
            Route::Metrics => text(status::metrics(
                &self.catalogue.shown(),
                self.sessions.len(),
            )),
            Route::SessionNew => {
                let (uid, gid) = (caller.uid, caller.gid);
                Ok(Opened::stream(Handle::NewSession {
                    uid,
                    gid,
                    text: None,
                    at: 0,
                }))
            }
            Route::SessionFile(number, file) => self.open_session(caller, number, file, id),
            Route::ModelFile(name, file) => self.open_model(&name, file, id),
            Route::Embed => {
                let (settings, form) = embed_options(options)?;
                let exchange = Box::new(Exchange::new(Kind::Embed(form), settings));
                Ok(Opened::stream(Handle::Exchange { id, exchange }))
            }
            Route::Rerank => exchange(Kind::Rerank),
            _ => Err(Errno::EISDIR),
        }
    }

    fn open_session(
        &mut self,
        caller: &Caller,
        number: u64,
        file: SessionFile,
        id: HandleId,
    ) -> Result<Opened<Handle>> {
        let session = self.sessions.owned(number, caller)?;
        let conversation = &session.conversation;
        Ok(match file {
            SessionFile::Prompt => Opened::stream(Handle::Prompt {
                session: number,
                input: Vec::new(),
            }),
            SessionFile::Stream => {
                let reader = conversation.reply().cloned().map(Reader::new);
                Opened::stream(Handle::Stream {
                    id,
                    session: number,
                    reader,
                })
            }
            SessionFile::Messages => {
                let text = transcript::write(&conversation.transcript()).into_bytes();
                Opened::positioned(Handle::Messages {
                    session: number,
                    text,
                    input: None,
                })
            }
            SessionFile::Ctl => Opened::positioned(Handle::Ctl {
                of: Target::Session(number),
                text: conversation.settings.lines().into_bytes(),
                partial: Vec::new(),
                failure: None,
            }),
            SessionFile::Usage => {
                let usage = conversation
                    .reply()
                    .map_or(serde_json::json!({}), |reply| reply.usage_json());
                Opened::positioned(Handle::Text(format!("{usage}\n").into_bytes()))
            }
            SessionFile::Error => {
                let of_reply = conversation.reply().and_then(|reply| reply.failure());
                let failure = of_reply.or_else(|| session.failure.clone());
                let text = failure.map_or(String::new(), |failure| format!("{}\n", failure.text));
                Opened::positioned(Handle::Text(text.into_bytes()))
            }
        })
    }

    fn open_model(&mut self, name: &str, file: ModelFile, id: HandleId) -> Result<Opened<Handle>> {
        if !self.catalogue.has(name) {
            return Err(Errno::ENOENT);
        }
        let shown = || {
            let all = self.catalogue.shown();
            all.into_iter()
                .find(|(of, _)| of == name)
                .map(|(_, shown)| shown)
                .unwrap_or_default()
        };
        Ok(match file {
            ModelFile::Card => {
                let wake = self.wake()?;
                let reply = self
                    .catalogue
                    .card(name, wake)
                    .map_err(|failure| failure.errno)?;
                Opened::stream(Handle::Pipe {
                    id,
                    reader: Reader::new(reply),
                })
            }
            ModelFile::Status => {
                Opened::positioned(Handle::Text(status::model(&{ shown }()).into_bytes()))
            }
            ModelFile::Ctl => {
                let keep_s = { shown }().keep_s;
                Opened::positioned(Handle::Ctl {
                    of: Target::Model(name.to_owned()),
                    text: format!("keep {keep_s}s\n").into_bytes(),
                    partial: Vec::new(),
                    failure: None,
                })
            }
        })
    }
}

/// The options of `embed`: `format=f32`, `lines=1`, and those of any open.
fn embed_options(options: Option<&str>) -> Result<(Settings, Form)> {
    let (mut settings, mut form) = (Settings::default(), Form::default());
    for (key, value) in query(options.unwrap_or_default())? {
        match (key.as_str(), value.as_str()) {
            ("format", "f32") => form.is_raw = true,
            ("format", "json") => form.is_raw = false,
            ("lines", "1") => form.is_lines = true,
            ("lines", "0") => form.is_lines = false,
            _ => settings.set(&key, &value).map_err(|_| Errno::EINVAL)?,
        }
    }
    Ok((settings, form))
}

/// The settings of an open's query.
fn settings(options: Option<&str>) -> Result<Settings> {
    let mut settings = Settings::default();
    for (key, value) in query(options.unwrap_or_default())? {
        settings.set(&key, &value).map_err(|_| Errno::EINVAL)?;
    }
    Ok(settings)
}

impl Service for Aid {
    type Handle = Open;

    fn start(&mut self, wake: Wake) {
        self.wake = Some(wake);
    }

    fn stat(&mut self, caller: &Caller, path: &str) -> Result<Stat> {
        let route = Route::parse(split_query(path).0).ok_or(Errno::ENOENT)?;
        Ok(match &route {
            Route::Session(number) | Route::SessionFile(number, _) => {
                let session = self.sessions.owned(*number, caller)?;
                let mode = match route {
                    Route::SessionFile(_, SessionFile::Prompt) => 0o200,
                    Route::SessionFile(_, SessionFile::Ctl | SessionFile::Messages) => 0o600,
                    Route::SessionFile(..) => 0o400,
                    _ => 0o500,
                };
                let stat = if route.is_dir() {
                    Stat::dir(mode)
                } else {
                    Stat::file(mode, 0)
                };
                stat.owned_by(session.uid, session.gid)
            }
            Route::Model(name) | Route::ModelFile(name, _) => {
                if !self.catalogue.has(name) {
                    return Err(Errno::ENOENT);
                }
                let stat = match route {
                    Route::ModelFile(_, ModelFile::Ctl) => Stat::file(0o644, 0),
                    Route::ModelFile(..) => Stat::file(0o444, 0),
                    _ => Stat::dir(0o555),
                };
                stat.modified(self.catalogue.modified_s(name))
            }
            Route::SessionNew
            | Route::Status
            | Route::Metrics
            | Route::V1File(ai_api::route::V1::Models) => Stat::file(0o444, 0),
            route if route.is_dir() => Stat::dir(0o555),
            _ => Stat::file(0o666, 0),
        })
    }

    fn list(&mut self, caller: &Caller, path: &str) -> Result<Vec<Entry>> {
        let files = |names: &[&str]| names.iter().map(|name| Entry::file(*name)).collect();
        Ok(
            match Route::parse(split_query(path).0).ok_or(Errno::ENOENT)? {
                Route::Root => {
                    let dirs = DIRS.iter().map(|(name, _)| Entry::dir(*name));
                    TOP.iter()
                        .map(|(name, _)| Entry::file(*name))
                        .chain(dirs)
                        .collect()
                }
                Route::Sessions => {
                    let numbers = self
                        .sessions
                        .numbers(caller)
                        .into_iter()
                        .map(|number| Entry::dir(number.to_string()));
                    [Entry::file("new")].into_iter().chain(numbers).collect()
                }
                Route::Session(_) => SessionFile::ALL
                    .iter()
                    .map(|(name, _)| Entry::file(*name))
                    .collect(),
                Route::Models => self.catalogue.names().into_iter().map(Entry::dir).collect(),
                Route::Model(_) => ModelFile::ALL
                    .iter()
                    .map(|(name, _)| Entry::file(*name))
                    .collect(),
                Route::V1 => vec![
                    Entry::dir("chat"),
                    Entry::file("completions"),
                    Entry::file("embeddings"),
                    Entry::file("models"),
                ],
                Route::V1Chat => files(&["completions"]),
                _ => return Err(Errno::ENOTDIR),
            },
        )
    }

    fn open(
        &mut self,
        caller: &Caller,
        path: &str,
        _: OpenFlags,
        id: HandleId,
    ) -> Result<Opened<Open>> {
        self.open_path(caller, path, id)
            .map(|opened| opened.map(Open))
    }

    fn read(&mut self, handle: &mut Open, at: u64, buf: &mut [u8]) -> Result<Step<usize>> {
        self.read_handle(&mut handle.0, at, buf)
    }

    fn write(&mut self, handle: &mut Open, _: u64, data: &[u8]) -> Result<Step<usize>> {
        self.write_handle(&mut handle.0, data)
    }

    fn flush(&mut self, handle: &mut Open) -> Result<()> {
        self.flush_handle(&mut handle.0)
    }

    fn sync(&mut self, handle: &mut Open) -> Result<Step<()>> {
        self.flush_handle(&mut handle.0).map(Step::Done)
    }

    fn dup(
        &mut self,
        _: &Caller,
        handle: &mut Open,
        what: &[u8],
        id: HandleId,
    ) -> Result<Opened<Open>> {
        self.dup_handle(&mut handle.0, what, id)
            .map(|opened| opened.map(Open))
    }

    fn ready(&mut self, handle: &mut Open) -> Ready {
        self.ready_handle(&mut handle.0)
    }
}
