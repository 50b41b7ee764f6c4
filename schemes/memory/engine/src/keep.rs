//! What a compaction keeps: a pure decision per record; the daemon copies the frames that are kept, unchanged.
//!
//! Copying frames as they are (same sequence number, same sealed bytes) means a compaction cannot alter a record, needs
//! no key, and can be checked by comparing bytes. Replaying the kept frames gives the same documents, contents,
//! metadata and links; versions beyond the kept number are gone from the history.

use crate::collection::Collection;
use crate::frame::Header;
use crate::limits;
use crate::record::Record;

impl Collection {
    /// Whether the record still matters.
    pub fn keeps(&self, header: &Header, record: &Record) -> bool {
        match record {
            // Layout options were set before the documents they hold for, so all stay in their place.
            Record::Options(_) => return true,
            Record::Forget(_) => return false,
            Record::Undo(seq) => return self.history.contains_key(seq),
            _ => {}
        }
        let Some(document) = header.slot.and_then(|id| self.documents.get(&id)) else {
            return false;
        };
        let newest = |seqs: &mut dyn DoubleEndedIterator<Item = u64>| {
            seqs.rev()
                .take(limits::VERSIONS)
                .any(|seq| seq == header.seq)
        };
        match record {
            Record::Put { .. } => newest(&mut document.versions.iter().map(|v| v.seq)),
            Record::Metadata(_) => newest(&mut document.metadata.iter().map(|m| m.0)),
            Record::Vectors { model, chunks, .. } => {
                self.spaces.iter().any(|space| space.model() == model)
                    && document
                        .chunks
                        .clone()
                        .any(|chunk| chunks.contains(&self.chunks[chunk as usize].span.hash))
            }
            Record::Link(to, _) => self.documents.contains_key(to),
            Record::Touch => header.seq == document.touch_seq,
            _ => true,
        }
    }

    /// Share of chunks that are dead, in percent (at most, where it is small): says when a compaction pays.
    pub fn dead_percent(&self) -> usize {
        let all = self.chunks.len();
        let percent = |dead: usize| (dead * 100).checked_div(all).unwrap_or(0);
        let most = percent(all - self.live_chunks);
        if most <= limits::GRAPH_DEAD_PERCENT {
            return most; // hidden ones are few enough not to be looked for
        }
        let hidden: usize = self
            .documents
            .values()
            .filter(|document| document.hidden.is_some())
            .map(|document| document.chunks.len())
            .sum();
        percent(all - self.live_chunks - hidden)
    }
}
