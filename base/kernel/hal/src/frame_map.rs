//! One bit per physical frame: is it RAM that the kernel above the boundary owns as plain bytes?
//!
//! This map is what makes `Machine::frame_mut` and `Machine::map` safe to offer to safe code: the kernel's own image,
//! heap, stacks and page tables never have their bit set, and a frame loses it while it serves as a user page table. So no
//! mistake above the boundary can reach them.

use alloc::vec::Vec;

use kernel_core::machine::Frame;

/// Which frames are owned as plain bytes.
#[derive(Debug, Default)]
pub struct FrameMap {
    bits: Vec<u64>,
}

impl FrameMap {
    /// A map of `frames` frames, none of them owned.
    pub fn new(frames: u64) -> Self {
        Self {
            bits: alloc::vec![0; frames.div_ceil(64) as usize],
        }
    }

    /// Whether the frame is owned.
    pub fn contains(&self, frame: Frame) -> bool {
        let (word, bit) = Self::place(frame);
        self.bits.get(word).is_some_and(|w| w & bit != 0)
    }

    /// Marks the frame owned; a frame outside the map is ignored.
    pub fn insert(&mut self, frame: Frame) {
        let (word, bit) = Self::place(frame);
        if let Some(w) = self.bits.get_mut(word) {
            *w |= bit;
        }
    }

    /// Marks it not owned and tells whether it was.
    pub fn remove(&mut self, frame: Frame) -> bool {
        let (word, bit) = Self::place(frame);
        let Some(w) = self.bits.get_mut(word) else {
            return false;
        };
        let was = *w & bit != 0;
        *w &= !bit;
        was
    }

    fn place(frame: Frame) -> (usize, u64) {
        (
            usize::try_from(frame.0 / 64).unwrap_or(usize::MAX),
            1 << (frame.0 % 64),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_owned_between_insert_and_remove() {
        let mut map = FrameMap::new(130);
        map.insert(Frame(129));
        assert!(map.contains(Frame(129)));
        assert!(!map.contains(Frame(128)));
        assert!(map.remove(Frame(129)));
        assert!(!map.remove(Frame(129)));
    }

    #[test]
    fn frames_outside_the_map_are_never_owned() {
        let mut map = FrameMap::new(64);
        map.insert(Frame(u64::MAX));
        map.insert(Frame(64));
        assert!(!map.contains(Frame(64)));
        assert!(!map.contains(Frame(u64::MAX)));
    }
}
