//! `proc`: what file systems ask of processes. "proc-creds-capability": `CALL` with `READ`, the pid in the first metadata word,
//! fills 44 bytes of identities.

use kernel_core::kernel::{Kernel, Outcome, Stop};
use kernel_core::machine::Machine;
use kernel_core::mem::copy::Buffer;
use kernel_core::scheme::kernel_scheme::{KernelScheme, Opened};
use kernel_core::task::identity::meta_bytes;
use kernel_core::task::thread::Caller;
use valence_abi::errno::{EINVAL, ENOENT, ESRCH, Errno};

const CREDENTIALS: u64 = 1;

/// The scheme.
pub(crate) struct Proc;

impl<M: Machine> KernelScheme<M> for Proc {
    fn name(&self) -> &'static str {
        "proc"
    }

    fn open(
        &mut self,
        _kernel: &mut Kernel<M>,
        _who: &Caller,
        _dir: u64,
        path: &str,
        _flags: usize,
    ) -> Result<Opened, Stop> {
        match path.trim_start_matches('/') {
            "proc-creds-capability" => Ok(Opened::stream(CREDENTIALS)),
            _ => Err(ENOENT.into()),
        }
    }

    fn call(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        _handle: u64,
        payload: Buffer,
        _flags: usize,
        metadata: [u64; 3],
    ) -> Outcome {
        let pid = u32::try_from(metadata[0]).map_err::<Errno, _>(|_| ESRCH)?;
        let id = kernel.pids.get(&pid).copied().ok_or::<Errno>(ESRCH)?;
        let bytes = meta_bytes(&kernel.process_meta(id)?);
        if payload.len < bytes.len() {
            return Err(EINVAL.into());
        }
        Ok(kernel.fill_buffer(payload, &bytes)?)
    }
}
