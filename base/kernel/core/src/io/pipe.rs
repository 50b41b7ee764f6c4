//! Pipes: bytes from writers to readers, and descriptions that are passed along.
//!
//! A pipe lives while one of its ends does. A socket pair is two pipes. Descriptions travel in their own queue beside
//! the bytes.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use valence_abi::errno::{EAGAIN, EBADF, EIO, EMFILE, EPIPE, Errno};
use valence_abi::flags::{EVENT_READ, EVENT_WRITE, O_NONBLOCK};
use valence_abi::signal::SIGPIPE;

use crate::io::file::Target;
use crate::kernel::{FileId, Kernel, Outcome, PipeId, Stop, wait_for};
use crate::limits::{PASSED_FDS_MAX, PIPE_ATOMIC, PIPE_CAPACITY};
use crate::machine::Machine;
use crate::mem::copy::Buffer;
use crate::task::thread::{Caller, WaitKey};

/// A pipe. An end's number is how many handles (not descriptors) have it.
#[derive(Debug, Default)]
pub struct Pipe {
    bytes: VecDeque<u8>,
    files: VecDeque<FileId>,
    /// Reading handles.
    pub readers: u32,
    /// Writing handles.
    pub writers: u32,
    /// Who to tell when bytes arrive: (target, handle) of the reading end.
    pub read_end: Option<(Target, u64)>,
    /// Who to tell when room appears.
    pub write_end: Option<(Target, u64)>,
}

impl Pipe {
    /// Whether a read would not block.
    pub fn readable(&self) -> bool {
        !self.bytes.is_empty() || !self.files.is_empty() || self.writers == 0
    }

    /// Whether a write would not block.
    pub fn writable(&self) -> bool {
        PIPE_CAPACITY - self.bytes.len() >= PIPE_ATOMIC || self.readers == 0
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no bytes wait.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl<M: Machine> Kernel<M> {
    /// A pipe without handles: who makes them counts them.
    pub fn pipe_new(&mut self) -> Result<PipeId, Errno> {
        self.pipes.insert(Pipe::default()).map_err(|_| EMFILE)
    }

    /// Reads what is there.
    pub fn pipe_read(&mut self, id: PipeId, buffer: Buffer, flags: usize) -> Outcome {
        let pipe = self.pipes.get_mut(id).ok_or::<Errno>(EBADF)?;
        if pipe.bytes.is_empty() {
            return if buffer.len == 0 || pipe.writers == 0 {
                Ok(0)
            } else if flags & O_NONBLOCK != 0 {
                Err(EAGAIN.into())
            } else {
                Err(wait_for(WaitKey::PipeRead(id)))
            };
        }
        let was_full = !pipe.writable();
        let mut bytes = core::mem::take(&mut pipe.bytes);
        let count = bytes.len().min(buffer.len);
        let (front, back) = bytes.as_slices();
        let first = front.len().min(count);
        let result = self
            .copy_out(buffer.space, buffer.addr, &front[..first])
            .and_then(|()| {
                self.copy_out(buffer.space, buffer.addr + first, &back[..count - first])
            });
        if result.is_ok() {
            bytes.drain(..count);
        }
        let pipe = self.pipes.get_mut(id).ok_or::<Errno>(EBADF)?;
        pipe.bytes = bytes;
        result?;
        // The end behind the last bytes is news of its own: who was told once of bytes and end together, and waits again
        // after a short read (tokio does), would never see it.
        if count > 0 && pipe.bytes.is_empty() && pipe.writers == 0 {
            let end = pipe.read_end;
            self.notify_end(end, EVENT_READ);
        }
        let pipe = self.pipes.get_mut(id).ok_or::<Errno>(EBADF)?;
        if was_full && count > 0 {
            let (end, writable) = (pipe.write_end, pipe.writable());
            self.wake(WaitKey::PipeWrite(id));
            if writable {
                self.notify_end(end, EVENT_WRITE);
            }
        }
        Ok(count)
    }

    /// Writes. Up to `PIPE_ATOMIC` bytes all or nothing; longer writes block until all is in, in pieces.
    pub fn pipe_write(
        &mut self,
        who: &Caller,
        id: PipeId,
        buffer: Buffer,
        flags: usize,
    ) -> Outcome {
        let done = self
            .threads
            .get(who.thread)
            .map_or(0, |thread| thread.progress.len);
        let result = self.pipe_write_rest(who, id, buffer, flags, done);
        if !matches!(result, Err(Stop::Wait(..)))
            && let Some(thread) = self.threads.get_mut(who.thread)
        {
            thread.progress.len = 0;
        }
        result
    }

    fn pipe_write_rest(
        &mut self,
        who: &Caller,
        id: PipeId,
        buffer: Buffer,
        flags: usize,
        done: usize,
    ) -> Outcome {
        let pipe = self.pipes.get_mut(id).ok_or::<Errno>(EBADF)?;
        if pipe.readers == 0 {
            let info = crate::task::signal::info(SIGPIPE, who.pid, who.uid);
            self.signal_thread(who.thread, SIGPIPE, info);
            return if done > 0 {
                Ok(done)
            } else {
                Err(EPIPE.into())
            };
        }
        let rest = buffer.skip(done);
        let room = PIPE_CAPACITY - pipe.bytes.len();
        let fits = if buffer.len <= PIPE_ATOMIC {
            room >= rest.len
        } else {
            room > 0
        };
        if !fits {
            return match flags & O_NONBLOCK != 0 {
                true if done > 0 => Ok(done),
                true => Err(EAGAIN.into()),
                false => Err(wait_for(WaitKey::PipeWrite(id))),
            };
        }
        let count = rest.len.min(room);
        let mut bytes = core::mem::take(&mut pipe.bytes);
        let was_empty = bytes.is_empty();
        let result = self.append_user(&mut bytes, rest.first(count));
        let pipe = self.pipes.get_mut(id).ok_or::<Errno>(EBADF)?;
        pipe.bytes = bytes;
        result?;
        if count > 0 {
            let end = pipe.read_end;
            if was_empty {
                self.wake(WaitKey::PipeRead(id));
            }
            // An edge for every write: mio's waker never drains its pipe and counts on it.
            self.notify_end(end, EVENT_READ);
        }
        if done + count == buffer.len || flags & O_NONBLOCK != 0 {
            return Ok(done + count);
        }
        if let Some(thread) = self.threads.get_mut(who.thread) {
            thread.progress.len = done + count;
        }
        Err(wait_for(WaitKey::PipeWrite(id)))
    }

    /// Adds user bytes to a queue: all or none.
    fn append_user(&mut self, bytes: &mut VecDeque<u8>, from: Buffer) -> Result<(), Errno> {
        let old = bytes.len();
        bytes
            .try_reserve(from.len)
            .map_err(|_| valence_abi::errno::ENOMEM)?;
        let mut piece = [0; 512];
        let mut done = 0;
        while done < from.len {
            let len = (from.len - done).min(piece.len());
            if let Err(errno) = self.copy_in(from.space, from.addr + done, &mut piece[..len]) {
                bytes.truncate(old);
                return Err(errno);
            }
            bytes.extend(&piece[..len]);
            done += len;
        }
        Ok(())
    }

    fn notify_end(&mut self, end: Option<(Target, u64)>, flags: usize) {
        if let Some((target, handle)) = end {
            self.notify(target, handle, flags);
        }
    }

    /// Passes descriptions along.
    pub fn pipe_send_files(&mut self, id: PipeId, files: &[FileId]) -> Result<(), Stop> {
        let pipe = self.pipes.get_mut(id).ok_or::<Errno>(EBADF)?;
        if pipe.readers == 0 {
            return Err(EPIPE.into());
        }
        if pipe.files.len() + files.len() > PASSED_FDS_MAX * 4 {
            return Err(EAGAIN.into());
        }
        pipe.files.extend(files);
        let end = pipe.read_end;
        self.wake(WaitKey::PipeRead(id));
        self.notify_end(end, EVENT_READ);
        Ok(())
    }

    /// Takes up to `count` descriptions that were passed; waits for the first.
    pub fn pipe_receive_files(
        &mut self,
        id: PipeId,
        count: usize,
        flags: usize,
    ) -> Result<Vec<FileId>, Stop> {
        let pipe = self.pipes.get_mut(id).ok_or::<Errno>(EBADF)?;
        if pipe.files.is_empty() {
            return Err(match pipe.writers {
                0 => EIO.into(),
                _ if flags & O_NONBLOCK != 0 => EAGAIN.into(),
                _ => wait_for(WaitKey::PipeRead(id)),
            });
        }
        let count = count.min(pipe.files.len());
        Ok(pipe.files.drain(..count).collect())
    }

    /// A handle of the reading end is gone.
    pub fn pipe_close_reader(&mut self, id: PipeId) {
        let Some(pipe) = self.pipes.get_mut(id) else {
            return;
        };
        pipe.readers = pipe.readers.saturating_sub(1);
        if pipe.readers == 0 {
            pipe.bytes = VecDeque::new();
            let (end, files) = (pipe.write_end, core::mem::take(&mut pipe.files));
            files.into_iter().for_each(|file| self.file_release(file));
            self.wake(WaitKey::PipeWrite(id));
            self.notify_end(end, EVENT_WRITE);
            self.pipe_end(id);
        }
    }

    /// A handle of the writing end is gone.
    pub fn pipe_close_writer(&mut self, id: PipeId) {
        let Some(pipe) = self.pipes.get_mut(id) else {
            return;
        };
        pipe.writers = pipe.writers.saturating_sub(1);
        if pipe.writers == 0 {
            let end = pipe.read_end;
            self.wake(WaitKey::PipeRead(id));
            self.notify_end(end, EVENT_READ);
            self.pipe_end(id);
        }
    }

    fn pipe_end(&mut self, id: PipeId) {
        let over = self
            .pipes
            .get(id)
            .is_some_and(|pipe| pipe.readers == 0 && pipe.writers == 0);
        if over {
            self.pipes.remove(id);
            self.wake_last(WaitKey::PipeRead(id));
            self.wake_last(WaitKey::PipeWrite(id));
        }
    }
}
