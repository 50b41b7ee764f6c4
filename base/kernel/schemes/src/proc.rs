//! `proc`: what file systems ask of processes, and limits.
//!
//! "limits": reading tells what the caller's group uses and may use; writing lines of name and number puts the caller into a group of
//! its own below, with these limits for it and its descendants together. Names: memory (bytes; `K`, `M`, `G` may
//! follow), processes, threads, handles. What is not named is limited by the groups above only. "proc-creds-capability": `CALL` with `READ`, the pid in the first metadata word,
//! fills 44 bytes of identities.

use alloc::format;
use alloc::string::String;

use kernel_core::kernel::{Kernel, Outcome, Stop};
use kernel_core::machine::Machine;
use kernel_core::mem::copy::Buffer;
use kernel_core::scheme::kernel_scheme::{KernelScheme, Opened};
use kernel_core::task::group::{Amounts, Resource, UNLIMITED};
use kernel_core::task::identity::meta_bytes;
use kernel_core::task::thread::Caller;
use valence_abi::PAGE_SIZE;
use valence_abi::errno::{EBADF, EINVAL, ENOENT, EOPNOTSUPP, ESRCH, Errno};

use crate::bytes::read_at;

const CREDENTIALS: u64 = 1;
const LIMITS: u64 = 2;
/// Longest text of limits.
const TEXT_MAX: usize = 1024;

/// A number with an optional unit.
fn number(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (text.strip_suffix('K')?, 10),
        b'M' => (text.strip_suffix('M')?, 20),
        b'G' => (text.strip_suffix('G')?, 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Limits from text: names and numbers in turn.
fn parse(text: &str) -> Option<Amounts> {
    let mut limits = UNLIMITED;
    let mut words = text.split_whitespace();
    let mut any = false;
    while let Some(name) = words.next() {
        let amount = number(words.next()?)?;
        let resource = Resource::ALL
            .into_iter()
            .find(|resource| resource.name() == name)?;
        let scaled = match resource {
            Resource::Memory => amount / PAGE_SIZE as u64,
            _ => amount,
        };
        *limits.get_mut(resource as usize)? = scaled;
        any = true;
    }
    any.then_some(limits)
}

fn amount(resource: Resource, count: u64) -> String {
    match (count, resource) {
        (u64::MAX, _) => String::from("unlimited"),
        (_, Resource::Memory) => format!("{}", count.saturating_mul(PAGE_SIZE as u64)),
        _ => format!("{count}"),
    }
}

/// The least that any group of the chain leaves, and what the innermost uses.
fn text_of<M: Machine>(kernel: &Kernel<M>, who: &Caller) -> String {
    let mut text = String::new();
    let innermost = kernel
        .processes
        .get(who.process)
        .and_then(|process| process.group);
    for resource in Resource::ALL {
        let index = resource as usize;
        let (mut limit, mut at) = (u64::MAX, innermost);
        let used = at
            .and_then(|id| kernel.groups.get(id))
            .map_or(0, |group| group.used[index]);
        while let Some(group) = at.and_then(|id| kernel.groups.get(id)) {
            let left = group.limits[index].saturating_sub(group.used[index]);
            if group.limits[index] != u64::MAX {
                limit = limit.min(used.saturating_add(left));
            }
            at = group.above;
        }
        let (name, used) = (resource.name(), amount(resource, used));
        text.push_str(&format!("{name} {used} of {}\n", amount(resource, limit)));
    }
    text
}

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
            "limits" => Ok(Opened::positioned(LIMITS)),
            _ => Err(ENOENT.into()),
        }
    }

    fn read(
        &mut self,
        kernel: &mut Kernel<M>,
        who: &Caller,
        handle: u64,
        buffer: Buffer,
        offset: u64,
        _flags: usize,
    ) -> Outcome {
        if handle != LIMITS {
            return Err(EBADF.into());
        }
        let text = text_of(kernel, who);
        read_at(kernel, text.as_bytes(), buffer, offset)
    }

    fn write(
        &mut self,
        kernel: &mut Kernel<M>,
        who: &Caller,
        handle: u64,
        buffer: Buffer,
        _offset: u64,
        _flags: usize,
    ) -> Outcome {
        if handle != LIMITS {
            return Err(EBADF.into());
        }
        if buffer.len > TEXT_MAX {
            return Err(EINVAL.into());
        }
        let bytes = kernel.read_buffer(buffer)?;
        let text = core::str::from_utf8(&bytes).map_err::<Errno, _>(|_| EINVAL)?;
        let limits = parse(text).ok_or::<Errno>(EINVAL)?;
        kernel.group_enter(who.process, limits)?;
        Ok(bytes.len())
    }

    fn call(
        &mut self,
        kernel: &mut Kernel<M>,
        _who: &Caller,
        handle: u64,
        payload: Buffer,
        _flags: usize,
        metadata: [u64; 3],
    ) -> Outcome {
        if handle != CREDENTIALS {
            return Err(EOPNOTSUPP.into());
        }
        let pid = u32::try_from(metadata[0]).map_err::<Errno, _>(|_| ESRCH)?;
        let id = kernel.pids.get(&pid).copied().ok_or::<Errno>(ESRCH)?;
        let bytes = meta_bytes(&kernel.process_meta(id)?);
        if payload.len < bytes.len() {
            return Err(EINVAL.into());
        }
        Ok(kernel.fill_buffer(payload, &bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_names_and_numbers() {
        let limits = parse("memory 64M\nprocesses 5").unwrap();
        assert_eq!(limits, [16_384, 5, u64::MAX, u64::MAX]);
        for bad in [
            "",
            "memory",
            "memory x",
            "memory 5T",
            "files 3",
            "memory 99999999999G",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
