//! The trait that a scheme implements, in the shape of Plan 9's lib9p: one method per verb, all with a default
//! that says "not supported" properly.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::{Caller, Entry, Errno, HandleId, OpenFlags, Ready, Result, Stat};

/// The outcome of a request that may have to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Finished.
    Done(T),
    /// Nothing was done; call again after [`Wake::handle`].
    Wait,
}

/// A handle fresh from `open` or `dup`.
#[derive(Debug)]
pub struct Opened<H> {
    /// The service's own state of the handle.
    pub handle: H,
    /// Whether reads and writes carry an offset (a file), or not (a stream).
    pub positioned: bool,
}

impl<H> Opened<H> {
    /// A file: reads and writes carry an offset, lseek works.
    pub fn positioned(handle: H) -> Self {
        Opened {
            handle,
            positioned: true,
        }
    }

    /// A stream: the offset is always 0 and means nothing.
    pub fn stream(handle: H) -> Self {
        Opened {
            handle,
            positioned: false,
        }
    }

    /// The same with another state.
    pub fn map<T>(self, change: impl FnOnce(H) -> T) -> Opened<T> {
        Opened {
            handle: change(self.handle),
            positioned: self.positioned,
        }
    }
}

/// A scheme.
///
/// Paths are normalised ([`crate::normalise`]): no leading or trailing slash, the root is `""`, a query stays
/// behind its `?`. Directories never reach `open`: the kit serves them from [`Service::stat`] and
/// [`Service::list`]. Permission bits were checked when `open` is called.
///
/// A method must not block. It may be called again for the same request after it said [`Step::Wait`], so it
/// changes nothing when it says so. A client's mistake is an errno, never a panic.
pub trait Service: Send + 'static {
    /// What the service keeps per open handle.
    type Handle: Send;

    /// Called once, before anything else: keep `wake` to announce news from other threads or other handles.
    fn start(&mut self, wake: Wake) {
        drop(wake);
    }

    /// What `path` is.
    ///
    /// # Errors
    /// ENOENT where there is nothing, or nothing that this caller may know of.
    fn stat(&mut self, caller: &Caller, path: &str) -> Result<Stat>;

    /// The entries of a directory, without `.` and `..`. The kit takes one list per open of the directory.
    ///
    /// # Errors
    /// ENOTDIR (the default) where it is none.
    fn list(&mut self, caller: &Caller, path: &str) -> Result<Vec<Entry>> {
        let _ = (caller, path);
        Err(Errno::ENOTDIR)
    }

    /// Opens a file. With `how.create` the path may not exist yet. `id` names the new handle for [`Wake`].
    ///
    /// # Errors
    /// Whatever fits; nothing is kept then.
    fn open(
        &mut self,
        caller: &Caller,
        path: &str,
        how: OpenFlags,
        id: HandleId,
    ) -> Result<Opened<Self::Handle>>;

    /// Reads into `buf`; 0 is the end.
    ///
    /// # Errors
    /// Whatever fits.
    fn read(&mut self, handle: &mut Self::Handle, at: u64, buf: &mut [u8]) -> Result<Step<usize>> {
        let _ = (handle, at, buf);
        Err(Errno::EBADF)
    }

    /// Writes from `data`, all or a part.
    ///
    /// # Errors
    /// Whatever fits.
    fn write(&mut self, handle: &mut Self::Handle, at: u64, data: &[u8]) -> Result<Step<usize>> {
        let _ = (handle, at, data);
        Err(Errno::EBADF)
    }

    /// Makes a second handle from this one; `what` says which (`"fork"`, `"error"`). Not the kernel's plain dup,
    /// which shares the handle and is never seen here.
    ///
    /// # Errors
    /// EINVAL (the default) for a name it does not know.
    fn dup(
        &mut self,
        caller: &Caller,
        handle: &mut Self::Handle,
        what: &[u8],
        id: HandleId,
    ) -> Result<Opened<Self::Handle>> {
        let _ = (caller, handle, what, id);
        Err(Errno::EINVAL)
    }

    /// Stat of an open handle; `path` is where it was opened.
    ///
    /// # Errors
    /// As [`Service::stat`].
    fn stat_handle(
        &mut self,
        caller: &Caller,
        handle: &mut Self::Handle,
        path: &str,
    ) -> Result<Stat> {
        let _ = handle;
        self.stat(caller, path)
    }

    /// Makes everything written so far durable or effective (fsync).
    ///
    /// # Errors
    /// Whatever fits.
    fn sync(&mut self, handle: &mut Self::Handle) -> Result<Step<()>> {
        let _ = handle;
        Ok(Step::Done(()))
    }

    /// Somebody closed one descriptor of this handle, maybe the last. FUSE calls this inside close(2), so what must
    /// be in effect when close returns (submit a prompt, index a document) belongs here; on Redox the kit calls it
    /// just before [`Service::close`]. It can be called several times.
    ///
    /// # Errors
    /// The close(2) of a FUSE caller fails with it.
    fn flush(&mut self, handle: &mut Self::Handle) -> Result<()> {
        let _ = handle;
        Ok(())
    }

    /// The last descriptor is closed. What the handle was waiting for is cancelled here.
    fn close(&mut self, handle: Self::Handle) {
        drop(handle);
    }

    /// Which requests on the handle would not wait now. After a change call [`Wake::handle`].
    fn ready(&mut self, handle: &mut Self::Handle) -> Ready {
        let _ = handle;
        Ready::BOTH
    }

    /// Sets the length of the file at `path`. Control files take 0, as `echo … > file` begins with it; so the
    /// default takes 0 and refuses the rest.
    ///
    /// # Errors
    /// EINVAL where the length cannot be set.
    fn truncate(&mut self, caller: &Caller, path: &str, length: u64) -> Result<()> {
        let _ = (caller, path);
        if length == 0 {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// EPERM by default.
    fn make_dir(&mut self, caller: &Caller, path: &str) -> Result<()> {
        let _ = (caller, path);
        Err(Errno::EPERM)
    }

    /// Removes a directory.
    ///
    /// # Errors
    /// EPERM by default.
    fn remove_dir(&mut self, caller: &Caller, path: &str) -> Result<()> {
        let _ = (caller, path);
        Err(Errno::EPERM)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// EPERM by default.
    fn unlink(&mut self, caller: &Caller, path: &str) -> Result<()> {
        let _ = (caller, path);
        Err(Errno::EPERM)
    }

    /// Renames a file or directory.
    ///
    /// # Errors
    /// EPERM by default.
    fn rename(&mut self, caller: &Caller, from: &str, to: &str) -> Result<()> {
        let _ = (caller, from, to);
        Err(Errno::EPERM)
    }

    /// A path that another scheme serves: the kit (on Redox only) opens the answer there, with the caller's flags,
    /// and hands that descriptor to the caller. `None`, the default, for paths of our own.
    fn foreign(&mut self, caller: &Caller, path: &str) -> Option<String> {
        let _ = (caller, path);
        None
    }
}

/// How a service, or a thread of its own, says that a handle has news. Cheap to clone and to call; calling it from
/// inside a service method is fine.
#[derive(Clone)]
pub struct Wake {
    mailbox: Arc<Mailbox>,
}

#[derive(Default)]
pub(crate) struct Mailbox {
    state: Mutex<MailboxState>,
    changed: Condvar,
}

#[derive(Default)]
struct MailboxState {
    handles: Vec<HandleId>,
    closed: bool,
}

impl Wake {
    pub(crate) fn new() -> Wake {
        Wake {
            mailbox: Arc::default(),
        }
    }

    /// Requests waiting on `id` are tried again, and watchers learn what is ready. An id that is closed by now is
    /// ignored.
    pub fn handle(&self, id: HandleId) {
        let mut state = self
            .mailbox
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !state.handles.contains(&id) {
            state.handles.push(id);
        }
        self.mailbox.changed.notify_all();
    }

    pub(crate) fn take(&self) -> Vec<HandleId> {
        let mut state = self
            .mailbox
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.handles)
    }

    /// Waits until there is news, `limit` has passed, or the host is going away (`false`).
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let state = self
            .mailbox
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !state.handles.is_empty() || state.closed {
            return !state.closed;
        }
        let (state, _) = self
            .mailbox
            .changed
            .wait_timeout(state, limit)
            .unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }

    pub(crate) fn shut(&self) {
        self.mailbox
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.mailbox.changed.notify_all();
    }
}

/// Serves a read at `at` from bytes at hand: copies what fits and says how much.
pub fn copy_from(bytes: &[u8], at: u64, buf: &mut [u8]) -> usize {
    let rest = usize::try_from(at)
        .ok()
        .and_then(|at| bytes.get(at..))
        .unwrap_or(&[]);
    let count = rest.len().min(buf.len());
    buf[..count].copy_from_slice(&rest[..count]);
    count
}
