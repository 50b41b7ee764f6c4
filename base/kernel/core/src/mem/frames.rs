//! Physical memory: which frames are free, and how many owners each used one has.
//!
//! A frame is owned by every page-table entry, request or device buffer that names it. Frames outside the ranges (device
//! memory, firmware tables) are nobody's: retaining and releasing them does nothing. Free frames are found through a
//! bitmap with a summary level, lowest first, so runs for DMA stay likely. Ordinary requests leave a reserve for page tables.

use alloc::vec::Vec;

use valence_abi::PAGE_SIZE;

use crate::limits::FRAME_RESERVE;
use crate::machine::{Frame, FrameSource};

struct Range {
    base: u64,
    /// Owners of each frame, 0 = free.
    owners: Vec<u32>,
    /// One bit per frame, set = free.
    free: Vec<u64>,
    /// One bit per word of `free`, set = not zero.
    summary: Vec<u64>,
}

impl Range {
    fn new(base: u64, count: usize) -> Self {
        let mut free = alloc::vec![u64::MAX; count.div_ceil(64)];
        if !count.is_multiple_of(64)
            && let Some(last) = free.last_mut()
        {
            *last = (1 << (count % 64)) - 1;
        }
        let mut summary = alloc::vec![u64::MAX; free.len().div_ceil(64)];
        if free.len() % 64 != 0
            && let Some(last) = summary.last_mut()
        {
            *last = (1 << (free.len() % 64)) - 1;
        }
        Self {
            base,
            owners: alloc::vec![0; count],
            free,
            summary,
        }
    }

    fn set_free(&mut self, index: usize, free: bool) {
        let (word, bit) = (index / 64, 1 << (index % 64));
        if free {
            self.free[word] |= bit;
        } else {
            self.free[word] &= !bit;
        }
        let summary_bit = 1 << (word % 64);
        if self.free[word] != 0 {
            self.summary[word / 64] |= summary_bit;
        } else {
            self.summary[word / 64] &= !summary_bit;
        }
    }

    fn take_first(&mut self) -> Option<Frame> {
        let (s, summary) = self
            .summary
            .iter()
            .enumerate()
            .find(|(_, word)| **word != 0)?;
        let word = s * 64 + summary.trailing_zeros() as usize;
        let index = word * 64 + self.free[word].trailing_zeros() as usize;
        self.set_free(index, false);
        self.owners[index] = 1;
        Some(Frame(self.base + index as u64))
    }

    fn take_run(&mut self, count: usize) -> Option<Frame> {
        let mut run = 0;
        for index in 0..self.owners.len() {
            run = if self.owners[index] == 0 { run + 1 } else { 0 };
            if run == count {
                let first = index + 1 - count;
                for taken in first..=index {
                    self.set_free(taken, false);
                    self.owners[taken] = 1;
                }
                return Some(Frame(self.base + first as u64));
            }
        }
        None
    }
}

/// The frame table.
pub struct Frames {
    ranges: Vec<Range>,
    free: usize,
    total: usize,
}

impl Frames {
    /// Takes over these byte ranges; parts of pages at the edges and frame 0 are left alone.
    pub fn new(ram: &[(u64, u64)]) -> Self {
        let mut ranges = Vec::new();
        for (base, size) in ram {
            let first = base.div_ceil(PAGE_SIZE as u64).max(1);
            let end = base.saturating_add(*size) / PAGE_SIZE as u64;
            if first < end {
                ranges.push(Range::new(first, (end - first) as usize));
            }
        }
        ranges.sort_by_key(|range| range.base);
        let total = ranges.iter().map(|range| range.owners.len()).sum();
        Self {
            ranges,
            free: total,
            total,
        }
    }

    /// A frame for a user; leaves the reserve. Its content is old.
    pub fn take_user(&mut self) -> Option<Frame> {
        if self.free <= FRAME_RESERVE {
            None
        } else {
            self.take_any()
        }
    }

    fn take_any(&mut self) -> Option<Frame> {
        let frame = self.ranges.iter_mut().rev().find_map(Range::take_first)?;
        self.free -= 1;
        Some(frame)
    }

    /// Adjoining frames, lowest range first (devices may reach only low memory).
    pub fn take_run(&mut self, count: usize) -> Option<Frame> {
        if count == 0 || self.free < count.saturating_add(FRAME_RESERVE) {
            return None;
        }
        let frame = self
            .ranges
            .iter_mut()
            .find_map(|range| range.take_run(count))?;
        self.free -= count;
        Some(frame)
    }

    fn find(&mut self, frame: Frame) -> Option<(&mut Range, usize)> {
        self.ranges.iter_mut().find_map(|range| {
            let index = frame.0.checked_sub(range.base)? as usize;
            if index < range.owners.len() {
                Some((range, index))
            } else {
                None
            }
        })
    }

    /// One owner more.
    pub fn retain(&mut self, frame: Frame) {
        if let Some((range, index)) = self.find(frame)
            && range.owners[index] != 0
        {
            range.owners[index] = range.owners[index].saturating_add(1);
        }
    }

    /// One owner less; free after the last. A frame that is free already stays so.
    pub fn release(&mut self, frame: Frame) {
        let Some((range, index)) = self.find(frame) else {
            return;
        };
        match range.owners[index] {
            0 => {}
            1 => {
                range.owners[index] = 0;
                range.set_free(index, true);
                self.free += 1;
            }
            _ => range.owners[index] -= 1,
        }
    }

    /// Owners of a frame; 0 for a free one or one that is not in the ranges.
    pub fn owners(&self, frame: Frame) -> u32 {
        self.ranges
            .iter()
            .find_map(|range| {
                let index = frame.0.checked_sub(range.base)? as usize;
                range.owners.get(index).copied()
            })
            .unwrap_or(0)
    }

    /// Whether the frame lies in the ranges.
    pub fn is_ram(&self, frame: Frame) -> bool {
        self.ranges
            .iter()
            .any(|range| frame.0 >= range.base && frame.0 - range.base < range.owners.len() as u64)
    }

    /// Free frames.
    pub fn free_count(&self) -> usize {
        self.free
    }

    /// All frames.
    pub fn total_count(&self) -> usize {
        self.total
    }
}

impl FrameSource for Frames {
    fn take(&mut self) -> Option<Frame> {
        self.take_any()
    }

    fn give(&mut self, frame: Frame) {
        self.release(frame);
    }

    fn retain(&mut self, frame: Frame) {
        Frames::retain(self, frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_free_after_its_last_owner() {
        let mut frames = Frames::new(&[(0x10_0000, 0x1000 * 1000)]);
        let frame = frames.take_user().unwrap();
        frames.retain(frame);
        frames.release(frame);
        assert_eq!((frames.owners(frame), frames.free_count()), (1, 999));
        frames.release(frame);
        frames.release(frame);
        assert_eq!((frames.owners(frame), frames.free_count()), (0, 1000));
    }

    #[test]
    fn users_leave_the_reserve_to_page_tables() {
        let mut frames = Frames::new(&[(0x10_0000, 0x1000 * (FRAME_RESERVE as u64 + 1))]);
        assert!(frames.take_user().is_some());
        assert!(frames.take_user().is_none());
        assert!(frames.take().is_some());
    }

    #[test]
    fn runs_adjoin_and_skip_used_frames() {
        let mut frames = Frames::new(&[(0x10_0000, 0x1000 * 2000)]);
        let first = frames.take_user().unwrap();
        let run = frames.take_run(100).unwrap();
        assert_eq!(run.0, first.0 + 1);
        assert!((run.0..run.0 + 100).all(|frame| frames.owners(Frame(frame)) == 1));
        assert!(frames.take_run(5000).is_none());
    }

    #[test]
    fn edges_that_are_not_whole_pages_are_left_alone() {
        let frames = Frames::new(&[(0x10_0001, 0x2000)]);
        assert_eq!(frames.total_count(), 1);
        assert!(frames.is_ram(Frame(0x101)) && !frames.is_ram(Frame(0x100)));
    }
}
