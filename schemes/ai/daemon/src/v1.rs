//! The OpenAI JSON wire form: requests to settings and prompts, replies to JSON and server-sent events.
//!
//! What a request may hold and we do not do is refused by name where ignoring it would change the meaning (`n`, images),
//! and passed over where it would not (`user`, `store`).

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ai_api::route::V1;
use ai_api::{Message, Settings};
use ai_engine::engine::Finish;
use scheme_server::{Errno, Wake};
use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;
use crate::conversation::{generate, generate_chat};
use crate::exchange::{self, Answer};
use crate::failure::Failure;
use crate::reply::{Reader, Reply};
use crate::vectors;
use crate::worker::Prompt;

/// Chat or plain completion: their objects differ in names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Chat,
    Text,
}

/// What every object of one answer repeats.
pub(crate) struct Shape {
    form: Form,
    id: String,
    model: String,
    created: u64,
    logprobs: bool,
}

/// Server-sent events of one answer.
pub(crate) struct Stream {
    shape: Shape,
    has_begun: bool,
    with_usage: bool,
}

/// Begins the answer to a request.
pub(crate) fn begin(
    of: V1,
    input: &[u8],
    models: &mut Catalogue,
    wake: &Wake,
) -> Result<Answer, Failure> {
    if of == V1::Models {
        let bytes = models_json(models).into_bytes();
        return Ok(Answer::Bytes { bytes, at: 0 });
    }
    let form = if of == V1::ChatCompletions {
        Form::Chat
    } else {
        Form::Text
    };
    let malformed = |text: String| Failure::new(Errno::EPROTO, text);
    let request: Value =
        serde_json::from_slice(input).map_err(|error| malformed(error.to_string()))?;
    let request = request
        .as_object()
        .ok_or_else(|| malformed("the request is no JSON object".to_owned()))?;
    if of == V1::Embeddings {
        let request = Value::Object(request.clone());
        let (texts, is_base64) = vectors::v1_texts(&request)?;
        let name = request
            .get("model")
            .and_then(Value::as_str)
            .filter(|name| *name != "default");
        let model = match name {
            Some(name) => name.to_owned(),
            None => models.default_encoder()?,
        };
        let shape = exchange::Shape::V1Embeddings {
            model: model.clone(),
            is_base64,
        };
        return exchange::embed(texts, Some(&model), shape, models, wake);
    }
    let (settings, logprobs) = settings(request, form)?;
    let name = match &settings.model {
        Some(name) => name.clone(),
        None => models.default_name().unwrap_or_default(),
    };
    let (reply, prefix) = match form {
        Form::Chat => {
            let messages = request.get("messages").and_then(Value::as_array);
            let messages = messages
                .filter(|list| !list.is_empty())
                .ok_or_else(|| malformed("messages are missing".to_owned()))?;
            let messages: Vec<Message> = messages
                .iter()
                .map(Message::from_json)
                .collect::<Result<_, _>>()
                .map_err(malformed)?;
            let tools = request
                .get("tools")
                .filter(|tools| !tools.is_null())
                .cloned();
            (
                generate_chat(&messages, tools, &settings, logprobs, models, wake)?,
                "chatcmpl",
            )
        }
        Form::Text => {
            let prompt = match request.get("prompt") {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Array(list)) if list.len() == 1 && list[0].is_string() => {
                    list[0].as_str().unwrap_or_default().to_owned()
                }
                _ => return Err(malformed("prompt must be one text".to_owned())),
            };
            (
                generate(Prompt::Raw(prompt), &settings, logprobs, models, wake)?,
                "cmpl",
            )
        }
    };
    let created = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let id = format!(
        "{prefix}-{created:x}{:x}",
        Arc::as_ptr(&reply) as usize & 0xff_ffff
    );
    let shape = Shape {
        form,
        id,
        model: name,
        created,
        logprobs: logprobs > 0,
    };
    if request.get("stream").and_then(Value::as_bool) == Some(true) {
        let options = request
            .get("stream_options")
            .and_then(|options| options.get("include_usage"));
        let with_usage = options.and_then(Value::as_bool) == Some(true);
        let stream = Stream {
            shape,
            has_begun: false,
            with_usage,
        };
        return Ok(Answer::Events {
            reader: Reader::new(reply),
            stream,
            queue: Default::default(),
            is_over: false,
        });
    }
    Ok(Answer::Whole {
        reply,
        shape: exchange::Shape::V1(shape),
        bytes: None,
        at: 0,
    })
}

fn settings(request: &Map<String, Value>, form: Form) -> Result<(Settings, usize), Failure> {
    let mut settings = Settings::default();
    let bad = |error: ai_api::settings::BadSetting| Failure::invalid(error.0);
    for (key, value) in request {
        let known = match key.as_str() {
            "max_completion_tokens" => "max_tokens",
            known => known,
        };
        match (known, value) {
            (_, Value::Null) => {}
            ("model", Value::String(name)) if name == "default" => {}
            ("model", Value::String(name)) => settings.set("model", name).map_err(bad)?,
            ("temperature", Value::Number(number)) => {
                settings.set(known, &number.to_string()).map_err(bad)?;
            }
            (
                "top_p" | "min_p" | "top_k" | "seed" | "max_tokens" | "repeat_penalty",
                Value::Number(number),
            ) => {
                settings.set(known, &number.to_string()).map_err(bad)?;
            }
            ("stop", Value::String(stop)) => settings.set("stop", stop).map_err(bad)?,
            ("stop", Value::Array(stops)) => {
                for stop in stops {
                    let stop = stop
                        .as_str()
                        .ok_or_else(|| Failure::invalid("stop must be texts"))?;
                    settings.set("stop", stop).map_err(bad)?;
                }
            }
            ("n" | "best_of", Value::Number(count)) if count.as_u64() != Some(1) => {
                return Err(Failure::invalid(format!("{key} must be 1")));
            }
            ("echo", Value::Bool(true)) => return Err(Failure::invalid("echo is not supported")),
            ("response_format", format) => response_format(format, &mut settings)?,
            ("temperature" | "top_p" | "seed" | "max_tokens" | "stop" | "model", _) => {
                return Err(Failure::invalid(format!("{key} has a wrong type")));
            }
            _ => {}
        }
    }
    // OpenAI's default is a temperature of 1; a plain completion has 16 tokens.
    settings.temperature = settings.temperature.or(Some(1.0));
    if form == Form::Text && settings.max_tokens.is_none() {
        settings.max_tokens = Some(16);
    }
    let logprobs = match (form, request.get("logprobs"), request.get("top_logprobs")) {
        (Form::Chat, Some(Value::Bool(true)), count) => {
            count.and_then(Value::as_u64).unwrap_or(0).max(1)
        }
        (Form::Text, Some(Value::Number(count)), _) => count.as_u64().unwrap_or(0),
        _ => 0,
    };
    Ok((settings, logprobs.min(20) as usize))
}

fn response_format(format: &Value, settings: &mut Settings) -> Result<(), Failure> {
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(()),
        Some("json_object") => {
            settings.schema = Some("{\"type\": \"object\"}".to_owned());
            Ok(())
        }
        Some("json_schema") => {
            let schema = format.get("json_schema").and_then(|of| of.get("schema"));
            let schema = schema.ok_or_else(|| Failure::invalid("json_schema.schema is missing"))?;
            settings.schema = Some(schema.to_string());
            Ok(())
        }
        _ => Err(Failure::invalid("response_format has an unknown type")),
    }
}

/// The error object.
pub(crate) fn error_json(failure: &Failure) -> String {
    let (kind, code) = match failure.errno {
        Errno::ENOENT => ("invalid_request_error", "model_not_found"),
        Errno::EMSGSIZE => ("invalid_request_error", "context_length_exceeded"),
        Errno::EBUSY | Errno::EDQUOT => ("rate_limit_error", "rate_limit_exceeded"),
        Errno::EPROTO | Errno::EINVAL | Errno::EOPNOTSUPP => {
            ("invalid_request_error", "invalid_request")
        }
        _ => ("server_error", "server_error"),
    };
    let error =
        json!({ "error": { "message": failure.text, "type": kind, "param": null, "code": code } });
    format!("{error}\n")
}

fn models_json(models: &mut Catalogue) -> String {
    let names = models.names();
    let data: Vec<Value> = names
        .iter()
        .map(|name| json!({ "id": name, "object": "model", "created": models.modified_s(name), "owned_by": "local" }))
        .collect();
    format!("{}\n", json!({ "object": "list", "data": data }))
}

fn finish_reason(reply: &Reply) -> &'static str {
    match reply.lock().end {
        Some(Ok(Finish::Length)) => "length",
        _ => "stop",
    }
}

fn usage(reply: &Reply) -> Value {
    let usage = reply.lock().usage;
    json!({
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": { "cached_tokens": usage.cached },
    })
}

impl Shape {
    fn object(&self, object: &str, choice: Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "choices": [choice],
        })
    }

    /// The whole answer, when it is over.
    pub(crate) fn whole(&self, reply: &Reply) -> String {
        if let Some(failure) = reply.failure() {
            return error_json(&failure);
        }
        let text = reply.lock().text.clone();
        let (object, mut choice) = match self.form {
            Form::Chat => (
                "chat.completion",
                json!({
                    "index": 0,
                    "message": { "role": "assistant", "content": text, "refusal": null },
                }),
            ),
            Form::Text => ("text_completion", json!({ "index": 0, "text": text })),
        };
        choice["logprobs"] = if self.logprobs {
            self.logprobs_json(reply)
        } else {
            Value::Null
        };
        choice["finish_reason"] = finish_reason(reply).into();
        let mut whole = self.object(object, choice);
        whole["usage"] = usage(reply);
        format!("{whole}\n")
    }

    fn logprobs_json(&self, reply: &Reply) -> Value {
        let state = reply.lock();
        match self.form {
            Form::Chat => {
                let content: Vec<Value> = state.choices.iter().map(|(text, choice)| {
                    let top: Vec<Value> = choice.alternatives.iter()
                        .map(|(token, logprob)| json!({ "token": token.to_string(), "logprob": logprob }))
                        .collect();
                    json!({ "token": text, "logprob": choice.logprob, "bytes": text.as_bytes(), "top_logprobs": top })
                }).collect();
                json!({ "content": content })
            }
            Form::Text => {
                let tokens: Vec<&str> = state
                    .choices
                    .iter()
                    .map(|(text, _)| text.as_str())
                    .collect();
                let logprobs: Vec<f32> = state
                    .choices
                    .iter()
                    .map(|(_, choice)| choice.logprob)
                    .collect();
                json!({ "tokens": tokens, "token_logprobs": logprobs })
            }
        }
    }
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

impl Stream {
    fn chunk(&self, delta: Value, finish: Option<&str>) -> Value {
        match self.shape.form {
            Form::Chat => {
                let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish });
                self.shape.object("chat.completion.chunk", choice)
            }
            Form::Text => {
                let text = delta
                    .get("content")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let choice =
                    json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": finish });
                self.shape.object("text_completion", choice)
            }
        }
    }

    fn begin(&mut self) -> String {
        if self.has_begun || self.shape.form == Form::Text {
            return String::new();
        }
        self.has_begun = true;
        event(&self.chunk(json!({ "role": "assistant", "content": "" }), None))
    }

    /// The events of a piece of text.
    pub(crate) fn piece(&mut self, text: &str) -> String {
        let begin = self.begin();
        format!(
            "{begin}{}",
            event(&self.chunk(json!({ "content": text }), None))
        )
    }

    /// The events of the end.
    pub(crate) fn end(&mut self, reply: &Reply) -> String {
        if let Some(failure) = reply.failure() {
            return format!("data: {}\n", error_json(&failure));
        }
        let mut out = self.begin();
        out += &event(&self.chunk(json!({}), Some(finish_reason(reply))));
        if self.with_usage {
            let mut last = self.chunk(json!({}), None);
            last["choices"] = json!([]);
            last["usage"] = usage(reply);
            out += &event(&last);
        }
        out + "data: [DONE]\n\n"
    }
}
