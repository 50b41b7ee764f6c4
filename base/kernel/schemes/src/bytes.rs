//! Small helpers for schemes whose content is bytes in kernel memory.

use alloc::collections::VecDeque;

use kernel_core::kernel::{Kernel, Outcome, wait_for};
use kernel_core::limits::PORT_BYTES;
use kernel_core::machine::Machine;
use kernel_core::mem::copy::Buffer;
use kernel_core::task::thread::WaitKey;
use valence_abi::errno::EAGAIN;
use valence_abi::flags::O_NONBLOCK;

/// Reads from fixed content at an offset.
pub(crate) fn read_at<M: Machine>(
    kernel: &mut Kernel<M>,
    content: &[u8],
    buffer: Buffer,
    offset: u64,
) -> Outcome {
    let start = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(content.len());
    Ok(kernel.fill_buffer(buffer, content.get(start..).unwrap_or(&[]))?)
}

/// Bytes received and not read yet; the oldest are dropped when nobody reads.
#[derive(Default)]
pub(crate) struct Ring {
    bytes: VecDeque<u8>,
}

impl Ring {
    /// Adds a byte.
    pub(crate) fn push(&mut self, byte: u8) {
        if self.bytes.len() >= PORT_BYTES {
            self.bytes.pop_front();
        }
        self.bytes.push_back(byte);
    }

    /// Whether there is nothing to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Moves what fits to user memory. With nothing there it waits for `key`, or says EAGAIN if it must not wait.
    pub(crate) fn read<M: Machine>(
        &mut self,
        kernel: &mut Kernel<M>,
        buffer: Buffer,
        flags: usize,
        key: WaitKey,
    ) -> Outcome {
        if self.is_empty() && buffer.len != 0 {
            return Err(if flags & O_NONBLOCK != 0 {
                EAGAIN.into()
            } else {
                wait_for(key)
            });
        }
        let count = self.bytes.len().min(buffer.len);
        let piece: alloc::vec::Vec<u8> = self.bytes.iter().take(count).copied().collect();
        let count = kernel.fill_buffer(buffer, &piece)?;
        self.bytes.drain(..count);
        Ok(count)
    }
}
