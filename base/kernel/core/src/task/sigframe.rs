//! The frame that a signal handler runs on, and the way back from it.
//!
//! Layout upward from the stack pointer at the handler's entry: return address (the action's restorer), then from a
//! 16-byte border: magic, mask, integer registers, details, length of the floating-point state, the state. `SIGRETURN` finds it at the
//! stack pointer that the handler's `ret` leaves. Everything in it may have been changed by the program and is checked.

use alloc::vec::Vec;

use valence_abi::USER_END;
use valence_abi::errno::{EFAULT, EINVAL, Errno};
use valence_abi::signal::{SIGSEGV, SigInfo, sa};

use crate::kernel::{Kernel, Outcome, Stop, ThreadId};
use crate::machine::{Machine, Registers};
use crate::task::signal::{UNBLOCKABLE, bit};
use crate::task::thread::Caller;

const MAGIC: u64 = 0x5653_4947_4652_4D31;
const REGISTERS: usize = size_of::<Registers>();
const INFO_AT: usize = 16 + REGISTERS;
const FPU_LEN_AT: usize = INFO_AT + size_of::<SigInfo>();
const HEADER: usize = FPU_LEN_AT + 16;
/// Bytes below the stack pointer that compiled code may use without moving it.
const RED_ZONE: usize = 128;
/// Arithmetic, direction, trap and identification flags: what user code may set.
const USER_FLAGS: u64 = 0x0020_0DD5 | 0x0004_0000;
/// Interrupts on, and the bit that is always one.
const FIXED_FLAGS: u64 = 0x202;

fn register_words(registers: &Registers) -> [u64; REGISTERS / 8] {
    let r = registers;
    [
        r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13,
        r.r14, r.r15, r.rip, r.rsp, r.rflags,
    ]
}

fn registers_from(words: &[u64; REGISTERS / 8]) -> Registers {
    let [
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rbp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip,
        rsp,
        flags,
    ] = *words;
    let rflags = flags & USER_FLAGS | FIXED_FLAGS;
    Registers {
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rbp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip,
        rsp,
        rflags,
    }
}

fn info_bytes(info: &SigInfo) -> [u8; size_of::<SigInfo>()] {
    let mut bytes = [0; size_of::<SigInfo>()];
    let words = [info.signo, info.errno, info.code, info.pid, info.uid];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes[24..32].copy_from_slice(&(info.addr as u64).to_le_bytes());
    bytes[32..36].copy_from_slice(&info.status.to_le_bytes());
    bytes[40..48].copy_from_slice(&(info.value as u64).to_le_bytes());
    bytes
}

/// `SigInfo` as bytes, for calls that return one.
pub fn siginfo_bytes(info: &SigInfo) -> [u8; size_of::<SigInfo>()] {
    info_bytes(info)
}

impl<M: Machine> Kernel<M> {
    /// Makes the current thread run a handler. A stack that cannot take the frame ends the process.
    pub(crate) fn push_frame(&mut self, id: ThreadId, signal: usize, info: SigInfo) {
        if self.try_push_frame(id, signal, info).is_err()
            && let Some(process) = self.threads.get(id).map(|thread| thread.process)
        {
            self.process_terminate(process, SIGSEGV as i32);
        }
    }

    fn try_push_frame(&mut self, id: ThreadId, signal: usize, info: SigInfo) -> Result<(), Errno> {
        let who = self.caller_of(id).ok_or(EFAULT)?;
        let process = self.processes.get_mut(who.process).ok_or(EFAULT)?;
        let action = process.actions.get_mut(signal - 1).ok_or(EINVAL)?;
        let taken = *action;
        if taken.flags & sa::RESETHAND != 0 {
            action.handler = valence_abi::signal::SIG_DFL;
        }
        let thread = self.threads.get_mut(id).ok_or(EFAULT)?;
        self.machine.fpu_save(&mut thread.fpu);
        let fpu: Vec<u8> = self.machine.fpu_bytes(&thread.fpu).to_vec();
        let alternate = thread.alternate;
        let rsp = thread.registers.rsp as usize;
        let on_alternate = rsp.wrapping_sub(alternate.base) < alternate.size;
        let top = if taken.flags & sa::ONSTACK != 0 && alternate.size != 0 && !on_alternate {
            alternate.base.wrapping_add(alternate.size)
        } else {
            rsp.wrapping_sub(RED_ZONE)
        };
        let frame = top.checked_sub(HEADER + fpu.len()).ok_or(EFAULT)? & !15;
        let entry_sp = frame.checked_sub(8).ok_or(EFAULT)?;
        let mask = thread.saved_mask.take().unwrap_or(thread.mask);
        let mut bytes = Vec::with_capacity(8 + HEADER + fpu.len());
        bytes.extend((taken.restorer as u64).to_le_bytes());
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend(mask.to_le_bytes());
        for word in register_words(&thread.registers) {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(info_bytes(&info));
        bytes.extend((fpu.len() as u64).to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend(&fpu);
        self.copy_out(who.space, entry_sp, &bytes)?;
        if taken.handler >= USER_END {
            return Err(EFAULT);
        }
        let thread = self.threads.get_mut(id).ok_or(EFAULT)?;
        thread.mask |= taken.mask & !UNBLOCKABLE;
        if taken.flags & sa::NODEFER == 0 {
            thread.mask |= bit(signal);
        }
        let registers = &mut thread.registers;
        registers.rip = taken.handler as u64;
        registers.rsp = entry_sp as u64;
        registers.rdi = signal as u64;
        registers.rsi = (frame + INFO_AT) as u64;
        registers.rdx = frame as u64;
        registers.rax = 0;
        registers.rflags = FIXED_FLAGS;
        Ok(())
    }

    /// `SIGRETURN`. A frame that makes no sense ends the process.
    pub(crate) fn sigreturn(&mut self, who: &Caller) -> Outcome {
        if self.try_sigreturn(who).is_err() {
            self.process_terminate(who.process, SIGSEGV as i32);
        }
        Err(Stop::Done)
    }

    fn try_sigreturn(&mut self, who: &Caller) -> Result<(), Errno> {
        let frame = self.threads.get(who.thread).ok_or(EFAULT)?.registers.rsp as usize;
        let mut header = [0; HEADER];
        self.copy_in(who.space, frame, &mut header)?;
        let word = |at: usize| {
            let bytes = header
                .get(at..at + 8)
                .and_then(|b| b.try_into().ok())
                .unwrap_or([0; 8]);
            u64::from_le_bytes(bytes)
        };
        let mut words = [0; REGISTERS / 8];
        for (index, register) in words.iter_mut().enumerate() {
            *register = word(16 + index * 8);
        }
        let registers = registers_from(&words);
        if word(0) != MAGIC || registers.rip >= USER_END as u64 {
            return Err(EINVAL);
        }
        let thread = self.threads.get_mut(who.thread).ok_or(EFAULT)?;
        let len = self.machine.fpu_bytes(&thread.fpu).len();
        if word(FPU_LEN_AT) as usize != len {
            return Err(EINVAL);
        }
        let mut fpu = alloc::vec![0; len];
        self.copy_in(who.space, frame + HEADER, &mut fpu)?;
        let thread = self.threads.get_mut(who.thread).ok_or(EFAULT)?;
        self.machine.fpu_set_bytes(&mut thread.fpu, &fpu);
        self.machine.fpu_load(&thread.fpu);
        thread.registers = registers;
        thread.mask = word(8) & !UNBLOCKABLE;
        Ok(())
    }
}
