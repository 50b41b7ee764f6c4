//! Handles on which a request is written and its answer read: complete, tokenize, the OpenAI files, and so on.
//!
//! The first read after a write ends the request. When the answer has been read to its end, the next write begins the
//! next request.

use std::collections::VecDeque;
use std::sync::Arc;

use ai_api::Settings;
use ai_api::route::V1;
use scheme_server::{Errno, HandleId, Result, Step, Wake, copy_from};

use crate::catalogue::Catalogue;
use crate::conversation::{generate, submit};
use crate::failure::Failure;
use crate::limits;
use crate::reply::{Reader, Reply};
use crate::v1;
use crate::vectors;
use crate::worker::{Prompt, Task};

/// What an exchange does with its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Complete,
    Tokenize,
    Detokenize,
    Embed(Form),
    Rerank,
    V1(V1),
}

/// How `embed` is asked and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// Every line is a text (as JSON), rather than all being one.
    pub(crate) is_lines: bool,
    /// Little-endian floats rather than JSON.
    pub(crate) is_raw: bool,
}

/// See the module's text.
pub(crate) struct Exchange {
    kind: Kind,
    settings: Settings,
    input: Vec<u8>,
    answer: Option<Answer>,
    pub(crate) failure: Option<Failure>,
}

/// An answer on its way.
pub(crate) enum Answer {
    /// Text as the model says it.
    Plain(Reader),
    /// All at once, when it is whole.
    Whole {
        reply: Arc<Reply>,
        shape: Shape,
        bytes: Option<Vec<u8>>,
        at: usize,
    },
    /// Server-sent events, one per piece.
    Events {
        reader: Reader,
        stream: v1::Stream,
        queue: VecDeque<u8>,
        is_over: bool,
    },
    /// Bytes that were at hand.
    Bytes { bytes: Vec<u8>, at: usize },
}

/// What an answer that comes all at once looks like.
pub(crate) enum Shape {
    V1(v1::Shape),
    Vectors(Form),
    Rerank,
    V1Embeddings { model: String, is_base64: bool },
}

impl Shape {
    fn whole(&self, reply: &Reply) -> Result<Vec<u8>> {
        match (self, reply.failure()) {
            (Shape::V1(shape), _) => Ok(shape.whole(reply).into_bytes()),
            (Shape::V1Embeddings { .. }, Some(failure)) => {
                Ok(v1::error_json(&failure).into_bytes())
            }
            (_, Some(failure)) => Err(failure.errno),
            (Shape::Vectors(form), None) => Ok(vectors::write(&reply.lock().vectors, *form)),
            (Shape::Rerank, None) => Ok(vectors::ranking(&reply.lock().vectors).into_bytes()),
            (Shape::V1Embeddings { model, is_base64 }, None) => {
                let state = reply.lock();
                Ok(vectors::v1(&state.vectors, model, state.usage.prompt, *is_base64).into_bytes())
            }
        }
    }
}

impl Exchange {
    pub(crate) fn new(kind: Kind, settings: Settings) -> Exchange {
        Exchange {
            kind,
            settings,
            input: Vec::new(),
            answer: None,
            failure: None,
        }
    }

    pub(crate) fn write(&mut self, data: &[u8]) -> Result<usize> {
        if self.input.len() + data.len() > ai_api::limits::INPUT_BYTES {
            return Err(self.fail(Failure::new(Errno::EMSGSIZE, "the request is too long")));
        }
        // A new request drops what is left of the old answer, and with it the old generation.
        self.answer = None;
        self.input.extend_from_slice(data);
        Ok(data.len())
    }

    fn fail(&mut self, failure: Failure) -> Errno {
        let errno = failure.errno;
        self.failure = Some(failure);
        errno
    }

    pub(crate) fn read(
        &mut self,
        id: HandleId,
        buf: &mut [u8],
        models: &mut Catalogue,
        wake: &Wake,
    ) -> Result<Step<usize>> {
        if self.answer.is_none() {
            if self.input.is_empty() && self.kind != Kind::V1(V1::Models) {
                return Ok(Step::Done(0));
            }
            let input = std::mem::take(&mut self.input);
            match begin(self.kind, &self.settings, input, models, wake) {
                Ok(answer) => self.answer = Some(answer),
                Err(failure) if matches!(self.kind, Kind::V1(_)) && failure.errno != Errno::EIO => {
                    // The OpenAI form has its own way to say what is wrong.
                    let bytes = v1::error_json(&failure).into_bytes();
                    self.failure = Some(failure);
                    self.answer = Some(Answer::Bytes { bytes, at: 0 });
                }
                Err(failure) => return Err(self.fail(failure)),
            }
        }
        let Some(answer) = &mut self.answer else {
            return Ok(Step::Done(0));
        };
        let step = answer.read(id, buf);
        if step.is_err() {
            let of = match &self.answer {
                Some(Answer::Plain(reader)) => reader.reply.failure(),
                Some(Answer::Whole { reply, .. }) => reply.failure(),
                _ => None,
            };
            self.failure = of.or(self.failure.take());
        }
        step
    }

    pub(crate) fn is_ready(&self, id: HandleId) -> bool {
        match &self.answer {
            None => true,
            Some(Answer::Plain(reader)) => reader.is_ready(id),
            Some(Answer::Whole { reply, bytes, .. }) => {
                bytes.is_some() || Reader::new(reply.clone()).is_ready(id)
            }
            Some(Answer::Events {
                reader,
                queue,
                is_over,
                ..
            }) => *is_over || !queue.is_empty() || reader.is_ready(id),
            Some(Answer::Bytes { .. }) => true,
        }
    }
}

impl Answer {
    fn read(&mut self, id: HandleId, buf: &mut [u8]) -> Result<Step<usize>> {
        match self {
            Answer::Plain(reader) => reader.read(id, buf),
            Answer::Bytes { bytes, at } => Ok(Step::Done(advance(bytes, at, buf))),
            Answer::Whole {
                reply,
                shape,
                bytes,
                at,
            } => {
                if bytes.is_none() {
                    if !Reader::new(reply.clone()).is_over_or_watched(id) {
                        return Ok(Step::Wait);
                    }
                    *bytes = Some(shape.whole(reply)?);
                }
                Ok(Step::Done(
                    bytes.as_ref().map_or(0, |bytes| advance(bytes, at, buf)),
                ))
            }
            Answer::Events {
                reader,
                stream,
                queue,
                is_over,
            } => {
                while queue.is_empty() && !*is_over {
                    match reader.next(id, usize::MAX) {
                        Ok(Step::Wait) => return Ok(Step::Wait),
                        Ok(Step::Done(text)) if !text.is_empty() => {
                            queue.extend(stream.piece(&text).bytes())
                        }
                        Ok(Step::Done(_)) | Err(_) => {
                            queue.extend(stream.end(&reader.reply).bytes());
                            *is_over = true;
                        }
                    }
                }
                let count = queue.len().min(buf.len());
                for (to, from) in buf.iter_mut().zip(queue.drain(..count)) {
                    *to = from;
                }
                Ok(Step::Done(count))
            }
        }
    }
}

fn advance(bytes: &[u8], at: &mut usize, buf: &mut [u8]) -> usize {
    let count = copy_from(bytes, *at as u64, buf);
    *at += count;
    count
}

fn begin(
    kind: Kind,
    settings: &Settings,
    input: Vec<u8>,
    models: &mut Catalogue,
    wake: &Wake,
) -> std::result::Result<Answer, Failure> {
    if let Kind::V1(of) = kind {
        return v1::begin(of, &input, models, wake);
    }
    let text =
        String::from_utf8(input).map_err(|_| Failure::invalid("the request is not UTF-8"))?;
    let model = settings.model.as_deref();
    let reply = match kind {
        Kind::Complete => generate(Prompt::Raw(text), settings, 0, models, wake)?,
        Kind::Embed(form) => {
            let texts = vectors::texts(&text, form)?;
            return embed(texts, model, Shape::Vectors(form), models, wake);
        }
        Kind::Rerank => {
            return embed(
                vectors::rerank_texts(&text)?,
                model,
                Shape::Rerank,
                models,
                wake,
            );
        }
        Kind::Tokenize => submit(Task::Tokenize { text }, model, models, wake)?,
        Kind::Detokenize => {
            let words = text.split(|letter: char| letter.is_whitespace() || letter == ',');
            let numbers = words.filter(|word| !word.is_empty()).map(|word| {
                word.parse()
                    .map_err(|_| Failure::invalid(format!("{word:?} is no token")))
            });
            submit(
                Task::Detokenize {
                    tokens: numbers.collect::<std::result::Result<_, _>>()?,
                },
                model,
                models,
                wake,
            )?
        }
        Kind::V1(_) => return Err(Failure::invalid("taken care of above")),
    };
    Ok(Answer::Plain(Reader::new(reply)))
}

/// Begins the vectors of some texts.
pub(crate) fn embed(
    texts: Vec<String>,
    model: Option<&str>,
    shape: Shape,
    models: &mut Catalogue,
    wake: &Wake,
) -> std::result::Result<Answer, Failure> {
    if texts.len() > limits::EMBED_TEXTS {
        let text = format!("{} texts, more than {}", texts.len(), limits::EMBED_TEXTS);
        return Err(Failure::new(Errno::EMSGSIZE, text));
    }
    let name = match model {
        Some(name) => name.to_owned(),
        None => models.default_encoder()?,
    };
    let reply = submit(Task::Embed { texts }, Some(&name), models, wake)?;
    Ok(Answer::Whole {
        reply,
        shape,
        bytes: None,
        at: 0,
    })
}
