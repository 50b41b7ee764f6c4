//! [`Host`] as redox-scheme's trait: one line per operation, no decisions.

use redox_scheme::scheme::SchemeSync;
use redox_scheme::{CallerCtx, OpenResult};
use syscall::data::StdFsCallMeta;
use syscall::data::{Stat, StatVfs, TimeSpec};
use syscall::dirent::DirentBuf;
use syscall::error::{EINVAL, EOPNOTSUPP, Error, Result};
use syscall::flag::{EventFlags, MapFlags, MunmapFlags, StdFsCallKind};
use syscall::schemev2::NewFdFlags;

use crate::host::{Host, NewHandle, ROOT};
use crate::service::{Caller, Service, Times, place};

fn caller(ctx: &CallerCtx) -> Caller {
    Caller {
        pid: ctx.pid,
        uid: ctx.uid,
        gid: ctx.gid,
    }
}

fn open_result(new: NewHandle) -> OpenResult {
    let flags = if new.positioned {
        NewFdFlags::POSITIONED
    } else {
        NewFdFlags::empty()
    };
    OpenResult::ThisScheme {
        number: new.id,
        flags,
    }
}

impl<S: Service> SchemeSync for Host<S> {
    fn scheme_root(&mut self) -> Result<usize> {
        Ok(ROOT)
    }

    fn openat(
        &mut self,
        dir: usize,
        path: &str,
        flags: usize,
        fcntl_flags: u32,
        ctx: &CallerCtx,
    ) -> Result<OpenResult> {
        self.open(dir, path, flags | fcntl_flags as usize, &caller(ctx))
            .map(open_result)
    }

    fn unlinkat(&mut self, dir: usize, path: &str, flags: usize, ctx: &CallerCtx) -> Result<()> {
        self.unlink(dir, path, flags, &caller(ctx))
    }

    fn dup(&mut self, id: usize, what: &[u8], _ctx: &CallerCtx) -> Result<OpenResult> {
        Host::dup(self, id, what).map(open_result)
    }

    fn read(
        &mut self,
        id: usize,
        buf: &mut [u8],
        offset: u64,
        _flags: u32,
        _ctx: &CallerCtx,
    ) -> Result<usize> {
        let (service, handle) = self.with(id)?;
        service.read(&mut handle.node, buf, offset)
    }

    fn write(
        &mut self,
        id: usize,
        buf: &[u8],
        offset: u64,
        flags: u32,
        _ctx: &CallerCtx,
    ) -> Result<usize> {
        let (service, handle) = self.with(id)?;
        service.write(&mut handle.node, buf, offset, handle.flags | flags as usize)
    }

    fn fsize(&mut self, id: usize, _ctx: &CallerCtx) -> Result<u64> {
        let (service, handle) = self.with(id)?;
        service.size(&handle.node)
    }

    fn fchmod(&mut self, id: usize, mode: u16, ctx: &CallerCtx) -> Result<()> {
        let (service, handle) = self.with(id)?;
        service.set_mode(&mut handle.node, mode, &caller(ctx))
    }

    fn fchown(&mut self, id: usize, uid: u32, gid: u32, ctx: &CallerCtx) -> Result<()> {
        let (service, handle) = self.with(id)?;
        service.set_owner(&mut handle.node, uid, gid, &caller(ctx))
    }

    fn fcntl(&mut self, id: usize, cmd: usize, arg: usize, _ctx: &CallerCtx) -> Result<usize> {
        Host::fcntl(self, id, cmd, arg)
    }

    fn fevent(&mut self, id: usize, wanted: EventFlags, _ctx: &CallerCtx) -> Result<EventFlags> {
        self.interest(id, wanted)
    }

    fn flink(&mut self, id: usize, path: &str, ctx: &CallerCtx) -> Result<usize> {
        let (service, handle) = self.with(id)?;
        service
            .link(&handle.node, place(path), &caller(ctx))
            .map(|()| 0)
    }

    fn fpath(&mut self, id: usize, buf: &mut [u8], _ctx: &CallerCtx) -> Result<usize> {
        self.path(id, buf)
    }

    fn frename(&mut self, id: usize, path: &str, ctx: &CallerCtx) -> Result<usize> {
        let (service, handle) = self.with(id)?;
        service
            .rename(&mut handle.node, place(path), &caller(ctx))
            .map(|()| 0)
    }

    fn fstat(&mut self, id: usize, stat: &mut Stat, _ctx: &CallerCtx) -> Result<()> {
        self.stat(id, stat)
    }

    fn fstatvfs(&mut self, id: usize, stat: &mut StatVfs, _ctx: &CallerCtx) -> Result<()> {
        let (service, handle) = self.with(id)?;
        service.volume(&handle.node, stat)
    }

    fn fsync(&mut self, id: usize, _ctx: &CallerCtx) -> Result<()> {
        let (service, handle) = self.with(id)?;
        service.sync(&mut handle.node)
    }

    fn ftruncate(&mut self, id: usize, len: u64, _ctx: &CallerCtx) -> Result<()> {
        let (service, handle) = self.with(id)?;
        service.truncate(&mut handle.node, len)
    }

    fn futimens(&mut self, id: usize, times: &[TimeSpec], _ctx: &CallerCtx) -> Result<()> {
        let [accessed, modified] = *times else {
            return Err(Error::new(EINVAL));
        };
        let (service, handle) = self.with(id)?;
        service.set_times(&mut handle.node, Times { accessed, modified })
    }

    fn std_fs_call(
        &mut self,
        id: usize,
        kind: StdFsCallKind,
        _payload: &mut [u8],
        meta: StdFsCallMeta,
        ctx: &CallerCtx,
    ) -> Result<usize> {
        match kind {
            // The caller's identity is not valid in this form: only the new owner is passed on.
            StdFsCallKind::Fchown => {
                let (uid, gid) = (meta.arg1 as u32, meta.arg2 as u32);
                let caller = Caller {
                    pid: ctx.pid,
                    uid: u32::MAX,
                    gid: u32::MAX,
                };
                let (service, handle) = self.with(id)?;
                service
                    .set_owner(&mut handle.node, uid, gid, &caller)
                    .map(|()| 0)
            }
            _ => Err(Error::new(EOPNOTSUPP)),
        }
    }

    fn getdents<'b>(
        &mut self,
        id: usize,
        buf: DirentBuf<&'b mut [u8]>,
        from: u64,
    ) -> Result<DirentBuf<&'b mut [u8]>> {
        Host::getdents(self, id, buf, from)
    }

    fn mmap_prep(
        &mut self,
        id: usize,
        offset: u64,
        len: usize,
        flags: MapFlags,
        _ctx: &CallerCtx,
    ) -> Result<usize> {
        let (service, handle) = self.with(id)?;
        service.map(&mut handle.node, offset, len, flags)
    }

    fn munmap(
        &mut self,
        id: usize,
        offset: u64,
        len: usize,
        _flags: MunmapFlags,
        _ctx: &CallerCtx,
    ) -> Result<()> {
        let (service, handle) = self.with(id)?;
        service.unmap(&mut handle.node, offset, len)
    }

    fn on_close(&mut self, id: usize) {
        self.close(id);
    }
}
