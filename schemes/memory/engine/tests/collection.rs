//! The state of a collection through its records: search, history, superseding, model change, compaction.

use memory_engine::ageing::Step;
use memory_engine::document::{Change, UndoPlan};
use memory_engine::frame::Header;
use memory_engine::hashing::{HASHING_MODEL, hashing_embedding};
use memory_engine::record::{Hidden, LinkKind, Record, VectorData};
use memory_engine::search::{Mode, Query};
use memory_engine::vector::codes::Precision;
use memory_engine::{Collection, Error};
use proptest::prelude::*;

/// A log kept beside the state it gives.
#[derive(Default)]
struct Log {
    records: Vec<(Header, Record)>,
    state: Collection,
    bodies: Vec<(u64, Vec<u8>)>,
    next_id: u32,
}

impl Log {
    fn new() -> Self {
        let mut log = Log::default();
        log.append(None, Record::Options(format!("model {HASHING_MODEL}")));
        log
    }

    fn append(&mut self, slot: Option<u32>, record: Record) -> u64 {
        let seq = self.state.last_seq() + 1;
        let header = Header {
            seq,
            time: seq * 1000,
            durable: 0,
            slot,
            kind: record.kind(),
        };
        self.state.apply(&header, record.clone(), seq).unwrap();
        self.records.push((header, record));
        seq
    }

    fn put(&mut self, path: &str, text: &str) -> u32 {
        let id = self
            .state
            .at_path(path)
            .map_or(self.next_id, |document| document.id);
        self.next_id = self.next_id.max(id + 1);
        let seq = self.append(
            Some(id),
            Record::Put {
                path: path.into(),
                body: text.into(),
            },
        );
        self.bodies.push((seq, text.into()));
        self.embed(id, text, HASHING_MODEL);
        id
    }

    fn embed(&mut self, id: u32, text: &str, model: &str) {
        let hashes = self.state.pending_of(id);
        if hashes.is_empty() {
            return;
        }
        let texts = self.state.texts_for(id, text.as_bytes(), &hashes);
        let rows: Vec<Vec<f32>> = texts.iter().map(|text| hashing_embedding(text)).collect();
        let data = VectorData::pack(&rows, Precision::F32);
        let dims = rows[0].len() as u32;
        self.append(
            Some(id),
            Record::Vectors {
                model: model.into(),
                dims,
                chunks: hashes,
                data,
            },
        );
    }

    fn find(&mut self, text: &str, mode: Mode) -> Vec<String> {
        let vectors = vec![(HASHING_MODEL.to_owned(), hashing_embedding(text))];
        let query = Query {
            text: text.into(),
            vectors,
            k: 5,
            mode,
            ..Query::default()
        };
        let hits = self.state.search(&query).unwrap();
        hits.iter()
            .map(|hit| self.state.document(hit.document).unwrap().path.clone())
            .collect()
    }

    fn carry_out(&mut self, steps: Vec<Step>) {
        for step in steps {
            let Step::Append(id, record) = step else {
                panic!("{step:?}")
            };
            self.append(Some(id), record);
        }
    }

    fn undo(&mut self, seq: u64) {
        match self.state.undo_plan(seq).unwrap() {
            UndoPlan::Append(id, records) => records.into_iter().for_each(|record| {
                let slot = (!matches!(record, Record::Undo(_))).then_some(id);
                self.append(slot, record);
            }),
            UndoPlan::Republish(id, version) => {
                let body = self
                    .bodies
                    .iter()
                    .find(|b| b.0 == version)
                    .unwrap()
                    .1
                    .clone();
                let path = self.state.document(id).unwrap().path.clone();
                self.put(&path, core::str::from_utf8(&body).unwrap());
                self.append(None, Record::Undo(seq));
            }
        }
    }

    fn compacted(&self) -> Collection {
        let mut state = Collection::new();
        for (header, record) in &self.records {
            if self.state.keeps(header, record) {
                state.apply(header, record.clone(), header.seq).unwrap();
            }
        }
        state
    }
}

#[test]
fn what_is_written_is_found_and_what_is_forgotten_is_not() {
    let mut log = Log::new();
    log.put(
        "boot.md",
        "# Boot\n\nThe loader reads the kernel from the EFI partition.",
    );
    let secret = log.put("secret.md", "The launch code of the rocket is zebra.");
    log.put(
        "net.md",
        "The network stack speaks TCP and UDP over virtio.",
    );
    for mode in [Mode::Hybrid, Mode::Vector, Mode::Text] {
        assert_eq!(
            log.find("rocket launch code", mode)[0],
            "secret.md",
            "{mode:?}"
        );
        assert_eq!(
            log.find("loader of the kernel", mode)[0],
            "boot.md",
            "{mode:?}"
        );
    }
    log.append(None, Record::Forget(secret));
    for mode in [Mode::Hybrid, Mode::Vector, Mode::Text] {
        assert!(
            !log.find("rocket launch code zebra", mode)
                .contains(&"secret.md".to_owned())
        );
    }
    assert!(log.state.at_path("secret.md").is_none());
    let kept = log
        .records
        .iter()
        .filter(|(header, record)| log.state.keeps(header, record));
    assert!(
        kept.into_iter()
            .all(|(header, _)| header.slot != Some(secret))
    );
}

#[test]
fn unchanged_chunks_keep_their_vectors() {
    let mut log = Log::new();
    let part = |i: usize| {
        format!(
            "## Part {i}\n\n{}\n\n",
            format!("Sentence {i} of it. ").repeat(30)
        )
    };
    let text: String = (0..10).map(part).collect();
    let id = log.put("book.md", &text);
    let rows = log.state.space().unwrap().len();
    log.put("book.md", &text.replace("Sentence 4", "Phrase 4"));
    let new_rows = log.state.space().unwrap().len() - rows;
    assert!((1..=2).contains(&new_rows), "{new_rows} new of {rows}");
    assert!(log.state.pending_of(id).is_empty());
    assert_eq!(log.find("Phrase 4 of it", Mode::Vector)[0], "book.md");
}

#[test]
fn a_superseded_fact_is_answered_with_the_new_one_until_that_is_undone() {
    let mut log = Log::new();
    let old = log.put("a", "The capital of Freedonia is Oldtown.");
    log.append(
        Some(old),
        Record::Metadata("fact = capital of Freedonia".into()),
    );
    let new = log.put("b", "The capital of Freedonia is Newtown.");
    log.append(
        Some(new),
        Record::Metadata("fact = capital of Freedonia".into()),
    );
    let steps = log.state.superseding_plan();
    assert_eq!(
        steps,
        [Step::Append(old, Record::Hide(Hidden::Superseded(new)))]
    );
    log.carry_out(steps);
    assert_eq!(log.find("capital of Freedonia", Mode::Hybrid), ["b"]);
    let entry = log.state.history().last().unwrap().clone();
    assert_eq!(
        (entry.document, &entry.change),
        (old, &Change::Hidden(Hidden::Superseded(new)))
    );
    log.undo(entry.seq);
    assert!(
        log.find("capital of Freedonia", Mode::Hybrid)
            .contains(&"a".to_owned())
    );
    assert_eq!(log.state.undo_plan(entry.seq), Err(Error::NotUndoable));
    assert!(
        log.state.superseding_plan().is_empty(),
        "what was undone stays undone"
    );
}

#[test]
fn a_thousand_consolidations_of_unrelated_notes_lose_none() {
    let mut log = Log::new();
    for i in 0..1000 {
        let id = log.put(
            &format!("n{i}"),
            &format!("Note {i}: topic{} with item{}.", i * 17, i * 31),
        );
        let mut steps = log.state.link_plan(id);
        steps.extend(log.state.superseding_plan());
        steps.extend(log.state.ageing_plan(i * 1000));
        log.carry_out(steps);
    }
    assert_eq!(log.state.under("").count(), 1000);
    for i in (0..1000).step_by(37) {
        assert_eq!(
            log.find(&format!("topic{} item{}", i * 17, i * 31), Mode::Hybrid)[0],
            format!("n{i}")
        );
    }
}

#[test]
fn the_same_text_is_linked_not_removed_and_shown_once() {
    let mut log = Log::new();
    let first = log.put("a", "Exactly the same sentence about turtles.");
    let second = log.put("b", "Exactly the same sentence about turtles.");
    let steps = log.state.link_plan(second);
    assert_eq!(
        steps,
        [Step::Append(
            second,
            Record::Link(first, LinkKind::Duplicate)
        )]
    );
    log.carry_out(steps);
    assert_eq!(log.find("turtles", Mode::Hybrid), ["a"]);
    assert!(log.state.link_plan(second).is_empty());
    assert_eq!(log.state.under("").count(), 2);
}

#[test]
fn contents_metadata_and_names_can_be_taken_back() {
    let mut log = Log::new();
    let id = log.put("a", "first content");
    let put = log.put("a", "second content");
    assert_eq!(id, put);
    let replaced = log.state.history().last().unwrap().seq;
    log.append(Some(id), Record::Metadata("k = 1".into()));
    let set = log.append(Some(id), Record::Metadata("k = 2".into()));
    let renamed = log.append(Some(id), Record::Rename("z".into()));
    log.undo(renamed);
    log.undo(set);
    log.undo(replaced);
    let document = log.state.document(id).unwrap();
    assert_eq!(
        (&document.path[..], &document.metadata.last().unwrap().1[..]),
        ("a", "k = 1")
    );
    assert_eq!(
        document.current().unwrap().hash,
        memory_engine::record::hash(b"first content")
    );
}

#[test]
fn a_changed_model_embeds_anew_while_search_goes_on() {
    let mut log = Log::new();
    let a = log.put("a", "penguins live in the south");
    log.put("b", "bears live in the north");
    log.append(None, Record::Options("model other".into()));
    assert_eq!(log.state.pending(10).len(), 2);
    assert_eq!(
        log.find("penguins south", Mode::Vector)[0],
        "a",
        "the old vectors answer"
    );
    log.embed(a, "penguins live in the south", "other");
    assert_eq!(log.find("bears north", Mode::Vector)[0], "b");
    log.embed(1, "bears live in the north", "other");
    log.state.index_step(10);
    assert_eq!(log.state.pending(10), []);
    assert!(
        log.find("penguins", Mode::Vector).is_empty(),
        "the old model's vectors are gone"
    );
}

#[test]
fn filters_and_prefix_limit_a_search() {
    let mut log = Log::new();
    for i in 0..40 {
        let id = log.put(
            &format!("{}/n{i}", ["x", "y"][i % 2]),
            &format!("common words, number {i}"),
        );
        log.append(Some(id), Record::Metadata(format!("n = {i}")));
    }
    let filter = memory_engine::filter::Filter::parse("n >= 10 and n < 14").unwrap();
    let query = Query {
        text: "common words".into(),
        k: 10,
        filter: Some(filter),
        prefix: "x/".into(),
        ..Query::default()
    };
    let mut found: Vec<u32> = log
        .state
        .search(&query)
        .unwrap()
        .iter()
        .map(|hit| hit.document)
        .collect();
    found.sort_unstable();
    assert_eq!(found, [10, 12]);
    let long = Query {
        text: "x".repeat(1 << 20),
        k: 1,
        ..Query::default()
    };
    assert!(matches!(log.state.search(&long), Err(Error::TooLong(..))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn replay_and_compaction_give_the_same_collection(
        steps in prop::collection::vec((0u8..7, 0usize..6, 0usize..8), 1..40)
    ) {
        let mut log = Log::new();
        for (what, which, value) in steps {
            let path = format!("d{which}");
            let id = log.state.visible(&path).map(|document| document.id);
            match (what, id) {
                (0..=2, _) => { log.put(&path, &format!("text {value} about subject{value} and {which}")); }
                (3, Some(id)) => { log.append(None, Record::Forget(id)); }
                (4, Some(id)) => { log.append(Some(id), Record::Metadata(format!("v = {value}"))); }
                (5, Some(id)) => { log.append(Some(id), Record::Hide(Hidden::Expired)); }
                (6, _) => if let Some(seq) = log.state.last_undoable() { log.undo(seq) },
                _ => {}
            }
        }
        let view = |state: &mut Collection| {
            let documents: Vec<_> = state.under("").map(|d| (d.id, d.path.clone(), d.current().unwrap().hash,
                d.metadata.last().map(|m| m.1.clone()))).collect();
            let question = "text about subject3";
            let vectors = vec![(HASHING_MODEL.to_owned(), hashing_embedding(question))];
            let query = Query { text: question.into(), vectors, k: 10, mode: Mode::Vector, ..Query::default() };
            let hits: Vec<_> = state.search(&query).unwrap().iter().map(|h| (h.document, h.start)).collect();
            let (live, _) = state.chunk_counts();
            (documents, hits, live)
        };
        let mut replayed = Collection::new();
        for (header, record) in &log.records {
            replayed.apply(header, record.clone(), header.seq).unwrap();
        }
        let expected = view(&mut log.state);
        prop_assert_eq!(view(&mut replayed), expected.clone());
        prop_assert_eq!(view(&mut log.compacted()), expected);
    }
}
