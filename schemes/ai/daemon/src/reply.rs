//! Text on its way from a worker to clients: written by one thread, read by any number of handles.
//!
//! Dropping the last client's reference is how a request is given up: the worker sees that nobody else holds the
//! reply and cancels it. So a closed handle needs no message to stop its generation.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ai_engine::engine::{Finish, Usage};
use ai_engine::sample::Choice;
use scheme_server::{HandleId, Result, Step, Wake};
use serde_json::{Value, json};

use crate::failure::Failure;

/// See the module's text.
pub(crate) struct Reply {
    state: Mutex<State>,
    wake: Wake,
}

pub(crate) struct State {
    /// What has been said so far.
    pub(crate) text: String,
    /// The end, once there is one.
    pub(crate) end: Option<std::result::Result<Finish, Failure>>,
    pub(crate) usage: Usage,
    /// Tokens with their probabilities, where they were asked for.
    pub(crate) choices: Vec<(String, Choice)>,
    /// What an encoder made.
    pub(crate) vectors: Vec<Vec<f32>>,
    /// Prompt tokens read, and all of them.
    pub(crate) progress: (usize, usize),
    is_cancelled: bool,
    watchers: BTreeSet<HandleId>,
    begun: Instant,
    first: Option<Instant>,
    ended: Option<Instant>,
}

impl Reply {
    pub(crate) fn new(wake: Wake) -> Arc<Reply> {
        Arc::new(Reply {
            state: Mutex::new(State {
                text: String::new(),
                end: None,
                usage: Usage::default(),
                choices: Vec::new(),
                vectors: Vec::new(),
                progress: (0, 0),
                is_cancelled: false,
                watchers: BTreeSet::new(),
                begun: Instant::now(),
                first: None,
                ended: None,
            }),
            wake,
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes everybody who waited. Watchers stay registered until the end: a handle that goes on reading needs no
    /// second registration.
    fn announce(&self, state: &State) {
        for id in &state.watchers {
            self.wake.handle(*id);
        }
    }

    pub(crate) fn push(&self, text: &str, choice: Option<Choice>) {
        let mut state = self.lock();
        state.first.get_or_insert_with(Instant::now);
        state.text.push_str(text);
        if let Some(choice) = choice {
            state.choices.push((text.to_owned(), choice));
        }
        self.announce(&state);
    }

    pub(crate) fn progress(&self, read: usize, total: usize) {
        self.lock().progress = (read, total);
    }

    pub(crate) fn end(&self, text: &str, end: std::result::Result<Finish, Failure>, usage: Usage) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        state.text.push_str(text);
        state.end = Some(end);
        state.usage = usage;
        state.ended = Some(Instant::now());
        self.announce(&state);
    }

    /// The whole of an answer that needed no generation.
    pub(crate) fn answer(&self, text: &str) {
        self.end(text, Ok(Finish::Stop), Usage::default());
    }

    /// The whole of an encoder's answer.
    pub(crate) fn answer_vectors(&self, vectors: Vec<Vec<f32>>, tokens: usize) {
        self.lock().vectors = vectors;
        self.end(
            "",
            Ok(Finish::Stop),
            Usage {
                prompt: tokens,
                ..Usage::default()
            },
        );
    }

    pub(crate) fn fail(&self, failure: impl Into<Failure>) {
        self.end("", Err(failure.into()), Usage::default());
    }

    /// Asks the worker to end it, though somebody may still read what was said.
    pub(crate) fn cancel(&self) {
        self.lock().is_cancelled = true;
    }

    /// Whether the worker should end it.
    pub(crate) fn is_unwanted(self: &Arc<Self>) -> bool {
        // The worker's own is the only reference left: nobody will read it.
        Arc::strong_count(self) == 1 || self.lock().is_cancelled
    }

    /// While a worker holds the job as well as the table does not: two references are the worker's own.
    pub(crate) fn is_unwanted_by_clients(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) <= 2 || self.lock().is_cancelled
    }

    pub(crate) fn is_over(&self) -> bool {
        self.lock().end.is_some()
    }

    /// How it ended badly, if it did.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match &self.lock().end {
            Some(Err(failure)) => Some(failure.clone()),
            _ => None,
        }
    }

    /// The `usage` file: counts, and times in milliseconds.
    pub(crate) fn usage_json(&self) -> Value {
        let state = self.lock();
        let since =
            |moment: Option<Instant>| moment.map(|at| at.duration_since(state.begun).as_secs_f64());
        let (first, end) = (
            since(state.first),
            since(state.ended.or(state.first.map(|_| Instant::now()))),
        );
        let rate = match (first, end) {
            (Some(first), Some(end)) if end > first && state.usage.completion > 1 => {
                Some(((state.usage.completion - 1) as f64 / (end - first) * 10.0).round() / 10.0)
            }
            _ => None,
        };
        json!({
            "prompt_tokens": state.usage.prompt,
            "cached_tokens": state.usage.cached,
            "completion_tokens": state.usage.completion,
            "first_token_ms": first.map(|s| (s * 10_000.0).round() / 10.0),
            "tokens_per_second": rate,
        })
    }
}

/// A handle's place in a reply.
pub(crate) struct Reader {
    pub(crate) reply: Arc<Reply>,
    at: usize,
    is_failure_told: bool,
}

impl Reader {
    pub(crate) fn new(reply: Arc<Reply>) -> Reader {
        Reader {
            reply,
            at: 0,
            is_failure_told: false,
        }
    }

    /// The next text, whole characters only, at most `limit` bytes; empty at the end.
    pub(crate) fn next(&mut self, id: HandleId, limit: usize) -> Result<Step<String>> {
        let mut state = self.reply.lock();
        let rest = &state.text[self.at..];
        if !rest.is_empty() {
            let mut len = rest.len().min(limit);
            while !rest.is_char_boundary(len) {
                len -= 1;
            }
            if len == 0 {
                // Not even one character fits the caller's buffer.
                return Err(scheme_server::Errno::EINVAL);
            }
            let text = rest[..len].to_owned();
            self.at += len;
            return Ok(Step::Done(text));
        }
        match &state.end {
            None => {
                state.watchers.insert(id);
                Ok(Step::Wait)
            }
            Some(Err(failure)) if !self.is_failure_told => {
                self.is_failure_told = true;
                Err(failure.errno)
            }
            Some(_) => Ok(Step::Done(String::new())),
        }
    }

    /// [`Reader::next`] into a buffer.
    pub(crate) fn read(&mut self, id: HandleId, buf: &mut [u8]) -> Result<Step<usize>> {
        Ok(match self.next(id, buf.len())? {
            Step::Wait => Step::Wait,
            Step::Done(text) => {
                buf[..text.len()].copy_from_slice(text.as_bytes());
                Step::Done(text.len())
            }
        })
    }

    /// Whether the reply is over; asks to be woken when it is.
    pub(crate) fn is_over_or_watched(&self, id: HandleId) -> bool {
        let mut state = self.reply.lock();
        state.watchers.insert(id);
        state.end.is_some()
    }

    /// Whether a read would not wait; asks to be woken when it would.
    pub(crate) fn is_ready(&self, id: HandleId) -> bool {
        let mut state = self.reply.lock();
        let ready = self.at < state.text.len() || state.end.is_some();
        if !ready {
            state.watchers.insert(id);
        }
        ready
    }
}
