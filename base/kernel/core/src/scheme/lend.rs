//! Buffers of requests: how a caller's memory becomes visible in the daemon.
//!
//! Up to `ARENA_BUFFER_PAGES` pages are copied through the scheme's arena, which is always mapped. Above, the
//! caller's own pages are lent: whole pages are mapped into the daemon at its read, parts of pages at the ends travel in bounce
//! pages, and all is unmapped at the answer. A caller that dies meanwhile leaves its frames to the request.

use alloc::vec::Vec;

use valence_abi::PAGE_SIZE;
use valence_abi::errno::{EFAULT, ENOMEM, Errno};

use crate::kernel::{Kernel, SpaceId};
use crate::limits::{ARENA_BUFFER_PAGES, ARENA_PAGES, REQUEST_BUFFER_MAX};
use crate::machine::{Frame, Machine};
use crate::mem::copy::Buffer;
use crate::mem::fault::Access;
use crate::mem::space::{Kind, Region, Rights};
use crate::scheme::request::Data;
use crate::scheme::user::UserScheme;

/// Address that stands for an empty buffer: never null, never used.
const EMPTY: u64 = PAGE_SIZE as u64;

/// A request's buffer.
#[derive(Debug)]
pub enum Loan {
    /// No buffer, or an empty one.
    None,
    /// Pages of the arena.
    Arena {
        /// First page in the arena.
        first: usize,
        /// Offset of the bytes in it.
        offset: usize,
        /// Length.
        len: usize,
        /// Where the daemon's bytes go.
        back: Option<Buffer>,
    },
    /// Lent pages.
    Pages {
        /// Frames in order, each owned by the request.
        frames: Vec<Frame>,
        /// Offset of the bytes in the first.
        offset: usize,
        /// Length.
        len: usize,
        /// Where the daemon's bytes go (only ends of the range need copying).
        back: Option<Buffer>,
        /// Where they are mapped.
        mapped: Option<(SpaceId, u64)>,
    },
}

impl Loan {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Arena { len, .. } | Self::Pages { len, .. } => *len,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<M: Machine> Kernel<M> {
    /// Makes the buffer of a request.
    pub(crate) fn make_loan(
        &mut self,
        scheme: &mut UserScheme,
        data: &Data<'_>,
    ) -> Result<Loan, Errno> {
        let (buffer, input, output) = match *data {
            Data::None => return Ok(Loan::None),
            Data::Bytes(bytes) => return self.loan_bytes(scheme, bytes),
            Data::In(buffer) => (buffer, true, false),
            Data::Out(buffer) => (buffer, false, true),
            Data::InOut(buffer) => (buffer, true, true),
        };
        let buffer = buffer.first(REQUEST_BUFFER_MAX);
        if buffer.len == 0 {
            return Ok(Loan::None);
        }
        let pages = buffer.len.div_ceil(PAGE_SIZE);
        if pages <= ARENA_BUFFER_PAGES
            && let Some(first) = self.arena_take(scheme, pages)
        {
            let loan = Loan::Arena {
                first,
                offset: 0,
                len: buffer.len,
                back: output.then_some(buffer),
            };
            let filled = if input {
                self.fill_arena(scheme, first, buffer)
            } else {
                self.check_writable(buffer)
            };
            if let Err(errno) = filled {
                self.end_loan(scheme, loan);
                return Err(errno);
            }
            return Ok(loan);
        }
        self.lend_pages(buffer, input, output)
    }

    fn loan_bytes(&mut self, scheme: &mut UserScheme, bytes: &[u8]) -> Result<Loan, Errno> {
        if bytes.is_empty() {
            return Ok(Loan::None);
        }
        let pages = bytes.len().div_ceil(PAGE_SIZE);
        let first = self.arena_take(scheme, pages).ok_or(ENOMEM)?;
        for (chunk, frame) in bytes.chunks(PAGE_SIZE).zip(&scheme.arena.frames[first..]) {
            self.machine.frame_mut(*frame)[..chunk.len()].copy_from_slice(chunk);
        }
        Ok(Loan::Arena {
            first,
            offset: 0,
            len: bytes.len(),
            back: None,
        })
    }

    /// Takes arena pages and sees to it that they have frames, mapped wherever the arena is.
    fn arena_take(&mut self, scheme: &mut UserScheme, pages: usize) -> Option<usize> {
        let first = scheme.arena.take(pages)?;
        while scheme.arena.frames.len() < first + pages {
            let Ok(frame) = self.frame_zeroed() else {
                scheme.arena.give(first, pages);
                return None;
            };
            let index = scheme.arena.frames.len() as u64;
            scheme.arena.frames.push(frame);
            for (space, base) in scheme.arena.bindings.clone() {
                self.frames.retain(frame);
                if self.put_page(space, base + index, frame).is_err() {
                    scheme.arena.bindings.retain(|(bound, _)| *bound != space);
                }
            }
        }
        Some(first)
    }

    fn fill_arena(
        &mut self,
        scheme: &UserScheme,
        first: usize,
        buffer: Buffer,
    ) -> Result<(), Errno> {
        let mut done = 0;
        while done < buffer.len {
            let from_at = (buffer.addr + done) % PAGE_SIZE;
            let to_at = done % PAGE_SIZE;
            let len = (buffer.len - done)
                .min(PAGE_SIZE - from_at)
                .min(PAGE_SIZE - to_at);
            let page = Self::user_page(buffer.addr.checked_add(done).ok_or(EFAULT)?)?;
            let from = self.resolve(buffer.space, page, Access::Read)?;
            let to = *scheme
                .arena
                .frames
                .get(first + done / PAGE_SIZE)
                .ok_or(ENOMEM)?;
            self.machine
                .frame_copy_part((from, from_at), (to, to_at), len);
            done += len;
        }
        Ok(())
    }

    /// A buffer for output must be writable before the daemon is troubled.
    fn check_writable(&mut self, buffer: Buffer) -> Result<(), Errno> {
        let end = buffer.addr.checked_add(buffer.len - 1).ok_or(EFAULT)?;
        for page in Self::user_page(buffer.addr)?..=Self::user_page(end)? {
            self.resolve(buffer.space, page, Access::Write)?;
        }
        Ok(())
    }

    fn lend_pages(&mut self, buffer: Buffer, input: bool, output: bool) -> Result<Loan, Errno> {
        let end = buffer.addr.checked_add(buffer.len).ok_or(EFAULT)?;
        let (first, last) = (Self::user_page(buffer.addr)?, Self::user_page(end - 1)?);
        let access = if output { Access::Write } else { Access::Read };
        let mut frames = Vec::new();
        let mut result = Ok(());
        for page in first..=last {
            let start = page as usize * PAGE_SIZE;
            let whole = start >= buffer.addr && start + PAGE_SIZE <= end;
            let frame = self.resolve(buffer.space, page, access).and_then(|frame| {
                if whole {
                    self.frames.retain(frame);
                    return Ok(frame);
                }
                let bounce = self.frame_zeroed()?;
                if input {
                    let from = buffer.addr.max(start) - start;
                    let len = end.min(start + PAGE_SIZE) - start - from;
                    self.machine
                        .frame_copy_part((frame, from), (bounce, from), len);
                }
                Ok(bounce)
            });
            match frame {
                Ok(frame) => frames.push(frame),
                Err(errno) => {
                    result = Err(errno);
                    break;
                }
            }
        }
        if let Err(errno) = result {
            frames.iter().for_each(|frame| self.frames.release(*frame));
            return Err(errno);
        }
        let back = output.then_some(buffer);
        let offset = buffer.addr % PAGE_SIZE;
        Ok(Loan::Pages {
            frames,
            offset,
            len: buffer.len,
            back,
            mapped: None,
        })
    }

    /// Makes a request's buffer visible in the daemon's space and tells its address.
    pub(crate) fn show_loan(
        &mut self,
        scheme: &mut UserScheme,
        loan: &mut Loan,
        space: SpaceId,
    ) -> Result<u64, Errno> {
        match loan {
            Loan::None => Ok(EMPTY),
            Loan::Arena { first, offset, .. } => {
                let base = self.bind_arena(scheme, space)?;
                Ok((base + *first as u64) * PAGE_SIZE as u64 + *offset as u64)
            }
            Loan::Pages {
                frames,
                offset,
                back,
                mapped,
                ..
            } => {
                let start = self.space_mut(space)?.find_free(frames.len() as u64)?;
                let rights = Rights {
                    write: back.is_some(),
                    ..Rights::DATA
                };
                let region = Region {
                    kind: Kind::Arena,
                    ..Region::private(frames.len() as u64, rights)
                };
                frames.iter().for_each(|frame| self.frames.retain(*frame));
                self.map_frames(space, start, region, frames)?;
                *mapped = Some((space, start));
                Ok(start * PAGE_SIZE as u64 + *offset as u64)
            }
        }
    }

    fn bind_arena(&mut self, scheme: &mut UserScheme, space: SpaceId) -> Result<u64, Errno> {
        if let Some(base) = scheme.arena.base(space) {
            return Ok(base);
        }
        scheme
            .arena
            .bindings
            .retain(|(bound, _)| self.spaces.get(*bound).is_some());
        let start = self.space_mut(space)?.find_free(ARENA_PAGES as u64)?;
        let region = Region {
            kind: Kind::Arena,
            ..Region::private(ARENA_PAGES as u64, Rights::DATA)
        };
        scheme
            .arena
            .frames
            .iter()
            .for_each(|frame| self.frames.retain(*frame));
        self.map_frames(space, start, region, &scheme.arena.frames)?;
        scheme.arena.bindings.push((space, start));
        Ok(start)
    }

    /// Copies what the daemon wrote to the caller: at most `len` bytes.
    pub(crate) fn copy_back(
        &mut self,
        scheme: &UserScheme,
        loan: &Loan,
        len: usize,
    ) -> Result<(), Errno> {
        match loan {
            Loan::Arena {
                first,
                back: Some(buffer),
                ..
            } => {
                let mut done = 0;
                let buffer = buffer.first(len);
                while done < buffer.len {
                    let (from_at, to_at) = (done % PAGE_SIZE, (buffer.addr + done) % PAGE_SIZE);
                    let piece = (buffer.len - done)
                        .min(PAGE_SIZE - from_at)
                        .min(PAGE_SIZE - to_at);
                    let from = *scheme
                        .arena
                        .frames
                        .get(first + done / PAGE_SIZE)
                        .ok_or(ENOMEM)?;
                    let page = Self::user_page(buffer.addr + done)?;
                    let to = self.resolve(buffer.space, page, Access::Write)?;
                    self.machine
                        .frame_copy_part((from, from_at), (to, to_at), piece);
                    done += piece;
                }
                Ok(())
            }
            Loan::Pages {
                frames,
                back: Some(buffer),
                ..
            } => {
                let end = buffer.addr + len.min(buffer.len);
                let full_end = buffer.addr + buffer.len;
                let base = buffer.addr - buffer.addr % PAGE_SIZE;
                for (index, bounce) in frames.iter().enumerate() {
                    let start = base + index * PAGE_SIZE;
                    let whole = start >= buffer.addr && start + PAGE_SIZE <= full_end;
                    let (from, to) = (buffer.addr.max(start), end.min(start + PAGE_SIZE));
                    if whole || from >= to {
                        continue;
                    }
                    let page = Self::user_page(start)?;
                    let target = self.resolve(buffer.space, page, Access::Write)?;
                    let at = from - start;
                    self.machine
                        .frame_copy_part((*bounce, at), (target, at), to - from);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes the buffer back.
    pub(crate) fn end_loan(&mut self, scheme: &mut UserScheme, loan: Loan) {
        match loan {
            Loan::None => {}
            Loan::Arena { first, len, .. } => {
                scheme.arena.give(first, len.div_ceil(PAGE_SIZE));
            }
            Loan::Pages { frames, mapped, .. } => {
                if let Some((space, start)) = mapped
                    && let Some(region) = self.spaces.get(space).and_then(|s| s.regions.get(&start))
                {
                    let region = *region;
                    self.remove_region(space, start, region);
                }
                frames
                    .into_iter()
                    .for_each(|frame| self.frames.release(frame));
            }
        }
    }
}
