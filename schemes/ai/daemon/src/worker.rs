//! One thread per model: loads it when it is first needed, runs the engine, fills replies, unloads when idle.
//!
//! Whatever happens to the thread, no client is left waiting: [`Live`] fails the replies it still holds when it goes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ai_engine::engine::{Class, Engine, Event, Request, RequestId, Status};
use ai_engine::pool::Pool;
use ai_engine::sample::Options;
use ai_engine::template::Message;
use ai_engine::tokenizer::{Special, Tokenizer};
use scheme_server::Errno;
use serde_json::Value;

use crate::failure::Failure;
use crate::limits;
use crate::loaded::{self, Loaded, Runner};
use crate::reply::Reply;

/// What a model is asked to do.
pub(crate) struct Job {
    pub(crate) task: Task,
    pub(crate) reply: Arc<Reply>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "a few are alive at a time, and nearly all are the large one"
)]
pub(crate) enum Task {
    Generate {
        prompt: Prompt,
        options: Options,
        class: Class,
        schema: Option<String>,
        grammar: Option<String>,
    },
    Tokenize {
        text: String,
    },
    Detokenize {
        tokens: Vec<u32>,
    },
    Embed {
        texts: Vec<String>,
    },
}

/// What a generation begins with.
pub(crate) enum Prompt {
    Chat {
        messages: Vec<Message>,
        tools: Option<Value>,
    },
    Raw(String),
}

#[expect(
    clippy::large_enum_variant,
    reason = "a few are alive at a time, and nearly all are the large one"
)]
enum Command {
    Run(Job),
    Load,
    Unload,
    Keep(Duration),
}

/// What everybody may know of a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    pub(crate) state: &'static str,
    pub(crate) kernel: &'static str,
    pub(crate) bytes: usize,
    pub(crate) engine: Status,
    pub(crate) error: String,
    pub(crate) keep_s: u64,
}

/// A way to a model's thread. The thread ends with the last of these.
#[derive(Clone)]
pub(crate) struct Worker {
    sender: Sender<Command>,
    shown: Arc<Mutex<Shown>>,
}

impl Worker {
    pub(crate) fn start(
        path: PathBuf,
        pool: Arc<dyn Pool>,
        cache_bytes: usize,
    ) -> Result<Worker, Failure> {
        let (sender, commands) = channel();
        let shown = Arc::new(Mutex::new(Shown {
            state: "idle",
            keep_s: limits::KEEP.as_secs(),
            ..Shown::default()
        }));
        let run = Run {
            path,
            pool,
            cache_bytes,
            commands,
            shown: shown.clone(),
            loaded: None,
            live: Live::default(),
            keep: limits::KEEP,
        };
        thread::Builder::new()
            .name("aid-model".to_owned())
            .stack_size(limits::WORKER_STACK)
            .spawn(move || run.run())?;
        Ok(Worker { sender, shown })
    }

    fn send(&self, command: Command) -> Result<(), Failure> {
        let gone = |_| Failure::new(Errno::EIO, "the model's thread has ended");
        self.sender.send(command).map_err(gone)
    }

    pub(crate) fn run(&self, job: Job) -> Result<(), Failure> {
        self.send(Command::Run(job))
    }

    pub(crate) fn load(&self) -> Result<(), Failure> {
        self.send(Command::Load)
    }

    pub(crate) fn unload(&self) -> Result<(), Failure> {
        self.send(Command::Unload)
    }

    pub(crate) fn keep(&self, time: Duration) -> Result<(), Failure> {
        self.send(Command::Keep(time))
    }

    pub(crate) fn shown(&self) -> Shown {
        lock(&self.shown).clone()
    }
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Replies that are being filled.
#[derive(Default)]
struct Live(BTreeMap<RequestId, Arc<Reply>>);

impl Drop for Live {
    fn drop(&mut self) {
        for reply in self.0.values() {
            reply.fail(Failure::new(Errno::EIO, "the engine failed"));
        }
    }
}

struct Run {
    path: PathBuf,
    pool: Arc<dyn Pool>,
    cache_bytes: usize,
    commands: Receiver<Command>,
    shown: Arc<Mutex<Shown>>,
    loaded: Option<Loaded>,
    live: Live,
    keep: Duration,
}

impl Run {
    fn run(mut self) {
        let mut used = Instant::now();
        loop {
            let busy = self.engine().is_some_and(|engine| !engine.is_idle());
            let command = if busy {
                match self.commands.try_recv() {
                    Ok(command) => Some(command),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) if self.live.0.is_empty() => return,
                    Err(TryRecvError::Disconnected) => None,
                }
            } else {
                let wait = match self.loaded {
                    Some(_) => self.keep.saturating_sub(used.elapsed()),
                    None => limits::KEEP_MOST,
                };
                match self.commands.recv_timeout(wait) {
                    Ok(command) => Some(command),
                    Err(RecvTimeoutError::Timeout) => {
                        self.unload();
                        None
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            };
            if let Some(command) = command {
                used = Instant::now();
                self.obey(command);
                // More commands may wait; they go before the next step.
                continue;
            }
            if busy {
                self.step();
                used = Instant::now();
            }
        }
    }

    fn engine(&self) -> Option<&Engine> {
        match &self.loaded {
            Some(Loaded {
                runner: Runner::Speaker { engine, .. },
                ..
            }) => Some(engine),
            _ => None,
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Run(job) => {
                let reply = job.reply.clone();
                if let Err(failure) = self.begin(job) {
                    reply.fail(failure);
                }
            }
            Command::Load => drop(self.loaded()),
            Command::Unload => self.unload(),
            Command::Keep(time) => {
                self.keep = time;
                lock(&self.shown).keep_s = time.as_secs();
            }
        }
        self.show();
    }

    fn unload(&mut self) {
        // A model at work stays; it goes when it has been idle for long enough.
        if self.live.0.is_empty() {
            self.loaded = None;
            let mut shown = lock(&self.shown);
            *shown = Shown {
                state: "idle",
                keep_s: shown.keep_s,
                ..Shown::default()
            };
        }
    }

    fn loaded(&mut self) -> Result<&mut Loaded, Failure> {
        if self.loaded.is_none() {
            lock(&self.shown).state = "loading";
            match loaded::load(&self.path, self.pool.clone(), self.cache_bytes) {
                Ok(loaded) => {
                    let mut shown = lock(&self.shown);
                    shown.state = "loaded";
                    shown.error.clear();
                    (shown.kernel, shown.bytes) = (loaded.kernel.name(), loaded.bytes);
                    self.loaded = Some(loaded);
                }
                Err(failure) => {
                    let mut shown = lock(&self.shown);
                    shown.state = "failed";
                    shown.error.clone_from(&failure.text);
                    return Err(failure);
                }
            }
        }
        self.loaded
            .as_mut()
            .ok_or_else(|| Failure::new(Errno::EIO, "the model is not loaded"))
    }

    fn begin(&mut self, job: Job) -> Result<(), Failure> {
        let loaded = self.loaded()?;
        let tokenizer = loaded.tokenizer.clone();
        match job.task {
            Task::Tokenize { text } => {
                let tokens = tokenizer.encode_prompt(&text, Special::Text);
                let words: Vec<String> = tokens.iter().map(u32::to_string).collect();
                job.reply.answer(&format!("{}\n", words.join(" ")));
            }
            Task::Detokenize { tokens } => {
                if let Some(token) = tokens
                    .iter()
                    .find(|token| **token as usize >= tokenizer.len())
                {
                    return Err(Failure::invalid(format!(
                        "token {token} is outside the vocabulary"
                    )));
                }
                job.reply.answer(&tokenizer.decode(&tokens));
            }
            Task::Embed { texts } => {
                let Runner::Encoder(encoder) = &loaded.runner else {
                    return Err(Failure::new(
                        Errno::EOPNOTSUPP,
                        "this model makes no vectors",
                    ));
                };
                let mut vectors = Vec::with_capacity(texts.len());
                let mut total = 0;
                for some in texts.chunks(limits::EMBED_AT_ONCE) {
                    if job.reply.is_unwanted_by_clients() {
                        break;
                    }
                    let tokens: Vec<Vec<u32>> = some
                        .iter()
                        .map(|text| fitting(&tokenizer, text, encoder.context))
                        .collect();
                    total += tokens.iter().map(Vec::len).sum::<usize>();
                    vectors.extend(encoder.encode(loaded.kernel, &*loaded.pool, &tokens));
                }
                job.reply.answer_vectors(vectors, total);
            }
            Task::Generate {
                prompt,
                options,
                class,
                schema,
                grammar,
            } => {
                let Runner::Speaker { engine, template } = &mut loaded.runner else {
                    return Err(Failure::new(Errno::EOPNOTSUPP, "this model does not speak"));
                };
                if schema.is_some() || grammar.is_some() {
                    let text = "replies held to a schema or grammar are not built in";
                    return Err(Failure::new(Errno::EOPNOTSUPP, text));
                }
                let tokens = match prompt {
                    Prompt::Chat { messages, tools } => {
                        template.encode(&tokenizer, &messages, tools.as_ref())?
                    }
                    Prompt::Raw(text) => tokenizer.encode_prompt(&text, Special::Text),
                };
                let request = Request {
                    tokens,
                    options,
                    class,
                    constraint: None,
                };
                let id = engine.submit(request)?;
                self.live.0.insert(id, job.reply);
            }
        }
        Ok(())
    }

    fn step(&mut self) {
        let Some(Loaded {
            runner: Runner::Speaker { engine, .. },
            ..
        }) = &mut self.loaded
        else {
            return;
        };
        for (id, reply) in &self.live.0 {
            if reply.is_unwanted() {
                engine.cancel(*id);
            }
        }
        let events = engine.step();
        let mut is_over = false;
        for event in events {
            match event {
                Event::Progress { id, read, total } => {
                    if let Some(reply) = self.live.0.get(&id) {
                        reply.progress(read, total);
                    }
                }
                Event::Token { id, text, choice } => {
                    let choice = Some(choice).filter(|choice| !choice.alternatives.is_empty());
                    if let Some(reply) = self.live.0.get(&id)
                        && (!text.is_empty() || choice.is_some())
                    {
                        reply.push(&text, choice);
                    }
                }
                Event::Done {
                    id,
                    text,
                    finish,
                    usage,
                } => {
                    is_over = true;
                    if let Some(reply) = self.live.0.remove(&id) {
                        reply.end(&text, Ok(finish), usage);
                    }
                }
            }
        }
        if is_over {
            self.show();
        }
    }

    fn show(&self) {
        if let Some(engine) = self.engine() {
            lock(&self.shown).engine = engine.status();
        }
    }
}

/// A text's tokens, cut to the encoder's context; the separator stays at the end.
fn fitting(tokenizer: &Tokenizer, text: &str, context: usize) -> Vec<u32> {
    let mut tokens = tokenizer.encode_prompt(text, Special::Text);
    if tokens.len() > context {
        let last = tokens.last().copied();
        tokens.truncate(context - 1);
        tokens.extend(last);
    }
    tokens
}
