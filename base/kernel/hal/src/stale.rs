//! Which pages of an address space a flush has to drop: bookkeeping between `map` or `unmap` and `flush`.

use kernel_core::machine::Page;

/// Pages whose entries changed since the last flush of their space, as long as they are few.
#[derive(Clone, Debug, Default)]
pub struct Stale {
    pages: [u64; Stale::MAX],
    count: usize,
}

/// What to drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop<'a> {
    /// These pages (numbers).
    Pages(&'a [u64]),
    /// Everything of the space.
    All,
}

impl Stale {
    /// More than these, and dropping everything is cheaper.
    pub const MAX: usize = 16;

    /// The entry of a page changed.
    pub fn note(&mut self, page: Page) {
        match self.pages.get_mut(self.count) {
            Some(slot) => {
                *slot = page.0;
                self.count += 1;
            }
            None => self.count = Self::MAX + 1,
        }
    }

    /// What the changes so far ask for.
    pub fn pages(&self) -> Drop<'_> {
        self.pages.get(..self.count).map_or(Drop::All, Drop::Pages)
    }

    /// The space was flushed.
    pub fn clear(&mut self) {
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_changes_are_known_by_page() {
        let mut stale = Stale::default();
        stale.note(Page(7));
        stale.note(Page(9));
        assert_eq!(stale.pages(), Drop::Pages(&[7, 9]));
        stale.clear();
        assert_eq!(stale.pages(), Drop::Pages(&[]));
    }

    #[test]
    fn many_changes_ask_for_everything_until_the_flush() {
        let mut stale = Stale::default();
        for i in 0..100 {
            stale.note(Page(i));
        }
        assert_eq!(stale.pages(), Drop::All);
        stale.clear();
        stale.note(Page(1));
        assert_eq!(stale.pages(), Drop::Pages(&[1]));
    }
}
