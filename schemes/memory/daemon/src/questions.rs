//! Answering what was written to `.search` and `context`.

use std::sync::{Arc, Mutex, PoisonError};

use memory_api::ContextRequest;
use memory_api::route::SearchMode;
use memory_engine::hashing::{HASHING_MODEL, hashing_embedding};
use scheme_server::{Errno, HandleId, Step, copy_from};

use crate::error::{Error, Result};
use crate::handles::{Asked, Question};
use crate::hub::Hub;
use crate::queries::Vectors;
use crate::service::MemoryService;
use crate::worker::{Answer, Ask};

impl MemoryService {
    /// Reads from the reply; makes it first, or says that a vector is awaited.
    ///
    /// # Errors
    /// EINVAL, EPROTO for a bad request, EMSGSIZE, those of the search.
    pub(crate) fn answer(
        &mut self,
        uid: u32,
        id: HandleId,
        question: &mut Question,
        buf: &mut [u8],
    ) -> Result<Step<usize>> {
        if question.reply.is_none() && !self.make_reply(uid, id, question)? {
            return Ok(Step::Wait);
        }
        let Some((reply, at)) = &mut question.reply else {
            return Ok(Step::Done(0));
        };
        let count = copy_from(reply, *at as u64, buf);
        *at += count;
        Ok(Step::Done(count))
    }

    fn make_reply(&mut self, uid: u32, id: HandleId, question: &mut Question) -> Result<bool> {
        if question.awaited.is_empty() && question.vectors.is_empty() {
            self.seek_vectors(uid, id, question)?;
        }
        if !collect(question) {
            return Ok(false);
        }
        let text = text_of(question)?;
        let mut hub = self.shared.hub();
        let mut reply = Vec::new();
        match (&question.asked, &question.context) {
            (Asked::Collection(name, options), _) => {
                for found in hub.search(uid, name, options, &text, &question.vectors)? {
                    push_line(&mut reply, &found);
                }
            }
            (Asked::Context, Some(request)) => {
                for part in hub.context(uid, request, &question.vectors)? {
                    push_line(&mut reply, &part);
                }
            }
            (Asked::Context, None) => return Err(Errno::EPROTO.into()),
        }
        question.reply = Some((reply, 0));
        Ok(true)
    }

    /// Takes the question's vectors that can be made at once and asks the worker for the others.
    fn seek_vectors(&mut self, uid: u32, id: HandleId, question: &mut Question) -> Result<()> {
        let mut hub = self.shared.hub();
        let (names, text) = match &question.asked {
            Asked::Collection(name, options) => {
                if options.mode == SearchMode::Text {
                    return Ok(());
                }
                (vec![name.clone()], text_of(question)?)
            }
            Asked::Context => {
                let request: ContextRequest =
                    serde_json::from_slice(&question.text).map_err(|_| Errno::EPROTO)?;
                let names = hub.context_sources(uid, &request)?;
                let goal = request.goal.clone();
                question.context = Some(request);
                (names, goal)
            }
        };
        for model in hub.models_of(uid, &names)? {
            if model == HASHING_MODEL {
                question.vectors.push((model, hashing_embedding(&text)));
                continue;
            }
            let answer = Answer::default();
            question.awaited.push((model.clone(), answer.clone()));
            self.shared.ask(Ask {
                model,
                text: text.clone(),
                answer,
                handle: id,
            });
        }
        Ok(())
    }

    /// Vectors of a question that need no waiting: a directory listing cannot wait.
    pub(crate) fn vectors_at_once(
        &self,
        hub: &mut Hub,
        uid: u32,
        name: &str,
        text: &str,
    ) -> Vectors {
        let models = hub.models_of(uid, &[name.to_owned()]).unwrap_or_default();
        let hashing = models.into_iter().filter(|model| model == HASHING_MODEL);
        hashing
            .map(|model| (model, hashing_embedding(text)))
            .collect()
    }
}

fn text_of(question: &Question) -> Result<String> {
    let written = std::str::from_utf8(&question.text)
        .map_err(|_| Errno::EPROTO)?
        .trim();
    Ok(match &question.asked {
        Asked::Collection(_, options) if written.is_empty() => options.question.clone(),
        _ => written.to_owned(),
    })
}

/// Moves vectors that have come to the question; says whether none is awaited any more. A model that fails is left out:
/// the search goes by words then.
fn collect(question: &mut Question) -> bool {
    let vectors = &mut question.vectors;
    question
        .awaited
        .retain(|(model, answer): &(String, Arc<Mutex<_>>)| {
            let come = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
            match come {
                None => true,
                Some(result) => {
                    let result: std::result::Result<Vec<f32>, String> = result;
                    vectors.extend(result.ok().map(|vector| (model.clone(), vector)));
                    false
                }
            }
        });
    question.awaited.is_empty()
}

fn push_line(reply: &mut Vec<u8>, value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_vec(value) {
        reply.extend(text);
        reply.push(b'\n');
    }
}

impl From<serde_json::Error> for Error {
    fn from(_: serde_json::Error) -> Self {
        Error::Errno(Errno::EPROTO)
    }
}
