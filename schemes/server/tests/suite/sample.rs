//! The service that the suite talks to: one of everything that the kit offers.

use std::collections::BTreeMap;

use scheme_server::*;

/// `hello` (read only), `secret` (mode 0600 of user 7), `upper` (stream: write text, read it in capitals; waits
/// while there is none), `bell` (writing wakes `upper` readers with an end), `submit` (what was written appears in
/// `submitted` at flush), `notes/` (files that can be made, renamed, removed).
#[derive(Default)]
pub(crate) struct Sample {
    wake: Option<Wake>,
    waiting: Vec<HandleId>,
    rung: bool,
    submitted: String,
    notes: BTreeMap<String, Vec<u8>>,
    dirs: Vec<String>,
    /// Handles that are open now, to see that none leaks.
    pub(crate) open: usize,
}

pub(crate) enum Handle {
    Text(Vec<u8>),
    Upper { id: HandleId, text: Vec<u8> },
    Bell,
    Submit(Vec<u8>),
    Note(String),
}

impl Service for Sample {
    type Handle = Handle;

    fn start(&mut self, wake: Wake) {
        self.wake = Some(wake);
        self.dirs.push("notes".to_owned());
    }

    fn stat(&mut self, _: &Caller, path: &str) -> Result<Stat> {
        Ok(match path {
            "" => Stat::dir(0o555),
            "hello" => Stat::file(0o444, 13),
            "secret" => Stat::file(0o600, 0).owned_by(7, 7),
            "upper" => Stat::file(0o666, 0),
            "bell" | "submit" => Stat::file(0o222, 0),
            "submitted" => Stat::file(0o444, self.submitted.len() as u64),
            path if self.dirs.iter().any(|dir| dir == path) => Stat::dir(0o777),
            path => Stat::file(
                0o666,
                self.notes.get(path).ok_or(Errno::ENOENT)?.len() as u64,
            ),
        })
    }

    fn list(&mut self, _: &Caller, path: &str) -> Result<Vec<Entry>> {
        if path.is_empty() {
            let files = ["bell", "hello", "secret", "submit", "submitted", "upper"];
            let mut entries: Vec<_> = files.into_iter().map(Entry::file).collect();
            entries.push(Entry::dir("notes"));
            return Ok(entries);
        }
        let inside = |name: &String| {
            let rest = name.strip_prefix(path)?.strip_prefix('/')?;
            (!rest.contains('/')).then(|| rest.to_owned())
        };
        let files = self.notes.keys().filter_map(inside).map(Entry::file);
        Ok(files
            .chain(self.dirs.iter().filter_map(inside).map(Entry::dir))
            .collect())
    }

    fn open(
        &mut self,
        _: &Caller,
        path: &str,
        how: OpenFlags,
        id: HandleId,
    ) -> Result<Opened<Handle>> {
        self.open += 1;
        Ok(match path {
            "hello" => Opened::positioned(Handle::Text(b"hello, world\n".to_vec())),
            "submitted" => Opened::positioned(Handle::Text(self.submitted.clone().into_bytes())),
            "secret" => Opened::positioned(Handle::Text(Vec::new())),
            "upper" => Opened::stream(Handle::Upper {
                id,
                text: Vec::new(),
            }),
            "bell" => Opened::stream(Handle::Bell),
            "submit" => Opened::stream(Handle::Submit(Vec::new())),
            path if path.starts_with("notes/") => {
                if how.create {
                    self.notes.entry(path.to_owned()).or_default();
                }
                Opened::positioned(Handle::Note(path.to_owned()))
            }
            _ => {
                self.open -= 1;
                return Err(Errno::ENOENT);
            }
        })
    }

    fn read(&mut self, handle: &mut Handle, at: u64, buf: &mut [u8]) -> Result<Step<usize>> {
        match handle {
            Handle::Text(text) => Ok(Step::Done(copy_from(text, at, buf))),
            Handle::Note(name) => Ok(Step::Done(copy_from(
                self.notes.get(name).ok_or(Errno::ENOENT)?,
                at,
                buf,
            ))),
            Handle::Upper { text, .. } if !text.is_empty() => {
                let count = copy_from(text, 0, buf);
                text.drain(..count);
                Ok(Step::Done(count))
            }
            Handle::Upper { .. } if self.rung => Ok(Step::Done(0)),
            Handle::Upper { id, .. } => {
                self.waiting.push(*id);
                Ok(Step::Wait)
            }
            _ => Err(Errno::EBADF),
        }
    }

    fn write(&mut self, handle: &mut Handle, at: u64, data: &[u8]) -> Result<Step<usize>> {
        match handle {
            Handle::Upper { id, text } => {
                text.extend(data.to_ascii_uppercase());
                self.wake.as_ref().expect("started").handle(*id);
            }
            Handle::Bell => {
                self.rung = true;
                for id in std::mem::take(&mut self.waiting) {
                    self.wake.as_ref().expect("started").handle(id);
                }
            }
            Handle::Submit(text) => text.extend_from_slice(data),
            Handle::Note(name) => {
                let note = self.notes.get_mut(name).ok_or(Errno::ENOENT)?;
                let at = at as usize;
                note.resize(note.len().max(at + data.len()), 0);
                note[at..at + data.len()].copy_from_slice(data);
            }
            Handle::Text(_) => return Err(Errno::EROFS),
        }
        Ok(Step::Done(data.len()))
    }

    fn dup(
        &mut self,
        _: &Caller,
        handle: &mut Handle,
        what: &[u8],
        id: HandleId,
    ) -> Result<Opened<Handle>> {
        match (handle, what) {
            (Handle::Upper { text, .. }, b"fork") => {
                self.open += 1;
                Ok(Opened::stream(Handle::Upper {
                    id,
                    text: text.clone(),
                }))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn flush(&mut self, handle: &mut Handle) -> Result<()> {
        if let Handle::Submit(text) = handle {
            self.submitted
                .push_str(&String::from_utf8(std::mem::take(text)).map_err(|_| Errno::EINVAL)?);
        }
        Ok(())
    }

    fn close(&mut self, _: Handle) {
        self.open -= 1;
    }

    fn ready(&mut self, handle: &mut Handle) -> Ready {
        match handle {
            Handle::Upper { text, .. } => Ready {
                read: !text.is_empty() || self.rung,
                write: true,
            },
            _ => Ready::BOTH,
        }
    }

    fn truncate(&mut self, _: &Caller, path: &str, length: u64) -> Result<()> {
        if let Some(note) = self.notes.get_mut(path) {
            note.resize(
                usize::try_from(length)
                    .map_err(|_| Errno::EFBIG)?
                    .min(1 << 20),
                0,
            );
        }
        Ok(())
    }

    fn make_dir(&mut self, _: &Caller, path: &str) -> Result<()> {
        if !path.starts_with("notes/") {
            return Err(Errno::EPERM);
        }
        if self.dirs.iter().any(|dir| dir == path) {
            return Err(Errno::EEXIST);
        }
        self.dirs.push(path.to_owned());
        Ok(())
    }

    fn remove_dir(&mut self, caller: &Caller, path: &str) -> Result<()> {
        if !self.list(caller, path)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        let before = self.dirs.len();
        self.dirs.retain(|dir| dir != path);
        if self.dirs.len() < before {
            Ok(())
        } else {
            Err(Errno::ENOENT)
        }
    }

    fn unlink(&mut self, _: &Caller, path: &str) -> Result<()> {
        self.notes.remove(path).map(drop).ok_or(Errno::ENOENT)
    }

    fn rename(&mut self, _: &Caller, from: &str, to: &str) -> Result<()> {
        let note = self.notes.remove(from).ok_or(Errno::ENOENT)?;
        self.notes.insert(to.to_owned(), note);
        Ok(())
    }
}
