//! A scheme served by a daemon: its table of requests, its life and its death.
//!
//! The daemon owns the *socket* description; when the last reference of it goes, the scheme is dead: every request ends with
//! `ENODEV`, every later call too, its names leave all namespaces, and mappings of its memory stay as they are.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use valence_abi::errno::{EACCES, EINVAL, EMFILE, ENODEV, Errno, encode};
use valence_abi::flags::{EVENT_READ, EVENT_WRITE, O_RDWR};
use valence_abi::scheme::{NewFdParams, POSITIONED, SQE_ONEWAY, Sqe, opcode};

use crate::io::file::{File, Target};
use crate::kernel::{FileId, Kernel, SchemeId};
use crate::machine::Machine;
use crate::mem::space::Mapping;
use crate::scheme::arena::Arena;
use crate::scheme::request::Request;
use crate::task::thread::{Caller, WaitKey};

/// Bits of a tag that number the slot; the rest count its uses.
const TAG_INDEX_BITS: u32 = 12;
const TAG_INDEX_MASK: u32 = (1 << TAG_INDEX_BITS) - 1;

/// Something for the daemon to read.
#[derive(Clone, Copy, Debug)]
pub enum Message {
    /// A request, by tag. Stale tags are skipped.
    Request(u32),
    /// A message without answer.
    OneWay(Sqe),
}

/// What a tag given by a daemon means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A request the daemon has read.
    Open,
    /// Answered before.
    Answered,
    /// Never handed out.
    Unknown,
}

#[derive(Default)]
struct RequestSlot {
    uses: u32,
    request: Option<Request>,
}

/// A user scheme.
#[derive(Default)]
pub struct UserScheme {
    /// Its number (`st_dev`), from 16.
    pub number: u64,
    /// Number of the process that made it.
    pub owner: u32,
    /// Messages not read yet.
    pub queue: VecDeque<Message>,
    /// Buffers.
    pub arena: Arena,
    slots: Vec<RequestSlot>,
    free: Vec<u32>,
}

impl UserScheme {
    /// A new scheme.
    pub fn new(number: u64, owner: u32) -> Self {
        Self {
            number,
            owner,
            ..Self::default()
        }
    }

    /// Adds a request and gives it its tag.
    #[expect(
        clippy::result_large_err,
        reason = "a refused request goes back to be freed"
    )]
    pub fn add(&mut self, request: Request) -> Result<u32, Request> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < crate::limits::SCHEME_REQUESTS_MAX => {
                self.slots.push(RequestSlot::default());
                self.slots.len() as u32 - 1
            }
            None => return Err(request),
        };
        let slot = &mut self.slots[index as usize];
        slot.uses = (slot.uses + 1) & (u32::MAX >> TAG_INDEX_BITS);
        slot.request = Some(request);
        Ok(slot.uses << TAG_INDEX_BITS | index)
    }

    fn slot(&mut self, tag: u32) -> Option<&mut RequestSlot> {
        let slot = self.slots.get_mut((tag & TAG_INDEX_MASK) as usize)?;
        if slot.uses == tag >> TAG_INDEX_BITS {
            Some(slot)
        } else {
            None
        }
    }

    /// The request with this tag.
    pub fn request(&mut self, tag: u32) -> Option<&mut Request> {
        self.slot(tag)?.request.as_mut()
    }

    /// Takes a request out.
    pub fn remove(&mut self, tag: u32) -> Option<Request> {
        let request = self.slot(tag)?.request.take()?;
        self.free.push(tag & TAG_INDEX_MASK);
        Some(request)
    }

    /// Judges a tag that the daemon named.
    pub fn judge(&self, tag: u32) -> Tag {
        let Some(slot) = self.slots.get((tag & TAG_INDEX_MASK) as usize) else {
            return Tag::Unknown;
        };
        let uses = tag >> TAG_INDEX_BITS;
        match &slot.request {
            Some(request) if slot.uses == uses && request.taken => Tag::Open,
            Some(_) if slot.uses == uses => Tag::Unknown,
            _ if uses != 0 && uses <= slot.uses => Tag::Answered,
            _ => Tag::Unknown,
        }
    }

    /// Takes every request out.
    pub fn drain(&mut self) -> Vec<Request> {
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.request.take())
            .collect()
    }

    /// Whether the daemon has something to read.
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Requests waiting or being served.
    pub fn open_requests(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl<M: Machine> Kernel<M> {
    /// `dup(cap, "create-scheme")`: a new scheme; the description is its socket.
    pub fn scheme_create(&mut self, who: &Caller) -> Result<FileId, Errno> {
        let namespace = self.processes.get(who.process).ok_or(EINVAL)?.namespace;
        if !self.namespace_has_authority(namespace) {
            return Err(EACCES);
        }
        let number = self.next_scheme;
        let id = self
            .schemes
            .insert(Box::new(UserScheme::new(number, who.pid)))
            .map_err(|_| EMFILE)?;
        self.next_scheme += 1;
        self.file_new(File::new(Target::Socket(id), 0, O_RDWR, false))
    }

    /// `dup(socket, NewFdParams)`: a description of the daemon's own scheme.
    pub(crate) fn scheme_new_fd(&mut self, id: SchemeId, bytes: &[u8]) -> Result<FileId, Errno> {
        let word = |at: usize| {
            let bytes = bytes
                .get(at..at + 8)
                .and_then(|b| b.try_into().ok())
                .unwrap_or([0; 8]);
            u64::from_le_bytes(bytes)
        };
        if bytes.len() != size_of::<NewFdParams>() {
            return Err(EINVAL);
        }
        let positioned = bytes[24] & POSITIONED != 0;
        let file = File {
            offset: word(0),
            ..File::new(Target::User(id), word(8), word(16) as usize, positioned)
        };
        self.files
            .insert(file)
            .map_err(|_| valence_abi::errno::ENFILE)
    }

    /// Queues a message for the daemon and wakes it.
    pub(crate) fn scheme_post(&mut self, id: SchemeId, message: Message) {
        let Some(scheme) = self.schemes.get_mut(id) else {
            return;
        };
        scheme.queue.push_back(message);
        self.wake(WaitKey::Socket(id));
        self.notify(Target::Socket(id), 0, EVENT_READ);
    }

    /// A message without answer.
    pub(crate) fn scheme_tell(&mut self, id: SchemeId, op: u8, tag: u32, handle: u64, pid: u64) {
        let mut sqe = Sqe {
            opcode: op,
            sqe_flags: SQE_ONEWAY,
            tag,
            caller: pid,
            ..Sqe::default()
        };
        sqe.args[0] = handle;
        self.scheme_post(id, Message::OneWay(sqe));
    }

    /// The last reference of a handle is gone.
    pub(crate) fn send_close(&mut self, id: SchemeId, handle: u64) {
        self.scheme_tell(id, opcode::CLOSE_MSG, 0, handle, 0);
    }

    /// A mapping is gone: the daemon answers, nobody waits.
    pub(crate) fn scheme_munmap(&mut self, mapping: &Mapping) {
        let Some(file) = self.files.get(mapping.file) else {
            return;
        };
        let Target::User(id) = file.target else {
            return;
        };
        let synchronise = mapping.flags & valence_abi::flags::MAP_SHARED != 0
            && mapping.flags & valence_abi::flags::PROT_WRITE != 0;
        let mut sqe = Sqe {
            opcode: opcode::MUNMAP,
            ..Sqe::default()
        };
        sqe.args = [
            file.handle,
            mapping.len,
            u64::from(synchronise),
            mapping.offset,
            0,
            0,
        ];
        self.file_retain(mapping.file);
        self.post_request(id, Request::detached(sqe, mapping.file));
    }

    /// The daemon is gone.
    pub(crate) fn scheme_die(&mut self, id: SchemeId) {
        if let Some(scheme) = self.schemes.remove(id) {
            self.scheme_bury(id, scheme);
        }
    }

    /// Takes a scheme out for work; what arrives meanwhile is collected in its place.
    pub(crate) fn take_scheme(&mut self, id: SchemeId) -> Option<Box<UserScheme>> {
        let place = self.schemes.get_mut(id)?;
        let spare = self.spare_scheme.take().unwrap_or_default();
        Some(core::mem::replace(place, spare))
    }

    /// Puts back a scheme that was taken out for work, with what arrived meanwhile.
    pub(crate) fn put_scheme(&mut self, id: SchemeId, mut scheme: Box<UserScheme>) {
        match self.schemes.get_mut(id) {
            Some(place) => {
                scheme.queue.append(&mut place.queue);
                self.spare_scheme = Some(core::mem::replace(place, scheme));
            }
            None => self.scheme_bury(id, scheme),
        }
    }

    fn scheme_bury(&mut self, id: SchemeId, mut scheme: Box<UserScheme>) {
        for request in scheme.drain() {
            let caller = request.caller;
            self.discard_request(&mut scheme, request);
            if let Some(thread) = caller {
                self.finish_wait(thread, encode(Err(ENODEV)));
            }
        }
        for (space, base) in core::mem::take(&mut scheme.arena.bindings) {
            if let Some(region) = self.spaces.get(space).and_then(|s| s.regions.get(&base)) {
                let region = *region;
                self.remove_region(space, base, region);
            }
        }
        for frame in scheme.arena.frames.drain(..) {
            self.frames.release(frame);
        }
        self.wake_last(WaitKey::Socket(id));
        self.namespace_purge(Target::User(id));
        let watched: Vec<u64> = self
            .subscriptions
            .keys()
            .filter(|(target, _)| *target == Target::User(id))
            .map(|(_, handle)| *handle)
            .collect();
        for handle in watched {
            self.notify(Target::User(id), handle, EVENT_READ | EVENT_WRITE);
        }
    }
}
