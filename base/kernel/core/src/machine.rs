//! What the kernel's rules need from the machine: the one trait between safe code and the unsafe box.
//!
//! `kernel-hal` implements it for x86_64; tests implement it with plain vectors. The kernel is an event machine: every
//! entry (system call, fault, interrupt) saves the user registers, takes the one kernel lock, calls
//! `Kernel::trap(cpu, trap)`, and leaves to whichever thread that returns. Nothing in the kernel blocks or switches stacks: a
//! thread that waits is a value in a table. So the lock is held for microseconds and no code below this trait needs
//! interior mutability.
//!
//! Invariants: every method is called with the kernel lock held, on the CPU it concerns. User memory is never
//! touched through its virtual address: the kernel walks the page table (`lookup`) and uses `frame`/`frame_mut`, so a user pointer can
//! never fault inside the kernel.

use alloc::boxed::Box;

use valence_abi::PAGE_SIZE;

/// A physical frame number (address >> 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(pub u64);

/// A virtual page number (address >> 12) in the user half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Page(pub u64);

/// The top table of an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Root(pub Frame);

/// How a mapping is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Ordinary memory.
    WriteBack,
    /// Framebuffers.
    WriteCombine,
    /// Device registers.
    Uncached,
}

/// Rights of a user mapping. Readable always; writable and executable together is refused above this layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perms {
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
    /// Caching.
    pub cache: Cache,
}

/// A CPU number, dense from 0.
pub type CpuId = usize;

/// User-visible integer state of a thread, as traps save and restore it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs, reason = "register names")]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rsp: u64,
    pub rflags: u64,
}

/// Why the kernel was entered. The user registers are already in the current thread's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// The `syscall` instruction; number and arguments are in the registers, `rip` is after the instruction (2 bytes long).
    Syscall,
    /// A page fault in user mode.
    PageFault {
        /// The address touched.
        addr: u64,
        /// It was a write.
        write: bool,
        /// It was an instruction fetch.
        execute: bool,
    },
    /// Any other CPU exception in user mode.
    Exception {
        /// x86 vector number.
        vector: u8,
        /// Error code or 0.
        code: u64,
    },
    /// This CPU's timer reached its deadline.
    Timer,
    /// A device interrupt.
    Interrupt(Interrupt),
    /// Another CPU asked this one to schedule.
    Kick,
}

/// A device that interrupted. The hal has already acknowledged it at the interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Bytes may be waiting in a serial port (0 = COM1, 1 = COM2): drain with `serial_read`.
    Serial(usize),
    /// A PS/2 byte was read from port 0 (keyboard) or 1 (mouse).
    Ps2 {
        /// 0 keyboard, 1 mouse.
        port: usize,
        /// The byte.
        byte: u8,
    },
    /// A message-signalled interrupt that `msi_allocate` handed out.
    Msi(usize),
}

/// Where a device must write to raise a message-signalled interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiMessage {
    /// Address to program.
    pub address: u64,
    /// Data to program.
    pub data: u32,
}

/// What ends the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerAction {
    /// Power off.
    Shutdown,
    /// Reboot.
    Reset,
}

/// No frame was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfFrames;

/// Hands out zeroed frames for page tables, and takes them back.
pub trait FrameSource {
    /// A frame that nobody uses. The machine zeroes it.
    fn take(&mut self) -> Option<Frame>;
    /// Gives a frame back.
    fn give(&mut self, frame: Frame);
    /// Notes one owner more of a frame that is mapped.
    fn retain(&mut self, frame: Frame);
}

/// The machine.
pub trait Machine {
    /// Saved floating-point and vector registers of a thread.
    type Fpu;

    // ---- memory ----

    /// The bytes of a frame of RAM. Panics if the frame is not RAM (a kernel bug).
    fn frame(&self, frame: Frame) -> &[u8; PAGE_SIZE];
    /// The same, to change.
    fn frame_mut(&mut self, frame: Frame) -> &mut [u8; PAGE_SIZE];
    /// Copies one frame to another.
    fn frame_copy(&mut self, from: Frame, to: Frame);
    /// Copies bytes between frames; both ranges lie within a frame. The hal overrides it by one `memcpy`.
    fn frame_copy_part(&mut self, from: (Frame, usize), to: (Frame, usize), len: usize) {
        const PIECE: usize = 256;
        let mut done = 0;
        while done < len {
            let mut bounce = [0; PIECE];
            let piece = (len - done).min(PIECE);
            let (from_at, to_at) = (from.1 + done, to.1 + done);
            bounce[..piece].copy_from_slice(&self.frame(from.0)[from_at..from_at + piece]);
            self.frame_mut(to.0)[to_at..to_at + piece].copy_from_slice(&bounce[..piece]);
            done += piece;
        }
    }

    /// Makes an empty user address space (the kernel half is shared).
    fn space_create(&mut self, frames: &mut dyn FrameSource) -> Result<Root, OutOfFrames>;
    /// Frees the tables of a space, not the frames mapped in it. It is active on no CPU.
    fn space_destroy(&mut self, root: Root, frames: &mut dyn FrameSource);
    /// Maps a page, replacing what was there. Does not flush other CPUs.
    fn map(
        &mut self,
        root: Root,
        page: Page,
        frame: Frame,
        perms: Perms,
        frames: &mut dyn FrameSource,
    ) -> Result<(), OutOfFrames>;
    /// Unmaps a page and tells what was there. Does not flush other CPUs.
    fn unmap(&mut self, root: Root, page: Page) -> Option<(Frame, Perms)>;
    /// What a page is mapped to.
    fn lookup(&self, root: Root, page: Page) -> Option<(Frame, Perms)>;
    /// The first page of `from..end` that is mapped. The hal overrides it to skip absent tables.
    fn next_mapped(&self, root: Root, from: Page, end: Page) -> Option<Page> {
        (from.0..end.0)
            .map(Page)
            .find(|page| self.lookup(root, *page).is_some())
    }
    /// Maps every page of `start..end` that is mapped in `from` to the same frame in `to`, retaining it; with
    /// `write_protect` both sides lose the right to write. Tells how many. The hal overrides it to go table by table.
    fn share_range(
        &mut self,
        from: Root,
        to: Root,
        (start, end): (Page, Page),
        write_protect: bool,
        frames: &mut dyn FrameSource,
    ) -> Result<usize, OutOfFrames> {
        let (mut at, mut count) = (start, 0);
        while let Some(page) = self.next_mapped(from, at, end) {
            at = Page(page.0 + 1);
            let Some((frame, perms)) = self.lookup(from, page) else {
                continue;
            };
            let shared = Perms {
                write: perms.write && !write_protect,
                ..perms
            };
            if shared != perms {
                self.map(from, page, frame, shared, frames)?;
            }
            self.map(to, page, frame, shared, frames)?;
            frames.retain(frame);
            count += 1;
        }
        Ok(count)
    }

    /// Unmaps every page of `start..end` and hands each frame to `each`. The hal overrides it to go table by table.
    fn unmap_range(&mut self, root: Root, (start, end): (Page, Page), each: &mut dyn FnMut(Frame)) {
        let mut at = start;
        while let Some(page) = self.next_mapped(root, at, end) {
            at = Page(page.0 + 1);
            if let Some((frame, _)) = self.unmap(root, page) {
                each(frame);
            }
        }
    }

    /// After rights were taken away: returns when no CPU can still use stale translations of this space.
    /// One call after a batch of `map`/`unmap`.
    fn flush(&mut self, root: Root);

    // ---- this CPU ----

    /// Makes the space the active one of this CPU (`None`: the kernel's own).
    fn activate(&mut self, root: Option<Root>);
    /// Sets the FS base of the thread about to run.
    fn set_fs_base(&mut self, addr: u64);
    /// The state of a thread that has used no floating point.
    fn fpu_new(&self) -> Box<Self::Fpu>;
    /// Saves this CPU's live floating-point registers.
    fn fpu_save(&mut self, into: &mut Self::Fpu);
    /// Loads them.
    fn fpu_load(&mut self, from: &Self::Fpu);
    /// The state's bytes (for signal frames); length is the same for all threads.
    fn fpu_bytes<'a>(&self, fpu: &'a Self::Fpu) -> &'a [u8];
    /// Replaces the state by bytes from user space, correcting whatever could fault on load (reserved MXCSR bits, XSAVE header).
    fn fpu_set_bytes(&self, fpu: &mut Self::Fpu, bytes: &[u8]);
    /// Asks for `Trap::Timer` on this CPU at a monotonic time (`None`: not needed). Replaces the earlier request.
    fn set_timer(&mut self, deadline_ns: Option<u64>);

    // ---- all CPUs ----

    /// CPUs that are up.
    fn cpu_count(&self) -> usize;
    /// Makes another CPU enter with `Trap::Kick`.
    fn kick(&mut self, cpu: CpuId);

    // ---- time and chance ----

    /// Nanoseconds since boot, never going back.
    fn now_ns(&self) -> u64;
    /// Wall-clock nanoseconds since 1970 at `now_ns() == 0`.
    fn boot_time_ns(&self) -> u64;
    /// A hardware random word, if the CPU has a source.
    fn random(&mut self) -> Option<u64>;
    /// The CPU's name and feature line, for `/scheme/sys/cpu`.
    fn cpu_description(&self, cpu: CpuId) -> alloc::string::String;

    // ---- devices ----

    /// Writes bytes to a serial port (0 = COM1, 1 = COM2).
    fn serial_write(&mut self, port: usize, bytes: &[u8]);
    /// Takes one received byte.
    fn serial_read(&mut self, port: usize) -> Option<u8>;
    /// Allocates a message-signalled interrupt: its number (for `Interrupt::Msi`) and message. `None` when all are taken.
    fn msi_allocate(&mut self) -> Option<(usize, MsiMessage)>;
    /// Gives it back.
    fn msi_free(&mut self, number: usize);
    /// Whether a physical range is device memory or RAM that drivers may map.
    fn is_physical(&self, base: u64, len: u64) -> bool;
    /// Ends the machine.
    fn power(&mut self, action: PowerAction) -> !;
}
