//! The text files of the scheme: status, metrics, options and actions, history and undo, export and import.

use std::fmt::Write;

use memory_api::wire::ExportChunk;
use memory_api::{ExportLine, HistoryLine, Import};
use memory_engine::document::{Change, Document, UndoPlan};
use memory_engine::record::{DocumentId, Hidden, Record, VectorData};
use memory_engine::vector::space::Strategy;
use scheme_server::Errno;
use serde_json::{Value, json};

use crate::documents::link_word;
use crate::error::{Error, Result};
use crate::hub::{Hub, Open, Place};

fn line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).map_or_else(|_| String::new(), |text| text + "\n")
}

impl Open {
    /// State of the collection.
    ///
    /// # Errors
    /// EIO.
    pub fn status(&mut self) -> Result<Value> {
        let name = self.place.name.clone();
        let checked = self.checked.clone();
        let store = self.store()?;
        let (health, log_bytes, state) = (store.health.clone(), store.log_bytes(), &store.state);
        let (live, all) = state.chunk_counts();
        let visible = state.under("").count();
        let space = state.space();
        let search = match space.map(|space| space.strategy()) {
            None => json!("text only"),
            Some(Strategy::Scan) => json!("exact scan"),
            Some(Strategy::Graph(width)) => json!({ "graph": width }),
        };
        let damage: Vec<Value> = health
            .damage
            .iter()
            .map(|d| json!({ "offset": d.offset, "bytes": d.len }))
            .collect();
        Ok(json!({
            "collection": name, "documents": visible, "hidden": state.documents().count() - visible,
            "chunks": live, "dead_chunks": all - live,
            "vectors": space.map_or(0, |space| space.len()),
            "vector_bytes": space.map_or(0, |space| space.bytes()),
            "unindexed": state.unindexed(), "unembedded": state.pending(usize::MAX).len(),
            "search": search, "recall_at_10": space.and_then(|s| s.recall_milli()).map(|r| f64::from(r) / 1000.0),
            "log_bytes": log_bytes, "last_record": state.last_seq(), "damage": damage,
            "cut_tail_bytes": health.torn, "unreadable_records": health.unreadable, "check": checked,
        }))
    }

    /// Applies lines of a `.ctl`: actions (`compact`, `check`, `repair`, `snapshot`) and options.
    ///
    /// # Errors
    /// EINVAL, EBUSY for layout options of a collection with documents, those of the action.
    pub fn control(&mut self, now: u64, text: &str) -> Result<()> {
        for text in text.lines().map(str::trim).filter(|text| !text.is_empty()) {
            match text {
                "compact" => self.compact()?,
                "snapshot" => self.store()?.snapshot()?,
                "check" => {
                    let report = self.store()?.check()?;
                    self.checked = report_text(&report);
                }
                "repair" => self.repair()?,
                option => self.set_option(now, option)?,
            }
        }
        Ok(())
    }

    fn set_option(&mut self, now: u64, option: &str) -> Result<()> {
        let store = self.store()?;
        let mut options = store.state.options().clone();
        options.apply(option)?;
        if options == *store.state.options() {
            return Ok(());
        }
        if options.changes_layout(store.state.options()) && store.state.documents().next().is_some()
        {
            return Err(Errno::EBUSY.into());
        }
        store.append(now, vec![(None, Record::Options(options.to_string()))])
    }

    /// Rewrites the log without what is forgotten and superseded long ago.
    ///
    /// # Errors
    /// The filesystem's; the collection is as before then.
    pub fn compact(&mut self) -> Result<()> {
        let store = self.store.take().ok_or(Error::Errno(Errno::EIO))?;
        let (store, result) = store.compact();
        self.store = store;
        self.unsaved = true;
        result
    }

    fn repair(&mut self) -> Result<()> {
        let store = self.store.take().ok_or(Error::Errno(Errno::EIO))?;
        let (store, report) = store.repair();
        self.store = store;
        self.checked = report_text(&report?);
        Ok(())
    }

    /// The lines of `.history`.
    ///
    /// # Errors
    /// EIO.
    pub fn history(&mut self) -> Result<String> {
        let store = self.store()?;
        let entries: Vec<_> = store.state.history().cloned().collect();
        let mut out = String::new();
        for entry in entries {
            let Some(document) = store.state.document(entry.document) else {
                continue;
            };
            let path = document.path.clone();
            let name = |id: DocumentId| {
                store
                    .state
                    .document(id)
                    .map_or_else(String::new, |d| d.path.clone())
            };
            let (change, detail, version) = match &entry.change {
                Change::Replaced(version) => (
                    "replaced",
                    version.to_string(),
                    document.versions.iter().find(|v| v.seq == *version),
                ),
                Change::Hidden(Hidden::Superseded(by)) => {
                    ("superseded", name(*by), document.current())
                }
                Change::Hidden(Hidden::Aged(to)) => ("aged", to.clone(), None),
                Change::Hidden(Hidden::Expired) => ("expired", String::new(), document.current()),
                Change::Linked(to, kind) => (link_word(*kind), name(*to), None),
                Change::Metadata(before) => ("metadata", before.clone(), None),
                Change::Renamed(before) => ("renamed", before.clone(), None),
            };
            let (version, id) = (version.cloned(), document.id);
            let body = version.and_then(|version| store.read(id, &version).ok());
            let before = body.and_then(|body| String::from_utf8(body).ok());
            let (change, undone) = (change.to_owned(), entry.undone);
            out += &line(&HistoryLine {
                id: entry.seq,
                time: entry.time,
                path,
                change,
                detail,
                undone,
                before,
            });
        }
        Ok(out)
    }

    /// Takes back the named change, or the last one for an empty text.
    ///
    /// # Errors
    /// ENOENT, EINVAL if it cannot be taken back.
    pub fn undo(&mut self, now: u64, text: &str) -> Result<()> {
        let store = self.store()?;
        let seq = match text.trim() {
            "" => store.state.last_undoable().ok_or(Errno::ENOENT)?,
            number => number.parse().map_err(|_| Errno::EINVAL)?,
        };
        match store.state.undo_plan(seq)? {
            UndoPlan::Append(id, records) => {
                let slot = |record: &Record| (!matches!(record, Record::Undo(_))).then_some(id);
                store.append(
                    now,
                    records
                        .into_iter()
                        .map(|record| (slot(&record), record))
                        .collect(),
                )
            }
            UndoPlan::Republish(id, version) => {
                let document = store.state.document(id).ok_or(Errno::ENOENT)?;
                let path = document.path.clone();
                let version = document.versions.iter().find(|v| v.seq == version).cloned();
                let body = store.read(id, &version.ok_or(Errno::ENOENT)?)?;
                self.put(now, &path, &body)?;
                self.store()?.append(now, vec![(None, Record::Undo(seq))])
            }
        }
    }

    /// The lines of `.export`: every visible document with metadata and vectors.
    ///
    /// # Errors
    /// EBADMSG for a damaged document.
    pub fn export(&mut self) -> Result<String> {
        let store = self.store()?;
        let documents: Vec<Document> = store.state.under("").cloned().collect();
        let mut out = String::new();
        for document in documents {
            let Some(version) = document.current() else {
                continue;
            };
            let mut export = ExportLine {
                path: document.path.clone(),
                time: version.time,
                metadata: document
                    .metadata
                    .last()
                    .map(|(_, text)| text.clone())
                    .unwrap_or_default(),
                ..ExportLine::default()
            };
            export.set_content(store.read(document.id, version)?);
            if let Some(space) = store.state.space() {
                space.model().clone_into(&mut export.model);
                let chunks = document.chunks.clone();
                let chunk = |id| Some((store.state.chunk(id)?.span, space.vector(id)?));
                let chunks = chunks.filter_map(chunk).map(|(span, vector)| ExportChunk {
                    span: [span.start, span.end],
                    vector,
                });
                export.chunks = chunks.collect();
            }
            out += &line(&export);
        }
        Ok(out)
    }

    /// Stores the documents of an import; vectors of the collection's own model are taken over.
    ///
    /// # Errors
    /// EPROTO for a bad line (nothing is stored then), those of a put (what came before stays).
    pub fn import(&mut self, now: u64, text: &str) -> Result<()> {
        let Import(lines) = Import::parse(text).map_err(|_| Errno::EPROTO)?;
        let ready: Option<Vec<(ExportLine, Vec<u8>)>> = lines
            .into_iter()
            .map(|line| line.content().map(|content| (line, content)))
            .collect();
        let ready = ready.ok_or(Errno::EPROTO)?;
        for (line, _) in &ready {
            memory_engine::path::check(&line.path)?;
            memory_engine::metadata::Metadata::parse(&line.metadata)?;
        }
        for (line, content) in ready {
            self.put(now, &line.path, &content)?;
            let store = self.store()?;
            let Some(document) = store.state.visible(&line.path) else {
                continue;
            };
            let (id, pending) = (document.id, store.state.pending_of(document.id));
            let mut records = Vec::new();
            if !line.metadata.is_empty() {
                records.push((Some(id), Record::Metadata(line.metadata.clone())));
            }
            if !pending.is_empty() && line.model == store.state.options().model {
                records.extend(vectors_of(&line, store, id).map(|record| (Some(id), record)));
            }
            if !records.is_empty() {
                store.append(now, records)?;
            }
        }
        Ok(())
    }
}

/// The vectors of an import line whose spans are those of the document's chunks.
fn vectors_of(line: &ExportLine, store: &crate::store::Store, id: DocumentId) -> Option<Record> {
    let document = store.state.document(id)?;
    let spans = document
        .chunks
        .clone()
        .filter_map(|chunk| store.state.chunk(chunk))
        .map(|c| c.span);
    let dims = line.chunks.first()?.vector.len();
    let (mut chunks, mut rows) = (Vec::new(), Vec::new());
    for span in spans {
        let given = line
            .chunks
            .iter()
            .find(|chunk| chunk.span == [span.start, span.end])?;
        if given.vector.len() != dims
            || store
                .state
                .space()
                .is_some_and(|space| space.dims() != dims)
        {
            return None;
        }
        chunks.push(span.hash);
        rows.push(given.vector.clone());
    }
    let options = store.state.options();
    let data = VectorData::pack(&rows, options.vectors);
    Some(Record::Vectors {
        model: options.model.clone(),
        dims: dims as u32,
        chunks,
        data,
    })
}

fn report_text(report: &crate::compact::Report) -> String {
    let mut text = format!(
        "{} records and {} documents are whole\n",
        report.frames, report.documents
    );
    for problem in &report.problems {
        let _ = writeln!(text, "{problem}");
    }
    text
}

impl Hub {
    /// Status of what the user sees: one JSON line per collection.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn status(&mut self, uid: u32) -> Result<String> {
        let mut out = String::new();
        for name in self.names(uid)? {
            let status = self.get(uid, &name).and_then(Open::status);
            let status = status
                .unwrap_or_else(|error| json!({ "collection": name, "error": error.to_string() }));
            out += &line(&status);
        }
        Ok(out)
    }

    /// The same numbers as Prometheus text, of the collections that are open.
    pub fn metrics(&mut self, uid: u32) -> String {
        const NUMBERS: [&str; 7] = [
            "documents",
            "chunks",
            "vectors",
            "vector_bytes",
            "unindexed",
            "unembedded",
            "log_bytes",
        ];
        let mut out = String::new();
        for name in NUMBERS {
            let _ = writeln!(out, "# TYPE memory_{name} gauge");
            for place in self.places() {
                if place != Place::of(uid, &place.name) {
                    continue;
                }
                let status = self.get_place(&place).and_then(Open::status);
                let value = status.ok().and_then(|status| status.get(name).cloned());
                let label = place.name.replace('\\', "\\\\").replace('"', "\\\"");
                let _ = writeln!(
                    out,
                    "memory_{name}{{collection=\"{label}\"}} {}",
                    value.unwrap_or(Value::from(0))
                );
            }
        }
        out
    }
}
