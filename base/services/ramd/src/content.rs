//! The bytes of one file, in whole pages that can be mapped.

use valence_daemon::syscall::error::{EBUSY, EINVAL, Error, Result};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// A page; the alignment is what makes mapping possible.
#[derive(Clone)]
#[repr(C, align(4096))]
struct Page([u8; PAGE]);

/// File content. Bytes beyond `len` in the last page are zero.
#[derive(Default)]
pub(crate) struct Content {
    pages: Vec<Page>,
    len: usize,
    mappings: usize,
}

impl Content {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory in use.
    pub(crate) fn footprint(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// Whether a client has it mapped.
    pub(crate) fn is_mapped(&self) -> bool {
        self.mappings > 0
    }

    pub(crate) fn read(&self, offset: usize, buf: &mut [u8]) -> usize {
        let start = offset.min(self.len);
        let count = buf.len().min(self.len - start);
        let mut done = 0;
        while done < count {
            let (page, at) = ((start + done) / PAGE, (start + done) % PAGE);
            let step = (PAGE - at).min(count - done);
            buf[done..done + step].copy_from_slice(&self.pages[page].0[at..at + step]);
            done += step;
        }
        count
    }

    /// Writes all of `data`; the caller has checked the limits.
    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) -> Result<()> {
        let end = offset.checked_add(data.len()).ok_or(Error::new(EINVAL))?;
        self.hold(end)?;
        let mut done = 0;
        while done < data.len() {
            let (page, at) = ((offset + done) / PAGE, (offset + done) % PAGE);
            let step = (PAGE - at).min(data.len() - done);
            self.pages[page].0[at..at + step].copy_from_slice(&data[done..done + step]);
            done += step;
        }
        self.len = self.len.max(end);
        Ok(())
    }

    /// Sets the length; new bytes are zero.
    pub(crate) fn resize(&mut self, len: usize) -> Result<()> {
        if len >= self.len {
            self.hold(len)?;
        } else {
            self.clear_from(len);
            // Pages that a client maps stay where they are.
            if !self.is_mapped() {
                self.pages.truncate(len.div_ceil(PAGE));
                self.pages.shrink_to_fit();
            }
        }
        self.len = len;
        Ok(())
    }

    /// Address of the page at `offset`, for `len` bytes; memory that lies beyond the end is added.
    pub(crate) fn map(&mut self, offset: usize, len: usize) -> Result<usize> {
        let end = offset.checked_add(len).ok_or(Error::new(EINVAL))?;
        if !offset.is_multiple_of(PAGE) || len == 0 {
            return Err(Error::new(EINVAL));
        }
        self.hold(end)?;
        self.mappings += 1;
        Ok(std::ptr::from_ref(&self.pages[offset / PAGE]).addr())
    }

    pub(crate) fn unmap(&mut self) {
        self.mappings = self.mappings.saturating_sub(1);
    }

    /// Makes sure that there is memory for `end` bytes.
    fn hold(&mut self, end: usize) -> Result<()> {
        let needed = end.div_ceil(PAGE);
        if needed <= self.pages.len() {
            return Ok(());
        }
        if self.is_mapped() && needed > self.pages.capacity() {
            return Err(Error::new(EBUSY));
        }
        self.pages.resize(needed, Page([0; PAGE]));
        Ok(())
    }

    fn clear_from(&mut self, len: usize) {
        let (first, at) = (len / PAGE, len % PAGE);
        for (index, page) in self.pages.iter_mut().enumerate().skip(first) {
            let start = if index == first { at } else { 0 };
            page.0[start..].fill(0);
        }
    }
}
