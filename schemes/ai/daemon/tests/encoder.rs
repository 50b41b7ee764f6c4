//! Vectors. With a small random encoder everywhere; against the reference vectors of all-MiniLM-L6-v2 where that model
//! is at hand (`VALENCE_MINILM` names its directory), and a loud skip where not.

use std::fs;
use std::path::Path;

use ai_daemon::{Aid, Config};
use ai_engine::random::Random;
use scheme_server::OpenFlags;
use scheme_server::memory::Memory;
use serde_json::{Map, Value, json};

fn start(models: &Path) -> Memory<Aid> {
    Memory::start(Aid::new(Config {
        models: vec![models.to_owned()],
        state: None,
        threads: 1,
        ..Config::default()
    }))
}

fn ask(ai: &Memory<Aid>, path: &str, request: &[u8]) -> Vec<u8> {
    let file = ai.open(path, OpenFlags::READ_WRITE).unwrap();
    file.write_all(request).unwrap();
    file.read_to_end().unwrap()
}

fn vector(ai: &Memory<Aid>, text: &str) -> Vec<f32> {
    serde_json::from_slice(&ask(ai, "embed", text.as_bytes())).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// A directory with a BERT of random weights: 64 channels, 2 layers, and a vocabulary of letters.
fn invent(dir: &Path) {
    let (width, feed, layers, context) = (64, 128, 2, 32);
    let words: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        .map(str::to_owned)
        .into_iter()
        .chain(('a'..='z').flat_map(|letter| [letter.to_string(), format!("##{letter}")]))
        .chain(["!".to_owned(), "hello".to_owned()])
        .collect();
    let mut random = Random::new(9);
    let (mut header, mut data) = (Map::new(), Vec::new());
    let mut tensor = |name: &str, shape: &[usize]| {
        let start = data.len();
        let count: usize = shape.iter().product();
        let middle = if name.ends_with("LayerNorm.weight") {
            1.0
        } else {
            0.0
        };
        for _ in 0..count {
            data.extend((middle + 0.1 * random.normal()).to_le_bytes());
        }
        header.insert(
            name.to_owned(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}),
        );
    };
    tensor("embeddings.word_embeddings.weight", &[words.len(), width]);
    tensor("embeddings.position_embeddings.weight", &[context, width]);
    tensor("embeddings.token_type_embeddings.weight", &[2, width]);
    let mut pair = |name: &str, rows: usize, cols: Option<usize>| {
        tensor(
            &format!("{name}.weight"),
            &cols.map_or(vec![rows], |cols| vec![rows, cols]),
        );
        tensor(&format!("{name}.bias"), &[rows]);
    };
    pair("embeddings.LayerNorm", width, None);
    for layer in 0..layers {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        for part in [
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
        ] {
            pair(&name(part), width, Some(width));
        }
        pair(&name("attention.output.LayerNorm"), width, None);
        pair(&name("intermediate.dense"), feed, Some(width));
        pair(&name("output.dense"), width, Some(feed));
        pair(&name("output.LayerNorm"), width, None);
    }
    let head = Value::Object(header).to_string().into_bytes();
    let file = [&(head.len() as u64).to_le_bytes()[..], &head, &data].concat();
    let vocab: Map<String, Value> = words
        .into_iter()
        .enumerate()
        .map(|(id, word)| (word, id.into()))
        .collect();
    let config = json!({"model_type": "bert", "num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": 4,
        "intermediate_size": feed, "max_position_embeddings": context, "layer_norm_eps": 1e-12});
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    fs::write(
        dir.join("tokenizer.json"),
        json!({"model": {"type": "WordPiece", "vocab": vocab}}).to_string(),
    )
    .unwrap();
    fs::write(dir.join("model.safetensors"), file).unwrap();
}

#[test]
fn equal_texts_have_equal_vectors_of_unit_length_alone_and_in_company() {
    let dir = tempfile::tempdir().unwrap();
    invent(&dir.path().join("small"));
    let ai = start(dir.path());
    let a = vector(&ai, "Hello, wörld!");
    assert_eq!(a.len(), 64);
    assert!((cosine(&a, &a) - 1.0).abs() < 1e-5);
    assert!((a.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
    assert_eq!(vector(&ai, "hello world!"), vector(&ai, "HELLO  world !"));
    let lines = b"\"other text\"\n\"Hello, w\xc3\xb6rld!\"\n";
    let raw = ask(&ai, "embed?format=f32&lines=1", lines);
    let floats: Vec<f32> = raw
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    assert_eq!(floats.len(), 128);
    assert_eq!(floats[64..], a);
    // Longer than the context: the rest is cut off.
    assert_eq!(vector(&ai, &"a ".repeat(500)).len(), 64);
}

#[test]
fn the_openai_form_and_rerank_use_the_same_vectors() {
    let dir = tempfile::tempdir().unwrap();
    invent(&dir.path().join("small"));
    let ai = start(dir.path());
    let request = json!({"model": "small", "input": ["hello", "a b c"]});
    let answer: Value =
        serde_json::from_slice(&ask(&ai, "v1/embeddings", request.to_string().as_bytes())).unwrap();
    assert_eq!(answer["data"][1]["index"], 1);
    let first: Vec<f32> = serde_json::from_value(answer["data"][0]["embedding"].clone()).unwrap();
    assert_eq!(first, vector(&ai, "hello"));
    let request = json!({"query": "hello", "documents": ["x y z", "hello", "q"]});
    let ranked = String::from_utf8(ask(&ai, "rerank", request.to_string().as_bytes())).unwrap();
    let best: Value = serde_json::from_str(ranked.lines().next().unwrap()).unwrap();
    assert_eq!(best["index"], 1);
    assert_eq!(ranked.lines().count(), 3);
    let card: Value = serde_json::from_slice(&ai.read("models/small/card").unwrap()).unwrap();
    assert_eq!(
        (&card["architecture"], &card["dimensions"]),
        (&json!("bert"), &json!(64))
    );
}

#[test]
fn minilm_agrees_with_the_reference() {
    let Some(source) = std::env::var_os("VALENCE_MINILM") else {
        eprintln!("SKIPPED: VALENCE_MINILM does not name a directory with all-MiniLM-L6-v2");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("minilm");
    fs::create_dir(&target).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(Path::new(&source).join(file), target.join(file)).unwrap();
    }
    let ai = start(dir.path());
    let cases: Value = serde_json::from_str(include_str!("minilm.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let tokens = ask(&ai, "tokenize?model=minilm", text.as_bytes());
        let want: Vec<String> = case["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string)
            .collect();
        assert_eq!(
            String::from_utf8(tokens).unwrap().trim(),
            want.join(" "),
            "{text}"
        );
        let want: Vec<f32> = serde_json::from_value(case["vector"].clone()).unwrap();
        let got = cosine(&vector(&ai, text), &want);
        // Weights and activations in eight bits.
        assert!(got > 0.99, "{text}: {got}");
        eprintln!("{text}: cosine {got}");
    }
}
