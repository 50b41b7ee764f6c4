//! From the dispatcher's answers to FUSE's reply objects. The one place where our types become FUSE's.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use fuser::{
    Errno as FuseErrno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo,
    PollEvents, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyPoll, ReplyWrite,
};

use super::inodes::Inodes;
use super::lock;
use crate::dispatch::Reply;
use crate::{Errno, HandleId, Kind, Result, Stat};

/// Nothing is cached by the kernel.
const TTL: Duration = Duration::ZERO;

/// A FUSE request that has not been answered.
pub(super) enum Waiting {
    Entry {
        path: String,
        reply: ReplyEntry,
    },
    MadeDir {
        path: String,
        reply: ReplyEntry,
    },
    Attr {
        ino: u64,
        reply: ReplyAttr,
    },
    Truncated {
        ino: u64,
        length: u64,
        reply: ReplyAttr,
    },
    Open {
        reply: ReplyOpen,
    },
    OpenDir {
        reply: ReplyOpen,
    },
    Create {
        path: String,
        uid: u32,
        gid: u32,
        reply: ReplyCreate,
    },
    Data {
        reply: ReplyData,
    },
    Write {
        reply: ReplyWrite,
    },
    Empty {
        reply: ReplyEmpty,
    },
    Renamed {
        from: String,
        to: String,
        reply: ReplyEmpty,
    },
    Directory {
        path: String,
        offset: u64,
        reply: ReplyDirectory,
    },
    Poll {
        reply: ReplyPoll,
    },
}

fn errno(errno: Errno) -> FuseErrno {
    // A cancelled request is an interrupted call to the program that made it.
    FuseErrno::from_i32(if errno == Errno::ECANCELED {
        Errno::EINTR.0
    } else {
        errno.0
    })
}

fn open_mode(positioned: bool) -> FopenFlags {
    if positioned {
        FopenFlags::FOPEN_DIRECT_IO
    } else {
        FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_NONSEEKABLE | FopenFlags::FOPEN_STREAM
    }
}

fn kind(kind: Kind) -> FileType {
    match kind {
        Kind::Dir => FileType::Directory,
        Kind::File => FileType::RegularFile,
    }
}

fn attr(ino: u64, stat: &Stat) -> FileAttr {
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(stat.modified_s);
    FileAttr {
        ino: INodeNo(ino),
        size: stat.size,
        blocks: stat.size.div_ceil(512),
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind: kind(stat.kind),
        perm: stat.mode,
        nlink: if stat.kind == Kind::Dir { 2 } else { 1 },
        uid: stat.uid,
        gid: stat.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// Takes the one reply that fits, or says EIO: a service cannot make the kit lie about types.
macro_rules! expect {
    ($result:expr, $reply:expr, $($pattern:pat => $value:expr),+) => {
        match $result {
            $(Ok($pattern) => $value,)+
            Ok(_) => $reply.error(errno(Errno::EIO)),
            Err(error) => $reply.error(errno(error)),
        }
    };
}

impl Waiting {
    pub(super) fn answer(self, result: Result<Reply>, inodes: &Mutex<Inodes>) {
        match self {
            Waiting::Entry { path, reply } => expect!(result, reply, Reply::Stat(stat) => {
                let ino = lock(inodes).remember(&path);
                reply.entry(&TTL, &attr(ino, &stat), Generation(0));
            }),
            Waiting::MadeDir { path, reply } => expect!(result, reply, Reply::Done => {
                let ino = lock(inodes).remember(&path);
                reply.entry(&TTL, &attr(ino, &Stat::dir(0o755)), Generation(0));
            }),
            Waiting::Attr { ino, reply } => expect!(result, reply, Reply::Stat(stat) => {
                reply.attr(&TTL, &attr(ino, &stat));
            }),
            Waiting::Truncated { ino, length, reply } => expect!(result, reply, Reply::Done => {
                // The kernel only takes the size from this; it asks again before it believes the rest.
                reply.attr(&TTL, &attr(ino, &Stat::file(0o666, length)));
            }),
            Waiting::Open { reply } => expect!(result, reply,
                Reply::Opened { handle, positioned } => opened(reply, handle, open_mode(positioned)),
                // No mount can hand out another scheme's descriptor.
                Reply::Foreign(_) => reply.error(errno(Errno::EXDEV))),
            Waiting::OpenDir { reply } => expect!(result, reply, Reply::Opened { handle, .. } => {
                opened(reply, handle, FopenFlags::empty());
            }),
            Waiting::Create {
                path,
                uid,
                gid,
                reply,
            } => {
                expect!(result, reply, Reply::Opened { handle, positioned } => {
                    let ino = lock(inodes).remember(&path);
                    let attr = attr(ino, &Stat::file(0o644, 0).owned_by(uid, gid));
                    reply.created(&TTL, &attr, Generation(0), FileHandle(handle), open_mode(positioned));
                });
            }
            Waiting::Data { reply } => {
                expect!(result, reply, Reply::Data(data) => reply.data(&data))
            }
            Waiting::Write { reply } => expect!(result, reply, Reply::Count(count) => {
                reply.written(u32::try_from(count).unwrap_or(u32::MAX));
            }),
            Waiting::Empty { reply } => expect!(result, reply, Reply::Done => reply.ok()),
            Waiting::Renamed { from, to, reply } => expect!(result, reply, Reply::Done => {
                lock(inodes).rename(&from, &to);
                reply.ok();
            }),
            Waiting::Directory {
                path,
                offset,
                reply,
            } => match result {
                Ok(Reply::Entries(entries)) => fill(&path, offset, &entries, reply),
                Ok(_) => reply.error(errno(Errno::EIO)),
                Err(error) => reply.error(errno(error)),
            },
            Waiting::Poll { reply } => expect!(result, reply, Reply::Ready(ready) => {
                let mut events = PollEvents::empty();
                events.set(PollEvents::POLLIN | PollEvents::POLLRDNORM, ready.read);
                events.set(PollEvents::POLLOUT | PollEvents::POLLWRNORM, ready.write);
                reply.poll(events);
            }),
        }
    }
}

fn opened(reply: ReplyOpen, handle: HandleId, mode: FopenFlags) {
    reply.opened(FileHandle(handle), mode);
}

/// One buffer of directory entries from position `offset` on. The inode numbers are only hints to `ls -i`.
fn fill(path: &str, offset: u64, entries: &[crate::Entry], mut reply: ReplyDirectory) {
    let dots = [(".", Kind::Dir), ("..", Kind::Dir)].into_iter();
    let all = dots.chain(
        entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.kind)),
    );
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    for (index, (name, of)) in all.enumerate().skip(from) {
        let hint = fnv(path, name);
        if reply.add(INodeNo(hint), index as u64 + 1, kind(of), name) {
            break;
        }
    }
    reply.ok();
}

fn fnv(path: &str, name: &str) -> u64 {
    let bytes = path.bytes().chain([b'/']).chain(name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
