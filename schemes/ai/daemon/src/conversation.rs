//! A conversation: what was said, how to go on, and the reply that is coming.
//!
//! Invariant: a user's message whose turn failed is not part of the transcript, so an error loses nothing else.

use std::sync::Arc;

use ai_api::{Message, Role, Settings};
use ai_engine::engine::Class;
use ai_engine::sample::Options;
use ai_engine::template;
use scheme_server::{Errno, Wake};
use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::failure::Failure;
use crate::limits;
use crate::reply::Reply;
use crate::worker::{Job, Prompt, Task};

/// See the module's text.
#[derive(Clone, Default)]
pub(crate) struct Conversation {
    pub(crate) settings: Settings,
    messages: Vec<Message>,
    reply: Option<Arc<Reply>>,
}

impl Conversation {
    pub(crate) fn new(settings: Settings) -> Conversation {
        Conversation {
            settings,
            ..Conversation::default()
        }
    }

    /// Replaces what was said.
    pub(crate) fn load(&mut self, messages: Vec<Message>) {
        self.reply = None;
        self.messages = messages;
    }

    /// The reply of the last turn, running or over.
    pub(crate) fn reply(&self) -> Option<&Arc<Reply>> {
        self.reply.as_ref()
    }

    /// Ends the reply that is running; what it has said stays.
    pub(crate) fn cancel(&mut self) {
        self.absorb();
    }

    /// Everything that was said, with what the running reply has said so far.
    pub(crate) fn transcript(&self) -> Vec<Message> {
        let mut messages = self.messages.clone();
        if let Some(reply) = &self.reply {
            if reply.failure().is_some() {
                messages.pop();
            } else {
                let text = reply.lock().text.clone();
                messages.push(Message::new(Role::Assistant, text));
            }
        }
        messages
    }

    fn absorb(&mut self) {
        if let Some(reply) = &self.reply {
            reply.cancel();
            self.messages = self.transcript();
            self.reply = None;
        }
    }

    /// A copy that goes on from here on its own.
    pub(crate) fn fork(&self) -> Conversation {
        Conversation {
            settings: self.settings.clone(),
            messages: self.transcript(),
            reply: None,
        }
    }

    /// Takes a message and begins the reply.
    pub(crate) fn say(
        &mut self,
        input: Vec<u8>,
        models: &mut Catalogue,
        wake: &Wake,
    ) -> Result<Arc<Reply>, Failure> {
        let text =
            String::from_utf8(input).map_err(|_| Failure::invalid("the message is not UTF-8"))?;
        self.absorb();
        if self.messages.len() + 2 > ai_api::limits::MESSAGES {
            return Err(Failure::new(
                Errno::EMSGSIZE,
                "the conversation has too many messages",
            ));
        }
        let mut messages = self.messages.clone();
        // A line end behind the message is the shell's, not the user's.
        let text = text.strip_suffix('\n').unwrap_or(&text);
        messages.push(Message::new(Role::User, text));
        let reply = generate_chat(&messages, None, &self.settings, 0, models, wake)?;
        self.messages = messages;
        self.reply = Some(reply.clone());
        Ok(reply)
    }
}

/// The engine's options for some settings.
pub(crate) fn options(settings: &Settings) -> Options {
    let default = Options::default();
    Options {
        temperature: settings.temperature.unwrap_or(default.temperature),
        top_k: settings.top_k.unwrap_or(default.top_k),
        top_p: settings.top_p.unwrap_or(default.top_p),
        min_p: settings.min_p.unwrap_or(default.min_p),
        repeat_penalty: settings.repeat_penalty.unwrap_or(default.repeat_penalty),
        seed: settings.seed.unwrap_or_else(any_seed),
        max_tokens: settings.max_tokens.unwrap_or(limits::DEFAULT_TOKENS),
        stop: settings.stop.clone(),
        ..default
    }
}

/// A seed for those who do not care: std's hash keys are random.
fn any_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// Begins the reply to a list of messages. `logprobs` is how many alternatives to keep per token.
pub(crate) fn generate_chat(
    messages: &[Message],
    tools: Option<Value>,
    settings: &Settings,
    logprobs: usize,
    models: &mut Catalogue,
    wake: &Wake,
) -> Result<Arc<Reply>, Failure> {
    let mut list = Vec::with_capacity(messages.len() + 1);
    let has_system = messages
        .first()
        .is_some_and(|message| message.role == Role::System);
    if let Some(system) = settings.system.as_ref().filter(|_| !has_system) {
        list.push(template::Message::new(
            template::Role::System,
            system.clone(),
        ));
    }
    list.extend(messages.iter().map(|message| {
        let role = match message.role {
            Role::System => template::Role::System,
            Role::User => template::Role::User,
            Role::Assistant => template::Role::Assistant,
            Role::Tool => template::Role::Tool,
        };
        template::Message::new(role, message.content.clone())
    }));
    generate(
        Prompt::Chat {
            messages: list,
            tools,
        },
        settings,
        logprobs,
        models,
        wake,
    )
}

/// Begins the continuation of a prompt.
pub(crate) fn generate(
    prompt: Prompt,
    settings: &Settings,
    logprobs: usize,
    models: &mut Catalogue,
    wake: &Wake,
) -> Result<Arc<Reply>, Failure> {
    let options = Options {
        logprobs,
        ..options(settings)
    };
    options.check()?;
    let class = if settings.batch {
        Class::Batch
    } else {
        Class::Interactive
    };
    let schema = settings.schema.clone();
    let grammar = settings.grammar.clone();
    let task = Task::Generate {
        prompt,
        options,
        class,
        schema,
        grammar,
    };
    submit(task, settings.model.as_deref(), models, wake)
}

/// Hands a task to a model's thread.
pub(crate) fn submit(
    task: Task,
    model: Option<&str>,
    models: &mut Catalogue,
    wake: &Wake,
) -> Result<Arc<Reply>, Failure> {
    let reply = Reply::new(wake.clone());
    models.worker(model)?.run(Job {
        task,
        reply: reply.clone(),
    })?;
    Ok(reply)
}
