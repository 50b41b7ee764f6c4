//! Many requests on one model, one step at a time.
//!
//! A step is one pass over the weights for a batch of rows: the next token of every decoding sequence, and a piece of
//! the prompts that are still being read. So a new request joins at the next step, a cancelled one is gone by then,
//! and a long prompt holds nobody up for longer than its piece takes.
//!
//! Rules: interactive requests come before batch ones wherever something is scarce; requests of one class are admitted
//! in order and prompts read in order; nothing is admitted whose cache may not fit the budget later. The engine has no
//! clock: who wants times takes them around [`Engine::step`].

mod sequence;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::limits;
use crate::model::{Cache, Model, Page, Row, Scratch};
use crate::pool::Pool;
use crate::prefix::Prefixes;
use crate::sample::{Choice, Options};
use crate::tokenizer::Tokenizer;
use sequence::Sequence;

/// Names a request.
pub type RequestId = u64;

/// Whether somebody is waiting in front of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Class {
    Interactive,
    Batch,
}

/// What is asked of the engine.
pub struct Request {
    /// The whole prompt.
    pub tokens: Vec<u32>,
    /// How to choose tokens.
    pub options: Options,
    /// Who waits.
    pub class: Class,
    /// What the reply must look like.
    pub constraint: Option<Box<dyn Constraint>>,
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a stop text came, or the constraint was met.
    Stop,
    /// `max_tokens` or the context is used up.
    Length,
    /// Somebody called [`Engine::cancel`].
    Cancelled,
    /// The constraint failed.
    Failed,
}

/// What a request has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Of these, how many were known from before.
    pub cached: usize,
    /// Tokens of the reply.
    pub completion: usize,
}

/// What a step has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A piece of the prompt was read.
    Progress {
        /// Whose.
        id: RequestId,
        /// Tokens read, of [`Usage::prompt`].
        read: usize,
        /// Tokens in all.
        total: usize,
    },
    /// A token; `text` is what became whole with it, and may be empty.
    Token {
        /// Whose.
        id: RequestId,
        /// Whole characters.
        text: String,
        /// The token and its probabilities.
        choice: Choice,
    },
    /// The end. `text` is what was held back.
    Done {
        /// Whose.
        id: RequestId,
        /// The last characters.
        text: String,
        /// Why.
        finish: Finish,
        /// What it used.
        usage: Usage,
    },
}

/// State in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Requests that wait for admission.
    pub queued: usize,
    /// Requests that run.
    pub active: usize,
    /// Bytes that running requests may come to use.
    pub reserved_bytes: usize,
    /// Bytes of the prefix tree.
    pub prefix_bytes: usize,
    /// Bytes that both may use.
    pub budget_bytes: usize,
    /// Steps so far.
    pub steps: u64,
    /// Prompt tokens computed so far.
    pub prompt_tokens: u64,
    /// Prompt tokens that were known.
    pub cached_tokens: u64,
    /// Reply tokens so far.
    pub reply_tokens: u64,
}

/// See the module's text.
pub struct Engine {
    model: Arc<Model>,
    tokenizer: Arc<Tokenizer>,
    kernel: &'static dyn Kernel,
    pool: Arc<dyn Pool>,
    scratch: Scratch,
    queue: [VecDeque<(RequestId, Request)>; 2],
    active: BTreeMap<RequestId, Sequence>,
    prefixes: Prefixes,
    status: Status,
    next_id: RequestId,
    turn: RequestId,
}

impl Engine {
    /// An engine whose caches may take `budget_bytes` in all.
    pub fn new(
        model: Arc<Model>,
        tokenizer: Arc<Tokenizer>,
        kernel: &'static dyn Kernel,
        pool: Arc<dyn Pool>,
        budget_bytes: usize,
    ) -> Engine {
        let page = Page::floats(&model.shape) * size_of::<f32>();
        let prefixes = Prefixes::new(budget_bytes / page / 2);
        let status = Status {
            budget_bytes,
            ..Status::default()
        };
        Engine {
            model,
            tokenizer,
            kernel,
            pool,
            scratch: Scratch::default(),
            queue: [VecDeque::new(), VecDeque::new()],
            active: BTreeMap::new(),
            prefixes,
            status,
            next_id: 1,
            turn: 0,
        }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// State in numbers.
    pub fn status(&self) -> Status {
        let page = Page::floats(&self.model.shape) * size_of::<f32>();
        Status {
            queued: self.queue.iter().map(VecDeque::len).sum(),
            active: self.active.len(),
            prefix_bytes: self.prefixes.len() * page,
            ..self.status
        }
    }

    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.active.is_empty() && self.queue.iter().all(VecDeque::is_empty)
    }

    /// Takes a request. It is admitted by a later step.
    ///
    /// # Errors
    /// [`Error::TooLong`] where the prompt leaves no room for a token of reply, [`Error::NoMemory`] where it could
    /// never fit the budget, [`Error::Busy`] where too many wait, [`Error::BadOption`].
    pub fn submit(&mut self, request: Request) -> Result<RequestId> {
        request.options.check()?;
        let limit = self.model.shape.context - 1;
        let tokens = request.tokens.len();
        if tokens == 0 {
            return Err(Error::BadOption("the prompt is empty".to_owned()));
        }
        if tokens > limit {
            return Err(Error::TooLong { tokens, limit });
        }
        let needed = self.need(&request);
        if needed > self.status.budget_bytes {
            return Err(Error::NoMemory {
                needed,
                left: self.status.budget_bytes,
            });
        }
        if self.queue.iter().map(VecDeque::len).sum::<usize>() + self.active.len()
            >= limits::REQUESTS
        {
            return Err(Error::Busy);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.queue[request.class as usize].push_back((id, request));
        Ok(id)
    }

    /// Gives a request up. Its `Done` event comes with the next step.
    pub fn cancel(&mut self, id: RequestId) {
        if let Some(sequence) = self.active.get_mut(&id) {
            sequence.finish = Some(Finish::Cancelled);
        }
        for queue in &mut self.queue {
            if let Some(at) = queue.iter().position(|(of, _)| *of == id)
                && let Some((_, request)) = queue.remove(at)
            {
                let mut sequence = Sequence::new(request, Cache::default(), 0);
                sequence.finish = Some(Finish::Cancelled);
                self.active.insert(id, sequence);
            }
        }
    }

    /// One step: admits what fits, computes one batch, and says what came of it. Empty when there is nothing to do.
    pub fn step(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.settle(&mut events);
        self.admit();
        let plan = self.plan();
        if !plan.is_empty() {
            self.compute(&plan, &mut events);
            self.settle(&mut events);
        }
        events
    }

    /// Bytes that a request may come to use.
    fn need(&self, request: &Request) -> usize {
        let most = request.tokens.len() + request.options.max_tokens;
        self.model.cache_bytes(most.min(self.model.shape.context))
    }

    fn admit(&mut self) {
        for class in 0..self.queue.len() {
            while self.active.len() < limits::BATCH_SEQUENCES {
                let Some((_, request)) = self.queue[class].front() else {
                    break;
                };
                let need = self.need(request);
                let left = self.status.budget_bytes - self.status.reserved_bytes;
                if need > left {
                    return;
                }
                let Some((id, request)) = self.queue[class].pop_front() else {
                    break;
                };
                // At least the last token must be computed, for its logits.
                let cache = self
                    .prefixes
                    .find(&request.tokens, request.tokens.len() - 1);
                self.status.cached_tokens += cache.len() as u64;
                self.status.reserved_bytes += need;
                let page = Page::floats(&self.model.shape) * size_of::<f32>();
                let room = (self.status.budget_bytes - self.status.reserved_bytes) / page;
                self.prefixes.shrink(room);
                self.active.insert(id, Sequence::new(request, cache, need));
            }
        }
    }

    /// Who takes part in the next batch, with how many tokens.
    fn plan(&mut self) -> Vec<(RequestId, usize)> {
        let mut plan: Vec<(RequestId, usize)> = Vec::new();
        let decoding = self
            .active
            .iter()
            .filter(|(_, sequence)| sequence.pending() == 1 && sequence.has_begun());
        plan.extend(decoding.map(|(id, _)| (*id, 1)));
        // Whoever was left out of a full batch comes first in the next one.
        plan.sort_by_key(|(id, _)| *id <= self.turn);
        plan.truncate(limits::BATCH_SEQUENCES);
        self.turn = plan.last().map_or(0, |(id, _)| *id);
        let someone_waits = plan.iter().any(|(id, _)| {
            self.active
                .get(id)
                .is_some_and(|s| s.class == Class::Interactive)
        });
        let mut budget = if someone_waits {
            limits::PREFILL_TOKENS_SHARED
        } else {
            limits::PREFILL_TOKENS
        };
        let mut reading: Vec<_> = self
            .active
            .iter()
            .filter(|(id, _)| !plan.iter().any(|(of, _)| of == *id))
            .collect();
        reading.sort_by_key(|(id, sequence)| (sequence.class, **id));
        for (id, sequence) in reading {
            let take = sequence.pending().min(budget);
            if take > 0 {
                plan.push((*id, take));
                budget -= take;
            }
        }
        plan
    }

    fn compute(&mut self, plan: &[(RequestId, usize)], events: &mut Vec<Event>) {
        let mut rows = Vec::new();
        let mut caches = Vec::new();
        let mut speakers = Vec::new();
        let mut parts: BTreeMap<RequestId, usize> = plan.iter().copied().collect();
        for (id, sequence) in &mut self.active {
            let Some(take) = parts.remove(id) else {
                continue;
            };
            let whole = take == sequence.pending();
            for (at, token) in sequence.next_tokens(take).iter().enumerate() {
                rows.push(Row {
                    token: *token,
                    cache: caches.len(),
                    logits: whole && at + 1 == take,
                });
            }
            if !sequence.has_begun() {
                let (read, total) = (sequence.cache.len() + take, sequence.prompt);
                events.push(Event::Progress {
                    id: *id,
                    read,
                    total,
                });
                self.status.prompt_tokens += take as u64;
            }
            if whole {
                speakers.push(*id);
            }
            caches.push(&mut sequence.cache);
        }
        let pool = self.pool.clone();
        let logits = self
            .model
            .forward(self.kernel, &*pool, &rows, &mut caches, &mut self.scratch);
        self.status.steps += 1;
        for (id, logits) in speakers
            .into_iter()
            .zip(logits.chunks_exact(self.model.shape.vocabulary))
        {
            let Some(sequence) = self.active.get_mut(&id) else {
                continue;
            };
            if sequence.finish.is_some() {
                continue;
            }
            if let Some((choice, text)) =
                sequence.take(logits, &self.tokenizer, self.model.shape.context)
            {
                self.status.reply_tokens += 1;
                events.push(Event::Token { id, text, choice });
            }
        }
    }

    /// Lets go of the sequences that have ended.
    fn settle(&mut self, events: &mut Vec<Event>) {
        let ended: Vec<RequestId> = self
            .active
            .iter()
            .filter(|(_, sequence)| sequence.finish.is_some())
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            let Some(mut sequence) = self.active.remove(&id) else {
                continue;
            };
            self.status.reserved_bytes -= sequence.reserved;
            self.prefixes.keep(&sequence.cache);
            let finish = sequence.finish.unwrap_or(Finish::Stop);
            let (text, usage) = (sequence.rest(), sequence.usage());
            events.push(Event::Done {
                id,
                text,
                finish,
                usage,
            });
        }
    }
}
