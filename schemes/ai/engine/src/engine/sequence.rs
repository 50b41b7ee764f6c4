//! One request on its way: its tokens, its cache, and the text that has not left yet.

use super::{Class, Finish, Request, Usage};
use crate::constraint::Constraint;
use crate::model::Cache;
use crate::random::Random;
use crate::sample::{self, Choice, Options};
use crate::tokenizer::{Decoder, Tokenizer};

pub(super) struct Sequence {
    pub(super) class: Class,
    pub(super) cache: Cache,
    pub(super) finish: Option<Finish>,
    /// Tokens of the prompt.
    pub(super) prompt: usize,
    /// Bytes set aside for it.
    pub(super) reserved: usize,
    /// Prompt and reply.
    tokens: Vec<u32>,
    cached: usize,
    options: Options,
    constraint: Option<Box<dyn Constraint>>,
    random: Random,
    decoder: Decoder,
    /// Text that may be the beginning of a stop text.
    held: String,
}

impl Sequence {
    pub(super) fn new(request: Request, cache: Cache, reserved: usize) -> Sequence {
        Sequence {
            class: request.class,
            cached: cache.len(),
            cache,
            finish: None,
            prompt: request.tokens.len(),
            reserved,
            random: Random::new(request.options.seed),
            tokens: request.tokens,
            options: request.options,
            constraint: request.constraint,
            decoder: Decoder::default(),
            held: String::new(),
        }
    }

    /// Tokens that are not in the cache yet.
    pub(super) fn pending(&self) -> usize {
        if self.finish.is_some() {
            0
        } else {
            self.tokens.len() - self.cache.len()
        }
    }

    /// Whether the reply has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.tokens.len() > self.prompt
    }

    pub(super) fn next_tokens(&self, count: usize) -> &[u32] {
        &self.tokens[self.cache.len()..][..count]
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            prompt: self.prompt,
            cached: self.cached,
            completion: self.tokens.len() - self.prompt,
        }
    }

    /// The text that was held back; empty when a stop text swallowed it.
    pub(super) fn rest(&mut self) -> String {
        let mut text = core::mem::take(&mut self.held);
        if self.finish != Some(Finish::Stop) || !text.is_empty() || self.options.stop.is_empty() {
            text.push_str(&self.decoder.finish());
        }
        text
    }

    /// Chooses the next token. `None` where the reply ends with it instead.
    pub(super) fn take(
        &mut self,
        logits: &[f32],
        tokenizer: &Tokenizer,
        context: usize,
    ) -> Option<(Choice, String)> {
        if self.options.max_tokens == 0 {
            self.finish = Some(Finish::Length);
            return None;
        }
        let mut logits = logits.to_vec();
        sample::adjust(&self.options, &self.tokens, &mut logits);
        if self.options.ignore_end {
            for end in &tokenizer.ends {
                logits[*end as usize] = f32::NEG_INFINITY;
            }
        }
        if let Some(constraint) = &mut self.constraint
            && constraint.mask(&mut logits).is_err()
        {
            self.finish = Some(Finish::Failed);
            return None;
        }
        let choice = sample::choose(&self.options, &mut self.random, &logits);
        let whole = match &mut self.constraint {
            None => false,
            Some(constraint) => match constraint.accept(choice.token) {
                Ok(whole) => whole,
                Err(_) => {
                    self.finish = Some(Finish::Failed);
                    return None;
                }
            },
        };
        if tokenizer.is_end(choice.token) {
            self.finish = Some(Finish::Stop);
            return None;
        }
        self.tokens.push(choice.token);
        let text = self.decoder.push(tokenizer.bytes(choice.token));
        let text = self.release(text);
        if self.finish.is_none() {
            if whole {
                self.finish = Some(Finish::Stop);
            } else if self.tokens.len() - self.prompt >= self.options.max_tokens
                || self.tokens.len() >= context
            {
                self.finish = Some(Finish::Length);
            }
        }
        Some((choice, text))
    }

    /// Adds new text and gives what can leave: not a stop text, nor what may become one.
    fn release(&mut self, text: String) -> String {
        if self.options.stop.is_empty() {
            return text;
        }
        self.held.push_str(&text);
        let found = self
            .options
            .stop
            .iter()
            .filter(|stop| !stop.is_empty())
            .filter_map(|stop| self.held.find(stop));
        if let Some(at) = found.min() {
            self.finish = Some(Finish::Stop);
            self.decoder = Decoder::default();
            let mut held = core::mem::take(&mut self.held);
            held.truncate(at);
            return held;
        }
        let keep = (0..self.held.len()).find(|at| {
            self.held.is_char_boundary(*at)
                && self
                    .options
                    .stop
                    .iter()
                    .any(|stop| stop.starts_with(&self.held[*at..]))
        });
        let rest = self.held.split_off(keep.unwrap_or(self.held.len()));
        core::mem::replace(&mut self.held, rest)
    }
}
