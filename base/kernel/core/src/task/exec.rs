//! Running a program: `EXEC`, and the first process.
//!
//! The new image is built completely, in a new space, before anything of the old one is touched. Pages of the file
//! that lie in the caller's memory at the right offset are shared copy-on-write instead of copied.

use alloc::string::String;
use alloc::vec::Vec;

use valence_abi::errno::{E2BIG, EFAULT, EINVAL, ENOEXEC, Errno};
use valence_abi::layout::{ExecArgs, Slice};
use valence_abi::signal::{SIG_IGN, SigAction, SigStack};
use valence_abi::{PAGE_SIZE, PATH_MAX};

use crate::kernel::{Kernel, Outcome, SpaceId, Stop};
use crate::limits::{ARGUMENT_COUNT_MAX, ARGUMENTS_MAX, LIBC_STATE_MAX, STACK_SIZE};
use crate::machine::{Frame, Machine, Registers};
use crate::mem::copy::Buffer;
use crate::mem::fault::Access;
use crate::mem::space::{Region, Rights};
use crate::task::elf::{self, Plan, Segment};
use crate::task::group::Resource;
use crate::task::stack::{self, Arguments};
use crate::task::thread::Caller;

/// Where an image comes from.
#[derive(Clone, Copy, Debug)]
pub enum Image<'a> {
    /// Memory of the kernel.
    Bytes(&'a [u8]),
    /// Memory of a process.
    User(Buffer),
}

impl Image<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::User(buffer) => buffer.len,
        }
    }
}

/// A program ready to run.
pub struct Program {
    /// Its memory.
    pub space: SpaceId,
    /// First instruction.
    pub entry: u64,
    /// First stack pointer.
    pub sp: u64,
}

impl<M: Machine> Kernel<M> {
    fn image_read(&mut self, image: &Image<'_>, at: u64, into: &mut [u8]) -> Result<(), Errno> {
        let at = usize::try_from(at).map_err(|_| ENOEXEC)?;
        let end = at
            .checked_add(into.len())
            .filter(|end| *end <= image.len())
            .ok_or(ENOEXEC)?;
        match image {
            Image::Bytes(bytes) => into.copy_from_slice(bytes.get(at..end).ok_or(ENOEXEC)?),
            Image::User(buffer) => {
                self.copy_in(
                    buffer.space,
                    buffer.addr.checked_add(at).ok_or(EFAULT)?,
                    into,
                )?;
            }
        }
        Ok(())
    }

    /// Copies a piece of the image into a page and zeroes the rest of the page.
    fn image_to_frame(
        &mut self,
        image: &Image<'_>,
        offset: u64,
        (frame, at): (Frame, usize),
        len: usize,
    ) -> Result<(), Errno> {
        let page = self.machine.frame_mut(frame);
        page[..at].fill(0);
        page[at + len..].fill(0);
        let offset = offset as usize;
        let buffer = match image {
            Image::Bytes(bytes) => {
                let piece = bytes.get(offset..offset + len).ok_or(ENOEXEC)?;
                page[at..at + len].copy_from_slice(piece);
                return Ok(());
            }
            Image::User(buffer) => buffer,
        };
        let mut done = 0;
        while done < len {
            let from = buffer.addr.checked_add(offset + done).ok_or(EFAULT)?;
            let piece = (len - done).min(PAGE_SIZE - from % PAGE_SIZE);
            let source = self.resolve(buffer.space, Self::user_page(from)?, Access::Read)?;
            let (from_at, to_at) = (from % PAGE_SIZE, at + done);
            self.machine
                .frame_copy_part((source, from_at), (frame, to_at), piece);
            done += piece;
        }
        Ok(())
    }

    fn image_plan(&mut self, image: &Image<'_>) -> Result<Plan, Errno> {
        let mut header = [0; elf::HEADER_SIZE];
        self.image_read(image, 0, &mut header)?;
        let (offset, count) = elf::headers(&header)?;
        let mut table = alloc::vec![0; count as usize * elf::PROGRAM_HEADER_SIZE];
        self.image_read(image, offset, &mut table)?;
        elf::plan(&header, &table, image.len() as u64)
    }

    /// Builds a program in a space of its own.
    pub fn load_program(
        &mut self,
        image: &Image<'_>,
        arguments: &Arguments,
    ) -> Result<Program, Errno> {
        let plan = self.image_plan(image)?;
        let space = self.space_create()?;
        if let Image::User(buffer) = image {
            let group = self.spaces.get(buffer.space).and_then(|space| space.group);
            self.space_mut(space)?.group = group;
        }
        match self.fill_space(space, image, &plan, arguments) {
            Ok(sp) => Ok(Program {
                space,
                entry: plan.entry,
                sp,
            }),
            Err(errno) => {
                self.space_drop(space);
                Err(errno)
            }
        }
    }

    fn fill_space(
        &mut self,
        space: SpaceId,
        image: &Image<'_>,
        plan: &Plan,
        arguments: &Arguments,
    ) -> Result<u64, Errno> {
        for segment in &plan.segments {
            self.load_segment(space, image, segment)?;
        }
        let stack_pages = (STACK_SIZE / PAGE_SIZE) as u64;
        let top = self.space_mut(space)?.top + stack_pages;
        self.space_mut(space)?.insert(
            top - stack_pages,
            Region::private(stack_pages, Rights::DATA),
        )?;
        // One page below the stack stays free whatever is mapped later.
        self.space_mut(space)?.set_top(top - stack_pages - 1);
        let (sp, bytes) = stack::build(plan, arguments, top * PAGE_SIZE as u64);
        self.copy_out(space, sp as usize, &bytes)?;
        Ok(sp)
    }

    fn load_segment(
        &mut self,
        space: SpaceId,
        image: &Image<'_>,
        segment: &Segment,
    ) -> Result<(), Errno> {
        let (first, end) = (segment.first_page(), segment.end_page());
        self.space_mut(space)?
            .insert(first, Region::private(end - first, segment.rights))?;
        let page_size = PAGE_SIZE as u64;
        let data_end = segment.addr + segment.file_len;
        for page in first..data_end.div_ceil(page_size).max(first) {
            let start = page * page_size;
            let from = start.max(segment.addr);
            let to = (start + page_size).min(data_end);
            if from >= to {
                continue;
            }
            let offset = segment.offset + (from - segment.addr);
            let whole = to - from == page_size
                || !segment.rights.write
                    && to == data_end
                    && data_end == segment.addr + segment.memory_len;
            let aligned = offset % page_size == from % page_size && from == start;
            if whole && aligned && self.share_image_page(space, image, page, offset)? {
                continue;
            }
            let frame = self.frames.take_user().ok_or(valence_abi::errno::ENOMEM)?;
            let (at, len) = ((from - start) as usize, (to - from) as usize);
            if let Err(errno) = self.image_to_frame(image, offset, (frame, at), len) {
                self.frames.release(frame);
                return Err(errno);
            }
            self.put_page(space, page, frame)?;
        }
        Ok(())
    }

    /// Shares the caller's page that holds this page of the file, when it lies right.
    fn share_image_page(
        &mut self,
        space: SpaceId,
        image: &Image<'_>,
        page: u64,
        offset: u64,
    ) -> Result<bool, Errno> {
        let Image::User(buffer) = image else {
            return Ok(false);
        };
        let from = buffer.addr.checked_add(offset as usize).ok_or(EFAULT)?;
        if from % PAGE_SIZE != 0 {
            return Ok(false);
        }
        let source_page = Self::user_page(from)?;
        let source = self.space_mut(buffer.space)?;
        let private = source
            .find(source_page)
            .is_some_and(|(_, region)| region.kind == crate::mem::space::Kind::Private);
        if !private {
            return Ok(false);
        }
        let frame = self.resolve(buffer.space, source_page, Access::Read)?;
        let root = self.space_mut(buffer.space)?.root;
        let source_page = crate::machine::Page(source_page);
        if let Some((_, perms)) = self.machine.lookup(root, source_page)
            && perms.write
        {
            // The caller, should the call fail later or another thread write, copies on write from now on.
            let perms = crate::machine::Perms {
                write: false,
                ..perms
            };
            self.machine
                .map(root, source_page, frame, perms, &mut self.frames)
                .map_err(|_| valence_abi::errno::ENOMEM)?;
            self.mark_stale(buffer.space);
        }
        self.frames.retain(frame);
        self.put_page(space, page, frame)?;
        Ok(true)
    }

    fn read_slices(
        &mut self,
        who: &Caller,
        array: Slice,
        budget: &mut usize,
    ) -> Result<Vec<Vec<u8>>, Errno> {
        if array.len > ARGUMENT_COUNT_MAX {
            return Err(E2BIG);
        }
        let mut strings = Vec::new();
        for index in 0..array.len {
            let at = array
                .ptr
                .checked_add(index * size_of::<Slice>())
                .ok_or(EFAULT)?;
            let addr = self.read_u64(who.space, at)? as usize;
            let len = self.read_u64(who.space, at.wrapping_add(8))? as usize;
            *budget = budget.checked_sub(len.saturating_add(17)).ok_or(E2BIG)?;
            let text = self.read_buffer(Buffer {
                space: who.space,
                addr,
                len,
            })?;
            if text.contains(&0) {
                return Err(EINVAL);
            }
            strings.push(text);
        }
        Ok(strings)
    }

    fn read_slice(&mut self, who: &Caller, slice: Slice, max: usize) -> Result<Vec<u8>, Errno> {
        if slice.len > max {
            return Err(E2BIG);
        }
        self.read_buffer(Buffer {
            space: who.space,
            addr: slice.ptr,
            len: slice.len,
        })
    }

    /// `EXEC`.
    pub(crate) fn exec(&mut self, who: &Caller, addr: usize) -> Outcome {
        let mut words = [0usize; 10];
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.read_u64(who.space, addr.wrapping_add(index * 8))? as usize;
        }
        let [
            image_ptr,
            image_len,
            argv,
            argc,
            envp,
            envc,
            path,
            path_len,
            state,
            state_len,
        ] = words;
        let slice = |ptr, len| Slice { ptr, len };
        let args = ExecArgs {
            image: slice(image_ptr, image_len),
            argv: slice(argv, argc),
            envp: slice(envp, envc),
            path: slice(path, path_len),
            libc_state: slice(state, state_len),
        };
        let mut budget = ARGUMENTS_MAX;
        let mut arguments = Arguments {
            argv: self.read_slices(who, args.argv, &mut budget)?,
            envp: self.read_slices(who, args.envp, &mut budget)?,
            libc_state: self.read_slice(who, args.libc_state, LIBC_STATE_MAX)?,
            random: [0; 16],
        };
        let (low, high) = (self.random_u64(), self.random_u64());
        arguments.random[..8].copy_from_slice(&low.to_le_bytes());
        arguments.random[8..].copy_from_slice(&high.to_le_bytes());
        let path = self.read_slice(who, args.path, PATH_MAX)?;
        let path = String::from_utf8(path).map_err::<Errno, _>(|_| EINVAL)?;
        let image = Image::User(Buffer {
            space: who.space,
            addr: args.image.ptr,
            len: args.image.len,
        });
        let program = self.load_program(&image, &arguments)?;
        self.become_program(who, program, path);
        Err(Stop::Done)
    }

    /// From here nothing can fail: the old image goes.
    fn become_program(&mut self, who: &Caller, program: Program, path: String) {
        for thread in self.thread_ids(who.process) {
            if thread != who.thread {
                self.thread_end(thread);
            }
        }
        let Some(process) = self.processes.get_mut(who.process) else {
            return;
        };
        let old = core::mem::replace(&mut process.space, program.space);
        process.path = path;
        process.executed = true;
        for action in process.actions.iter_mut() {
            if action.handler != SIG_IGN {
                *action = SigAction::default();
            }
        }
        let closed = process.fds.drain(|slot| slot.close_on_exec);
        let fpu = self.machine.fpu_new();
        self.machine.fpu_load(&fpu);
        if let Some(thread) = self.threads.get_mut(who.thread) {
            thread.fpu = fpu;
            thread.fs_base = 0;
            thread.alternate = SigStack::default();
            thread.registers = Registers {
                rip: program.entry,
                rsp: program.sp,
                rflags: 0x202,
                ..Registers::default()
            };
        }
        self.machine.set_fs_base(0);
        self.load_space(Some(program.space));
        self.space_drop(old);
        let group = self.group_of(who.process);
        self.uncharge(group, Resource::Handles, closed.len() as u64);
        for slot in closed {
            self.file_release(slot.file);
        }
    }
}
