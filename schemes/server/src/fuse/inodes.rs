//! Inode numbers for paths, for as long as the kernel remembers them.
//!
//! Invariants: the root is 1; a number names one path at a time; a renamed path keeps its number; a number goes when
//! the kernel has forgotten every lookup of it.

use std::collections::HashMap;

/// The root's number.
const ROOT: u64 = 1;

pub(super) struct Inodes {
    by_path: HashMap<String, u64>,
    by_number: HashMap<u64, (String, u64)>,
    next: u64,
}

impl Default for Inodes {
    fn default() -> Self {
        Inodes {
            by_path: HashMap::from([(String::new(), ROOT)]),
            by_number: HashMap::from([(ROOT, (String::new(), 1))]),
            next: ROOT + 1,
        }
    }
}

impl Inodes {
    pub(super) fn path(&self, number: u64) -> Option<String> {
        self.by_number.get(&number).map(|(path, _)| path.clone())
    }

    /// The number of a path that the kernel is being told of.
    pub(super) fn remember(&mut self, path: &str) -> u64 {
        if let Some(&number) = self.by_path.get(path) {
            if let Some((_, lookups)) = self.by_number.get_mut(&number) {
                *lookups += 1;
            }
            return number;
        }
        let number = self.next;
        self.next += 1;
        self.by_path.insert(path.to_owned(), number);
        self.by_number.insert(number, (path.to_owned(), 1));
        number
    }

    pub(super) fn forget(&mut self, number: u64, count: u64) {
        if number == ROOT {
            return;
        }
        if let Some((path, lookups)) = self.by_number.get_mut(&number) {
            *lookups = lookups.saturating_sub(count);
            if *lookups == 0 {
                if self.by_path.get(path) == Some(&number) {
                    self.by_path.remove(path);
                }
                self.by_number.remove(&number);
            }
        }
    }

    /// Moves `from`, and what lies below it, to `to`.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.by_path.remove(to);
        let below = format!("{from}/");
        let moved: Vec<String> = self
            .by_path
            .keys()
            .filter(|path| *path == from || path.starts_with(&below))
            .cloned()
            .collect();
        for old in moved {
            let new = format!("{to}{}", &old[from.len()..]);
            if let Some(number) = self.by_path.remove(&old) {
                if let Some((path, _)) = self.by_number.get_mut(&number) {
                    path.clone_from(&new);
                }
                self.by_path.insert(new, number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_lives_until_every_lookup_is_forgotten() {
        let mut inodes = Inodes::default();
        let a = inodes.remember("a");
        assert_eq!(inodes.remember("a"), a);
        inodes.forget(a, 1);
        assert_eq!(inodes.path(a).as_deref(), Some("a"));
        inodes.forget(a, 1);
        assert_eq!(inodes.path(a), None);
        assert_ne!(inodes.remember("a"), a);
    }

    #[test]
    fn renaming_moves_what_lies_below() {
        let mut inodes = Inodes::default();
        let (dir, file) = (inodes.remember("d"), inodes.remember("d/f"));
        inodes.rename("d", "e");
        assert_eq!(inodes.path(dir).as_deref(), Some("e"));
        assert_eq!(inodes.path(file).as_deref(), Some("e/f"));
    }
}
