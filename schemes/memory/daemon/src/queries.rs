//! Questions that clients ask: searches and contexts, with the passages read from the log.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use memory_api::route::{SearchMode, SearchOptions};
use memory_api::{ContextPart, ContextRequest, Found};
use memory_engine::chunk::{Format, plain_text};
use memory_engine::context::{Passage, assemble};
use memory_engine::filter::Filter;
use memory_engine::record::DocumentId;
use memory_engine::search::{Hit, Mode, Query};
use memory_engine::words::estimate_tokens;
use scheme_server::Errno;

use crate::error::Result;
use crate::hub::{Hub, Open};

/// Question vectors, each with its model.
pub type Vectors = Vec<(String, Vec<f32>)>;

/// Passages of each collection that a context chooses from.
const CONTEXT_PASSAGES: usize = 40;
/// Largest budget of a context (EINVAL).
pub const CONTEXT_TOKENS: usize = 1 << 20;
/// Collections that one context draws from at most.
const CONTEXT_COLLECTIONS: usize = 64;

/// A hit with its passage.
struct Placed {
    hit: Hit,
    path: String,
    time: u64,
    text: String,
}

impl Hub {
    /// Searches a collection.
    ///
    /// # Errors
    /// ENOENT, EINVAL for a bad filter or large `k`, EMSGSIZE for a long question, EBADMSG.
    pub fn search(
        &mut self,
        uid: u32,
        name: &str,
        options: &SearchOptions,
        question: &str,
        vectors: &Vectors,
    ) -> Result<Vec<Found>> {
        let open = self.get(uid, name)?;
        let placed = open.search(options, question, vectors)?;
        let found = placed.into_iter().map(
            |Placed {
                 hit,
                 path,
                 time,
                 text,
             }| Found {
                id: hit.document,
                score: hit.score,
                source: format!("memory:/{name}/{path}"),
                path,
                span: [hit.start, hit.end],
                text,
                time,
            },
        );
        Ok(found.collect())
    }

    /// Paths of the best documents, best first, each once.
    ///
    /// # Errors
    /// As [`Hub::search`].
    pub fn best(
        &mut self,
        uid: u32,
        name: &str,
        options: &SearchOptions,
        vectors: &Vectors,
    ) -> Result<Vec<String>> {
        let more = SearchOptions {
            k: (options.k * 4).min(memory_engine::limits::RESULTS),
            ..options.clone()
        };
        let open = self.get(uid, name)?;
        let query = query_of(&more, &options.question, vectors)?;
        let store = open.store()?;
        let mut paths: Vec<String> = Vec::new();
        for hit in store.state.search(&query)? {
            let path = store
                .state
                .document(hit.document)
                .map(|document| document.path.clone());
            if let Some(path) = path.filter(|path| !paths.contains(path)) {
                paths.push(path);
            }
        }
        paths.truncate(options.k);
        Ok(paths)
    }

    /// Collections that a context request draws from.
    ///
    /// # Errors
    /// ENOENT for one that the user does not see.
    pub fn context_sources(&mut self, uid: u32, request: &ContextRequest) -> Result<Vec<String>> {
        let clean = |name: &String| {
            name.trim_start_matches("memory:")
                .trim_matches('/')
                .to_owned()
        };
        let names = if request.from.is_empty() {
            self.names(uid)?
        } else {
            request.from.iter().map(clean).collect()
        };
        if names.len() > CONTEXT_COLLECTIONS || request.tokens > CONTEXT_TOKENS {
            return Err(Errno::EINVAL.into());
        }
        match names.iter().find(|name| !self.exists(uid, name)) {
            Some(_) => Err(Errno::ENOENT.into()),
            None => Ok(names),
        }
    }

    /// A prompt context.
    ///
    /// # Errors
    /// As [`Hub::search`].
    pub fn context(
        &mut self,
        uid: u32,
        request: &ContextRequest,
        vectors: &Vectors,
    ) -> Result<Vec<ContextPart>> {
        let mut passages = Vec::new();
        for name in self.context_sources(uid, request)? {
            let options = SearchOptions {
                k: CONTEXT_PASSAGES,
                ..SearchOptions::default()
            };
            let open = self.get(uid, &name)?;
            for Placed {
                hit, path, text, ..
            } in open.search(&options, &request.goal, vectors)?
            {
                let vector = open
                    .store()?
                    .state
                    .space()
                    .and_then(|space| space.vector(hit.chunk));
                let source = format!("memory:/{name}/{path}");
                let (start, end, score) = (hit.start, hit.end, hit.score);
                passages.push(Passage {
                    source,
                    start,
                    end,
                    text,
                    vector,
                    score,
                });
            }
        }
        passages.sort_by(|a, b| b.score.total_cmp(&a.score));
        let parts = assemble(&passages, request.tokens, estimate_tokens);
        let parts = parts.into_iter().map(|part| ContextPart {
            source: part.source,
            span: [part.start, part.end],
            tokens: part.tokens,
            score: part.score,
            text: part.text,
        });
        Ok(parts.collect())
    }

    /// Models whose vectors a question to these collections needs.
    ///
    /// # Errors
    /// As [`Hub::get`].
    pub fn models_of(&mut self, uid: u32, names: &[String]) -> Result<Vec<String>> {
        let mut models = Vec::new();
        for name in names {
            let state = &self.get(uid, name)?.store()?.state;
            let model = state.options().model.clone();
            // Without any vectors there is nothing to compare with.
            if state.space().is_some() && !models.contains(&model) {
                models.push(model);
            }
        }
        Ok(models)
    }
}

fn query_of(options: &SearchOptions, question: &str, vectors: &Vectors) -> Result<Query> {
    let filter = match options.filter.trim() {
        "" => None,
        text => Some(Filter::parse(text)?),
    };
    let mode = match options.mode {
        SearchMode::Hybrid => Mode::Hybrid,
        SearchMode::Vector => Mode::Vector,
        SearchMode::Text => Mode::Text,
    };
    let (vectors, prefix, k) = (vectors.clone(), options.prefix.clone(), options.k);
    Ok(Query {
        text: question.to_owned(),
        vectors,
        k,
        mode,
        filter,
        prefix,
    })
}

impl Open {
    fn search(
        &mut self,
        options: &SearchOptions,
        question: &str,
        vectors: &Vectors,
    ) -> Result<Vec<Placed>> {
        let query = query_of(options, question, vectors)?;
        let store = self.store()?;
        let hits = store.state.search(&query)?;
        let mut bodies: BTreeMap<DocumentId, (Option<Format>, Vec<u8>)> = BTreeMap::new();
        let mut placed = Vec::with_capacity(hits.len());
        for hit in hits {
            let Some(document) = store.state.document(hit.document) else {
                continue;
            };
            let (path, time, format) = (document.path.clone(), document.time(), document.format);
            let version = document.current().cloned();
            let (format, body) = match bodies.entry(hit.document) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let body = store.read(hit.document, &version.ok_or(Errno::ENOENT)?)?;
                    new.insert((format, body))
                }
            };
            let span = body
                .get(hit.start as usize..hit.end as usize)
                .unwrap_or(&[]);
            let text = String::from_utf8_lossy(span);
            let text = format.map_or_else(|| text.to_string(), |format| plain_text(format, &text));
            placed.push(Placed {
                hit,
                path,
                time,
                text,
            });
        }
        Ok(placed)
    }
}
