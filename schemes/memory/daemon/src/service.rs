//! The scheme as files: paths to the hub's functions.
//!
//! Control files are not listed, so that `cp -r` and `rm -r` of a collection work on its documents alone. A document is
//! stored when its file is closed or synced, as a whole; a writer that fails before has stored nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use memory_api::route::Control;
use memory_api::{Route, encode_name};
use scheme_server::{
    Caller, Entry, Errno, HandleId, OpenFlags, Opened, Ready, Result, Service, Stat, Step, Wake,
    copy_from,
};

use crate::documents::has_folder;
use crate::embed::Embedder;
use crate::error::Error;
use crate::handles::{Asked, File, Handle, Question, Target, Whole};
use crate::hub::{Hub, Open, SYSTEM};
use crate::worker::{self, Shared};

/// Largest text written to a control file (EFBIG).
const CONTROL_BYTES: usize = 256 << 20;
/// A path that was cut to nothing is stored so unless a writer comes within this time.
const TRUNCATED_MS: u64 = 1000;

/// The service.
pub struct MemoryService {
    pub(crate) shared: Arc<Shared>,
    embedder: Option<Box<dyn Embedder>>,
    thread: Option<JoinHandle<()>>,
    /// Documents cut to nothing whose writer has not opened them yet: uid, collection, path; and since when.
    truncated: BTreeMap<DocumentKey, u64>,
    /// Documents that are open for writing.
    writers: BTreeMap<DocumentKey, Writers>,
}

/// The handles that write a document.
#[derive(Default)]
struct Writers {
    handles: usize,
    /// Whether the document is written for the first time: it is there for `stat` then.
    fresh: bool,
    /// How often it was cut to nothing while open: handles that saw fewer cuts drop what they hold.
    cuts: u64,
}

/// A user's document: uid, collection, path.
type DocumentKey = (u32, String, String);

impl MemoryService {
    /// A service over a hub; `embedder` makes the vectors of models other than the hashing one.
    pub fn new(hub: Hub, embedder: Box<dyn Embedder>) -> Self {
        let (shared, truncated) = (Shared::new(hub), BTreeMap::new());
        Self {
            shared,
            embedder: Some(embedder),
            thread: None,
            truncated,
            writers: BTreeMap::new(),
        }
    }

    /// What the worker shares with the service.
    pub fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    fn settle_truncated(&mut self) {
        if self.truncated.is_empty() {
            return;
        }
        let mut hub = self.shared.hub();
        let now = hub.now();
        self.truncated.retain(|(uid, name, path), since| {
            let wait = now.saturating_sub(*since) < TRUNCATED_MS;
            if !wait {
                let _ = hub.put(*uid, name, path, &[]);
            }
            wait
        });
    }

    fn stat_document(
        &self,
        hub: &mut Hub,
        caller: &Caller,
        name: &str,
        path: &str,
    ) -> Result<Stat> {
        let open = hub.get(caller.uid, name).map_err(|error| error.errno())?;
        let (owner, closed) = owner_of(open, caller);
        let store = open.store().map_err(|error| error.errno())?;
        if let Some(document) = store.state.visible(path) {
            let cut = self
                .truncated
                .contains_key(&(caller.uid, name.to_owned(), path.to_owned()));
            let bytes = document.current().map_or(0, |version| version.bytes);
            let mode = if closed { 0o444 } else { 0o644 };
            let stat = Stat::file(mode, if cut { 0 } else { bytes });
            return Ok(stat
                .owned_by(owner.uid, owner.gid)
                .modified(document.time() / 1000));
        }
        if has_folder(open, path).map_err(|error| error.errno())? {
            return Ok(Stat::dir(0o755).owned_by(owner.uid, owner.gid));
        }
        let key = (caller.uid, name.to_owned(), path.to_owned());
        if self.writers.get(&key).is_some_and(|writers| writers.fresh) {
            return Ok(Stat::file(0o644, 0).owned_by(owner.uid, owner.gid));
        }
        Err(Errno::ENOENT)
    }

    fn text_of(&self, caller: &Caller, route: &Route) -> crate::error::Result<Vec<u8>> {
        let mut hub = self.shared.hub();
        let uid = caller.uid;
        let text = match route {
            Route::Status => hub.status(uid)?,
            Route::Metrics => hub.metrics(uid),
            Route::Control(name, control) => {
                let open = hub.get(uid, name)?;
                match control {
                    Control::Ctl => open.store()?.state.options().to_string(),
                    Control::History => open.history()?,
                    Control::Export => open.export()?,
                    Control::Check => open.checked.clone(),
                    Control::Undo | Control::Import => String::new(),
                }
            }
            Route::Meta(name, path) => {
                let store = hub.get(uid, name)?.store()?;
                let document = store.state.visible(path).ok_or(Errno::ENOENT)?;
                document
                    .metadata
                    .last()
                    .map(|(_, text)| text.clone())
                    .unwrap_or_default()
            }
            Route::Document(name, path) | Route::BestDocument(name, path) => {
                return hub.get(uid, name)?.content(path);
            }
            _ => return Err(Errno::EISDIR.into()),
        };
        Ok(text.into_bytes())
    }

    /// Drops what a handle holds if its document was cut to nothing since.
    fn notice_cut(&self, uid: u32, whole: &mut Whole) {
        let Target::Document(name, path) = &whole.target else {
            return;
        };
        let key = (uid, name.clone(), path.clone());
        let cuts = self
            .writers
            .get(&key)
            .map_or(whole.cuts, |writers| writers.cuts);
        if cuts > whole.cuts {
            whole.cuts = cuts;
            whole.bytes.clear();
            whole.changed = true;
        }
    }

    fn commit(&mut self, handle: &mut Handle) -> Result<()> {
        let uid = handle.uid;
        if let File::Whole(whole) = &mut handle.file {
            self.notice_cut(uid, whole);
        }
        let File::Whole(whole) = &mut handle.file else {
            return Ok(());
        };
        if !whole.changed {
            return Ok(());
        }
        let result = store_whole(&mut self.shared.hub(), uid, whole);
        whole.changed = false;
        if !matches!(whole.target, Target::Document(..)) {
            whole.bytes.clear();
        }
        self.shared.work();
        result.map_err(|error| {
            handle.error = error.to_string();
            error.errno()
        })
    }
}

fn store_whole(hub: &mut Hub, uid: u32, whole: &Whole) -> crate::error::Result<()> {
    let text = || std::str::from_utf8(&whole.bytes).map_err(|_| Error::Errno(Errno::EPROTO));
    let now = hub.now();
    match &whole.target {
        Target::Document(name, path) => hub.put(uid, name, path, &whole.bytes),
        Target::Meta(name, path) => hub.set_metadata(uid, name, path, text()?),
        Target::Control(name, control) => {
            let open = hub.writable(uid, name)?;
            match control {
                Control::Ctl => open.control(now, text()?),
                Control::Undo => open.undo(now, text()?),
                Control::Import => open.import(now, text()?),
                Control::History | Control::Export | Control::Check => Err(Errno::EACCES.into()),
            }
        }
    }
}

/// Who a collection's files belong to, and whether the caller may not change them.
fn owner_of(open: &mut Open, caller: &Caller) -> (Caller, bool) {
    let read_only = open
        .store()
        .is_ok_and(|store| store.state.options().read_only);
    if open.place.name == SYSTEM {
        (Caller::SYSTEM, caller.uid != 0)
    } else {
        (*caller, read_only && caller.uid != 0)
    }
}

/// Names directly below a folder, folders marked.
fn children(open: &mut Open, folder: &str) -> Result<Vec<Entry>> {
    let prefix = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    let made: Vec<String> = open
        .folders
        .iter()
        .filter_map(|f| f.strip_prefix(&prefix))
        .map(str::to_owned)
        .collect();
    let store = open.store().map_err(|error| error.errno())?;
    let mut names: BTreeMap<String, bool> = BTreeMap::new();
    let mut add = |rest: &str, is_dir: bool| match rest.split_once('/') {
        Some((first, _)) => {
            names.insert(first.to_owned(), true);
        }
        None if !rest.is_empty() => {
            names.insert(rest.to_owned(), is_dir);
        }
        None => {}
    };
    store
        .state
        .under(&prefix)
        .for_each(|document| add(&document.path[prefix.len()..], false));
    made.iter().for_each(|folder| add(folder, true));
    let entry = |(name, is_dir)| {
        if is_dir {
            Entry::dir(name)
        } else {
            Entry::file(name)
        }
    };
    Ok(names.into_iter().map(entry).collect())
}

impl Service for MemoryService {
    type Handle = Handle;

    fn start(&mut self, wake: Wake) {
        let Some(mut embedder) = self.embedder.take() else {
            return;
        };
        let shared = self.shared.clone();
        self.thread = Some(std::thread::spawn(move || {
            worker::run(&shared, embedder.as_mut(), &wake)
        }));
    }

    fn stat(&mut self, caller: &Caller, path: &str) -> Result<Stat> {
        self.settle_truncated();
        let route = Route::parse(path).ok_or(Errno::ENOENT)?;
        let mut hub = self.shared.hub();
        let mine = |stat: Stat| stat.owned_by(caller.uid, caller.gid);
        match &route {
            Route::Root => Ok(mine(Stat::dir(0o755))),
            Route::Status | Route::Metrics => Ok(Stat::file(0o444, 0)),
            Route::Context => Ok(Stat::file(0o666, 0)),
            Route::Kernel(_) => Err(Errno::ENOENT),
            Route::Collection(name) | Route::Best(name, _) => {
                if !hub.exists(caller.uid, name) {
                    return Err(Errno::ENOENT);
                }
                let shared = name == SYSTEM;
                Ok(if shared {
                    Stat::dir(0o755)
                } else {
                    mine(Stat::dir(0o755))
                })
            }
            Route::Document(name, path) | Route::BestDocument(name, path) => {
                self.stat_document(&mut hub, caller, name, path)
            }
            Route::Meta(name, path) if path.is_empty() => {
                hub.get(caller.uid, name).map_err(|error| error.errno())?;
                Ok(mine(Stat::dir(0o755)))
            }
            Route::Meta(name, path) => {
                let stat = self.stat_document(&mut hub, caller, name, path)?;
                Ok(Stat { size: 0, ..stat })
            }
            Route::Search(name, _) | Route::Control(name, _) => {
                hub.get(caller.uid, name).map_err(|error| error.errno())?;
                let mode = match &route {
                    Route::Control(_, Control::History | Control::Export | Control::Check) => 0o444,
                    Route::Control(..) => 0o644,
                    _ => 0o666,
                };
                Ok(mine(Stat::file(mode, 0)))
            }
        }
    }

    fn list(&mut self, caller: &Caller, path: &str) -> Result<Vec<Entry>> {
        self.settle_truncated();
        let mut hub = self.shared.hub();
        let fail = |error: Error| error.errno();
        match Route::parse(path).ok_or(Errno::ENOENT)? {
            Route::Root => {
                let names = hub.names(caller.uid).map_err(fail)?;
                let files = ["context", "metrics", "status"].map(Entry::file);
                Ok(names.into_iter().map(Entry::dir).chain(files).collect())
            }
            Route::Collection(name) | Route::Meta(name, _) if !path.contains(".meta/") => {
                children(hub.get(caller.uid, &name).map_err(fail)?, "")
            }
            Route::Document(name, folder) | Route::Meta(name, folder) => {
                children(hub.get(caller.uid, &name).map_err(fail)?, &folder)
            }
            Route::Best(name, options) => {
                let vectors = self.vectors_at_once(&mut hub, caller.uid, &name, &options.question);
                let paths = hub
                    .best(caller.uid, &name, &options, &vectors)
                    .map_err(fail)?;
                Ok(paths
                    .iter()
                    .map(|path| Entry::file(flat_name(path)))
                    .collect())
            }
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn open(
        &mut self,
        caller: &Caller,
        path: &str,
        how: OpenFlags,
        id: HandleId,
    ) -> Result<Opened<Handle>> {
        self.settle_truncated();
        let route = Route::parse(path).ok_or(Errno::EINVAL)?;
        let uid = caller.uid;
        let handle = |file| Handle {
            uid,
            id,
            file,
            error: String::new(),
        };
        let target = match &route {
            Route::Search(name, options) => {
                let asked = Asked::Collection(name.clone(), options.clone());
                return Ok(Opened::stream(handle(File::Question(Question::new(asked)))));
            }
            Route::Context => {
                return Ok(Opened::stream(handle(File::Question(Question::new(
                    Asked::Context,
                )))));
            }
            Route::Document(name, path) => Target::Document(name.clone(), path.clone()),
            Route::Meta(name, path) => Target::Meta(name.clone(), path.clone()),
            Route::Control(name, control) => Target::Control(name.clone(), *control),
            _ => {
                let text = self
                    .text_of(caller, &route)
                    .map_err(|error| error.errno())?;
                return Ok(Opened::positioned(handle(File::Text(text))));
            }
        };
        let mut whole = Whole {
            target,
            bytes: Vec::new(),
            changed: false,
            cuts: 0,
            append: how.append,
        };
        if how.write {
            self.begin_write(caller, how, &mut whole)?;
        }
        let is_control = matches!(whole.target, Target::Control(..));
        let wants_old = how.read
            || (how.append && !is_control)
            || (!how.truncate && !whole.changed && !is_control);
        if wants_old && !whole.changed && !how.truncate {
            match self.text_of(caller, &route) {
                Ok(bytes) => whole.bytes = bytes,
                Err(error) if error.errno() == Errno::ENOENT && how.create => {}
                Err(error) => return Err(error.errno()),
            }
        }
        if !how.write {
            return Ok(Opened::positioned(handle(File::Text(whole.bytes))));
        }
        Ok(Opened::positioned(handle(File::Whole(whole))))
    }

    fn read(&mut self, handle: &mut Handle, at: u64, buf: &mut [u8]) -> Result<Step<usize>> {
        let (uid, id) = (handle.uid, handle.id);
        match &mut handle.file {
            File::Text(bytes) => Ok(Step::Done(copy_from(bytes, at, buf))),
            File::Whole(whole) => Ok(Step::Done(copy_from(&whole.bytes, at, buf))),
            File::Question(question) => self.answer(uid, id, question, buf).map_err(|error| {
                handle.error = error.to_string();
                error.errno()
            }),
        }
    }

    fn write(&mut self, handle: &mut Handle, at: u64, data: &[u8]) -> Result<Step<usize>> {
        if let File::Whole(whole) = &mut handle.file {
            self.notice_cut(handle.uid, whole);
        }
        match &mut handle.file {
            File::Text(_) => Err(Errno::EBADF),
            File::Question(question) => {
                if question.reply.take().is_some() {
                    question.text.clear();
                }
                question.awaited.clear();
                question.context = None;
                question.vectors.clear();
                if question.text.len() + data.len() > memory_engine::limits::QUERY_BYTES {
                    question.text.clear();
                    return Err(Errno::EMSGSIZE);
                }
                question.text.extend_from_slice(data);
                Ok(Step::Done(data.len()))
            }
            File::Whole(whole) => {
                let at = if whole.append {
                    whole.bytes.len() as u64
                } else {
                    at
                };
                let limit = match whole.target {
                    Target::Document(..) => memory_engine::limits::DOCUMENT_BYTES,
                    Target::Meta(..) => memory_engine::limits::METADATA_BYTES,
                    Target::Control(..) => CONTROL_BYTES,
                };
                let end = at
                    .checked_add(data.len() as u64)
                    .filter(|end| *end <= limit as u64);
                let end = end.ok_or(Errno::EFBIG)? as usize;
                if whole.bytes.len() < end {
                    whole.bytes.resize(end, 0);
                }
                whole.bytes[at as usize..end].copy_from_slice(data);
                whole.changed = true;
                Ok(Step::Done(data.len()))
            }
        }
    }

    fn dup(
        &mut self,
        caller: &Caller,
        handle: &mut Handle,
        what: &[u8],
        id: HandleId,
    ) -> Result<Opened<Handle>> {
        if what != b"error" {
            return Err(Errno::EINVAL);
        }
        let file = File::Text(handle.error.clone().into_bytes());
        Ok(Opened::positioned(Handle {
            uid: caller.uid,
            id,
            file,
            error: String::new(),
        }))
    }

    fn stat_handle(&mut self, caller: &Caller, handle: &mut Handle, path: &str) -> Result<Stat> {
        let size = match &handle.file {
            File::Text(bytes) => bytes.len() as u64,
            File::Whole(whole) => whole.bytes.len() as u64,
            File::Question(_) => 0,
        };
        match self.stat(caller, path) {
            Ok(stat) => Ok(Stat { size, ..stat }),
            // A document that is being written for the first time.
            Err(Errno::ENOENT) => Ok(Stat::file(0o644, size).owned_by(caller.uid, caller.gid)),
            Err(errno) => Err(errno),
        }
    }

    fn sync(&mut self, handle: &mut Handle) -> Result<Step<()>> {
        self.commit(handle).map(Step::Done)
    }

    fn flush(&mut self, handle: &mut Handle) -> Result<()> {
        self.commit(handle)
    }

    fn close(&mut self, mut handle: Handle) {
        // Only what flush did not do (and could not report) is left.
        let _ = self.commit(&mut handle);
        if let File::Whole(Whole {
            target: Target::Document(name, path),
            ..
        }) = handle.file
        {
            let key = (handle.uid, name, path);
            match self.writers.get_mut(&key) {
                Some(writers) if writers.handles > 1 => writers.handles -= 1,
                _ => drop(self.writers.remove(&key)),
            }
        }
    }

    fn ready(&mut self, handle: &mut Handle) -> Ready {
        let File::Question(question) = &handle.file else {
            return Ready::BOTH;
        };
        let missing = question.awaited.iter().any(|(_, answer)| {
            answer
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .is_none()
        });
        Ready {
            read: !missing,
            write: true,
        }
    }

    fn truncate(&mut self, caller: &Caller, path: &str, length: u64) -> Result<()> {
        self.settle_truncated();
        match Route::parse(path).ok_or(Errno::EINVAL)? {
            Route::Document(name, path) if length == 0 => {
                let mut hub = self.shared.hub();
                let now = hub.now();
                hub.writable(caller.uid, &name)
                    .map_err(|error| error.errno())?;
                let key = (caller.uid, name, path);
                match self.writers.get_mut(&key) {
                    Some(writers) => writers.cuts += 1,
                    None => drop(self.truncated.insert(key, now)),
                }
                Ok(())
            }
            Route::Meta(..) | Route::Control(..) if length == 0 => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn make_dir(&mut self, caller: &Caller, path: &str) -> Result<()> {
        let mut hub = self.shared.hub();
        match Route::parse(path).ok_or(Errno::EINVAL)? {
            Route::Collection(name) => hub.make(caller.uid, &name).map_err(|error| error.errno()),
            Route::Document(name, folder) => {
                let make = || {
                    memory_engine::path::check(&folder)?;
                    let open = hub.writable(caller.uid, &name)?;
                    if open.store()?.state.visible(&folder).is_some() || has_folder(open, &folder)?
                    {
                        return Err(Error::Errno(Errno::EEXIST));
                    }
                    open.folders.insert(folder);
                    Ok(())
                };
                make().map_err(|error: Error| error.errno())
            }
            _ => Err(Errno::EEXIST),
        }
    }

    fn remove_dir(&mut self, caller: &Caller, path: &str) -> Result<()> {
        let mut hub = self.shared.hub();
        match Route::parse(path).ok_or(Errno::EINVAL)? {
            Route::Collection(name) => hub.remove(caller.uid, &name).map_err(|error| error.errno()),
            Route::Document(name, folder) => {
                let open = hub
                    .writable(caller.uid, &name)
                    .map_err(|error| error.errno())?;
                if !children(open, &folder)?.is_empty() {
                    return Err(Errno::ENOTEMPTY);
                }
                // A folder of documents is gone with the last of them.
                open.folders.remove(&folder);
                Ok(())
            }
            _ => Err(Errno::EPERM),
        }
    }

    fn unlink(&mut self, caller: &Caller, path: &str) -> Result<()> {
        let Some(Route::Document(name, path)) = Route::parse(path) else {
            return Err(Errno::EPERM);
        };
        self.truncated
            .remove(&(caller.uid, name.clone(), path.clone()));
        let result = self.shared.hub().forget(caller.uid, &name, &path);
        self.shared.work();
        result.map_err(|error| error.errno())
    }

    fn rename(&mut self, caller: &Caller, from: &str, to: &str) -> Result<()> {
        let (Some(Route::Document(name, from)), Some(Route::Document(to_name, to))) =
            (Route::parse(from), Route::parse(to))
        else {
            return Err(Errno::EPERM);
        };
        if name != to_name {
            return Err(Errno::EXDEV);
        }
        self.shared
            .hub()
            .rename(caller.uid, &name, &from, &to)
            .map_err(|error| error.errno())
    }

    fn foreign(&mut self, _: &Caller, path: &str) -> Option<String> {
        if !cfg!(target_os = "redox") {
            return None;
        }
        match Route::parse(path) {
            // In the daemon's own namespace the name is still the kernel's.
            Some(Route::Kernel(path)) => Some(format!("/scheme/memory/{path}")),
            _ => None,
        }
    }
}

impl MemoryService {
    fn begin_write(&mut self, caller: &Caller, how: OpenFlags, whole: &mut Whole) -> Result<()> {
        let mut hub = self.shared.hub();
        let (Target::Document(name, path) | Target::Meta(name, path)) = &whole.target else {
            let Target::Control(name, _) = &whole.target else {
                return Ok(());
            };
            hub.writable(caller.uid, name)
                .map_err(|error| error.errno())?;
            return Ok(());
        };
        let open = hub
            .writable(caller.uid, name)
            .map_err(|error| error.errno())?;
        let store = open.store().map_err(|error| error.errno())?;
        let exists = store.state.visible(path).is_some();
        if matches!(whole.target, Target::Meta(..)) {
            return if exists { Ok(()) } else { Err(Errno::ENOENT) };
        }
        memory_engine::path::check(path).map_err(|error| Error::from(error).errno())?;
        if !exists && !how.create {
            return Err(Errno::ENOENT);
        }
        let key = (caller.uid, name.clone(), path.clone());
        let cut = self.truncated.remove(&key).is_some();
        whole.changed = cut || how.truncate || !exists;
        let writers = self.writers.entry(key).or_default();
        writers.handles += 1;
        writers.fresh |= !exists;
        whole.cuts = writers.cuts;
        Ok(())
    }
}

impl Drop for MemoryService {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// A document's path as one name, for the directory of best documents.
fn flat_name(path: &str) -> String {
    if path.contains('/') || path.contains('%') {
        encode_name(path)
    } else {
        path.to_owned()
    }
}
