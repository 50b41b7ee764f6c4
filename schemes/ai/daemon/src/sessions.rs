//! The numbered sessions: conversations that outlive a handle and are reached by path.
//!
//! A session belongs to the user who made it; others do not see it. Nobody has to close one: past the limit of a user,
//! the one that was idle longest and is not saved goes. Saved sessions are files of the state folder and come back when
//! the daemon starts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ai_api::{Settings, transcript};
use scheme_server::{Caller, Errno};

use crate::conversation::Conversation;
use crate::failure::Failure;
use crate::limits;

/// One session.
pub(crate) struct Session {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) conversation: Conversation,
    pub(crate) failure: Option<Failure>,
    is_saved: bool,
    used: u64,
}

/// See the module's text.
pub(crate) struct Sessions {
    all: BTreeMap<u64, Session>,
    state: Option<PathBuf>,
    next: u64,
    now: u64,
}

impl Sessions {
    pub(crate) fn new(state: Option<PathBuf>) -> Sessions {
        let mut sessions = Sessions {
            all: BTreeMap::new(),
            state,
            next: 1,
            now: 0,
        };
        if let Some(folder) = sessions.state.clone() {
            for file in fs::read_dir(folder).into_iter().flatten().flatten() {
                // A file that cannot be read back is left where it is, for a person to look at.
                if let Some((number, session)) = restore(&file.path()) {
                    sessions.next = sessions.next.max(number + 1);
                    sessions.all.insert(number, session);
                }
            }
        }
        sessions
    }

    /// Makes a session.
    pub(crate) fn make(&mut self, caller: &Caller) -> Result<u64, Failure> {
        let of_user = self
            .all
            .values()
            .filter(|session| session.uid == caller.uid)
            .count();
        if of_user >= limits::SESSIONS_PER_USER || self.all.len() >= limits::SESSIONS {
            let idle = self.all.iter().filter(|(_, session)| {
                session.uid == caller.uid && !session.is_busy() && !session.is_saved
            });
            let oldest = idle
                .min_by_key(|(_, session)| session.used)
                .map(|(number, _)| *number);
            let number = oldest.ok_or_else(|| {
                Failure::new(Errno::EBUSY, "too many sessions, all busy or saved")
            })?;
            self.all.remove(&number);
        }
        let number = self.next;
        self.next += 1;
        self.now += 1;
        let session = Session {
            uid: caller.uid,
            gid: caller.gid,
            conversation: Conversation::new(Settings::default()),
            failure: None,
            is_saved: false,
            used: self.now,
        };
        self.all.insert(number, session);
        Ok(number)
    }

    /// The numbers that a caller may know of.
    pub(crate) fn numbers(&self, caller: &Caller) -> Vec<u64> {
        let visible = |session: &Session| caller.uid == 0 || session.uid == caller.uid;
        self.all
            .iter()
            .filter(|(_, session)| visible(session))
            .map(|(number, _)| *number)
            .collect()
    }

    pub(crate) fn get(&mut self, number: u64) -> Result<&mut Session, Errno> {
        self.now += 1;
        let session = self.all.get_mut(&number).ok_or(Errno::ENOENT)?;
        session.used = self.now;
        Ok(session)
    }

    /// The session, if this caller may know of it.
    pub(crate) fn owned(&mut self, number: u64, caller: &Caller) -> Result<&mut Session, Errno> {
        let session = self.all.get_mut(&number).ok_or(Errno::ENOENT)?;
        if caller.uid == 0 || session.uid == caller.uid {
            Ok(session)
        } else {
            Err(Errno::ENOENT)
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn close(&mut self, number: u64) -> Result<(), Failure> {
        let session = self.all.remove(&number);
        match (session, &self.state) {
            (Some(session), Some(folder)) if session.is_saved => {
                fs::remove_file(saved_path(folder, number)).map_err(Failure::from)
            }
            _ => Ok(()),
        }
    }

    /// Keeps a session across restarts.
    pub(crate) fn save(&mut self, number: u64) -> Result<(), Failure> {
        let no_folder = || Failure::new(Errno::EROFS, "no state folder is set");
        let folder = self.state.clone().ok_or_else(no_folder)?;
        let session = self
            .all
            .get_mut(&number)
            .ok_or_else(|| Failure::new(Errno::ENOENT, "no such session"))?;
        fs::create_dir_all(&folder)?;
        let conversation = &session.conversation;
        let text = format!(
            "{} {}\n{}\n{}",
            session.uid,
            session.gid,
            conversation.settings.lines(),
            transcript::write(&conversation.transcript())
        );
        // Whole or not at all: written beside, then renamed.
        let (path, beside) = (
            saved_path(&folder, number),
            folder.join(format!("{number}.new")),
        );
        fs::write(&beside, text)?;
        fs::rename(&beside, &path)?;
        session.is_saved = true;
        Ok(())
    }
}

impl Session {
    fn is_busy(&self) -> bool {
        self.conversation
            .reply()
            .is_some_and(|reply| !reply.is_over())
    }
}

fn saved_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.session"))
}

/// Reads a saved session: a line with the owner, the ctl lines, an empty line, the transcript.
fn restore(path: &Path) -> Option<(u64, Session)> {
    let number = path
        .file_name()?
        .to_str()?
        .strip_suffix(".session")?
        .parse()
        .ok()?;
    let text = fs::read_to_string(path).ok()?;
    let (owner, rest) = text.split_once('\n')?;
    let (uid, gid) = owner.split_once(' ')?;
    let (lines, messages) = rest
        .split_once("\n\n")
        .or_else(|| rest.strip_prefix('\n').map(|rest| ("", rest)))?;
    let mut settings = Settings::default();
    for line in lines.lines() {
        settings.line(line).ok()?;
    }
    let mut conversation = Conversation::new(settings);
    conversation.load(transcript::read(messages).ok()?);
    let session = Session {
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        conversation,
        failure: None,
        is_saved: true,
        used: 0,
    };
    Some((number, session))
}
