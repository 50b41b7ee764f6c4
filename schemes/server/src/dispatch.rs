//! The machine between transports and a service: handle table, permission checks, parked requests, cancellation.
//!
//! A transport turns what it hears into a [`Request`] with a tag of its choice and gets [`Output`]s: exactly one
//! reply per tag, now or later, and readiness events for handles that were asked about. No I/O, no threads, no
//! clock here.
//!
//! Invariants: a handle id is never used twice; a parked request belongs to an open handle; every tag is answered
//! exactly once, also when its handle closes or the request is cancelled.

use std::collections::BTreeMap;

use crate::service::{Opened, Service, Step, Wake};
use crate::types::{Caller, Entry, HandleId, Kind, OpenFlags, Ready, Stat};
use crate::{Errno, Result, limits, path};

/// Names a request between a transport and the dispatcher; the transport chooses it.
pub type Tag = u64;

/// What a client can ask.
#[expect(missing_docs, reason = "the text of a variant covers its fields")]
#[derive(Debug)]
pub enum Request {
    /// Open `path`, below an open directory or the root.
    Open {
        dir: Option<HandleId>,
        path: String,
        how: OpenFlags,
    },
    /// A second handle of the kind that `what` names.
    Dup { handle: HandleId, what: Vec<u8> },
    /// Read up to `len` bytes.
    Read {
        handle: HandleId,
        at: u64,
        len: usize,
    },
    /// Write.
    Write {
        handle: HandleId,
        at: u64,
        data: Vec<u8>,
    },
    /// fsync.
    Sync { handle: HandleId },
    /// A descriptor was closed, the handle may live on.
    Flush { handle: HandleId },
    /// Stat of a handle.
    Stat { handle: HandleId },
    /// Stat of a path.
    StatPath { path: String },
    /// The entries of an open directory.
    List { handle: HandleId },
    /// Where a handle was opened.
    Path { handle: HandleId },
    /// What of `want` is ready now; a later change of it is reported as [`Output::Event`].
    Poll { handle: HandleId, want: Ready },
    /// Set a length, by handle or path.
    Truncate {
        handle: Option<HandleId>,
        path: String,
        length: u64,
    },
    /// mkdir.
    MakeDir { dir: Option<HandleId>, path: String },
    /// rmdir or unlink.
    Remove {
        dir: Option<HandleId>,
        path: String,
        kind: Kind,
    },
    /// rename.
    Rename { from: String, to: String },
}

/// A successful answer; which one follows from the request.
#[expect(missing_docs, reason = "the text of a variant covers its fields")]
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Open` and `Dup`.
    Opened { handle: HandleId, positioned: bool },
    /// To `Open`: the caller is to get a descriptor of this path of another scheme.
    Foreign(String),
    /// To `Read`.
    Data(Vec<u8>),
    /// To `Write`.
    Count(usize),
    /// To `Stat` and `StatPath`.
    Stat(Stat),
    /// To `List`.
    Entries(Vec<Entry>),
    /// To `Path`.
    Path(String),
    /// To `Poll`.
    Ready(Ready),
    /// To all others.
    Done,
}

/// What the dispatcher has to say to its transport.
#[expect(missing_docs, reason = "the text of a variant covers its fields")]
#[derive(Debug)]
pub enum Output {
    /// The one answer to a request.
    Reply { tag: Tag, result: Result<Reply> },
    /// Something that `Poll` asked for became ready.
    Event { handle: HandleId, ready: Ready },
}

/// The machine. See the module's text.
pub struct Dispatcher<S: Service> {
    service: S,
    wake: Wake,
    handles: BTreeMap<HandleId, Handle<S::Handle>>,
    parked: BTreeMap<HandleId, Vec<Parked>>,
    next_id: HandleId,
}

struct Handle<H> {
    path: String,
    caller: Caller,
    how: OpenFlags,
    watched: Ready,
    node: Node<H>,
}

enum Node<H> {
    StatOnly,
    Dir(Option<Vec<Entry>>),
    File(H),
}

struct Parked {
    tag: Tag,
    caller: Caller,
    work: Work,
}

/// A request that may wait.
enum Work {
    Read { at: u64, buf: Vec<u8> },
    Write { at: u64, data: Vec<u8> },
    Sync,
}

impl<S: Service> Dispatcher<S> {
    /// Takes over a service and starts it.
    pub fn new(mut service: S) -> Self {
        let wake = Wake::new();
        service.start(wake.clone());
        Dispatcher {
            service,
            wake,
            handles: BTreeMap::new(),
            parked: BTreeMap::new(),
            next_id: 1,
        }
    }

    /// The mailbox of news, for the host's own thread.
    pub fn wake(&self) -> Wake {
        self.wake.clone()
    }

    /// The service itself, for what lies outside the scheme (tests, a daemon's own timer).
    pub fn service(&mut self) -> &mut S {
        &mut self.service
    }

    /// Takes one request. `nonblock` is the caller's flag of this very call; that of the open counts as well.
    pub fn submit(
        &mut self,
        tag: Tag,
        caller: Caller,
        nonblock: bool,
        request: Request,
        out: &mut Vec<Output>,
    ) {
        let (handle, work) = match request {
            Request::Read { handle, at, len } => (
                handle,
                Work::Read {
                    at,
                    buf: vec![0; len.min(limits::TRANSFER_BYTES)],
                },
            ),
            Request::Write {
                handle,
                at,
                mut data,
            } => {
                data.truncate(limits::TRANSFER_BYTES);
                (handle, Work::Write { at, data })
            }
            Request::Sync { handle } => (handle, Work::Sync),
            request => {
                let result = self.answer(&caller, request);
                out.push(Output::Reply { tag, result });
                return self.settle(out);
            }
        };
        self.attempt(handle, Parked { tag, caller, work }, nonblock, out);
        self.settle(out);
    }

    /// Gives up a request that is still waiting; one that was answered already is left alone.
    pub fn cancel(&mut self, tag: Tag, out: &mut Vec<Output>) {
        for list in self.parked.values_mut() {
            if let Some(at) = list.iter().position(|parked| parked.tag == tag) {
                list.remove(at);
                out.push(Output::Reply {
                    tag,
                    result: Err(Errno::ECANCELED),
                });
            }
        }
        self.parked.retain(|_, list| !list.is_empty());
    }

    /// The last descriptor of a handle is gone.
    pub fn close(&mut self, id: HandleId, out: &mut Vec<Output>) {
        for parked in self.parked.remove(&id).unwrap_or_default() {
            out.push(Output::Reply {
                tag: parked.tag,
                result: Err(Errno::ECANCELED),
            });
        }
        if let Some(Handle {
            node: Node::File(handle),
            ..
        }) = self.handles.remove(&id)
        {
            self.service.close(handle);
        }
        self.settle(out);
    }

    /// Acts on the news in the mailbox: tries parked requests again, reports readiness.
    pub fn settle(&mut self, out: &mut Vec<Output>) {
        loop {
            let news = self.wake.take();
            if news.is_empty() {
                return;
            }
            for id in news {
                for parked in self.parked.remove(&id).unwrap_or_default() {
                    self.attempt(id, parked, false, out);
                }
                self.report(id, out);
            }
        }
    }

    /// The requests that wait, with who made them.
    pub fn waiting(&self) -> impl Iterator<Item = (Tag, Caller)> + '_ {
        self.parked
            .values()
            .flatten()
            .map(|parked| (parked.tag, parked.caller))
    }

    /// Where an open handle was opened.
    pub fn path(&self, id: HandleId) -> Option<&str> {
        self.handles.get(&id).map(|handle| handle.path.as_str())
    }

    fn report(&mut self, id: HandleId, out: &mut Vec<Output>) {
        let Some(handle) = self.handles.get_mut(&id) else {
            return;
        };
        if let (Node::File(file), true) = (&mut handle.node, handle.watched.any()) {
            let ready = self.service.ready(file).and(handle.watched);
            if ready.any() {
                out.push(Output::Event { handle: id, ready });
            }
        }
    }

    fn attempt(
        &mut self,
        id: HandleId,
        mut request: Parked,
        nonblock: bool,
        out: &mut Vec<Output>,
    ) {
        let nonblock = nonblock
            || self
                .handles
                .get(&id)
                .is_some_and(|handle| handle.how.nonblock);
        let result = match self.work(id, &mut request.work) {
            Ok(Step::Done(reply)) => Ok(reply),
            Ok(Step::Wait) if nonblock => Err(Errno::EAGAIN),
            Ok(Step::Wait) => {
                let list = self.parked.entry(id).or_default();
                if list.len() < limits::PARKED_PER_HANDLE {
                    list.push(request);
                    return;
                }
                Err(Errno::EBUSY)
            }
            Err(errno) => Err(errno),
        };
        out.push(Output::Reply {
            tag: request.tag,
            result,
        });
    }

    fn work(&mut self, id: HandleId, work: &mut Work) -> Result<Step<Reply>> {
        let handle = self.handles.get_mut(&id).ok_or(Errno::EBADF)?;
        let file = match &mut handle.node {
            Node::File(file) => file,
            Node::Dir(_) if matches!(work, Work::Sync) => return Ok(Step::Done(Reply::Done)),
            Node::Dir(_) => return Err(Errno::EISDIR),
            Node::StatOnly => return Err(Errno::EBADF),
        };
        Ok(match work {
            Work::Read { .. } if !handle.how.read => return Err(Errno::EBADF),
            Work::Write { .. } if !handle.how.write => return Err(Errno::EBADF),
            Work::Read { at, buf } => match self.service.read(file, *at, buf)? {
                Step::Done(count) => {
                    let mut buf = std::mem::take(buf);
                    buf.truncate(count);
                    Step::Done(Reply::Data(buf))
                }
                Step::Wait => Step::Wait,
            },
            Work::Write { at, data } => match self.service.write(file, *at, data)? {
                Step::Done(count) => Step::Done(Reply::Count(count)),
                Step::Wait => Step::Wait,
            },
            Work::Sync => match self.service.sync(file)? {
                Step::Done(()) => Step::Done(Reply::Done),
                Step::Wait => Step::Wait,
            },
        })
    }

    fn answer(&mut self, caller: &Caller, request: Request) -> Result<Reply> {
        match request {
            Request::Open { dir, path, how } => {
                let path = self.below(dir, &path)?;
                self.open(caller, path, how)
            }
            Request::Dup { handle, what } => self.dup(caller, handle, &what),
            Request::Flush { handle } => match self.node(handle)? {
                Node::File(_) => self.with_file(handle, |service, file| service.flush(file)),
                _ => Ok(()),
            }
            .map(|()| Reply::Done),
            Request::Stat { handle } => self.stat_handle(caller, handle).map(Reply::Stat),
            Request::StatPath { path } => self
                .service
                .stat(caller, &path::normalise(&path)?)
                .map(Reply::Stat),
            Request::List { handle } => self.list(caller, handle).map(Reply::Entries),
            Request::Path { handle } => self
                .handles
                .get(&handle)
                .map(|h| Reply::Path(h.path.clone()))
                .ok_or(Errno::EBADF),
            Request::Poll { handle, want } => self.poll(handle, want).map(Reply::Ready),
            Request::Truncate {
                handle: None,
                path,
                length,
            } => {
                let path = path::normalise(&path)?;
                let how = OpenFlags::WRITE;
                self.service.stat(caller, &path)?.permit(caller, how)?;
                self.service
                    .truncate(caller, &path, length)
                    .map(|()| Reply::Done)
            }
            Request::Truncate {
                handle: Some(id),
                length,
                ..
            } => {
                let handle = self.handles.get(&id).ok_or(Errno::EBADF)?;
                if !handle.how.write {
                    return Err(Errno::EINVAL);
                }
                let path = handle.path.clone();
                self.service
                    .truncate(caller, &path, length)
                    .map(|()| Reply::Done)
            }
            Request::MakeDir { dir, path } => {
                let path = self.below(dir, &path)?;
                self.service.make_dir(caller, &path).map(|()| Reply::Done)
            }
            Request::Remove { dir, path, kind } => {
                let path = self.below(dir, &path)?;
                match kind {
                    Kind::Dir => self.service.remove_dir(caller, &path),
                    Kind::File => self.service.unlink(caller, &path),
                }
                .map(|()| Reply::Done)
            }
            Request::Rename { from, to } => {
                let (from, to) = (path::normalise(&from)?, path::normalise(&to)?);
                self.service
                    .rename(caller, &from, &to)
                    .map(|()| Reply::Done)
            }
            Request::Read { .. } | Request::Write { .. } | Request::Sync { .. } => {
                unreachable!("submit sends these to attempt")
            }
        }
    }

    fn below(&self, dir: Option<HandleId>, path: &str) -> Result<String> {
        let path = path::normalise(path)?;
        let Some(dir) = dir else { return Ok(path) };
        let handle = self.handles.get(&dir).ok_or(Errno::EBADF)?;
        match handle.node {
            Node::Dir(_) | Node::StatOnly => Ok(path::join(&handle.path, &path)),
            Node::File(_) if path.is_empty() => Ok(handle.path.clone()),
            Node::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn open(&mut self, caller: &Caller, path: String, how: OpenFlags) -> Result<Reply> {
        if self.handles.len() >= limits::HANDLES {
            return Err(Errno::EMFILE);
        }
        if let Some(foreign) = self.service.foreign(caller, &path) {
            return Ok(Reply::Foreign(foreign));
        }
        let stat = match self.service.stat(caller, path::split_query(&path).0) {
            Ok(_) if how.create && how.exclusive => return Err(Errno::EEXIST),
            Ok(plain) if path.contains('?') => {
                // A query may turn a directory into another one, or select inside a file; the service may refuse it.
                self.service.stat(caller, &path).map_or(Some(plain), Some)
            }
            Ok(stat) => Some(stat),
            Err(Errno::ENOENT) if how.create && !how.stat_only => None,
            Err(errno) => return Err(errno),
        };
        if let Some(stat) = stat {
            match stat.kind {
                Kind::Dir if how.write => return Err(Errno::EISDIR),
                Kind::File if how.directory => return Err(Errno::ENOTDIR),
                _ if how.stat_only => {}
                _ => stat.permit(caller, how)?,
            }
            let is_dir = stat.kind == Kind::Dir;
            if is_dir || how.stat_only {
                let node = if is_dir {
                    Node::Dir(None)
                } else {
                    Node::StatOnly
                };
                let handle = self.next_id;
                self.insert(Handle {
                    path,
                    caller: *caller,
                    how,
                    watched: Ready::NONE,
                    node,
                });
                return Ok(Reply::Opened {
                    handle,
                    positioned: true,
                });
            }
            if how.truncate && how.write {
                self.service
                    .truncate(caller, path::split_query(&path).0, 0)?;
            }
        }
        let id = self.next_id;
        let opened = self.service.open(caller, &path, how, id)?;
        Ok(self.enter(caller, path, how, opened))
    }

    fn dup(&mut self, caller: &Caller, id: HandleId, what: &[u8]) -> Result<Reply> {
        if what.len() > limits::DUP_BYTES {
            return Err(Errno::EINVAL);
        }
        if self.handles.len() >= limits::HANDLES {
            return Err(Errno::EMFILE);
        }
        let new_id = self.next_id;
        let handle = self.handles.get_mut(&id).ok_or(Errno::EBADF)?;
        let (path, how) = (handle.path.clone(), handle.how);
        match &mut handle.node {
            Node::File(file) => {
                let opened = self.service.dup(caller, file, what, new_id)?;
                let how = OpenFlags { read: true, ..how };
                Ok(self.enter(caller, path, how, opened))
            }
            // Opening the empty path below a directory is how upstream duplicates one.
            _ if what.is_empty() => self.open(caller, path, how),
            _ => Err(Errno::EINVAL),
        }
    }

    fn enter(
        &mut self,
        caller: &Caller,
        path: String,
        how: OpenFlags,
        opened: Opened<S::Handle>,
    ) -> Reply {
        let handle = self.next_id;
        let node = Node::File(opened.handle);
        self.insert(Handle {
            path,
            caller: *caller,
            how,
            watched: Ready::NONE,
            node,
        });
        Reply::Opened {
            handle,
            positioned: opened.positioned,
        }
    }

    fn insert(&mut self, handle: Handle<S::Handle>) {
        self.handles.insert(self.next_id, handle);
        self.next_id += 1;
    }

    fn node(&mut self, id: HandleId) -> Result<&mut Node<S::Handle>> {
        self.handles
            .get_mut(&id)
            .map(|handle| &mut handle.node)
            .ok_or(Errno::EBADF)
    }

    fn with_file<T>(
        &mut self,
        id: HandleId,
        act: impl FnOnce(&mut S, &mut S::Handle) -> Result<T>,
    ) -> Result<T> {
        match self.handles.get_mut(&id).map(|handle| &mut handle.node) {
            Some(Node::File(file)) => act(&mut self.service, file),
            _ => Err(Errno::EBADF),
        }
    }

    fn stat_handle(&mut self, caller: &Caller, id: HandleId) -> Result<Stat> {
        let handle = self.handles.get_mut(&id).ok_or(Errno::EBADF)?;
        // Stat of a descriptor is about what its opener may know, whoever holds it now.
        let caller = if caller.pid == 0 {
            handle.caller
        } else {
            *caller
        };
        match &mut handle.node {
            Node::File(file) => self.service.stat_handle(&caller, file, &handle.path),
            _ => self.service.stat(&caller, &handle.path),
        }
    }

    fn list(&mut self, caller: &Caller, id: HandleId) -> Result<Vec<Entry>> {
        let handle = self.handles.get_mut(&id).ok_or(Errno::EBADF)?;
        match &mut handle.node {
            Node::Dir(Some(entries)) => Ok(entries.clone()),
            Node::Dir(none) => {
                let entries = self.service.list(caller, &handle.path)?;
                *none = Some(entries.clone());
                Ok(entries)
            }
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn poll(&mut self, id: HandleId, want: Ready) -> Result<Ready> {
        let handle = self.handles.get_mut(&id).ok_or(Errno::EBADF)?;
        handle.watched = want;
        match &mut handle.node {
            Node::File(file) => Ok(self.service.ready(file).and(want)),
            _ => Ok(want),
        }
    }
}
