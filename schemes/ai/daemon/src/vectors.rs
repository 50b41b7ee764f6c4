//! Requests and answers of `embed`, `rerank` and `v1/embeddings` as text and bytes.

use serde_json::{Value, json};

use crate::exchange::Form;
use crate::failure::Failure;
use scheme_server::Errno;

/// The texts of an `embed` request.
pub(crate) fn texts(input: &str, form: Form) -> Result<Vec<String>, Failure> {
    if !form.is_lines {
        return Ok(vec![input.to_owned()]);
    }
    let lines = input
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| match serde_json::from_str(line) {
            Ok(Value::String(text)) => Ok(text),
            _ => Err(Failure::new(
                Errno::EPROTO,
                format!("line {} is no JSON text", at + 1),
            )),
        })
        .collect()
}

/// The vectors as asked for: JSON, one list per line, or bare floats.
pub(crate) fn write(vectors: &[Vec<f32>], form: Form) -> Vec<u8> {
    if form.is_raw {
        return vectors
            .iter()
            .flatten()
            .flat_map(|value| value.to_le_bytes())
            .collect();
    }
    vectors
        .iter()
        .map(|vector| format!("{}\n", Value::from(vector.clone())))
        .collect::<String>()
        .into_bytes()
}

/// The query and the documents of a `rerank` request, the query first.
pub(crate) fn rerank_texts(input: &str) -> Result<Vec<String>, Failure> {
    let malformed = |text: &str| Failure::new(Errno::EPROTO, text);
    let request: Value =
        serde_json::from_str(input).map_err(|error| malformed(&error.to_string()))?;
    let query = request
        .get("query")
        .and_then(Value::as_str)
        .ok_or_else(|| malformed("query is missing"))?;
    let documents = request.get("documents").and_then(Value::as_array);
    let documents = documents.ok_or_else(|| malformed("documents are missing"))?;
    let texts = documents
        .iter()
        .map(|document| document.as_str().map(str::to_owned));
    let texts: Option<Vec<String>> = texts.collect();
    let texts = texts.ok_or_else(|| malformed("documents must be texts"))?;
    Ok([query.to_owned()].into_iter().chain(texts).collect())
}

/// The documents behind the query's vector, best first, as JSON Lines.
pub(crate) fn ranking(vectors: &[Vec<f32>]) -> String {
    let Some((query, documents)) = vectors.split_first() else {
        return String::new();
    };
    let score = |vector: &Vec<f32>| vector.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
    let mut scored: Vec<(usize, f32)> = documents.iter().map(score).enumerate().collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scored
        .iter()
        .map(|(index, score)| format!("{}\n", json!({ "index": index, "score": score })))
        .collect()
}

/// The texts of an OpenAI request, and whether it wants base64.
pub(crate) fn v1_texts(request: &Value) -> Result<(Vec<String>, bool), Failure> {
    let malformed = |text: &str| Failure::new(Errno::EPROTO, text);
    let texts = match request.get("input") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) if !list.is_empty() => {
            let texts: Option<Vec<String>> = list
                .iter()
                .map(|text| text.as_str().map(str::to_owned))
                .collect();
            texts.ok_or_else(|| malformed("input must be texts"))?
        }
        _ => return Err(malformed("input is missing")),
    };
    match request.get("encoding_format").and_then(Value::as_str) {
        None | Some("float") => Ok((texts, false)),
        Some("base64") => Ok((texts, true)),
        Some(other) => Err(Failure::invalid(format!("encoding_format {other:?}"))),
    }
}

/// The OpenAI answer.
pub(crate) fn v1(vectors: &[Vec<f32>], model: &str, tokens: usize, is_base64: bool) -> String {
    let one = |(index, vector): (usize, &Vec<f32>)| {
        let embedding = if is_base64 {
            let bytes: Vec<u8> = vector
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            Value::from(base64(&bytes))
        } else {
            Value::from(vector.clone())
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    };
    let data: Vec<Value> = vectors.iter().enumerate().map(one).collect();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    format!(
        "{}\n",
        json!({ "object": "list", "data": data, "model": model, "usage": usage })
    )
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn documents_are_ranked_by_their_likeness_to_the_query() {
        let vectors = [vec![1.0, 0.0], vec![0.0, 1.0], vec![0.6, 0.8]];
        let indices: Vec<u64> = ranking(&vectors)
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["index"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        assert_eq!(indices, [1, 0]);
    }
}
