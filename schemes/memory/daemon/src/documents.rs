//! What clients do with documents: write, read, forget, rename, describe; and the automatic changes that follow.

use memory_engine::ageing::Step;
use memory_engine::chunk;
use memory_engine::hashing::{HASHING_MODEL, hashing_embedding};
use memory_engine::limits;
use memory_engine::metadata::Metadata;
use memory_engine::options::Tier;
use memory_engine::path;
use memory_engine::record::{DocumentId, Hidden, LinkKind, Record, VectorData, hash};
use scheme_server::Errno;

use crate::error::{Error, Result};
use crate::hub::{Hub, Open, Place};
use crate::store::Store;

impl Hub {
    /// The collection, if the user may change it.
    ///
    /// # Errors
    /// EACCES; as [`Hub::get`].
    pub fn writable(&mut self, uid: u32, name: &str) -> Result<&mut Open> {
        let open = self.get(uid, name)?;
        if uid != 0 && (open.place.owner == "shared" || open.store()?.state.options().read_only) {
            return Err(Errno::EACCES.into());
        }
        Ok(open)
    }

    /// Stores a document. The same content again changes nothing.
    ///
    /// # Errors
    /// EFBIG, path errors, the filesystem's; then nothing is stored.
    pub fn put(&mut self, uid: u32, name: &str, path: &str, body: &[u8]) -> Result<()> {
        let now = self.now();
        path::check(path)?;
        if body.len() > limits::DOCUMENT_BYTES {
            return Err(Errno::EFBIG.into());
        }
        let open = self.writable(uid, name)?;
        if has_folder(open, path)? {
            return Err(Errno::EISDIR.into());
        }
        open.put(now, path, body)
    }

    /// Forgets a document for good.
    ///
    /// # Errors
    /// ENOENT, the filesystem's.
    pub fn forget(&mut self, uid: u32, name: &str, path: &str) -> Result<()> {
        let now = self.now();
        let open = self.writable(uid, name)?;
        let store = open.store()?;
        let id = store.state.visible(path).ok_or(Errno::ENOENT)?.id;
        store.append(now, vec![(None, Record::Forget(id))])?;
        open.unsaved = true;
        // A folder outlives its last document, as everywhere, so that `rm -r` finds it to remove.
        if let Some((folder, _)) = path.rsplit_once('/')
            && !has_folder(open, folder)?
        {
            open.folders.insert(folder.to_owned());
        }
        Ok(())
    }

    /// Sets the metadata of a document.
    ///
    /// # Errors
    /// ENOENT, EINVAL with the place of the bad line, EFBIG.
    pub fn set_metadata(&mut self, uid: u32, name: &str, path: &str, text: &str) -> Result<()> {
        let now = self.now();
        let store = self.writable(uid, name)?.store()?;
        let text = Metadata::parse(text)?.to_string();
        let document = store.state.visible(path).ok_or(Errno::ENOENT)?;
        let id = document.id;
        if document
            .metadata
            .last()
            .is_some_and(|(_, old)| *old == text)
        {
            return Ok(());
        }
        store.append(now, vec![(Some(id), Record::Metadata(text))])?;
        let steps = store.state.superseding_plan();
        append_steps(store, now, steps)
    }

    /// Moves a document or folder inside a collection; a document in the way is replaced.
    ///
    /// # Errors
    /// ENOENT, EXDEV between collections, path errors.
    pub fn rename(&mut self, uid: u32, name: &str, from: &str, to: &str) -> Result<()> {
        let now = self.now();
        path::check(to)?;
        let open = self.writable(uid, name)?;
        if has_folder(open, to)? {
            return Err(Errno::EEXIST.into());
        }
        let store = open.store()?;
        if let Some(id) = store.state.visible(from).map(|document| document.id) {
            if store.state.at_path(to).is_some() {
                let version = store.state.document(id).and_then(|d| d.current().cloned());
                let body = store.read(id, &version.ok_or(Errno::ENOENT)?)?;
                open.put(now, to, &body)?;
                return open.store()?.append(now, vec![(None, Record::Forget(id))]);
            }
            return store.append(now, vec![(Some(id), Record::Rename(to.to_owned()))]);
        }
        let prefix = format!("{from}/");
        let inside = store.state.under(&prefix);
        let moved: Vec<_> = inside
            .map(|d| (d.id, format!("{to}/{}", &d.path[prefix.len()..])))
            .collect();
        if moved.is_empty() && !open.folders.remove(from) {
            return Err(Errno::ENOENT.into());
        }
        if moved.is_empty() {
            open.folders.insert(to.to_owned());
            return Ok(());
        }
        let store = open.store()?;
        if moved
            .iter()
            .any(|(_, path)| store.state.at_path(path).is_some())
        {
            return Err(Errno::EEXIST.into());
        }
        let records = moved
            .into_iter()
            .map(|(id, path)| (Some(id), Record::Rename(path)));
        store.append(now, records.collect())
    }

    /// Carries out what is due: expiry, ageing to the next tier, superseding.
    ///
    /// # Errors
    /// The first that happens; the rest is tried again later.
    pub fn age(&mut self, place: &Place) -> Result<()> {
        let now = self.now();
        let store = self.get_place(place)?.store()?;
        let mut steps = store.state.ageing_plan(now);
        steps.extend(store.state.superseding_plan());
        for step in steps {
            match step {
                Step::Append(id, record) => {
                    self.get_place(place)?
                        .store()?
                        .append(now, vec![(Some(id), record)])?;
                }
                Step::Move(id, tier) => self.move_to_tier(place, id, tier, now)?,
            }
        }
        Ok(())
    }

    fn move_to_tier(&mut self, place: &Place, id: DocumentId, tier: Tier, now: u64) -> Result<()> {
        let target = Place {
            name: tier.name().to_owned(),
            ..place.clone()
        };
        if target == *place {
            return Ok(());
        }
        let store = self.get_place(place)?.store()?;
        let document = store.state.document(id).ok_or(Errno::ENOENT)?;
        let (path, version) = (document.path.clone(), document.current().cloned());
        let metadata = document.metadata.last().map(|(_, text)| text.clone());
        let body = store.read(id, &version.ok_or(Errno::ENOENT)?)?;
        let next = self.get_place(&target)?;
        next.put(now, &path, &body)?;
        let next = next.store()?;
        if let (Some(text), Some(copy)) = (metadata, next.state.at_path(&path).map(|d| d.id)) {
            next.append(now, vec![(Some(copy), Record::Metadata(text))])?;
        }
        let aged = Hidden::Aged(format!("{}/{path}", target.name));
        self.get_place(place)?
            .store()?
            .append(now, vec![(Some(id), Record::Hide(aged))])
    }
}

/// Whether `path` is a folder: some document lies below it, or it was made.
///
/// # Errors
/// EIO.
pub fn has_folder(open: &mut Open, path: &str) -> Result<bool> {
    let prefix = format!("{path}/");
    let made = open.folders.contains(path) || open.folders.iter().any(|f| f.starts_with(&prefix));
    Ok(made || open.store()?.state.under(&prefix).next().is_some())
}

fn append_steps(store: &mut Store, now: u64, steps: Vec<Step>) -> Result<()> {
    let records = steps.into_iter().filter_map(|step| match step {
        Step::Append(id, record) => Some((Some(id), record)),
        Step::Move(..) => None,
    });
    let records: Vec<_> = records.collect();
    if records.is_empty() {
        Ok(())
    } else {
        store.append(now, records)
    }
}

impl Open {
    /// Stores content at a path; with the hashing embedder its vectors in the same commit.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn put(&mut self, now: u64, path: &str, body: &[u8]) -> Result<()> {
        let store = self.store()?;
        let existing = store.state.at_path(path);
        let same = existing.is_some_and(|document| {
            document.hidden.is_none() && document.current().is_some_and(|v| v.hash == hash(body))
        });
        if same {
            return Ok(());
        }
        let id = match existing {
            Some(document) => document.id,
            None => store.new_document()?,
        };
        let mut records = vec![(
            Some(id),
            Record::Put {
                path: path.to_owned(),
                body: body.to_vec(),
            },
        )];
        if store.state.options().model == HASHING_MODEL {
            let (hashes, texts) = store.state.needed_for(path, body);
            let rows: Vec<Vec<f32>> = texts.iter().map(|text| hashing_embedding(text)).collect();
            records.extend(vectors_record(store, hashes, &rows).map(|record| (Some(id), record)));
        }
        store.append(now, records)?;
        let steps = store.state.link_plan(id);
        append_steps(store, now, steps)?;
        self.unsaved = true;
        Ok(())
    }

    /// Gives a document the vectors that the worker had made, and links it.
    ///
    /// # Errors
    /// The filesystem's; `BadVector`.
    pub fn add_vectors(
        &mut self,
        now: u64,
        id: DocumentId,
        hashes: Vec<u64>,
        rows: &[Vec<f32>],
    ) -> Result<()> {
        let store = self.store()?;
        if store.state.document(id).is_none() {
            return Ok(());
        }
        if let Some(space) = store.state.space()
            && rows.iter().any(|row| row.len() != space.dims())
        {
            return Err(Error::Engine(memory_engine::Error::BadVector));
        }
        if let Some(record) = vectors_record(store, hashes, rows) {
            store.append(now, vec![(Some(id), record)])?;
            let steps = store.state.link_plan(id);
            append_steps(store, now, steps)?;
            self.unsaved = true;
        }
        Ok(())
    }

    /// The current content of a visible document.
    ///
    /// # Errors
    /// ENOENT, EBADMSG.
    pub fn content(&mut self, path: &str) -> Result<Vec<u8>> {
        let store = self.store()?;
        let document = store.state.visible(path).ok_or(Errno::ENOENT)?;
        let (id, version) = (document.id, document.current().cloned());
        store.read(id, &version.ok_or(Errno::ENOENT)?)
    }

    /// The text of a passage, as a person reads it.
    ///
    /// # Errors
    /// EBADMSG.
    pub fn passage(&mut self, id: DocumentId, start: u32, end: u32) -> Result<String> {
        let store = self.store()?;
        let document = store.state.document(id).ok_or(Errno::ENOENT)?;
        let (format, version) = (document.format, document.current().cloned());
        let body = store.read(id, &version.ok_or(Errno::ENOENT)?)?;
        let span = body.get(start as usize..end as usize).unwrap_or(&[]);
        let text = String::from_utf8_lossy(span);
        Ok(format.map_or_else(
            || text.to_string(),
            |format| chunk::plain_text(format, &text),
        ))
    }
}

fn vectors_record(store: &Store, hashes: Vec<u64>, rows: &[Vec<f32>]) -> Option<Record> {
    let dims = rows.first()?.len() as u32;
    let options = store.state.options();
    let data = VectorData::pack(rows, options.vectors);
    Some(Record::Vectors {
        model: options.model.clone(),
        dims,
        chunks: hashes,
        data,
    })
}

/// The word for a link in history and status.
pub fn link_word(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Duplicate => "duplicate",
        LinkKind::Similar => "similar",
    }
}
