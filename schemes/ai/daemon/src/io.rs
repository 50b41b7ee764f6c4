//! What reading, writing and closing the daemon's handles does.

use ai_api::settings::Action;
use ai_api::transcript;
use scheme_server::{Caller, Errno, HandleId, Opened, Ready, Result, Step, copy_from};

use crate::failure::Failure;
use crate::handle::{Chat, Handle, Target};
use crate::limits;
use crate::reply::Reader;
use crate::service::Aid;

impl Aid {
    pub(crate) fn read_handle(
        &mut self,
        handle: &mut Handle,
        at: u64,
        buf: &mut [u8],
    ) -> Result<Step<usize>> {
        match handle {
            Handle::Text(text) | Handle::Ctl { text, .. } | Handle::Messages { text, .. } => {
                Ok(Step::Done(copy_from(text, at, buf)))
            }
            Handle::Pipe { id, reader } => reader.read(*id, buf),
            Handle::Chat(chat) => self.read_chat(chat, buf),
            Handle::Exchange { id, exchange } => {
                let wake = self.wake()?;
                exchange.read(*id, buf, &mut self.catalogue, &wake)
            }
            Handle::NewSession { uid, gid, text, at } => {
                if text.is_none() {
                    let caller = Caller {
                        pid: 0,
                        uid: *uid,
                        gid: *gid,
                    };
                    let number = self
                        .sessions
                        .make(&caller)
                        .map_err(|failure| failure.errno)?;
                    *text = Some(format!("{number}\n").into_bytes());
                }
                let count = text
                    .as_ref()
                    .map_or(0, |text| copy_from(text, *at as u64, buf));
                *at += count;
                Ok(Step::Done(count))
            }
            Handle::Stream {
                id,
                session,
                reader,
            } => {
                if reader.is_none() {
                    let session = self.sessions.get(*session)?;
                    *reader = session.conversation.reply().cloned().map(Reader::new);
                }
                match reader {
                    Some(reader) => reader.read(*id, buf),
                    None => Ok(Step::Done(0)),
                }
            }
            Handle::Prompt { .. } => Err(Errno::EBADF),
        }
    }

    pub(crate) fn write_handle(&mut self, handle: &mut Handle, data: &[u8]) -> Result<Step<usize>> {
        let count = match handle {
            Handle::Chat(chat) => {
                let count = hold(&mut chat.input, data)?;
                // The next turn has begun: what is left of the running reply is not wanted.
                chat.conversation.cancel();
                chat.reader = None;
                count
            }
            Handle::Exchange { exchange, .. } => exchange.write(data)?,
            Handle::Prompt { input, .. } => hold(input, data)?,
            Handle::Messages { input, .. } => hold(input.get_or_insert_default(), data)?,
            Handle::Ctl {
                of,
                partial,
                failure,
                ..
            } => {
                if partial.len() + data.len() > ai_api::limits::LINE_BYTES {
                    return Err(Errno::EMSGSIZE);
                }
                partial.extend_from_slice(data);
                while let Some(end) = partial.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = partial.drain(..=end).collect();
                    if let Err(error) = self.line(of, &line[..end]) {
                        partial.clear();
                        let errno = error.errno;
                        *failure = Some(error);
                        return Err(errno);
                    }
                }
                data.len()
            }
            _ => return Err(Errno::EBADF),
        };
        Ok(Step::Done(count))
    }

    pub(crate) fn flush_handle(&mut self, handle: &mut Handle) -> Result<()> {
        match handle {
            Handle::Prompt { session, input } if !input.is_empty() => {
                let input = std::mem::take(input);
                self.submit(*session, input)
            }
            Handle::Messages { session, input, .. } => {
                let Some(input) = input.take() else {
                    return Ok(());
                };
                let text = String::from_utf8(input).map_err(|_| Errno::EINVAL)?;
                let session = self.sessions.get(*session)?;
                match transcript::read(&text) {
                    Ok(messages) => session.conversation.load(messages),
                    Err(error) => {
                        session.failure = Some(Failure::new(Errno::EPROTO, error));
                        return Err(Errno::EPROTO);
                    }
                }
                Ok(())
            }
            Handle::Ctl {
                of,
                partial,
                failure,
                ..
            } if !partial.is_empty() => {
                // A last line without its end, as `printf` leaves one.
                let line = std::mem::take(partial);
                self.line(of, &line).map_err(|error| {
                    let errno = error.errno;
                    *failure = Some(error);
                    errno
                })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn dup_handle(
        &mut self,
        handle: &mut Handle,
        what: &[u8],
        id: HandleId,
    ) -> Result<Opened<Handle>> {
        match (what, handle) {
            (b"error", handle) => Ok(Opened::positioned(Handle::Text(
                handle.error().into_bytes(),
            ))),
            (b"fork", Handle::Chat(chat)) => {
                let conversation = chat.conversation.fork();
                let input = chat.input.clone();
                let fork = Chat {
                    id,
                    conversation,
                    input,
                    reader: None,
                    failure: None,
                };
                Ok(Opened::stream(Handle::Chat(Box::new(fork))))
            }
            (b"usage", Handle::Chat(chat)) => {
                let usage = chat
                    .conversation
                    .reply()
                    .map_or(serde_json::json!({}), |reply| reply.usage_json());
                Ok(Opened::positioned(Handle::Text(
                    format!("{usage}\n").into_bytes(),
                )))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    pub(crate) fn ready_handle(&mut self, handle: &mut Handle) -> Ready {
        let read = match handle {
            Handle::Chat(chat) => {
                chat.input.is_empty()
                    && chat
                        .reader
                        .as_ref()
                        .is_none_or(|reader| reader.is_ready(chat.id))
            }
            Handle::Exchange { id, exchange } => exchange.is_ready(*id),
            Handle::Pipe { id, reader } => reader.is_ready(*id),
            Handle::Stream {
                id,
                reader: Some(reader),
                ..
            } => reader.is_ready(*id),
            _ => true,
        };
        Ready { read, write: true }
    }

    fn model_line(&mut self, name: &str, line: &str) -> std::result::Result<(), Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => Ok(()),
            ["load"] => self.catalogue.worker(Some(name))?.load(),
            ["unload"] => self.catalogue.worker(Some(name))?.unload(),
            ["default"] => {
                self.catalogue.choose(name);
                Ok(())
            }
            ["keep", time] => {
                let time = duration(time)
                    .ok_or_else(|| Failure::invalid(format!("keep {time:?}: 90s, 5m or 2h")))?;
                self.catalogue.worker(Some(name))?.keep(time)
            }
            _ => Err(Failure::invalid(format!("unknown line {line:?}"))),
        }
    }

    fn session_line(&mut self, number: u64, line: &str) -> std::result::Result<(), Failure> {
        let gone = |errno| Failure::new(errno, "the session is closed");
        let session = self.sessions.get(number).map_err(gone)?;
        let mut settings = session.conversation.settings.clone();
        let action = settings
            .line(line)
            .map_err(|error| Failure::invalid(error.0))?;
        if let Some(name) = settings
            .model
            .as_deref()
            .filter(|name| !self.catalogue.has(name))
        {
            return Err(Failure::new(
                Errno::ENOENT,
                format!("no model is called {name}"),
            ));
        }
        session.conversation.settings = settings;
        match action {
            None => Ok(()),
            Some(Action::Cancel) => {
                session.conversation.cancel();
                Ok(())
            }
            Some(Action::Reset) => {
                session.conversation.load(Vec::new());
                Ok(())
            }
            Some(Action::Save) => self.sessions.save(number),
            Some(Action::Close) => self.sessions.close(number),
        }
    }

    fn line(&mut self, of: &Target, line: &[u8]) -> std::result::Result<(), Failure> {
        let line =
            core::str::from_utf8(line).map_err(|_| Failure::invalid("the line is not UTF-8"))?;
        match of {
            Target::Session(number) => {
                let done = self.session_line(*number, line);
                if let (Err(failure), Ok(session)) = (&done, self.sessions.get(*number)) {
                    session.failure = Some(failure.clone());
                }
                done
            }
            Target::Model(name) => self.model_line(name, line),
        }
    }

    fn submit(&mut self, number: u64, input: Vec<u8>) -> Result<()> {
        let wake = self.wake()?;
        let session = self.sessions.get(number)?;
        session.failure = None;
        match session.conversation.say(input, &mut self.catalogue, &wake) {
            Ok(_) => Ok(()),
            Err(failure) => {
                let errno = failure.errno;
                session.failure = Some(failure);
                Err(errno)
            }
        }
    }

    fn read_chat(&mut self, chat: &mut Chat, buf: &mut [u8]) -> Result<Step<usize>> {
        if !chat.input.is_empty() {
            let input = std::mem::take(&mut chat.input);
            let wake = self.wake()?;
            chat.failure = None;
            chat.reader = None;
            match chat.conversation.say(input, &mut self.catalogue, &wake) {
                Ok(reply) => chat.reader = Some(Reader::new(reply)),
                Err(failure) => {
                    let errno = failure.errno;
                    chat.failure = Some(failure);
                    return Err(errno);
                }
            }
        }
        match &mut chat.reader {
            Some(reader) => reader.read(chat.id, buf),
            None => Ok(Step::Done(0)),
        }
    }
}

/// `90s`, `5m`, `2h`.
fn duration(text: &str) -> Option<std::time::Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let count: u64 = text[..text.len() - 1].parse().ok()?;
    let time = std::time::Duration::from_secs(count.checked_mul(unit)?);
    (time <= limits::KEEP_MOST).then_some(time)
}

/// Adds to an input that is held until it is complete.
fn hold(input: &mut Vec<u8>, data: &[u8]) -> Result<usize> {
    if input.len() + data.len() > ai_api::limits::INPUT_BYTES {
        return Err(Errno::EMSGSIZE);
    }
    input.extend_from_slice(data);
    Ok(data.len())
}
