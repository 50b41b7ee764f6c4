//! A process's descriptor table: small numbers for open descriptions, lowest free first.

use alloc::vec::Vec;

use valence_abi::errno::{EBADF, EMFILE, Errno};

use crate::kernel::FileId;
use crate::limits::DESCRIPTORS_MAX;

/// A descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The open description.
    pub file: FileId,
    /// Closed by exec.
    pub close_on_exec: bool,
}

/// Descriptors by number.
#[derive(Clone, Debug, Default)]
pub struct FdTable {
    slots: Vec<Option<Slot>>,
    /// No free number is below it.
    lowest: usize,
}

impl FdTable {
    /// The slot of a number.
    pub fn get(&self, fd: usize) -> Result<Slot, Errno> {
        self.slots.get(fd).copied().flatten().ok_or(EBADF)
    }

    /// The slot, to change its flag.
    pub fn get_mut(&mut self, fd: usize) -> Result<&mut Slot, Errno> {
        self.slots.get_mut(fd).and_then(Option::as_mut).ok_or(EBADF)
    }

    /// Uses the lowest free number at or above `least`.
    pub fn insert(&mut self, least: usize, slot: Slot) -> Result<usize, Errno> {
        let from = least.max(self.lowest);
        let free = (from..self.slots.len()).find(|fd| self.slots[*fd].is_none());
        let fd = free.unwrap_or(self.slots.len().max(from));
        self.replace(fd, slot).map_err(|_| EMFILE)?;
        if least <= self.lowest {
            self.lowest = fd + 1;
        }
        Ok(fd)
    }

    /// Puts a slot at a number and tells what was there. `EBADF` above the limit.
    pub fn replace(&mut self, fd: usize, slot: Slot) -> Result<Option<Slot>, Errno> {
        if fd >= DESCRIPTORS_MAX {
            return Err(EBADF);
        }
        if fd >= self.slots.len() {
            self.slots.resize(fd + 1, None);
        }
        Ok(self.slots[fd].replace(slot))
    }

    /// Frees a number.
    pub fn remove(&mut self, fd: usize) -> Result<Slot, Errno> {
        let slot = self.slots.get_mut(fd).and_then(Option::take).ok_or(EBADF)?;
        self.lowest = self.lowest.min(fd);
        Ok(slot)
    }

    /// All slots with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Slot)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(fd, slot)| slot.map(|slot| (fd, slot)))
    }

    /// Takes every slot for which `which` holds.
    pub fn drain(&mut self, which: impl Fn(&Slot) -> bool) -> Vec<Slot> {
        let mut taken = Vec::new();
        for fd in 0..self.slots.len() {
            if self.slots[fd].as_ref().is_some_and(&which)
                && let Ok(slot) = self.remove(fd)
            {
                taken.push(slot);
            }
        }
        taken
    }

    /// How many descriptors are open.
    pub fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Id;

    fn slot(n: u64) -> Slot {
        Slot {
            file: Id::from_raw(n),
            close_on_exec: n % 2 == 1,
        }
    }

    #[test]
    fn the_lowest_free_number_is_used() {
        let mut table = FdTable::default();
        for n in 0..4 {
            assert_eq!(table.insert(0, slot(n)), Ok(n as usize));
        }
        table.remove(1).unwrap();
        table.remove(2).unwrap();
        assert_eq!(table.insert(2, slot(9)), Ok(2));
        assert_eq!(table.insert(0, slot(9)), Ok(1));
        assert_eq!(table.insert(10, slot(9)), Ok(10));
        assert_eq!(table.insert(0, slot(9)), Ok(4));
    }

    #[test]
    fn numbers_above_the_limit_are_refused() {
        let mut table = FdTable::default();
        assert_eq!(table.replace(DESCRIPTORS_MAX, slot(0)), Err(EBADF));
        assert_eq!(table.insert(DESCRIPTORS_MAX, slot(0)), Err(EMFILE));
        assert_eq!(table.get(usize::MAX), Err(EBADF));
    }

    #[test]
    fn exec_drains_what_it_must() {
        let mut table = FdTable::default();
        for n in 0..4 {
            table.insert(0, slot(n)).unwrap();
        }
        assert_eq!(table.drain(|slot| slot.close_on_exec).len(), 2);
        assert_eq!(table.insert(0, slot(5)), Ok(1));
    }
}
