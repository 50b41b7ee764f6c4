//! The FUSE transport (Linux): a scheme as a mounted directory.
//!
//! What differs from Redox, and how it is bridged:
//! * FUSE names files by inode: [`inodes`] keeps a number for every path the kernel remembers.
//! * The `fuser` crate does not pass FUSE_INTERRUPT on, and Linux then waits without end for a killed caller's
//!   request. So the callers of parked requests are looked at every [`limits::CALLER_CHECK_MS`]: one with a fatal
//!   signal pending has its request cancelled.
//! * `dup` with a name has no Linux counterpart; a program on a mount reads `NAME@error` style paths where a scheme
//!   offers them, or goes without.
//!
//! Caching is off (no attribute or entry time, direct I/O): every file here is made as it is read.

mod callers;
mod inodes;
mod replies;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, Config, Errno as FuseErrno, FileHandle, Filesystem, INodeNo,
    LockOwner, MountOption, OpenAccMode, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyPoll, ReplyStatfs, ReplyWrite, TimeOrNow, WriteFlags,
};

use crate::dispatch::{Output, Request, Tag};
use crate::{Caller, HandleId, Host, Kind, OpenFlags, Ready, Service, limits};
use inodes::Inodes;
use replies::Waiting;

/// A mounted scheme; unmounts on drop.
pub struct Mount<S: Service> {
    session: Option<fuser::BackgroundSession>,
    shared: Arc<Shared<S>>,
}

struct Shared<S: Service> {
    host: Arc<Host<S>>,
    state: Arc<State>,
    next_tag: AtomicU64,
}

/// What replies need; apart from the host, so that its `deliver` can own it.
#[derive(Default)]
struct State {
    waiting: Mutex<BTreeMap<Tag, Waiting>>,
    inodes: Mutex<Inodes>,
    watchers: Mutex<BTreeMap<HandleId, PollNotifier>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this machine offers FUSE to this process; the text says why not.
///
/// # Errors
/// The reason, for people.
pub fn available() -> Result<(), String> {
    let open = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse");
    open.map(drop)
        .map_err(|error| format!("/dev/fuse cannot be opened: {error}"))
}

/// Starts a service and mounts it on a directory.
///
/// # Errors
/// Where FUSE is not available or the directory cannot be mounted on.
pub fn mount<S: Service>(service: S, name: &str, dir: &Path) -> io::Result<Mount<S>> {
    let state = Arc::new(State::default());
    let replies = state.clone();
    let host = Host::start(service, move |outputs| {
        for output in outputs {
            match output {
                Output::Reply { tag, result } => {
                    let waiting = lock(&replies.waiting).remove(&tag);
                    if let Some(waiting) = waiting {
                        waiting.answer(result, &replies.inodes);
                    }
                }
                Output::Event { handle, .. } => {
                    if let Some(notifier) = lock(&replies.watchers).remove(&handle) {
                        // The poller may be gone; then nobody wants to know.
                        let _ = notifier.notify();
                    }
                }
            }
        }
    });
    let shared = Arc::new(Shared {
        host,
        state,
        next_tag: AtomicU64::new(1),
    });
    let weak = Arc::downgrade(&shared);
    std::thread::spawn(move || watch_callers(&weak));

    let mut options = Config::default();
    options.mount_options = vec![
        MountOption::FSName(name.to_owned()),
        MountOption::Subtype("valence".to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoSuid,
        MountOption::NoDev,
    ];
    let session = fuser::spawn_mount(
        Fs {
            shared: shared.clone(),
        },
        dir,
        &options,
    )?;
    Ok(Mount {
        session: Some(session),
        shared,
    })
}

impl<S: Service> Mount<S> {
    /// Runs `act` on the service itself.
    pub fn with_service<T>(&self, act: impl FnOnce(&mut S) -> T) -> T {
        self.shared
            .host
            .call(|dispatcher, _| act(dispatcher.service()))
    }

    /// Waits until somebody unmounts the directory.
    ///
    /// # Errors
    /// As the session ends.
    pub fn join(mut self) -> io::Result<()> {
        self.session
            .take()
            .map_or(Ok(()), fuser::BackgroundSession::join)
    }
}

fn watch_callers<S: Service>(shared: &Weak<Shared<S>>) {
    loop {
        std::thread::sleep(Duration::from_millis(limits::CALLER_CHECK_MS));
        let Some(shared) = shared.upgrade() else {
            return;
        };
        shared.host.call(|dispatcher, out| {
            let dying: Vec<Tag> = dispatcher
                .waiting()
                .filter(|(_, caller)| callers::is_dying(caller.pid))
                .map(|(tag, _)| tag)
                .collect();
            for tag in dying {
                dispatcher.cancel(tag, out);
            }
        });
    }
}

impl<S: Service> Shared<S> {
    fn send(&self, caller: Caller, nonblock: bool, request: Request, waiting: Waiting) {
        let tag = self.next_tag.fetch_add(1, Ordering::Relaxed);
        lock(&self.state.waiting).insert(tag, waiting);
        self.host
            .call(|dispatcher, out| dispatcher.submit(tag, caller, nonblock, request, out));
    }

    fn path(&self, ino: INodeNo) -> Option<String> {
        lock(&self.state.inodes).path(ino.0)
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> Option<String> {
        Some(crate::join(&self.path(parent)?, name.to_str()?))
    }
}

fn caller(request: &fuser::Request) -> Caller {
    Caller {
        pid: u64::from(request.pid()),
        uid: request.uid(),
        gid: request.gid(),
    }
}

/// The open flags of Linux that matter here (x86-64 and most others; FUSE passes them raw).
fn open_flags(flags: fuser::OpenFlags) -> OpenFlags {
    const O_EXCL: i32 = 0o200;
    const O_APPEND: i32 = 0o2000;
    const O_NONBLOCK: i32 = 0o4000;
    let mode = flags.acc_mode();
    OpenFlags {
        read: mode != OpenAccMode::O_WRONLY,
        write: mode != OpenAccMode::O_RDONLY,
        exclusive: flags.0 & O_EXCL != 0,
        append: flags.0 & O_APPEND != 0,
        nonblock: flags.0 & O_NONBLOCK != 0,
        ..OpenFlags::default()
    }
}

struct Fs<S: Service> {
    shared: Arc<Shared<S>>,
}

/// Answers ENOENT where an inode or name is unknown.
macro_rules! or_enoent {
    ($value:expr, $reply:expr) => {
        match $value {
            Some(value) => value,
            None => return $reply.error(FuseErrno::ENOENT),
        }
    };
}

impl<S: Service> Filesystem for Fs<S> {
    fn lookup(&self, req: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let path = or_enoent!(self.shared.child(parent, name), reply);
        let request = Request::StatPath { path: path.clone() };
        self.shared
            .send(caller(req), false, request, Waiting::Entry { path, reply });
    }

    fn forget(&self, _: &fuser::Request, ino: INodeNo, count: u64) {
        lock(&self.shared.state.inodes).forget(ino.0, count);
    }

    fn getattr(
        &self,
        req: &fuser::Request,
        ino: INodeNo,
        fh: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        let request = match fh {
            Some(fh) => Request::Stat { handle: fh.0 },
            None => Request::StatPath {
                path: or_enoent!(self.shared.path(ino), reply),
            },
        };
        self.shared.send(
            caller(req),
            false,
            request,
            Waiting::Attr { ino: ino.0, reply },
        );
    }

    fn setattr(
        &self,
        req: &fuser::Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        fh: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let path = or_enoent!(self.shared.path(ino), reply);
        if mode.is_some() || uid.is_some() || gid.is_some() {
            return reply.error(FuseErrno::EPERM);
        }
        let Some(length) = size else {
            // Times are the service's own business; touching them is accepted and changes nothing.
            return self.getattr(req, ino, fh, reply);
        };
        let request = Request::Truncate {
            handle: fh.map(|fh| fh.0),
            path: path.clone(),
            length,
        };
        let waiting = Waiting::Truncated {
            ino: ino.0,
            length,
            reply,
        };
        self.shared.send(caller(req), false, request, waiting);
    }

    fn mkdir(
        &self,
        req: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let path = or_enoent!(self.shared.child(parent, name), reply);
        let request = Request::MakeDir {
            dir: None,
            path: path.clone(),
        };
        self.shared.send(
            caller(req),
            false,
            request,
            Waiting::MadeDir { path, reply },
        );
    }

    fn unlink(&self, req: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let path = or_enoent!(self.shared.child(parent, name), reply);
        let request = Request::Remove {
            dir: None,
            path,
            kind: Kind::File,
        };
        self.shared
            .send(caller(req), false, request, Waiting::Empty { reply });
    }

    fn rmdir(&self, req: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let path = or_enoent!(self.shared.child(parent, name), reply);
        let request = Request::Remove {
            dir: None,
            path,
            kind: Kind::Dir,
        };
        self.shared
            .send(caller(req), false, request, Waiting::Empty { reply });
    }

    fn rename(
        &self,
        req: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(FuseErrno::EINVAL);
        }
        let from = or_enoent!(self.shared.child(parent, name), reply);
        let to = or_enoent!(self.shared.child(new_parent, new_name), reply);
        let request = Request::Rename {
            from: from.clone(),
            to: to.clone(),
        };
        self.shared.send(
            caller(req),
            false,
            request,
            Waiting::Renamed { from, to, reply },
        );
    }

    fn open(&self, req: &fuser::Request, ino: INodeNo, flags: fuser::OpenFlags, reply: ReplyOpen) {
        let path = or_enoent!(self.shared.path(ino), reply);
        let request = Request::Open {
            dir: None,
            path,
            how: open_flags(flags),
        };
        self.shared
            .send(caller(req), false, request, Waiting::Open { reply });
    }

    fn create(
        &self,
        req: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let path = or_enoent!(self.shared.child(parent, name), reply);
        let how = OpenFlags {
            create: true,
            ..open_flags(fuser::OpenFlags(flags))
        };
        let request = Request::Open {
            dir: None,
            path: path.clone(),
            how,
        };
        let who = caller(req);
        self.shared.send(
            who,
            false,
            request,
            Waiting::Create {
                path,
                uid: who.uid,
                gid: who.gid,
                reply,
            },
        );
    }

    fn read(
        &self,
        req: &fuser::Request,
        _: INodeNo,
        fh: FileHandle,
        at: u64,
        size: u32,
        flags: fuser::OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let request = Request::Read {
            handle: fh.0,
            at,
            len: size as usize,
        };
        let nonblock = open_flags(flags).nonblock;
        self.shared
            .send(caller(req), nonblock, request, Waiting::Data { reply });
    }

    fn write(
        &self,
        req: &fuser::Request,
        _: INodeNo,
        fh: FileHandle,
        at: u64,
        data: &[u8],
        _: WriteFlags,
        flags: fuser::OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let request = Request::Write {
            handle: fh.0,
            at,
            data: data.to_vec(),
        };
        let nonblock = open_flags(flags).nonblock;
        self.shared
            .send(caller(req), nonblock, request, Waiting::Write { reply });
    }

    fn flush(
        &self,
        req: &fuser::Request,
        _: INodeNo,
        fh: FileHandle,
        _: LockOwner,
        reply: ReplyEmpty,
    ) {
        let request = Request::Flush { handle: fh.0 };
        self.shared
            .send(caller(req), false, request, Waiting::Empty { reply });
    }

    fn release(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        fh: FileHandle,
        _: fuser::OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        lock(&self.shared.state.watchers).remove(&fh.0);
        self.shared
            .host
            .call(|dispatcher, out| dispatcher.close(fh.0, out));
        reply.ok();
    }

    fn fsync(&self, req: &fuser::Request, _: INodeNo, fh: FileHandle, _: bool, reply: ReplyEmpty) {
        self.shared.send(
            caller(req),
            false,
            Request::Sync { handle: fh.0 },
            Waiting::Empty { reply },
        );
    }

    fn opendir(&self, req: &fuser::Request, ino: INodeNo, _: fuser::OpenFlags, reply: ReplyOpen) {
        let path = or_enoent!(self.shared.path(ino), reply);
        let how = OpenFlags {
            directory: true,
            ..OpenFlags::READ
        };
        let request = Request::Open {
            dir: None,
            path,
            how,
        };
        self.shared
            .send(caller(req), false, request, Waiting::OpenDir { reply });
    }

    fn readdir(
        &self,
        req: &fuser::Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let path = or_enoent!(self.shared.path(ino), reply);
        let request = Request::List { handle: fh.0 };
        self.shared.send(
            caller(req),
            false,
            request,
            Waiting::Directory {
                path,
                offset,
                reply,
            },
        );
    }

    fn releasedir(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        fh: FileHandle,
        _: fuser::OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.shared
            .host
            .call(|dispatcher, out| dispatcher.close(fh.0, out));
        reply.ok();
    }

    fn fsyncdir(&self, _: &fuser::Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, _: &fuser::Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    fn access(&self, _: &fuser::Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        // The kernel checks the bits itself (default_permissions).
        reply.ok();
    }

    fn poll(
        &self,
        req: &fuser::Request,
        _: INodeNo,
        fh: FileHandle,
        notifier: PollNotifier,
        events: PollEvents,
        flags: PollFlags,
        reply: ReplyPoll,
    ) {
        if flags.contains(PollFlags::FUSE_POLL_SCHEDULE_NOTIFY) {
            lock(&self.shared.state.watchers).insert(fh.0, notifier);
        }
        let want = Ready {
            read: events.intersects(PollEvents::POLLIN | PollEvents::POLLRDNORM),
            write: events.intersects(PollEvents::POLLOUT | PollEvents::POLLWRNORM),
        };
        let request = Request::Poll { handle: fh.0, want };
        self.shared
            .send(caller(req), false, request, Waiting::Poll { reply });
    }
}
