//! The models that are installed: files `NAME.gguf` in the model folders.
//!
//! The folders are looked through again when somebody asks and the last look is a second old. A file that changed or
//! went away loses its worker: what was running on the old bytes runs to its end, the next request sees the new ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ai_engine::gguf::Gguf;
use ai_engine::model::Model;
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
    worker: Option<Worker>,
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
                let path = file.path();
                let is_model = path.extension().is_some_and(|ending| ending == "gguf");
                let (Some(stem), Ok(meta)) = (path.file_stem(), fs::metadata(&path)) else {
                    continue;
                };
                let Some(name) = stem.to_str().filter(|_| is_model && meta.is_file()) else {
                    continue;
                };
                if found.len() < limits::MODELS && !found.contains_key(name) {
                    let (size, modified) = (meta.len(), meta.modified().ok());
                    found.insert(
                        name.to_owned(),
                        Entry {
                            path: path.clone(),
                            size,
                            modified,
                            worker: None,
                        },
                    );
                }
            }
        }
        for (name, entry) in &mut found {
            if let Some(old) = self.models.remove(name)
                && (&old.path, old.size, old.modified) == (&entry.path, entry.size, entry.modified)
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
        chosen.or_else(|| self.models.keys().next().cloned())
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

fn card(name: &str, path: &std::path::Path) -> Result<Value, Failure> {
    let bytes = loaded::read(path)?;
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
    let model = Model::load(&gguf, Arc::new(bytes))?;
    Ok(json!({
        "name": name,
        "title": text("general.name"),
        "architecture": model.shape.architecture,
        "parameters": model.parameters(),
        "quantisation": quantisation,
        "context": model.shape.context,
        "vocabulary": model.shape.vocabulary,
        "licence": text("general.license"),
        "size_bytes": size,
        "memory_bytes": size + model.cache_bytes(model.shape.context),
        "sha256": hash,
    }))
}
