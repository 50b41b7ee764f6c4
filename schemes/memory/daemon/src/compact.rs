//! Compaction, check and repair of a collection.
//!
//! Compaction copies the frames that still matter, unchanged, into the log of the next generation and writes that
//! file's header last: until then the old generation counts, from then on the new one. Whatever fails on the way, the
//! old log is untouched.

use memory_engine::frame::{self, FILE_HEADER_BYTES, Header};

use crate::error::Result;
use crate::log::{RawFrame, scan};
use crate::store::{Store, Unsealed, remove_generation, seal_generation, unseal};

/// Copied at once.
const COPY_BYTES: usize = 1 << 20;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Frames that are whole.
    pub frames: u64,
    /// Documents whose current content was read and compared with its hash.
    pub documents: u64,
    /// What is wrong, in words; empty if nothing.
    pub problems: Vec<String>,
}

impl Store {
    /// Writes the next generation with what still matters, and goes on with it.
    ///
    /// # Errors
    /// The filesystem's (ENOSPC too); then the collection is as before.
    pub fn compact(mut self) -> (Option<Store>, Result<()>) {
        let next = self.generation + 1;
        if let Err(error) = self.write_generation(next) {
            let _ = remove_generation(self.disk.as_ref(), &self.dir, next);
            return (Some(self), Err(error));
        }
        let (disk, dir, random) = self.into_parts();
        match Store::open(disk, &dir, random) {
            Ok(store) => (Some(store), Ok(())),
            Err(error) => (None, Err(error)),
        }
    }

    fn write_generation(&mut self, generation: u64) -> Result<()> {
        let mut out = self
            .disk
            .open(&format!("{}/{generation}.log", self.dir), true)?;
        out.truncate(0)?;
        out.write_at(0, &[0; FILE_HEADER_BYTES as usize])?;
        let mut buffer = Vec::new();
        let mut at = FILE_HEADER_BYTES;
        let (keys, state) = (&mut self.keys, &self.state);
        scan(self.log.as_mut(), |frame| -> Result<()> {
            let keep = match unseal(keys, &frame) {
                Unsealed::Record(record) => state.keeps(&frame.header, &record),
                Unsealed::Gone | Unsealed::Damaged => false,
            };
            if keep {
                copy(&frame, &mut buffer);
            }
            if buffer.len() >= COPY_BYTES {
                out.write_at(at, &buffer)?;
                at += buffer.len() as u64;
                buffer.clear();
            }
            Ok(())
        })?;
        out.write_at(at, &buffer)?;
        seal_generation(self.disk.as_ref(), &self.dir, generation, out.as_mut())?;
        Ok(())
    }

    /// Reads everything back and compares it with its checksums.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn check(&mut self) -> Result<Report> {
        let mut report = Report::default();
        let found = scan(self.log.as_mut(), |_| -> Result<()> {
            report.frames += 1;
            Ok(())
        })?;
        for damage in &found.damage {
            let (from, to) = (damage.offset, damage.offset + damage.len);
            let place = format!("{}/{}.log bytes {from}-{to}", self.dir, self.generation);
            report
                .problems
                .push(format!("{place}: records after {} are lost", damage.after));
        }
        for slot in self.keys.damaged() {
            report
                .problems
                .push(format!("{}/keys slot {slot}: a document is lost", self.dir));
        }
        for seq in &self.health.unreadable {
            report.problems.push(format!("record {seq} does not fit"));
        }
        let current: Vec<_> = self
            .state
            .documents()
            .filter_map(|d| Some((d.id, d.path.clone(), d.current()?.clone())))
            .collect();
        for (id, path, version) in current {
            match self.read(id, &version) {
                Ok(_) => report.documents += 1,
                Err(error) => report.problems.push(format!("{path}: {error}")),
            }
        }
        Ok(report)
    }

    /// Keeps what can be kept and drops what cannot; the report says what was lost.
    ///
    /// # Errors
    /// As [`Store::compact`].
    pub fn repair(mut self) -> (Option<Store>, Result<Report>) {
        let report = match self.check() {
            Ok(report) => report,
            Err(error) => return (Some(self), Err(error)),
        };
        let (store, result) = self.compact();
        (store, result.map(|()| report))
    }
}

/// Appends a frame with the payload as it was. All before it will be durable when it counts, so it says so.
fn copy(frame: &RawFrame, out: &mut Vec<u8>) {
    let header = Header {
        durable: frame.header.seq - 1,
        ..frame.header
    };
    frame::encode_sealed(&header, &frame.payload, out);
}
