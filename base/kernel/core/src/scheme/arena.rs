//! The always-mapped buffer pages of a user scheme.
//!
//! Small requests take pages from here, so that a call changes no page table and flushes nothing. The frames belong to the
//! kernel; the daemon sees them in one region it cannot unmap. A daemon that forks and serves from the child gets a second
//! binding at the child's first read.

use alloc::vec::Vec;

use crate::kernel::SpaceId;
use crate::limits::ARENA_PAGES;
use crate::machine::Frame;

const WORDS: usize = ARENA_PAGES / 64;

/// Buffer pages and where they are mapped.
#[derive(Debug, Default)]
pub struct Arena {
    /// Frames made so far; index = page in the arena.
    pub frames: Vec<Frame>,
    used: [u64; WORDS],
    /// Spaces that have it mapped, with the first page there.
    pub bindings: Vec<(SpaceId, u64)>,
}

impl Arena {
    /// Takes the first free run of pages.
    pub fn take(&mut self, pages: usize) -> Option<usize> {
        let mut run = 0;
        for page in 0..ARENA_PAGES {
            run = if self.used[page / 64] & 1 << (page % 64) == 0 {
                run + 1
            } else {
                0
            };
            if run == pages {
                let first = page + 1 - pages;
                (first..=page).for_each(|taken| self.used[taken / 64] |= 1 << (taken % 64));
                return Some(first);
            }
        }
        None
    }

    /// Gives a run back.
    pub fn give(&mut self, first: usize, pages: usize) {
        for page in first..(first + pages).min(ARENA_PAGES) {
            self.used[page / 64] &= !(1 << (page % 64));
        }
    }

    /// First page in a space.
    pub fn base(&self, space: SpaceId) -> Option<u64> {
        self.bindings
            .iter()
            .find(|(bound, _)| *bound == space)
            .map(|(_, base)| *base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_between_used_pages() {
        let mut arena = Arena::default();
        let (a, b, c) = (
            arena.take(2).unwrap(),
            arena.take(3).unwrap(),
            arena.take(1).unwrap(),
        );
        assert_eq!((a, b, c), (0, 2, 5));
        arena.give(b, 3);
        assert_eq!((arena.take(4), arena.take(3)), (Some(6), Some(2)));
        assert_eq!(arena.take(ARENA_PAGES), None);
    }
}
