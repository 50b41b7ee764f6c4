//! Requests to user schemes: how a call of a program becomes an `Sqe`.

use alloc::vec::Vec;

use valence_abi::errno::{EAGAIN, ENODEV, Errno};
use valence_abi::layout::Event;
use valence_abi::scheme::{Sqe, opcode};

use crate::kernel::{FileId, Kernel, Outcome, QueueId, SchemeId, Stop, ThreadId};
use crate::machine::Machine;
use crate::mem::copy::Buffer;
use crate::scheme::lend::Loan;
use crate::scheme::user::{Message, UserScheme};
use crate::task::thread::{Caller, Waiting};

/// What the caller gets when the answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The result as it is.
    Value,
    /// A byte count of at most `len`; the cursor moves by it.
    Count {
        /// Length asked for.
        len: usize,
        /// Whose cursor.
        cursor: Option<FileId>,
    },
    /// A new descriptor.
    Open {
        /// Status flags of the description.
        flags: usize,
        /// Flag of the descriptor.
        close_on_exec: bool,
    },
    /// `SEEK_END`: the result is the size.
    Seek {
        /// Whose cursor.
        file: FileId,
        /// Distance from the end.
        offset: i64,
    },
    /// A `Stat` was written at this address; its device number is set.
    Stat(usize),
    /// `MMAP`: the result is an address in the daemon.
    Map {
        /// The description mapped.
        file: FileId,
        /// Wanted address.
        addr: usize,
        /// Length.
        len: usize,
        /// `PROT_*` and `MAP_*`.
        flags: usize,
        /// Offset in the object.
        offset: u64,
    },
    /// A queue subscribed: the result is what is ready now.
    Subscribe {
        /// The queue.
        queue: QueueId,
        /// The description.
        file: FileId,
        /// What was asked.
        event: Event,
        /// What the call returns.
        value: usize,
    },
    /// `F_SETFL` and the like: this value, unless the scheme refuses for a reason.
    Flags(usize),
    /// Descriptors were passed to the daemon.
    Sent,
    /// Descriptors come; their numbers go to this memory.
    Receive {
        /// Array of `usize`.
        payload: Buffer,
        /// Flag of the descriptors.
        close_on_exec: bool,
    },
}

/// Bytes that travel with a request.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// None.
    None,
    /// The kernel's.
    Bytes(&'a [u8]),
    /// The caller's, read by the daemon.
    In(Buffer),
    /// The caller's, written by the daemon.
    Out(Buffer),
    /// The caller's, both.
    InOut(Buffer),
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// What the daemon reads. Its buffer address is filled in then.
    pub sqe: Sqe,
    /// Who waits; `None`: nobody any more.
    pub caller: Option<ThreadId>,
    /// Its process number, for `Detach`.
    pub pid: u32,
    /// The daemon has read it.
    pub taken: bool,
    /// What the caller gets.
    pub completion: Completion,
    /// Its buffer.
    pub loan: Loan,
    /// Description kept open meanwhile.
    pub file: Option<FileId>,
    /// Another one.
    pub second: Option<FileId>,
    /// Descriptions on their way to the daemon (`Sendfd`) or from it (`Recvfd`).
    pub passed: Vec<FileId>,
}

impl Request {
    /// A request nobody waits for; takes the reference of the file over.
    pub fn detached(sqe: Sqe, file: FileId) -> Self {
        Self {
            sqe,
            caller: None,
            pid: 0,
            taken: false,
            completion: Completion::Value,
            loan: Loan::None,
            file: Some(file),
            second: None,
            passed: Vec::new(),
        }
    }
}

/// A request about to be made.
pub struct Call<'a> {
    /// `opcode::*`.
    pub opcode: u8,
    /// Arguments; 1 and 2 are replaced by buffer and length when there is data.
    pub args: [u64; 6],
    /// Its data.
    pub data: Data<'a>,
    /// What the caller gets.
    pub completion: Completion,
    /// Description that the call is made on, kept open.
    pub file: Option<FileId>,
    /// Second description (`SQE_MULTIPLE_IDS`).
    pub second: Option<FileId>,
    /// Descriptions passed; their references go with the request.
    pub passed: Vec<FileId>,
}

impl<'a> Call<'a> {
    /// A call on a description.
    pub fn new(op: u8, file: FileId, args: [u64; 6], completion: Completion) -> Self {
        Self {
            opcode: op,
            args,
            data: Data::None,
            completion,
            file: Some(file),
            second: None,
            passed: Vec::new(),
        }
    }

    /// With data.
    pub fn with(self, data: Data<'a>) -> Self {
        Self { data, ..self }
    }
}

/// Whether `args[5]` is the call's own and not the caller's identity.
fn uses_all_arguments(op: u8) -> bool {
    matches!(op, opcode::CALL | opcode::STD_FS_CALL)
}

impl<M: Machine> Kernel<M> {
    /// Sends a request and makes the caller wait for its answer.
    pub(crate) fn request(&mut self, who: &Caller, id: SchemeId, call: Call<'_>) -> Outcome {
        let Some(mut scheme) = self.take_scheme(id) else {
            call.passed.iter().for_each(|file| self.file_release(*file));
            return Err(ENODEV.into());
        };
        let result = self.build_request(who, &mut scheme, call);
        self.put_scheme(id, scheme);
        let tag = result?;
        self.scheme_post(id, Message::Request(tag));
        Err(Stop::Wait(
            Waiting::Request {
                scheme: id,
                tag,
                cancelled: false,
            },
            u64::MAX,
        ))
    }

    fn build_request(
        &mut self,
        who: &Caller,
        scheme: &mut UserScheme,
        call: Call<'_>,
    ) -> Result<u32, Errno> {
        let mut sqe = Sqe {
            opcode: call.opcode,
            args: call.args,
            caller: u64::from(who.pid),
            ..Sqe::default()
        };
        if !uses_all_arguments(call.opcode) {
            sqe.args[5] = u64::from(who.uid) | u64::from(who.gid) << 32;
        }
        if call.second.is_some() {
            sqe.sqe_flags |= valence_abi::scheme::SQE_MULTIPLE_IDS;
        }
        let loan = match self.make_loan(scheme, &call.data) {
            Ok(loan) => loan,
            Err(errno) => {
                call.passed.iter().for_each(|file| self.file_release(*file));
                return Err(errno);
            }
        };
        if !matches!(call.data, Data::None) {
            sqe.args[2] = loan.len() as u64;
        }
        for file in call.file.into_iter().chain(call.second) {
            self.file_retain(file);
        }
        let request = Request {
            sqe,
            caller: Some(who.thread),
            pid: who.pid,
            taken: false,
            completion: call.completion,
            loan,
            file: call.file,
            second: call.second,
            passed: call.passed,
        };
        scheme.add(request).map_err(|request| {
            self.discard_request(scheme, request);
            EAGAIN
        })
    }

    /// Sends a request that nobody waits for.
    pub(crate) fn post_request(&mut self, id: SchemeId, request: Request) {
        let Some(scheme) = self.schemes.get_mut(id) else {
            return request
                .file
                .into_iter()
                .for_each(|file| self.file_release(file));
        };
        match scheme.add(request) {
            Ok(tag) => self.scheme_post(id, Message::Request(tag)),
            Err(request) => request
                .file
                .into_iter()
                .for_each(|file| self.file_release(file)),
        }
    }

    /// Frees what a request holds.
    pub(crate) fn discard_request(&mut self, scheme: &mut UserScheme, request: Request) {
        self.end_loan(scheme, request.loan);
        for file in request
            .file
            .into_iter()
            .chain(request.second)
            .chain(request.passed)
        {
            self.file_release(file);
        }
    }

    /// A signal or death takes the caller away from its request. True: the wait is over; false: the daemon was told
    /// and its answer ends the wait.
    pub(crate) fn abandon_request(
        &mut self,
        scheme: SchemeId,
        tag: u32,
        thread_ends: bool,
    ) -> bool {
        let Some(mut body) = self.take_scheme(scheme) else {
            return true;
        };
        let taken = body.request(tag).is_some_and(|request| request.taken);
        if !taken && let Some(request) = body.remove(tag) {
            self.discard_request(&mut body, request);
        }
        if thread_ends && let Some(request) = body.request(tag) {
            request.caller = None;
        }
        self.put_scheme(scheme, body);
        if taken {
            self.scheme_tell(scheme, opcode::CANCEL, tag, 0, 0);
        }
        !taken || thread_ends
    }
}
