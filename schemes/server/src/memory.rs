//! The memory transport: a client in the same process as the service. For tests, and for programs that want a
//! scheme without a mount.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::dispatch::{Output, Reply, Request, Tag};
use crate::{Caller, Entry, Errno, HandleId, Host, Kind, OpenFlags, Ready, Result, Service, Stat};

type Answers = Arc<Mutex<BTreeMap<Tag, Sender<Result<Reply>>>>>;

/// A service with its clients in this process. Clones share it; it ends with the last clone and file.
pub struct Memory<S: Service> {
    shared: Arc<Shared<S>>,
    caller: Caller,
}

struct Shared<S: Service> {
    host: Arc<Host<S>>,
    answers: Answers,
    events: Mutex<Receiver<(HandleId, Ready)>>,
    next_tag: AtomicU64,
}

/// An open file of a [`Memory`] scheme; closed on drop.
pub struct File<S: Service> {
    scheme: Memory<S>,
    handle: HandleId,
    positioned: bool,
    position: AtomicU64,
}

/// A request on its way; [`Pending::wait`] gives its answer, [`Pending::cancel`] gives it up.
pub struct Pending<S: Service> {
    scheme: Memory<S>,
    tag: Tag,
    answer: Receiver<Result<Reply>>,
}

impl<S: Service> Clone for Memory<S> {
    fn clone(&self) -> Self {
        Memory {
            shared: self.shared.clone(),
            caller: self.caller,
        }
    }
}

impl<S: Service> Memory<S> {
    /// Starts a service; the caller is this process as root.
    pub fn start(service: S) -> Self {
        let answers = Answers::default();
        let (send_event, events) = channel();
        let deliver_to = answers.clone();
        let send_event = Mutex::new(send_event);
        let host = Host::start(service, move |outputs| {
            for output in outputs {
                match output {
                    Output::Reply { tag, result } => {
                        let mut answers = deliver_to.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Some(sender) = answers.remove(&tag) {
                            // A client that stopped waiting does not want the answer.
                            let _ = sender.send(result);
                        }
                    }
                    Output::Event { handle, ready } => {
                        let sender = send_event.lock().unwrap_or_else(PoisonError::into_inner);
                        let _ = sender.send((handle, ready));
                    }
                }
            }
        });
        let caller = Caller {
            pid: u64::from(std::process::id()),
            uid: 0,
            gid: 0,
        };
        let events = Mutex::new(events);
        let shared = Shared {
            host,
            answers,
            events,
            next_tag: AtomicU64::new(1),
        };
        Memory {
            shared: Arc::new(shared),
            caller,
        }
    }

    /// The same scheme, called by somebody else.
    pub fn as_caller(&self, caller: Caller) -> Self {
        Memory {
            shared: self.shared.clone(),
            caller,
        }
    }

    /// Runs `act` on the service itself.
    pub fn with_service<T>(&self, act: impl FnOnce(&mut S) -> T) -> T {
        self.shared
            .host
            .call(|dispatcher, _| act(dispatcher.service()))
    }

    fn send(&self, nonblock: bool, request: Request) -> Pending<S> {
        let tag = self.shared.next_tag.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = channel();
        self.shared
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(tag, sender);
        self.shared
            .host
            .call(|dispatcher, out| dispatcher.submit(tag, self.caller, nonblock, request, out));
        Pending {
            scheme: self.clone(),
            tag,
            answer,
        }
    }

    fn ask(&self, request: Request) -> Result<Reply> {
        self.send(false, request).wait()
    }

    /// Opens a file.
    ///
    /// # Errors
    /// As the service says; EXDEV for a path that another scheme serves.
    pub fn open(&self, path: &str, how: OpenFlags) -> Result<File<S>> {
        let reply = self.ask(Request::Open {
            dir: None,
            path: path.to_owned(),
            how,
        })?;
        self.file(reply)
    }

    fn file(&self, reply: Reply) -> Result<File<S>> {
        match reply {
            Reply::Opened { handle, positioned } => Ok(File {
                scheme: self.clone(),
                handle,
                positioned,
                position: AtomicU64::new(0),
            }),
            _ => Err(Errno::EXDEV),
        }
    }

    /// Stat of a path.
    ///
    /// # Errors
    /// As the service says.
    pub fn stat(&self, path: &str) -> Result<Stat> {
        match self.ask(Request::StatPath {
            path: path.to_owned(),
        })? {
            Reply::Stat(stat) => Ok(stat),
            _ => Err(Errno::EIO),
        }
    }

    /// The entries of a directory.
    ///
    /// # Errors
    /// As the service says.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>> {
        let dir = self.open(
            path,
            OpenFlags {
                directory: true,
                ..OpenFlags::READ
            },
        )?;
        match self.ask(Request::List { handle: dir.handle })? {
            Reply::Entries(entries) => Ok(entries),
            _ => Err(Errno::EIO),
        }
    }

    /// mkdir.
    ///
    /// # Errors
    /// As the service says.
    pub fn make_dir(&self, path: &str) -> Result<()> {
        self.ask(Request::MakeDir {
            dir: None,
            path: path.to_owned(),
        })
        .map(drop)
    }

    /// Removes a file or an empty directory.
    ///
    /// # Errors
    /// As the service says.
    pub fn remove(&self, path: &str, kind: Kind) -> Result<()> {
        self.ask(Request::Remove {
            dir: None,
            path: path.to_owned(),
            kind,
        })
        .map(drop)
    }

    /// rename.
    ///
    /// # Errors
    /// As the service says.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.ask(Request::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        })
        .map(drop)
    }

    /// Opens, reads to the end, closes: `cat`.
    ///
    /// # Errors
    /// The first error on the way.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.open(path, OpenFlags::READ)?.read_to_end()
    }

    /// Opens as `>` does, writes all, closes: `echo`.
    ///
    /// # Errors
    /// The first error on the way, that of the close included.
    pub fn write(&self, path: &str, data: &[u8]) -> Result<()> {
        let file = self.open(path, OpenFlags::REPLACE)?;
        file.write_all(data)?;
        file.flush()
    }

    /// The next readiness event of any polled handle.
    ///
    /// # Errors
    /// EAGAIN when none came in time.
    pub fn next_event(&self, limit: Duration) -> Result<(HandleId, Ready)> {
        let events = self
            .shared
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        events.recv_timeout(limit).map_err(|_| Errno::EAGAIN)
    }
}

impl<S: Service> File<S> {
    /// The id that events carry.
    pub fn id(&self) -> HandleId {
        self.handle
    }

    /// Reads at the file's position (a stream has none).
    ///
    /// # Errors
    /// As the service says.
    pub fn read(&self, len: usize) -> Result<Vec<u8>> {
        let data = self.start_read(len).data()?;
        self.advance(data.len());
        Ok(data)
    }

    /// Sends a read without waiting for its answer.
    pub fn start_read(&self, len: usize) -> Pending<S> {
        let at = self.position.load(Ordering::Relaxed);
        self.scheme.send(
            false,
            Request::Read {
                handle: self.handle,
                at,
                len,
            },
        )
    }

    /// Reads until the end.
    ///
    /// # Errors
    /// As the service says.
    pub fn read_to_end(&self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let part = self.read(64 << 10)?;
            if part.is_empty() {
                return Ok(all);
            }
            all.extend(part);
        }
    }

    /// Writes once; a part may be taken.
    ///
    /// # Errors
    /// As the service says.
    pub fn write(&self, data: &[u8]) -> Result<usize> {
        let at = self.position.load(Ordering::Relaxed);
        let request = Request::Write {
            handle: self.handle,
            at,
            data: data.to_vec(),
        };
        match self.scheme.ask(request)? {
            Reply::Count(count) => {
                self.advance(count);
                Ok(count)
            }
            _ => Err(Errno::EIO),
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// As the service says; EIO when it takes nothing.
    pub fn write_all(&self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let count = self.write(data)?;
            if count == 0 {
                return Err(Errno::EIO);
            }
            data = &data[count..];
        }
        Ok(())
    }

    fn advance(&self, count: usize) {
        if self.positioned {
            self.position.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// Sets the position of the next read or write.
    pub fn seek(&self, at: u64) {
        self.position.store(at, Ordering::Relaxed);
    }

    /// fsync.
    ///
    /// # Errors
    /// As the service says.
    pub fn sync(&self) -> Result<()> {
        self.scheme
            .ask(Request::Sync {
                handle: self.handle,
            })
            .map(drop)
    }

    /// What close(2) does while other descriptors stay open.
    ///
    /// # Errors
    /// As the service says.
    pub fn flush(&self) -> Result<()> {
        self.scheme
            .ask(Request::Flush {
                handle: self.handle,
            })
            .map(drop)
    }

    /// Stat of the open file.
    ///
    /// # Errors
    /// As the service says.
    pub fn stat(&self) -> Result<Stat> {
        match self.scheme.ask(Request::Stat {
            handle: self.handle,
        })? {
            Reply::Stat(stat) => Ok(stat),
            _ => Err(Errno::EIO),
        }
    }

    /// A second handle of the kind that `what` names.
    ///
    /// # Errors
    /// As the service says.
    pub fn dup(&self, what: &str) -> Result<File<S>> {
        let what = what.as_bytes().to_vec();
        let reply = self.scheme.ask(Request::Dup {
            handle: self.handle,
            what,
        })?;
        self.scheme.file(reply)
    }

    /// What of `want` is ready; later changes come as events.
    ///
    /// # Errors
    /// As the service says.
    pub fn poll(&self, want: Ready) -> Result<Ready> {
        match self.scheme.ask(Request::Poll {
            handle: self.handle,
            want,
        })? {
            Reply::Ready(ready) => Ok(ready),
            _ => Err(Errno::EIO),
        }
    }
}

impl<S: Service> Drop for File<S> {
    fn drop(&mut self) {
        // As the Redox transport does: the last close flushes first. Nobody is left to hear an error.
        let _ = self.flush();
        self.scheme
            .shared
            .host
            .call(|dispatcher, out| dispatcher.close(self.handle, out));
    }
}

impl<S: Service> Pending<S> {
    /// Waits for the answer.
    ///
    /// # Errors
    /// As the service says; ENODEV when the service is gone.
    pub fn wait(self) -> Result<Reply> {
        self.answer.recv().unwrap_or(Err(Errno::ENODEV))
    }

    /// Waits for the bytes of a read.
    ///
    /// # Errors
    /// As [`Pending::wait`].
    pub fn data(self) -> Result<Vec<u8>> {
        match self.wait()? {
            Reply::Data(data) => Ok(data),
            _ => Err(Errno::EIO),
        }
    }

    /// Whether the answer is there already.
    pub fn is_waiting(&self) -> bool {
        let answers = &self.scheme.shared.answers;
        answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&self.tag)
    }

    /// Gives the request up, as a signal to the caller does.
    pub fn cancel(&self) {
        self.scheme
            .shared
            .host
            .call(|dispatcher, out| dispatcher.cancel(self.tag, out));
    }
}
