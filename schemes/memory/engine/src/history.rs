//! Looking at what changed, and taking it back.
//!
//! Every replaced content, changed metadata, renaming, hiding and linking is an entry named by its sequence number. To
//! take one back is itself recorded and never removes anything. Only forgetting a document removes its entries.

use crate::collection::Collection;
use crate::document::{Change, UndoPlan};
use crate::error::{Error, Result};
use crate::record::Record;

impl Collection {
    /// What to do to take back the entry `seq`.
    ///
    /// # Errors
    /// `NotFound` for no such entry, `NotUndoable` if it was taken back already or its past is gone.
    pub fn undo_plan(&self, seq: u64) -> Result<UndoPlan> {
        let entry = self.history.get(&seq).ok_or(Error::NotFound)?;
        let document = self.documents.get(&entry.document).ok_or(Error::NotFound)?;
        if entry.undone {
            return Err(Error::NotUndoable);
        }
        let undo = Record::Undo(seq);
        let append = |records: Vec<Record>| Ok(UndoPlan::Append(document.id, records));
        match &entry.change {
            Change::Hidden(_) | Change::Linked(..) => append(vec![undo]),
            Change::Metadata(before) => append(vec![Record::Metadata(before.clone()), undo]),
            Change::Renamed(before) if self.by_path.contains_key(before) => Err(Error::NotUndoable),
            Change::Renamed(before) => append(vec![Record::Rename(before.clone()), undo]),
            Change::Replaced(version) => {
                let kept = document.versions.iter().any(|v| v.seq == *version);
                if kept {
                    Ok(UndoPlan::Republish(document.id, *version))
                } else {
                    Err(Error::NotUndoable)
                }
            }
        }
    }

    /// The newest entry that can be taken back and is not a taking back itself.
    pub fn last_undoable(&self) -> Option<u64> {
        self.history
            .values()
            .rev()
            .find(|e| !e.undone && self.undo_plan(e.seq).is_ok())
            .map(|e| e.seq)
    }

    pub(crate) fn mark_undone(&mut self, seq: u64) {
        let Some(entry) = self.history.get_mut(&seq) else {
            return;
        };
        entry.undone = true;
        let (id, change) = (entry.document, entry.change.clone());
        // What a taking back wrote is not to be taken back in turn by a plain `undo`.
        if let Some((_, last)) = self.history.iter_mut().next_back()
            && last.seq > seq
            && last.document == id
            && matches!(
                change,
                Change::Metadata(_) | Change::Renamed(_) | Change::Replaced(_)
            )
        {
            last.undone = true;
        }
        let Some(document) = self.documents.get_mut(&id) else {
            return;
        };
        match change {
            Change::Hidden(_)
                if document
                    .hidden
                    .as_ref()
                    .is_some_and(|(since, _)| *since == seq) =>
            {
                document.hidden = None;
                self.live_chunks += document.chunks.len();
            }
            Change::Linked(..) => document.links.retain(|(since, ..)| *since != seq),
            _ => {}
        }
    }
}
