//! The Redox transport: a scheme socket, protocol v2, through the `redox-scheme` crate.
//!
//! One thread reads requests; replies are written by whichever thread has them. Both spellings of the file system
//! verbs are answered, the dedicated opcodes and `StdFsCall`. The latter carries no caller (its slot holds other
//! arguments), so it is judged by who opened the handle.
//!
//! Deliberately absent: mapping (EOPNOTSUPP), passing descriptors in (EOPNOTSUPP), changing modes and owners (EPERM).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redox_scheme::scheme::{Op, OpCall, register_scheme_inner};
use redox_scheme::{CallRequest, Id, OpenResult, RequestKind, Response, SignalBehavior, Socket};
use syscall::dirent::{DirEntry, DirentBuf, DirentKind};
use syscall::flag::{EventFlags, StdFsCallKind};
use syscall::schemev2::NewFdFlags;

use crate::dispatch::{Output, Reply, Request, Tag};
use crate::{
    Caller, Entry, Errno, HandleId, Host, Kind, OpenFlags, Ready, Result, Service, Stat, join,
};

/// Serves `service` as `/scheme/NAME` until the socket is closed. `ready` is called once the name can be opened:
/// [`tell_init`] for a daemon that init starts.
///
/// # Errors
/// Where the scheme cannot be made or registered.
pub fn serve<S: Service>(service: S, name: &str, ready: impl FnOnce()) -> Result<()> {
    let socket = Arc::new(Socket::create().map_err(from_syscall)?);
    let waiting = Arc::new(Mutex::new(Waiting::default()));
    let (out_socket, out_waiting, out_name) = (socket.clone(), waiting.clone(), name.to_owned());
    let host = Host::start(service, move |outputs| {
        for output in outputs {
            let response = match output {
                Output::Reply { tag, result } => {
                    let Some(op) = lock(&out_waiting).take(tag) else {
                        continue;
                    };
                    respond(op, result, &out_name)
                }
                Output::Event { handle, ready } => {
                    Response::post_fevent(handle as usize, events(ready).bits())
                }
            };
            // A failure means that the kernel dropped the request (its caller is gone) or the socket.
            let _ = out_socket.write_response(response, SignalBehavior::Restart);
        }
    });
    let root = open_root(&host)?;
    register_scheme_inner(&socket, name, root as usize).map_err(from_syscall)?;
    ready();
    let transport = Transport {
        host,
        socket,
        waiting,
        next_tag: AtomicU64::new(ROOT_TAG + 1),
    };
    transport.run()
}

/// Init's contract: `INIT_NOTIFY` names the write end of a pipe; one zero byte on it says that the daemon serves.
pub fn tell_init() {
    let fd = std::env::var("INIT_NOTIFY")
        .ok()
        .and_then(|text| text.trim().parse::<usize>().ok());
    // 0, 1 and 2 are the standard streams: never a pipe of init's.
    if let Some(fd) = fd.filter(|fd| *fd > 2) {
        // If init does not listen any more there is nobody to tell.
        let _ = libredox::call::write(fd, &[0]);
        let _ = libredox::call::close(fd);
    }
}

/// The tag of the root's own open, which no client waits for.
const ROOT_TAG: Tag = 0;

fn open_root<S: Service>(host: &Host<S>) -> Result<HandleId> {
    host.call(|dispatcher, out| {
        let how = OpenFlags {
            directory: true,
            stat_only: true,
            ..OpenFlags::READ
        };
        let request = Request::Open {
            dir: None,
            path: String::new(),
            how,
        };
        dispatcher.submit(ROOT_TAG, Caller::SYSTEM, false, request, out);
        match out.pop() {
            Some(Output::Reply {
                result: Ok(Reply::Opened { handle, .. }),
                ..
            }) => Ok(handle),
            Some(Output::Reply {
                result: Err(errno), ..
            }) => Err(errno),
            _ => Err(Errno::EIO),
        }
    })
}

/// Requests that are not answered yet, by our tag and by the kernel's.
#[derive(Default)]
struct Waiting {
    by_tag: BTreeMap<Tag, (Op, Id)>,
    by_id: BTreeMap<Id, Tag>,
}

impl Waiting {
    fn put(&mut self, tag: Tag, id: Id, op: Op) {
        self.by_id.insert(id, tag);
        self.by_tag.insert(tag, (op, id));
    }

    fn take(&mut self, tag: Tag) -> Option<Op> {
        let (op, id) = self.by_tag.remove(&tag)?;
        self.by_id.remove(&id);
        Some(op)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Transport<S: Service> {
    host: Arc<Host<S>>,
    socket: Arc<Socket>,
    waiting: Arc<Mutex<Waiting>>,
    next_tag: AtomicU64,
}

impl<S: Service> Transport<S> {
    fn run(&self) -> Result<()> {
        loop {
            match self
                .socket
                .next_request(SignalBehavior::Restart)
                .map_err(from_syscall)?
            {
                None => return Ok(()),
                Some(request) => self.take(request.kind()),
            }
        }
    }

    fn take(&self, kind: RequestKind) {
        match kind {
            RequestKind::Call(call) => self.call(call),
            RequestKind::Cancellation(cancel) => {
                let tag = lock(&self.waiting).by_id.get(&cancel.id).copied();
                if let Some(tag) = tag {
                    self.host
                        .call(|dispatcher, out| dispatcher.cancel(tag, out));
                }
            }
            RequestKind::OnClose { id } => self.host.call(|dispatcher, out| {
                let handle = id as HandleId;
                // Nobody is left to hear an error of the flush.
                let flush = Request::Flush { handle };
                dispatcher.submit(ROOT_TAG, Caller::SYSTEM, false, flush, out);
                dispatcher.close(handle, out);
            }),
            RequestKind::SendFd(request) => self.write(Response::err(Errno::EOPNOTSUPP.0, request)),
            RequestKind::RecvFd(request) => self.write(Response::err(Errno::EOPNOTSUPP.0, request)),
            _ => {}
        }
    }

    fn write(&self, response: Response) {
        // As in `serve`: nothing to do about a caller that is gone.
        let _ = self
            .socket
            .write_response(response, SignalBehavior::Restart);
    }

    fn call(&self, call: CallRequest) {
        let ctx = call.caller();
        let id = call.request_id();
        let mut op = match call.op() {
            Ok(op) => op,
            Err(call) => return self.write(Response::err(Errno::ENOSYS.0, call)),
        };
        let caller = match &op {
            Op::StdFsCall(_) | Op::Frenameat(_) => Caller::SYSTEM,
            _ => Caller {
                pid: ctx.pid as u64,
                uid: ctx.uid,
                gid: ctx.gid,
            },
        };
        let nonblock = op.is_explicitly_nonblock();
        match self.request(&mut op) {
            Ok(request) => {
                let tag = self.next_tag.fetch_add(1, Ordering::Relaxed);
                lock(&self.waiting).put(tag, id, op);
                self.host.call(|dispatcher, out| {
                    dispatcher.submit(tag, caller, nonblock, request, out);
                });
            }
            Err(Ok(value)) => self.write(Response::ok(value, op)),
            Err(Err(errno)) => self.write(Response::err(errno.0, op)),
        }
    }

    /// What to ask the dispatcher, or the answer that needs no asking.
    fn request(&self, op: &mut Op) -> core::result::Result<Request, Result<usize>> {
        let id = |fd: usize| fd as HandleId;
        Ok(match op {
            Op::OpenAt(open) => Request::Open {
                dir: Some(id(open.fd)),
                path: open.path().to_owned(),
                how: open_flags(*open.flags()),
            },
            Op::Dup(dup) => Request::Dup {
                handle: id(dup.fd),
                what: dup.buf().to_vec(),
            },
            Op::Read(read) => {
                let at = if read.offset == u64::MAX {
                    0
                } else {
                    read.offset
                };
                Request::Read {
                    handle: id(read.fd),
                    at,
                    len: read.buf().len(),
                }
            }
            Op::Write(write) => {
                let at = if write.offset == u64::MAX {
                    0
                } else {
                    write.offset
                };
                Request::Write {
                    handle: id(write.fd),
                    at,
                    data: write.buf().to_vec(),
                }
            }
            Op::Fsync { fd, .. } => Request::Sync { handle: id(*fd) },
            Op::Fstat(stat) => Request::Stat {
                handle: id(stat.fd),
            },
            Op::Fsize { fd, .. } => Request::Stat { handle: id(*fd) },
            Op::Getdents(list) => Request::List {
                handle: id(list.fd),
            },
            Op::Fpath(path) => Request::Path {
                handle: id(path.fd),
            },
            Op::Fevent { fd, req_flags, .. } => Request::Poll {
                handle: id(*fd),
                want: Ready {
                    read: req_flags.contains(EventFlags::EVENT_READ),
                    write: req_flags.contains(EventFlags::EVENT_WRITE),
                },
            },
            Op::Ftruncate { fd, new_sz, .. } => Request::Truncate {
                handle: Some(id(*fd)),
                path: String::new(),
                length: *new_sz,
            },
            Op::UnlinkAt(unlink) => Request::Remove {
                dir: Some(id(unlink.fd)),
                path: unlink.path().to_owned(),
                kind: if *unlink.flags() & syscall::AT_REMOVEDIR != 0 {
                    Kind::Dir
                } else {
                    Kind::File
                },
            },
            Op::Frename(rename) => Request::Rename {
                from: self.path(id(rename.fd)).map_err(Err)?,
                to: rename.buf().to_owned(),
            },
            Op::Frenameat(rename) => Request::Rename {
                from: join(
                    &self.path(id(rename.old_dir)).map_err(Err)?,
                    rename.old_path(),
                ),
                to: join(
                    &self.path(id(rename.new_dir)).map_err(Err)?,
                    rename.new_path(),
                ),
            },
            Op::StdFsCall(call) => return std_fs_call(call),
            // The kernel keeps the flags and passes them with each call; there is nothing to keep here.
            Op::Fcntl { cmd, .. } if matches!(*cmd, syscall::F_GETFL | syscall::F_SETFL) => {
                return Err(Ok(0));
            }
            Op::Fcntl { .. } => return Err(Err(Errno::EINVAL)),
            Op::Futimens(_) => return Err(Ok(0)),
            Op::Fchmod { .. } | Op::Fchown { .. } => return Err(Err(Errno::EPERM)),
            Op::ParseError { errno, .. } => return Err(Err(Errno(*errno))),
            _ => return Err(Err(Errno::EOPNOTSUPP)),
        })
    }

    fn path(&self, id: HandleId) -> Result<String> {
        self.host
            .call(|dispatcher, _| dispatcher.path(id).map(str::to_owned))
            .ok_or(Errno::EBADF)
    }
}

fn std_fs_call(call: &OpCall) -> core::result::Result<Request, Result<usize>> {
    let handle = call.fds().first().copied().ok_or(Err(Errno::EBADF))? as HandleId;
    let &[kind, arg, ..] = call.metadata() else {
        return Err(Err(Errno::EINVAL));
    };
    Ok(match StdFsCallKind::try_from_raw(kind as u8) {
        Some(StdFsCallKind::Fstat) => Request::Stat { handle },
        Some(StdFsCallKind::Getdents) => Request::List { handle },
        Some(StdFsCallKind::Fsync) => Request::Sync { handle },
        Some(StdFsCallKind::Ftruncate) => Request::Truncate {
            handle: Some(handle),
            path: String::new(),
            length: arg,
        },
        Some(StdFsCallKind::Futimens) => return Err(Ok(0)),
        Some(StdFsCallKind::Fchmod | StdFsCallKind::Fchown) => return Err(Err(Errno::EPERM)),
        _ => return Err(Err(Errno::EOPNOTSUPP)),
    })
}

/// Turns the dispatcher's answer into the kernel's, filling the caller's buffer on the way.
fn respond(mut op: Op, result: Result<Reply>, name: &str) -> Response {
    let value = match (&mut op, result) {
        (_, Err(errno)) => Err(errno),
        (_, Ok(Reply::Opened { handle, positioned })) => {
            let flags = if positioned {
                NewFdFlags::POSITIONED
            } else {
                NewFdFlags::empty()
            };
            let opened = OpenResult::ThisScheme {
                number: handle as usize,
                flags,
            };
            return Response::open_dup_like(Ok(opened), op);
        }
        (Op::OpenAt(open), Ok(Reply::Foreign(path))) => {
            match libredox::call::open(&path, (*open.flags() as u32 & !OPEN_MAKES) as i32, 0) {
                Ok(fd) => return Response::open_dup_like(Ok(OpenResult::OtherScheme { fd }), op),
                Err(error) => Err(Errno(error.errno())),
            }
        }
        (Op::Read(read), Ok(Reply::Data(data))) => {
            read.buf()[..data.len()].copy_from_slice(&data);
            Ok(data.len())
        }
        (_, Ok(Reply::Count(count))) => Ok(count),
        (Op::Fstat(buf), Ok(Reply::Stat(stat))) => {
            *buf.buf() = raw_stat(&stat);
            Ok(0)
        }
        (Op::StdFsCall(call), Ok(Reply::Stat(stat))) => {
            let raw = raw_stat(&stat);
            match call.payload().get_mut(..raw.len()) {
                Some(payload) => {
                    payload.copy_from_slice(&raw);
                    Ok(0)
                }
                None => Err(Errno::EINVAL),
            }
        }
        (Op::Fsize { .. }, Ok(Reply::Stat(stat))) => Ok(stat.size as usize),
        (Op::Getdents(list), Ok(Reply::Entries(entries))) => {
            let from = list.opaque_offset;
            list.buf()
                .ok_or(Errno::EINVAL)
                .and_then(|buf| fill(buf, from, &entries))
        }
        (Op::StdFsCall(call), Ok(Reply::Entries(entries))) => {
            let (payload, metadata) = call.payload_and_metadata();
            let (from, header) = (metadata[1], metadata[2] as u16);
            DirentBuf::new(payload, header)
                .ok_or(Errno::EINVAL)
                .and_then(|buf| fill(buf, from, &entries))
        }
        (Op::Fpath(buf), Ok(Reply::Path(path))) => {
            let full = format!("/scheme/{name}/{path}");
            let full = full.strip_suffix('/').unwrap_or(&full).as_bytes();
            let count = full.len().min(buf.buf().len());
            buf.buf()[..count].copy_from_slice(&full[..count]);
            Ok(count)
        }
        (_, Ok(Reply::Ready(ready))) => Ok(events(ready).bits()),
        (_, Ok(Reply::Done)) => Ok(0),
        _ => Err(Errno::EIO),
    };
    match value {
        Ok(value) => Response::ok(value, op),
        Err(errno) => Response::err(errno.0, op),
    }
}

/// O_CREAT, O_TRUNC, O_EXCL: not passed on to another scheme.
const OPEN_MAKES: u32 = (syscall::O_CREAT | syscall::O_TRUNC | syscall::O_EXCL) as u32;

fn fill(mut buf: DirentBuf<&mut [u8]>, from: u64, entries: &[Entry]) -> Result<usize> {
    let skip = usize::try_from(from).map_err(|_| Errno::EINVAL)?;
    for (index, entry) in entries.iter().enumerate().skip(skip) {
        let kind = match entry.kind {
            Kind::Dir => DirentKind::Directory,
            Kind::File => DirentKind::Regular,
        };
        let next = index as u64 + 1;
        let record = DirEntry {
            inode: 0,
            next_opaque_id: next,
            name: &entry.name,
            kind,
        };
        match buf.entry(record) {
            Ok(()) => {}
            Err(_) if index > skip => break,
            Err(error) => return Err(Errno(error.errno)),
        }
    }
    Ok(buf.finalize())
}

fn raw_stat(stat: &Stat) -> syscall::Stat {
    let kind = match stat.kind {
        Kind::Dir => syscall::MODE_DIR,
        Kind::File => syscall::MODE_FILE,
    };
    syscall::Stat {
        st_mode: kind | stat.mode,
        st_nlink: 1,
        st_uid: stat.uid,
        st_gid: stat.gid,
        st_size: stat.size,
        st_blksize: 4096,
        st_blocks: stat.size.div_ceil(512),
        st_mtime: stat.modified_s,
        st_atime: stat.modified_s,
        st_ctime: stat.modified_s,
        ..syscall::Stat::default()
    }
}

fn events(ready: Ready) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::EVENT_READ, ready.read);
    flags.set(EventFlags::EVENT_WRITE, ready.write);
    flags
}

/// Non-blocking is not taken from the open: the kernel passes the flag that counts with every call.
fn open_flags(flags: usize) -> OpenFlags {
    let has = |bit: usize| flags & bit == bit;
    OpenFlags {
        read: has(syscall::O_RDONLY),
        write: has(syscall::O_WRONLY),
        create: has(syscall::O_CREAT),
        exclusive: has(syscall::O_EXCL),
        truncate: has(syscall::O_TRUNC),
        append: has(syscall::O_APPEND),
        nonblock: false,
        directory: has(syscall::O_DIRECTORY),
        stat_only: has(syscall::O_STAT),
    }
}

fn from_syscall(error: syscall::Error) -> Errno {
    Errno(error.errno)
}
