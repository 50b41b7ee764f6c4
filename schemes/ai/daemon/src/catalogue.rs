//! The models that are installed: files `NAME.gguf` in the model folders, and directories with `model.safetensors`.
//!
//! The folders are looked through again when somebody asks and the last look is a second old. A file that changed or
//! went away loses its worker: what was running on the old bytes runs to its end, the next request sees the new ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ai_engine::gguf::Gguf;
use ai_engine::model::{Encoder, Model};
use ai_engine::pool::Pool;
use scheme_server::{Errno, Wake};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::limits;
use crate::loaded;
use crate::reply::Reply;
use crate::worker::{Shown, Worker};

/// See the module's text.
pub(crate) struct Catalogue {
    folders: Vec<PathBuf>,
    pool: Arc<dyn Pool>,
    cache_bytes: usize,
    models: BTreeMap<String, Entry>,
    chosen: Option<String>,
    scanned: Option<Instant>,
}

struct Entry {
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
    /// Whether it generates text; otherwise it makes vectors.
    speaks: bool,
    worker: Option<Worker>,
}

impl Entry {
    /// The model at a path: a file `NAME.gguf`, or a directory with weights.
    fn of(path: PathBuf) -> Option<(String, Entry)> {
        let meta = fs::metadata(&path).ok()?;
        let (name, of) = if meta.is_dir() {
            (
                path.file_name()?,
                fs::metadata(path.join(loaded::TENSORS)).ok()?,
            )
        } else {
            (
                path.file_stem()
                    .filter(|_| path.extension().is_some_and(|ending| ending == "gguf"))?,
                meta,
            )
        };
        let name = name
            .to_str()
            .filter(|name| !name.starts_with('.'))?
            .to_owned();
        Some((
            name,
            Entry {
                size: of.len(),
                modified: of.modified().ok(),
                speaks: false,
                worker: None,
                path,
            },
        ))
    }

    fn is_same(&self, other: &Entry) -> bool {
        (&self.path, self.size, self.modified) == (&other.path, other.size, other.modified)
    }
}

/// Whether a model generates text: all do but encoders.
fn speaks(path: &Path) -> bool {
    use std::io::Read;
    if path.is_dir() {
        return false;
    }
    let mut head = Vec::new();
    let file = fs::File::open(path);
    // A file that cannot be read says so when it is used.
    let _ = file.and_then(|file| file.take(limits::HEAD_BYTES as u64).read_to_end(&mut head));
    Gguf::architecture(&head).is_none_or(|architecture| architecture != "bert")
}

impl Catalogue {
    pub(crate) fn new(folders: Vec<PathBuf>, pool: Arc<dyn Pool>, cache_bytes: usize) -> Catalogue {
        Catalogue {
            folders,
            pool,
            cache_bytes,
            models: BTreeMap::new(),
            chosen: None,
            scanned: None,
        }
    }

    fn scan(&mut self) {
        if self
            .scanned
            .is_some_and(|at| at.elapsed() < limits::SCAN_EVERY)
        {
            return;
        }
        self.scanned = Some(Instant::now());
        let mut found: BTreeMap<String, Entry> = BTreeMap::new();
        for folder in &self.folders {
            // A folder that is not there has no models.
            for file in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Some((name, entry)) = Entry::of(file.path()) else {
                    continue;
                };
                if found.len() < limits::MODELS && !found.contains_key(&name) {
                    let known = self.models.get(&name).filter(|old| old.is_same(&entry));
                    let speaks = known.map_or_else(|| speaks(&entry.path), |old| old.speaks);
                    found.insert(name, Entry { speaks, ..entry });
                }
            }
        }
        for (name, entry) in &mut found {
            if let Some(old) = self.models.remove(name)
                && old.is_same(entry)
            {
                entry.worker = old.worker;
            }
        }
        self.models = found;
    }

    /// The names, in order.
    pub(crate) fn names(&mut self) -> Vec<String> {
        self.scan();
        self.models.keys().cloned().collect()
    }

    pub(crate) fn has(&mut self, name: &str) -> bool {
        self.scan();
        self.models.contains_key(name)
    }

    /// The model that a request gets which names none.
    pub(crate) fn default_name(&mut self) -> Option<String> {
        self.scan();
        let chosen = self
            .chosen
            .clone()
            .filter(|name| self.models.contains_key(name));
        let mut speakers = self.models.iter().filter(|(_, entry)| entry.speaks);
        chosen.or_else(|| speakers.next().map(|(name, _)| name.clone()))
    }

    /// The model that makes vectors for a request which names none.
    pub(crate) fn default_encoder(&mut self) -> Result<String, Failure> {
        self.scan();
        let found = self
            .models
            .iter()
            .find(|(_, entry)| !entry.speaks)
            .map(|(name, _)| name.clone());
        found.ok_or_else(|| Failure::new(Errno::ENOENT, "no embedding model is installed"))
    }

    pub(crate) fn choose(&mut self, name: &str) {
        self.chosen = Some(name.to_owned());
    }

    /// The thread of a model, started if need be.
    pub(crate) fn worker(&mut self, name: Option<&str>) -> Result<Worker, Failure> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => self
                .default_name()
                .ok_or_else(|| Failure::new(Errno::ENOENT, "no model is installed"))?,
        };
        self.scan();
        let (pool, cache_bytes) = (self.pool.clone(), self.cache_bytes);
        let entry = self
            .models
            .get_mut(&name)
            .ok_or_else(|| Failure::new(Errno::ENOENT, format!("no model is called {name}")))?;
        if let Some(worker) = &entry.worker {
            return Ok(worker.clone());
        }
        let worker = Worker::start(entry.path.clone(), pool, cache_bytes)?;
        entry.worker = Some(worker.clone());
        Ok(worker)
    }

    /// What the workers show, by model.
    pub(crate) fn shown(&mut self) -> Vec<(String, Shown)> {
        self.scan();
        let shown = |entry: &Entry| match &entry.worker {
            Some(worker) => worker.shown(),
            None => Shown {
                state: "idle",
                keep_s: limits::KEEP.as_secs(),
                ..Shown::default()
            },
        };
        self.models
            .iter()
            .map(|(name, entry)| (name.clone(), shown(entry)))
            .collect()
    }

    /// When a model's file was last changed, in seconds since 1970.
    pub(crate) fn modified_s(&self, name: &str) -> u64 {
        let modified = self.models.get(name).and_then(|entry| entry.modified);
        let since = modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.map_or(0, |since| since.as_secs())
    }

    /// Begins to write a model's card; hashing a large file takes its time, so a thread does it.
    pub(crate) fn card(&mut self, name: &str, wake: Wake) -> Result<Arc<Reply>, Failure> {
        self.scan();
        let entry = self
            .models
            .get(name)
            .ok_or_else(|| Failure::new(Errno::ENOENT, format!("no model is called {name}")))?;
        let (reply, path, name) = (Reply::new(wake), entry.path.clone(), name.to_owned());
        let filled = reply.clone();
        std::thread::Builder::new()
            .name("aid-card".to_owned())
            .spawn(move || match card(&name, &path) {
                Ok(card) => filled.answer(&format!("{card:#}\n")),
                Err(failure) => filled.fail(failure),
            })?;
        Ok(reply)
    }
}

fn card(name: &str, path: &Path) -> Result<Value, Failure> {
    let bytes = loaded::gguf_bytes(path)?;
    let gguf = Gguf::read(&bytes)?;
    let (size, hash) = (bytes.len(), loaded::sha256(&bytes));
    let text = |key: &str| gguf.text(key).map(str::to_owned);
    let mut formats: BTreeMap<String, usize> = BTreeMap::new();
    for tensor in gguf.tensors.values() {
        *formats.entry(format!("{:?}", tensor.format)).or_default() += tensor.len;
    }
    let quantisation = formats
        .into_iter()
        .max_by_key(|(_, bytes)| *bytes)
        .map(|(format, _)| format);
    let mut card = json!({
        "name": name,
        "title": text("general.name"),
        "architecture": text("general.architecture"),
        "quantisation": quantisation,
        "licence": text("general.license"),
        "size_bytes": size,
        "sha256": hash,
    });
    if gguf.text("general.architecture") == Some("bert") {
        let encoder = Encoder::load(&gguf, Arc::new(bytes))?;
        card["parameters"] = encoder.parameters().into();
        card["context"] = encoder.context.into();
        card["dimensions"] = encoder.width.into();
        card["memory_bytes"] = size.into();
    } else {
        let model = Model::load(&gguf, Arc::new(bytes))?;
        card["parameters"] = model.parameters().into();
        card["context"] = model.shape.context.into();
        card["vocabulary"] = model.shape.vocabulary.into();
        card["memory_bytes"] = (size + model.cache_bytes(model.shape.context)).into();
    }
    Ok(card)
}
