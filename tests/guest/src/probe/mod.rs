//! A scheme daemon that implements every operation in memory and notes each request it gets.
//!
//! This module is compiled once per generation of redox-scheme: `redox_scheme` is the parent's choice.
//!
//! Paths: `file/…` kept files · `dir` a folder of two · `log` the notes so far · `stream` bytes, reads wait ·
//! `never` reads wait for ever · `map` a mappable buffer · `zeros` an open file of another scheme ·
//! `error/N` opening gives errno N · `die` the daemon exits without an answer · `whoami` the caller's pid, uid, gid.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, Ordering};

use syscall::dirent::{DirEntry, DirentBuf, DirentKind};
use syscall::error::{
    EBADF, EEXIST, EINVAL, EISDIR, ENODEV, ENOENT, ENOTDIR, EWOULDBLOCK, Error, Result,
};
use syscall::flag::{
    EventFlags, FmoveFdFlags, FobtainFdFlags, MapFlags, MunmapFlags, O_CREAT, O_EXCL, O_TRUNC,
};
use syscall::schemev2::NewFdFlags;
use syscall::{Stat, StatVfs, TimeSpec};

use super::redox_scheme::scheme::SchemeSync;
use super::redox_scheme::{CallerCtx, OpenResult, RecvFdRequest, SendFdRequest, Socket};

mod serve;

pub(crate) use serve::serve;

/// The handle behind the scheme's name.
const ROOT: usize = 1;
/// Size of the buffer behind `map`.
const MAP_BYTES: usize = 4 * PAGE_BYTES;
const PAGE_BYTES: usize = 4096;

#[derive(Default)]
struct Node {
    data: Vec<u8>,
    mode: u16,
    owner: (u32, u32),
    modified: (i64, i32),
}

#[derive(Clone)]
struct Handle {
    path: String,
    /// What the handle saw when it was opened, for the paths that are read like a text.
    text: Vec<u8>,
    read: usize,
}

/// The scheme's state.
pub(crate) struct Probe {
    /// The scheme's socket, over which passed descriptors travel.
    socket: Rc<Socket>,
    nodes: BTreeMap<String, Node>,
    handles: HashMap<usize, Handle>,
    next_handle: usize,
    stream: VecDeque<u8>,
    log: Vec<String>,
    /// Readiness notes to send: handle and flags.
    events: Vec<(usize, usize)>,
    watched: HashMap<usize, EventFlags>,
    buffer: &'static [AtomicU8],
    map_start: usize,
}

impl Probe {
    fn new(socket: Rc<Socket>) -> Probe {
        let buffer: Vec<AtomicU8> = (0..MAP_BYTES + PAGE_BYTES)
            .map(|_| AtomicU8::new(0))
            .collect();
        let buffer = Vec::leak(buffer);
        let map_start =
            buffer.as_ptr().addr().next_multiple_of(PAGE_BYTES) - buffer.as_ptr().addr();
        let root = Handle {
            path: String::new(),
            text: Vec::new(),
            read: 0,
        };
        Probe {
            socket,
            nodes: BTreeMap::new(),
            handles: HashMap::from([(ROOT, root)]),
            next_handle: 100,
            stream: VecDeque::new(),
            log: Vec::new(),
            events: Vec::new(),
            watched: HashMap::new(),
            buffer,
            map_start,
        }
    }

    fn handle(&self, id: usize) -> Result<&Handle> {
        self.handles.get(&id).ok_or(Error::new(EBADF))
    }

    fn node(&mut self, id: usize) -> Result<&mut Node> {
        let path = self.handle(id)?.path.clone();
        self.nodes.get_mut(&path).ok_or(Error::new(EBADF))
    }

    fn note(&mut self, id: usize, text: impl std::fmt::Display) {
        let path = self.handles.get(&id).map_or("?", |handle| &handle.path);
        self.log.push(format!("{path}: {text}"));
    }

    fn new_handle(&mut self, path: &str, text: Vec<u8>) -> OpenResult {
        self.next_handle += 1;
        let number = self.next_handle;
        self.handles.insert(
            number,
            Handle {
                path: path.into(),
                text,
                read: 0,
            },
        );
        let is_positioned = path.starts_with("file/") || path == "map";
        let flags = if is_positioned {
            NewFdFlags::POSITIONED
        } else {
            NewFdFlags::empty()
        };
        OpenResult::ThisScheme { number, flags }
    }

    fn pushed(&mut self) {
        for (&id, flags) in &self.watched {
            if flags.contains(EventFlags::EVENT_READ) {
                self.events.push((id, EventFlags::EVENT_READ.bits()));
            }
        }
    }
}

impl SchemeSync for Probe {
    fn scheme_root(&mut self) -> Result<usize> {
        Ok(ROOT)
    }

    fn openat(
        &mut self,
        dir: usize,
        path: &str,
        flags: usize,
        _fcntl: u32,
        ctx: &CallerCtx,
    ) -> Result<OpenResult> {
        let parent = self.handle(dir)?.path.clone();
        let path = path.trim_matches('/');
        let path = if parent.is_empty() {
            path.to_string()
        } else {
            format!("{parent}/{path}")
        };
        if path != "log" {
            self.log.push(format!("openat {path}"));
        }
        match path.as_str() {
            "die" => std::process::exit(0),
            "zeros" => {
                let fd = libredox::call::open("/scheme/zero", libredox::flag::O_RDONLY, 0)
                    .map_err(|error| Error::new(error.errno()))?;
                Ok(OpenResult::OtherScheme { fd })
            }
            "log" => {
                let text = self.log.join("\n").into_bytes();
                Ok(self.new_handle(&path, text))
            }
            "whoami" => {
                let text = format!("{} {} {}", ctx.pid, ctx.uid, ctx.gid).into_bytes();
                Ok(self.new_handle(&path, text))
            }
            "" | "dir" | "stream" | "never" | "map" => Ok(self.new_handle(&path, Vec::new())),
            _ if path.starts_with("error/") => {
                Err(Error::new(path["error/".len()..].parse().unwrap_or(EINVAL)))
            }
            _ if path.starts_with("file/") => {
                let exists = self.nodes.contains_key(&path);
                if exists && flags & O_CREAT != 0 && flags & O_EXCL != 0 {
                    return Err(Error::new(EEXIST));
                }
                if !exists && flags & O_CREAT == 0 {
                    return Err(Error::new(ENOENT));
                }
                let node = self.nodes.entry(path.clone()).or_default();
                if !exists {
                    node.mode = (flags & 0o777) as u16;
                }
                if flags & O_TRUNC != 0 {
                    node.data.clear();
                }
                Ok(self.new_handle(&path, Vec::new()))
            }
            _ => Err(Error::new(ENOENT)),
        }
    }

    fn unlinkat(&mut self, dir: usize, path: &str, flags: usize, _ctx: &CallerCtx) -> Result<()> {
        self.note(dir, format!("unlinkat {path} {flags:#x}"));
        self.nodes
            .remove(path.trim_matches('/'))
            .map(|_| ())
            .ok_or(Error::new(ENOENT))
    }

    fn dup(&mut self, id: usize, buf: &[u8], _ctx: &CallerCtx) -> Result<OpenResult> {
        let text = String::from_utf8_lossy(buf).into_owned();
        self.note(id, format!("dup {text}"));
        match text.as_str() {
            "upper" => {
                let path = self.handle(id)?.path.clone();
                let text = path.to_uppercase().into_bytes();
                Ok(self.new_handle("dup", text))
            }
            _ => Err(Error::new(EINVAL)),
        }
    }

    fn read(
        &mut self,
        id: usize,
        buf: &mut [u8],
        offset: u64,
        _fcntl: u32,
        _ctx: &CallerCtx,
    ) -> Result<usize> {
        let path = self.handle(id)?.path.clone();
        match path.as_str() {
            "never" => Err(Error::new(EWOULDBLOCK)),
            "stream" if self.stream.is_empty() => Err(Error::new(EWOULDBLOCK)),
            "stream" => {
                let count = buf.len().min(self.stream.len());
                for (to, from) in buf.iter_mut().zip(self.stream.drain(..count)) {
                    *to = from;
                }
                Ok(count)
            }
            "dir" | "" => Err(Error::new(EISDIR)),
            _ if path.starts_with("file/") => {
                let data = &self.node(id)?.data;
                let rest = data.get(offset as usize..).unwrap_or_default();
                let count = rest.len().min(buf.len());
                buf[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
            _ => {
                let handle = self.handles.get_mut(&id).ok_or(Error::new(EBADF))?;
                let rest = &handle.text[handle.read..];
                let count = rest.len().min(buf.len());
                buf[..count].copy_from_slice(&rest[..count]);
                handle.read += count;
                Ok(count)
            }
        }
    }

    fn write(
        &mut self,
        id: usize,
        buf: &[u8],
        offset: u64,
        _fcntl: u32,
        _ctx: &CallerCtx,
    ) -> Result<usize> {
        let path = self.handle(id)?.path.clone();
        if path == "stream" {
            self.stream.extend(buf);
            self.pushed();
            return Ok(buf.len());
        }
        let data = &mut self.node(id)?.data;
        let end = offset as usize + buf.len();
        if data.len() < end {
            data.resize(end, 0);
        }
        data[offset as usize..end].copy_from_slice(buf);
        Ok(buf.len())
    }

    fn fsize(&mut self, id: usize, _ctx: &CallerCtx) -> Result<u64> {
        self.note(id, "fsize");
        Ok(self.node(id)?.data.len() as u64)
    }

    fn fchmod(&mut self, id: usize, mode: u16, _ctx: &CallerCtx) -> Result<()> {
        self.note(id, format!("fchmod {:o}", mode & 0o777));
        self.node(id)?.mode = mode & 0o777;
        Ok(())
    }

    fn fchown(&mut self, id: usize, uid: u32, gid: u32, _ctx: &CallerCtx) -> Result<()> {
        self.note(id, format!("fchown {uid} {gid}"));
        self.node(id)?.owner = (uid, gid);
        Ok(())
    }

    fn fcntl(&mut self, id: usize, _cmd: usize, _arg: usize, _ctx: &CallerCtx) -> Result<usize> {
        self.handle(id).map(|_| 0)
    }

    fn fevent(&mut self, id: usize, flags: EventFlags, _ctx: &CallerCtx) -> Result<EventFlags> {
        self.note(id, format!("fevent {}", flags.bits()));
        self.watched.insert(id, flags);
        Ok(if self.stream.is_empty() {
            EventFlags::empty()
        } else {
            flags & EventFlags::EVENT_READ
        })
    }

    fn flink(&mut self, id: usize, path: &str, _ctx: &CallerCtx) -> Result<usize> {
        self.note(id, format!("flink {path}"));
        Ok(0)
    }

    fn fpath(&mut self, id: usize, buf: &mut [u8], _ctx: &CallerCtx) -> Result<usize> {
        let path = format!("/scheme/probe/{}", self.handle(id)?.path);
        let count = path.len().min(buf.len());
        buf[..count].copy_from_slice(&path.as_bytes()[..count]);
        Ok(count)
    }

    fn frename(&mut self, id: usize, path: &str, _ctx: &CallerCtx) -> Result<usize> {
        self.note(id, format!("frename {path}"));
        let old = self.handle(id)?.path.clone();
        let node = self.nodes.remove(&old).ok_or(Error::new(ENOENT))?;
        self.nodes.insert(path.trim_matches('/').into(), node);
        Ok(0)
    }

    fn fstat(&mut self, id: usize, stat: &mut Stat, _ctx: &CallerCtx) -> Result<()> {
        let path = self.handle(id)?.path.clone();
        *stat = Stat {
            st_ino: id as u64,
            st_nlink: 1,
            st_blksize: 4096,
            ..Stat::default()
        };
        if path == "dir" || path.is_empty() {
            stat.st_mode = 0x4000 | 0o755;
        } else if let Ok(node) = self.node(id) {
            stat.st_mode = 0x8000 | node.mode;
            stat.st_size = node.data.len() as u64;
            (stat.st_uid, stat.st_gid) = node.owner;
            (stat.st_mtime, stat.st_mtime_nsec) = (node.modified.0 as u64, node.modified.1 as u32);
        } else {
            stat.st_mode = 0x2000 | 0o666;
        }
        Ok(())
    }

    fn fstatvfs(&mut self, id: usize, stat: &mut StatVfs, _ctx: &CallerCtx) -> Result<()> {
        self.note(id, "fstatvfs");
        *stat = StatVfs {
            f_bsize: 512,
            f_blocks: 1000,
            f_bfree: 600,
            f_bavail: 500,
        };
        Ok(())
    }

    fn fsync(&mut self, id: usize, _ctx: &CallerCtx) -> Result<()> {
        self.note(id, "fsync");
        Ok(())
    }

    fn ftruncate(&mut self, id: usize, length: u64, _ctx: &CallerCtx) -> Result<()> {
        self.note(id, format!("ftruncate {length}"));
        self.node(id)?.data.resize(length as usize, 0);
        Ok(())
    }

    fn futimens(&mut self, id: usize, times: &[TimeSpec], _ctx: &CallerCtx) -> Result<()> {
        let last = times.last().ok_or(Error::new(EINVAL))?;
        self.note(id, format!("futimens {}", last.tv_sec));
        self.node(id)?.modified = (last.tv_sec, last.tv_nsec);
        Ok(())
    }

    fn call(
        &mut self,
        id: usize,
        payload: &mut [u8],
        metadata: &[u64],
        _ctx: &CallerCtx,
    ) -> Result<usize> {
        self.note(id, format!("call {metadata:?}"));
        payload.reverse();
        Ok(payload.len())
    }

    fn getdents<'buf>(
        &mut self,
        id: usize,
        mut buf: DirentBuf<&'buf mut [u8]>,
        position: u64,
    ) -> Result<DirentBuf<&'buf mut [u8]>> {
        if self.handle(id)?.path != "dir" {
            return Err(Error::new(ENOTDIR));
        }
        let names = [("one", DirentKind::Regular), ("two", DirentKind::Directory)];
        for (index, (name, kind)) in names.into_iter().enumerate().skip(position as usize) {
            let next_opaque_id = index as u64 + 1;
            let entry = DirEntry {
                inode: 10 + index as u64,
                next_opaque_id,
                name,
                kind,
            };
            if buf.entry(entry).is_err() {
                break;
            }
        }
        Ok(buf)
    }

    fn mmap_prep(
        &mut self,
        id: usize,
        offset: u64,
        size: usize,
        flags: MapFlags,
        _ctx: &CallerCtx,
    ) -> Result<usize> {
        self.note(id, format!("mmap_prep {offset} {size} {:#x}", flags.bits()));
        if self.handle(id)?.path != "map" {
            return Err(Error::new(ENODEV));
        }
        let offset = usize::try_from(offset).map_err(|_| Error::new(EINVAL))?;
        if offset.checked_add(size).is_none_or(|end| end > MAP_BYTES) {
            return Err(Error::new(EINVAL));
        }
        // The client sees what is here, and the log shows what the client left: the first byte of each page.
        let pages = &self.buffer[self.map_start..self.map_start + MAP_BYTES];
        let firsts: Vec<_> = pages
            .iter()
            .step_by(PAGE_BYTES)
            .map(|byte| byte.load(Ordering::SeqCst).to_string())
            .collect();
        self.log.push(format!("map holds {}", firsts.join(" ")));
        pages[offset + 1].store(42, Ordering::SeqCst);
        Ok(pages.as_ptr().addr() + offset)
    }

    fn munmap(
        &mut self,
        id: usize,
        offset: u64,
        size: usize,
        _flags: MunmapFlags,
        _ctx: &CallerCtx,
    ) -> Result<()> {
        self.note(id, format!("munmap {offset} {size}"));
        Ok(())
    }

    fn on_close(&mut self, id: usize) {
        if self
            .handles
            .get(&id)
            .is_some_and(|handle| handle.path != "log")
        {
            self.note(id, "close");
        }
        if id != ROOT {
            self.handles.remove(&id);
        }
        self.watched.remove(&id);
    }

    fn on_sendfd(&mut self, request: &SendFdRequest) -> Result<usize> {
        let mut fds = vec![usize::MAX; request.num_fds()];
        request.obtain_fd(&self.socket, FobtainFdFlags::empty(), &mut fds)?;
        for fd in fds {
            let mut text = [0u8; 64];
            let count =
                libredox::call::read(fd, &mut text).map_err(|error| Error::new(error.errno()))?;
            let _ = libredox::call::close(fd);
            self.note(
                request.id(),
                format!("sendfd {}", String::from_utf8_lossy(&text[..count])),
            );
        }
        Ok(0)
    }

    fn on_recvfd(&mut self, request: &RecvFdRequest) -> Result<OpenResult> {
        self.note(request.id(), format!("recvfd {}", request.num_fds()));
        let fd = libredox::call::open("/scheme/zero", libredox::flag::O_RDONLY, 0)
            .map_err(|error| Error::new(error.errno()))?;
        request.move_fd(&self.socket, FmoveFdFlags::empty(), &[fd])?;
        Ok(OpenResult::OtherSchemeMultiple { num_fds: 1 })
    }
}
