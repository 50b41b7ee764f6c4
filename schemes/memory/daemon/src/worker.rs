//! The thread behind the scheme: vectors that a model has to make, graphs, snapshots, compaction, ageing.
//!
//! It takes the hub's lock for one short step at a time and never while a model works. Documents without vectors are
//! found again after a failure or restart by looking, so nothing is lost if the thread or the model stops.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use memory_engine::hashing::HASHING_MODEL;
use memory_engine::limits::GRAPH_DEAD_PERCENT;
use memory_engine::record::DocumentId;
use scheme_server::{HandleId, Wake};

use crate::embed::Embedder;
use crate::error::{Error, Result};
use crate::hub::{Hub, Place};

/// Rows put into a graph under one lock.
const INDEX_ROWS: usize = 32;
/// Documents embedded between two looks at what else there is.
const EMBED_DOCUMENTS: usize = 8;
/// How long a failed model is left alone.
const RETRY: Duration = Duration::from_secs(20);
/// How often ageing looks.
const AGE_EVERY: Duration = Duration::from_secs(60);
/// How long the thread sleeps without work.
const IDLE: Duration = Duration::from_secs(5);
/// Log size under which a compaction is not worth it.
const COMPACT_FROM_BYTES: u64 = 1 << 20;

/// A question's vector that the worker is asked for.
pub struct Ask {
    /// Which model.
    pub model: String,
    /// The question.
    pub text: String,
    /// Where the answer goes.
    pub answer: Answer,
    /// Which handle waits.
    pub handle: HandleId,
}

/// A place for a vector to come; `None` while it has not.
pub type Answer = Arc<Mutex<Option<std::result::Result<Vec<f32>, String>>>>;

/// What the service and the thread share.
pub struct Shared {
    hub: Mutex<Hub>,
    queue: Mutex<Queue>,
    news: Condvar,
}

#[derive(Default)]
struct Queue {
    asks: VecDeque<Ask>,
    work: bool,
    ended: bool,
}

impl Shared {
    /// Shares a hub.
    pub fn new(hub: Hub) -> Arc<Shared> {
        Arc::new(Shared {
            hub: Mutex::new(hub),
            queue: Mutex::default(),
            news: Condvar::new(),
        })
    }

    /// The hub, for one step.
    pub fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There may be work.
    pub fn work(&self) {
        self.queue().work = true;
        self.news.notify_all();
    }

    /// Asks for a question's vector.
    pub fn ask(&self, ask: Ask) {
        self.queue().asks.push_back(ask);
        self.news.notify_all();
    }

    /// Ends the thread after its current step.
    pub fn end(&self) {
        self.queue().ended = true;
        self.news.notify_all();
    }
}

/// Runs until [`Shared::end`].
pub fn run(shared: &Shared, embedder: &mut dyn Embedder, wake: &Wake) {
    let mut rest_until = Instant::now();
    let mut aged = Instant::now();
    loop {
        let Some(asks) = wait(shared) else { return };
        for ask in asks {
            let vectors = embedder.embed(&ask.model, std::slice::from_ref(&ask.text));
            let vector = vectors
                .map_err(|error| error.to_string())
                .and_then(|mut rows| rows.pop().ok_or_else(|| "no vector".to_owned()));
            *ask.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(vector);
            wake.handle(ask.handle);
        }
        let mut left = false;
        if Instant::now() >= rest_until {
            match embed_some(shared, embedder) {
                Ok(more) => left |= more,
                Err(_) => rest_until = Instant::now() + RETRY,
            }
        }
        left |= maintain(shared);
        if aged.elapsed() >= AGE_EVERY {
            aged = Instant::now();
            let places = shared.hub().places();
            for place in places {
                // What fails now is due again at the next look.
                let _ = shared.hub().age(&place);
            }
        }
        if left {
            shared.queue().work = true;
        }
    }
}

/// Sleeps until there is something; `None` at the end.
fn wait(shared: &Shared) -> Option<Vec<Ask>> {
    let mut queue = shared.queue();
    if !queue.work && queue.asks.is_empty() && !queue.ended {
        queue = shared
            .news
            .wait_timeout(queue, IDLE)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
    queue.work = false;
    if queue.ended {
        None
    } else {
        Some(queue.asks.drain(..).collect())
    }
}

struct Job {
    place: Place,
    model: String,
    id: DocumentId,
    hashes: Vec<u64>,
    texts: Vec<String>,
}

fn jobs(hub: &mut Hub) -> Vec<Job> {
    let mut jobs = Vec::new();
    for open in hub.opened() {
        let place = open.place.clone();
        let Ok(store) = open.store() else { continue };
        let model = store.state.options().model.clone();
        for pending in store.state.pending(EMBED_DOCUMENTS) {
            let version = store
                .state
                .document(pending.document)
                .and_then(|d| d.current().cloned());
            let Some(Ok(body)) = version.map(|version| store.read(pending.document, &version))
            else {
                continue;
            };
            let texts = store
                .state
                .texts_for(pending.document, &body, &pending.hashes);
            let (place, model) = (place.clone(), model.clone());
            jobs.push(Job {
                place,
                model,
                id: pending.document,
                hashes: pending.hashes,
                texts,
            });
        }
    }
    jobs
}

/// Embeds a few documents; says whether more may wait.
fn embed_some(shared: &Shared, embedder: &mut dyn Embedder) -> Result<bool> {
    let jobs = jobs(&mut shared.hub());
    let more = !jobs.is_empty();
    for job in jobs {
        let rows = if job.model == HASHING_MODEL {
            crate::embed::HashingEmbedder.embed(&job.model, &job.texts)?
        } else {
            embedder.embed(&job.model, &job.texts)?
        };
        if rows.len() != job.texts.len() {
            return Err(Error::Embedder("wrong number of vectors".into()));
        }
        let mut hub = shared.hub();
        let now = hub.now();
        let open = hub.get_place(&job.place)?;
        let current = open.store()?.state.options().model == job.model;
        if current {
            open.add_vectors(now, job.id, job.hashes, &rows)?;
        }
    }
    Ok(more)
}

/// A step of index work, snapshot or compaction for every open collection; says whether more waits.
fn maintain(shared: &Shared) -> bool {
    let places = shared.hub().places();
    let mut left = false;
    for place in places {
        let mut hub = shared.hub();
        let Ok(open) = hub.get_place(&place) else {
            continue;
        };
        let Ok(store) = open.store() else { continue };
        if store.state.index_step(INDEX_ROWS) {
            left = true;
            continue;
        }
        let wasteful = store.state.dead_percent() > GRAPH_DEAD_PERCENT;
        if wasteful && store.log_bytes() > COMPACT_FROM_BYTES {
            left |= open.compact().is_ok();
        } else if open.unsaved && open.store().is_ok_and(|store| store.snapshot().is_ok()) {
            open.unsaved = false;
        }
    }
    left
}
