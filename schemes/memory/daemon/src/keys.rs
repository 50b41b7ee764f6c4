//! The key file of a collection: one slot of 40 bytes per document: key, its CRC-32, four zero bytes.
//!
//! Keys are made ahead in batches, so that a new document costs no extra sync. A slot of zeros is a destroyed key, and
//! never used again. Destroying is writing zeros in place and syncing; on a filesystem that copies on write the old
//! block stays until it is used again (CAVEATS).

use std::io;

use memory_engine::frame::Key;

use crate::disk::{Disk, DiskFile};

/// Bytes of a slot.
const SLOT: usize = 40;
/// Keys made at once.
const BATCH: u32 = 64;

/// State of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A usable key.
    Key(Key),
    /// Destroyed.
    Gone,
    /// Its checksum fails: the document cannot be read any more.
    Damaged,
}

/// The open file.
pub struct Keys {
    file: Box<dyn DiskFile>,
    slots: Vec<Slot>,
    /// First slot that no record has used.
    next: u32,
}

fn pack(key: &Key) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    bytes[..32].copy_from_slice(key);
    bytes[32..36].copy_from_slice(&crc32fast::hash(key).to_le_bytes());
    bytes
}

fn unpack(bytes: &[u8]) -> Slot {
    if bytes.iter().all(|&byte| byte == 0) {
        return Slot::Gone;
    }
    let mut key = [0; 32];
    key.copy_from_slice(&bytes[..32]);
    if pack(&key) == bytes {
        Slot::Key(key)
    } else {
        Slot::Damaged
    }
}

impl Keys {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn open(disk: &dyn Disk, path: &str, create: bool) -> io::Result<Keys> {
        let mut file = disk.open(path, create)?;
        let len = file.len()? as usize;
        let mut bytes = vec![0; len];
        let got = file.read_at(0, &mut bytes)?;
        // A batch that was being added when the power went ends in a partial slot: nothing used it.
        let slots = bytes[..got].chunks_exact(SLOT).map(unpack).collect();
        Ok(Keys {
            file,
            slots,
            next: 0,
        })
    }

    /// A record uses this slot, so new documents take later ones.
    pub fn note_used(&mut self, slot: u32) {
        self.next = self.next.max(slot + 1);
    }

    /// What is in a slot.
    pub fn get(&self, slot: u32) -> Slot {
        self.slots.get(slot as usize).copied().unwrap_or(Slot::Gone)
    }

    /// Slots whose checksum fails and that a record may use.
    pub fn damaged(&self) -> impl Iterator<Item = u32> {
        let used = self.slots.iter().take(self.next as usize).enumerate();
        used.filter(|(_, slot)| **slot == Slot::Damaged)
            .map(|(at, _)| at as u32)
    }

    /// A slot for a new document, durable already; `random` fills a key.
    ///
    /// # Errors
    /// The filesystem's; nothing is used up then.
    pub fn take(&mut self, random: &mut dyn FnMut(&mut Key)) -> io::Result<u32> {
        let unused = |slot: &u32| matches!(self.get(*slot), Slot::Key(_));
        if let Some(slot) = (self.next..self.slots.len() as u32).find(unused) {
            self.next = slot + 1;
            return Ok(slot);
        }
        let slot = self.slots.len() as u32;
        let mut bytes = Vec::new();
        let mut made = Vec::new();
        for _ in 0..BATCH {
            let mut key = [0; 32];
            random(&mut key);
            bytes.extend(pack(&key));
            made.push(Slot::Key(key));
        }
        let at = u64::from(slot) * SLOT as u64;
        if let Err(error) = self
            .file
            .write_at(at, &bytes)
            .and_then(|()| self.file.sync())
        {
            let _ = self.file.truncate(at);
            return Err(error);
        }
        self.slots.extend(made);
        self.next = slot + 1;
        Ok(slot)
    }

    /// Destroys a key.
    ///
    /// # Errors
    /// The filesystem's; the record that forgets the document makes the next opening try again.
    pub fn destroy(&mut self, slot: u32) -> io::Result<()> {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            if *place == Slot::Gone {
                return Ok(());
            }
            self.file
                .write_at(u64::from(slot) * SLOT as u64, &[0; SLOT])?;
            self.file.sync()?;
            *place = Slot::Gone;
        }
        Ok(())
    }
}
