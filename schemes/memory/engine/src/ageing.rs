//! Automatic changes, as plans that the daemon carries out: ageing, expiry, superseding, linking of doubles.
//!
//! Each step hides or links, is in the history and can be taken back; none removes. Superseding is never guessed from
//! likeness: a document is superseded only by a later one whose metadata says so (`supersedes = PATH`), or that states
//! the same `fact` key (`fact = capital of France`).

use crate::collection::Collection;
use crate::document::Document;
use crate::limits;
use crate::metadata::Scalar;
use crate::options::Tier;
use crate::record::{DocumentId, Hidden, LinkKind, Record};

/// Age at which an entry moves from working to episodic, in milliseconds: twelve hours.
pub const WORKING_AGE_MS: u64 = 12 * 3_600_000;
/// Age at which an entry moves from episodic to semantic: thirty days.
pub const EPISODIC_AGE_MS: u64 = 30 * 86_400_000;

/// One automatic change.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Append this record about the document.
    Append(DocumentId, Record),
    /// Copy the document to the next tier, then hide it here.
    Move(DocumentId, Tier),
}

impl Collection {
    fn visible_documents(&self) -> impl Iterator<Item = &Document> {
        self.documents
            .values()
            .filter(|document| document.hidden.is_none())
    }

    /// What is due at `now`: expiry by time to live, then ageing to the next tier.
    pub fn ageing_plan(&self, now: u64) -> Vec<Step> {
        let next = match self.options.tier {
            Tier::Working => Some((Tier::Episodic, WORKING_AGE_MS)),
            Tier::Episodic => Some((Tier::Semantic, EPISODIC_AGE_MS)),
            Tier::Semantic => None,
        };
        let mut steps = Vec::new();
        for document in self.visible_documents() {
            let age = now.saturating_sub(document.touched);
            if self.options.ttl_ms.is_some_and(|ttl| age >= ttl) {
                steps.push(Step::Append(document.id, Record::Hide(Hidden::Expired)));
            } else if let Some((tier, after)) = next
                && now.saturating_sub(document.time()) >= after
            {
                steps.push(Step::Move(document.id, tier));
            }
        }
        steps
    }

    /// Documents that a later one supersedes by what its metadata says.
    pub fn superseding_plan(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut newest: std::collections::BTreeMap<String, &Document> = Default::default();
        let mut hide = |old: &Document, new: &Document| {
            steps.push(Step::Append(
                old.id,
                Record::Hide(Hidden::Superseded(new.id)),
            ));
        };
        for document in self.visible_documents() {
            let metadata = self.metadata.get(document.id);
            let text = |key| {
                metadata
                    .and_then(|m| m.get(key))
                    .and_then(<[Scalar]>::first)
            };
            if let Some(Scalar::Text(path)) = text("supersedes")
                && let Some(old) = self.visible(path)
                && old.id != document.id
            {
                hide(old, document);
            }
            let Some(fact) = text("fact") else { continue };
            match newest.entry(fact.to_string()) {
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(document);
                }
                std::collections::btree_map::Entry::Occupied(mut place) => {
                    let seq = |d: &Document| d.current().map_or(0, |version| version.seq);
                    let (old, new) = if seq(place.get()) < seq(document) {
                        (place.insert(document), document)
                    } else {
                        (document, *place.get())
                    };
                    hide(old, new);
                }
            }
        }
        // One taken back by hand stays taken back.
        steps.retain(|step| !matches!(step, Step::Append(id, _) if self.was_unhidden(*id)));
        steps.dedup();
        steps
    }

    fn was_unhidden(&self, id: DocumentId) -> bool {
        let hidden = |change: &_| {
            matches!(
                change,
                crate::document::Change::Hidden(Hidden::Superseded(_))
            )
        };
        self.history
            .values()
            .any(|e| e.document == id && e.undone && hidden(&e.change))
    }

    /// Links a document deserves: to the first one with the same content, or to one that says nearly the same.
    pub fn link_plan(&mut self, id: DocumentId) -> Vec<Step> {
        let Some(document) = self.documents.get(&id) else {
            return Vec::new();
        };
        let linked: Vec<DocumentId> = document.links.iter().map(|link| link.1).collect();
        let link = |to, kind| vec![Step::Append(id, Record::Link(to, kind))];
        let same = document
            .current()
            .map_or(&[][..], |version| self.with_hash(&version.hash));
        if let Some(&first) = same.iter().find(|&&other| other < id) {
            return if linked.contains(&first) {
                Vec::new()
            } else {
                link(first, LinkKind::Duplicate)
            };
        }
        let chunks = document.chunks.clone();
        let (Some(first), Some(space)) = (chunks.clone().next(), self.spaces.first()) else {
            return Vec::new();
        };
        let Some(vector) = space.vector(first) else {
            return Vec::new();
        };
        let chunks_of = &self.chunks;
        let documents = &self.documents;
        let accepts = |chunk: u32| {
            let other = chunks_of[chunk as usize].document;
            other < id
                && documents
                    .get(&other)
                    .is_some_and(|d| d.chunks.start == chunk && d.hidden.is_none())
        };
        let found = space.search(&vector, 1, self.live_chunks, &accepts, &mut self.scratch);
        match found.unwrap_or_default().first() {
            Some(&(near, chunk)) if near >= limits::SIMILAR_COSINE => {
                let other = self.chunks[chunk as usize].document;
                if linked.contains(&other) {
                    Vec::new()
                } else {
                    link(other, LinkKind::Similar)
                }
            }
            _ => Vec::new(),
        }
    }
}
