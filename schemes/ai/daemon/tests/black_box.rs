//! The daemon as clients see it, in memory, on a small model with random weights.

use std::fs;
use std::time::{Duration, Instant};

use ai_daemon::{Aid, Config};
use ai_engine::invent::Recipe;
use ai_engine::quant::Format;
use scheme_server::memory::{File, Memory};
use scheme_server::{Caller, Errno, OpenFlags, Ready};
use serde_json::{Value, json};
use tempfile::TempDir;

struct Setup {
    ai: Memory<Aid>,
    dir: TempDir,
}

fn config(dir: &TempDir) -> Config {
    Config {
        models: vec![dir.path().join("models")],
        state: Some(dir.path().join("state")),
        threads: 1,
        cache_bytes: 64 << 20,
        ..Config::default()
    }
}

fn setup() -> Setup {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("models")).unwrap();
    fs::write(
        dir.path().join("models/tiny.gguf"),
        Recipe::tiny("llama", Format::Q4_0).file(),
    )
    .unwrap();
    Setup {
        ai: Memory::start(Aid::new(config(&dir))),
        dir,
    }
}

const GREEDY: &str = "temperature=0&max_tokens=12&seed=1";

impl Setup {
    fn open(&self, path: &str) -> File<Aid> {
        self.ai.open(path, OpenFlags::READ_WRITE).unwrap()
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(self.ai.read(path).unwrap()).unwrap()
    }

    fn echo(&self, path: &str, text: &str) -> Result<(), Errno> {
        self.ai.write(path, text.as_bytes())
    }

    fn new_session(&self) -> u64 {
        self.text("session/new").trim().parse().unwrap()
    }

    /// Writes a request and reads the answer on one handle.
    fn ask(&self, path: &str, request: &str) -> String {
        let file = self.open(path);
        file.write_all(request.as_bytes()).unwrap();
        String::from_utf8(file.read_to_end().unwrap()).unwrap()
    }
}

fn turn(chat: &File<Aid>, text: &str) -> String {
    chat.write_all(text.as_bytes()).unwrap();
    String::from_utf8(chat.read_to_end().unwrap()).unwrap()
}

fn error(file: &File<Aid>) -> String {
    String::from_utf8(file.dup("error").unwrap().read_to_end().unwrap()).unwrap()
}

#[test]
fn the_tree_is_that_of_the_contract() {
    let setup = setup();
    let names = |path: &str| {
        let mut names: Vec<String> = setup
            .ai
            .list(path)
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        names.sort();
        names
    };
    let top = [
        "chat",
        "complete",
        "detokenize",
        "embed",
        "metrics",
        "models",
        "rerank",
        "session",
        "status",
        "tokenize",
        "v1",
    ];
    assert_eq!(names(""), top);
    assert_eq!(names("models"), ["tiny"]);
    assert_eq!(names("models/tiny"), ["card", "ctl", "status"]);
    assert_eq!(names("session"), ["new"]);
    assert_eq!(names("v1"), ["chat", "completions", "embeddings", "models"]);
    let number = setup.new_session();
    assert_eq!(
        names(&format!("session/{number}")),
        ["ctl", "error", "messages", "prompt", "stream", "usage"]
    );
    assert_eq!(setup.ai.stat("session/99").err(), Some(Errno::ENOENT));
}

#[test]
fn a_chat_answers_turn_after_turn_and_remembers() {
    let setup = setup();
    let chat = setup.open(&format!("chat?{GREEDY}"));
    assert_eq!(chat.read(10).unwrap(), b"");
    let first = turn(&chat, "hello");
    assert!(!first.is_empty());
    assert_eq!(chat.read(10).unwrap(), b"");
    let second = turn(&chat, "and now?");
    // A conversation that never had the first turn says something else.
    let other = setup.open(&format!("chat?{GREEDY}"));
    assert_ne!(turn(&other, "and now?"), second);
    let again = setup.open(&format!("chat?{GREEDY}"));
    assert_eq!(turn(&again, "hello"), first);
    assert_eq!(turn(&again, "and now?"), second);
    let usage: Value =
        serde_json::from_slice(&again.dup("usage").unwrap().read_to_end().unwrap()).unwrap();
    assert!(usage["cached_tokens"].as_u64().unwrap() > 20, "{usage}");
}

#[test]
fn a_fork_goes_on_from_the_same_place() {
    let setup = setup();
    let chat = setup.open(&format!("chat?{GREEDY}"));
    turn(&chat, "hello");
    let fork = chat.dup("fork").unwrap();
    assert_eq!(turn(&chat, "more"), turn(&fork, "more"));
}

#[test]
fn reads_give_whole_characters_and_refuse_a_buffer_too_small_for_one() {
    let setup = setup();
    let chat = setup.open("chat?temperature=2&max_tokens=60&seed=5");
    chat.write_all(b"hello").unwrap();
    let mut smallest = 4;
    loop {
        let part = chat.read(smallest).unwrap();
        if part.is_empty() {
            break;
        }
        std::str::from_utf8(&part).unwrap();
        smallest = 4 + (smallest + 1) % 3;
    }
}

#[test]
fn a_session_is_used_with_cat_and_echo_alone() {
    let setup = setup();
    let n = setup.new_session();
    setup
        .echo(
            &format!("session/{n}/ctl"),
            "temperature 0\nmax_tokens 8\nsystem Be brief.\n",
        )
        .unwrap();
    setup
        .echo(&format!("session/{n}/prompt"), "hello\n")
        .unwrap();
    let first = setup.text(&format!("session/{n}/stream"));
    assert!(!first.is_empty());
    assert_eq!(setup.text(&format!("session/{n}/stream")), first);
    setup
        .echo(&format!("session/{n}/prompt"), "more\n")
        .unwrap();
    let second = setup.text(&format!("session/{n}/stream"));
    let messages = setup.text(&format!("session/{n}/messages"));
    let contents: Vec<Value> = messages
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        contents,
        [
            json!({"role": "user", "content": "hello"}),
            json!({"role": "assistant", "content": first}),
            json!({"role": "user", "content": "more"}),
            json!({"role": "assistant", "content": second}),
        ]
    );
    assert_eq!(
        setup.text(&format!("session/{n}/ctl")),
        "system Be brief.\ntemperature 0\nmax_tokens 8\n"
    );
    let usage: Value = serde_json::from_str(&setup.text(&format!("session/{n}/usage"))).unwrap();
    assert_eq!(usage["completion_tokens"], 8);
    setup.echo(&format!("session/{n}/ctl"), "close\n").unwrap();
    assert_eq!(
        setup.ai.stat(&format!("session/{n}")).err(),
        Some(Errno::ENOENT)
    );
}

#[test]
fn a_transcript_can_be_loaded() {
    let setup = setup();
    let (a, b) = (setup.new_session(), setup.new_session());
    let ctl = "temperature 0\nmax_tokens 8\n";
    for n in [a, b] {
        setup.echo(&format!("session/{n}/ctl"), ctl).unwrap();
    }
    setup.echo(&format!("session/{a}/prompt"), "hello").unwrap();
    setup.text(&format!("session/{a}/stream"));
    let messages = setup.text(&format!("session/{a}/messages"));
    setup
        .echo(&format!("session/{b}/messages"), &messages)
        .unwrap();
    let next = |n: u64| {
        setup.echo(&format!("session/{n}/prompt"), "more").unwrap();
        setup.text(&format!("session/{n}/stream"))
    };
    assert_eq!(next(a), next(b));
    assert_eq!(
        setup.echo(&format!("session/{b}/messages"), "{bad"),
        Err(Errno::EPROTO)
    );
    assert!(setup.text(&format!("session/{b}/error")).contains("line 1"));
}

#[test]
fn bad_control_lines_are_refused_in_words() {
    let setup = setup();
    let n = setup.new_session();
    let ctl = setup.open(&format!("session/{n}/ctl"));
    assert_eq!(ctl.write(b"colour red\n"), Err(Errno::EINVAL));
    assert!(error(&ctl).contains("colour"));
    assert_eq!(ctl.write(b"model nothing\n"), Err(Errno::ENOENT));
    assert!(
        setup
            .text(&format!("session/{n}/error"))
            .contains("nothing")
    );
    assert_eq!(setup.text(&format!("session/{n}/ctl")), "");
    assert_eq!(
        setup
            .ai
            .open("chat?colour=red", OpenFlags::READ_WRITE)
            .err(),
        Some(Errno::EINVAL)
    );
    assert_eq!(
        setup
            .ai
            .open("chat?model=none", OpenFlags::READ_WRITE)
            .err(),
        Some(Errno::ENOENT)
    );
    assert_eq!(
        setup.ai.open("status", OpenFlags::WRITE).err(),
        Some(Errno::EACCES)
    );
}

#[test]
fn a_prompt_too_long_is_emsgsize_and_the_session_loses_nothing() {
    let setup = setup();
    let chat = setup.open(&format!("chat?{GREEDY}"));
    turn(&chat, "hello");
    chat.write_all("long ".repeat(2000).as_bytes()).unwrap();
    assert_eq!(chat.read(100), Err(Errno::EMSGSIZE));
    assert!(error(&chat).contains("tokens"), "{}", error(&chat));
    let after = turn(&chat, "and now?");
    let plain = setup.open(&format!("chat?{GREEDY}"));
    turn(&plain, "hello");
    assert_eq!(turn(&plain, "and now?"), after);
    let huge = vec![b'x'; 1 << 20];
    let result = (0..5).try_for_each(|_| chat.write_all(&huge));
    assert_eq!(result, Err(Errno::EMSGSIZE));
}

#[test]
fn invalid_utf8_is_refused() {
    let setup = setup();
    let chat = setup.open("chat");
    chat.write_all(b"\xff\xfe").unwrap();
    assert_eq!(chat.read(10), Err(Errno::EINVAL));
    assert!(error(&chat).contains("UTF-8"));
    assert!(!turn(&chat, "hello").is_empty());
}

#[test]
fn closing_a_handle_ends_its_generation() {
    let setup = setup();
    let chat = setup.open("chat?max_tokens=400&temperature=0");
    chat.write_all(b"hello").unwrap();
    assert!(!chat.read(10).unwrap().is_empty());
    drop(chat);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !setup.text("models/tiny/status").contains("active 0") {
        assert!(
            Instant::now() < deadline,
            "{}",
            setup.text("models/tiny/status")
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(setup.text("models/tiny/status").contains("reserved 0"));
}

#[test]
fn a_session_can_be_cancelled_and_goes_on() {
    let setup = setup();
    let n = setup.new_session();
    setup
        .echo(
            &format!("session/{n}/ctl"),
            "max_tokens 480\ntemperature 0\n",
        )
        .unwrap();
    setup.echo(&format!("session/{n}/prompt"), "hello").unwrap();
    let stream = setup
        .ai
        .open(&format!("session/{n}/stream"), OpenFlags::READ)
        .unwrap();
    stream.read(10).unwrap();
    setup
        .echo(&format!("session/{n}/ctl"), "cancel\nmax_tokens 4\n")
        .unwrap();
    setup.echo(&format!("session/{n}/prompt"), "hi").unwrap();
    setup.text(&format!("session/{n}/stream"));
    assert_eq!(
        setup.text(&format!("session/{n}/messages")).lines().count(),
        4
    );
}

#[test]
fn sessions_belong_to_their_user_and_abandoned_ones_go() {
    let setup = setup();
    let user = |uid| {
        setup.ai.as_caller(Caller {
            pid: 1,
            uid,
            gid: uid,
        })
    };
    let n: u64 = String::from_utf8(user(5).read("session/new").unwrap())
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(user(5).read(&format!("session/{n}/ctl")).is_ok());
    assert_eq!(
        user(6).read(&format!("session/{n}/ctl")).err(),
        Some(Errno::ENOENT)
    );
    assert_eq!(user(6).list("session").unwrap().len(), 1);
    for _ in 0..1000 {
        user(6).read("session/new").unwrap();
    }
    assert!(user(6).list("session").unwrap().len() <= 257);
    assert!(user(5).read(&format!("session/{n}/ctl")).is_ok());
}

#[test]
fn saved_sessions_come_back() {
    let setup = setup();
    let n = setup.new_session();
    setup
        .echo(
            &format!("session/{n}/ctl"),
            "temperature 0\nmax_tokens 6\nstop two\\nlines\n",
        )
        .unwrap();
    setup.echo(&format!("session/{n}/prompt"), "hello").unwrap();
    setup.text(&format!("session/{n}/stream"));
    setup.echo(&format!("session/{n}/ctl"), "save\n").unwrap();
    let file = |setup: &Setup, file: &str| setup.text(&format!("session/{n}/{file}"));
    let (ctl, messages) = (file(&setup, "ctl"), file(&setup, "messages"));
    let Setup { ai, dir } = setup;
    drop(ai);
    let again = Setup {
        ai: Memory::start(Aid::new(config(&dir))),
        dir,
    };
    assert_eq!(
        (file(&again, "ctl"), file(&again, "messages")),
        (ctl, messages)
    );
    assert_ne!(again.new_session(), n);
}

#[test]
fn without_blocking_a_reader_gets_eagain_and_an_event() {
    let setup = setup();
    let flags = OpenFlags::READ_WRITE.nonblocking();
    let chat = setup.ai.open(&format!("chat?{GREEDY}"), flags).unwrap();
    chat.write_all(b"hello").unwrap();
    let mut all = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < deadline);
        match chat.read(100) {
            Ok(part) if part.is_empty() => break,
            Ok(part) => all.extend(part),
            Err(errno) => {
                assert_eq!(errno, Errno::EAGAIN);
                let want = Ready {
                    read: true,
                    write: false,
                };
                if !chat.poll(want).unwrap().read {
                    setup.ai.next_event(Duration::from_secs(10)).unwrap();
                }
            }
        }
    }
    let plain = setup.open(&format!("chat?{GREEDY}"));
    assert_eq!(turn(&plain, "hello").into_bytes(), all);
}

#[test]
fn text_becomes_tokens_and_text_again() {
    let setup = setup();
    let tokens = setup.ask("tokenize", "hello world");
    assert!(tokens.split_whitespace().count() >= 2);
    assert_eq!(setup.ask("detokenize", &tokens), "hello world");
    let file = setup.open("detokenize");
    file.write_all(b"1 x").unwrap();
    assert_eq!(file.read(10), Err(Errno::EINVAL));
    file.write_all(b"999999").unwrap();
    assert_eq!(file.read(10), Err(Errno::EINVAL));
    assert!(error(&file).contains("999999"));
}

#[test]
fn a_raw_completion_goes_on_from_the_text() {
    let setup = setup();
    let text = setup.ask(&format!("complete?{GREEDY}"), "once upon a");
    assert!(!text.is_empty());
    assert_eq!(
        setup.ask(&format!("complete?{GREEDY}"), "once upon a"),
        text
    );
}

#[test]
fn models_show_their_card_and_obey_their_ctl() {
    let setup = setup();
    let card: Value = serde_json::from_str(&setup.text("models/tiny/card")).unwrap();
    assert_eq!(card["architecture"], "llama");
    assert_eq!(card["quantisation"], "Q4_0");
    assert_eq!(card["context"], 512);
    assert_eq!(card["sha256"].as_str().unwrap().len(), 64);
    let wait_for = |what: &str| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !setup.text("models/tiny/status").contains(what) {
            assert!(
                Instant::now() < deadline,
                "{}",
                setup.text("models/tiny/status")
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    setup.echo("models/tiny/ctl", "load\n").unwrap();
    wait_for("state loaded");
    setup.echo("models/tiny/ctl", "keep 2h\nunload\n").unwrap();
    wait_for("state idle");
    wait_for("keep 7200s");
    assert_eq!(setup.echo("models/tiny/ctl", "keep x"), Err(Errno::EINVAL));
    assert!(setup.text("status").starts_with("default tiny\n"));
    assert!(
        setup
            .text("metrics")
            .contains("ai_model_loaded{model=\"tiny\"} 0")
    );
}

#[test]
fn broken_and_vanished_models_are_errors_and_new_ones_appear() {
    let setup = setup();
    let folder = setup.dir.path().join("models");
    let good = fs::read(folder.join("tiny.gguf")).unwrap();
    fs::write(folder.join("cut.gguf"), &good[..good.len() / 2]).unwrap();
    fs::write(folder.join("hashed.gguf"), &good).unwrap();
    fs::write(folder.join("hashed.gguf.sha256"), "00").unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    for name in ["cut", "hashed"] {
        let chat = setup.open(&format!("chat?model={name}"));
        chat.write_all(b"x").unwrap();
        assert_eq!(chat.read(10), Err(Errno::EBADMSG), "{name}");
        assert!(!error(&chat).is_empty());
    }
    let chat = setup.open("chat?model=tiny&max_tokens=100&temperature=0");
    chat.write_all(b"hello").unwrap();
    chat.read(4).unwrap();
    fs::remove_file(folder.join("tiny.gguf")).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(setup.ai.stat("models/tiny").err(), Some(Errno::ENOENT));
    assert!(!chat.read_to_end().unwrap().is_empty());
}

#[test]
fn the_openai_form_answers_chat_completions() {
    let setup = setup();
    let request = json!({
        "model": "tiny",
        "messages": [
            {"role": "developer", "content": "You are a helpful assistant."},
            {"role": "user", "content": [{"type": "text", "text": "Hello!"}]},
        ],
        "temperature": 0, "max_completion_tokens": 7, "user": "somebody", "logprobs": true, "top_logprobs": 2,
    });
    let answer: Value =
        serde_json::from_str(&setup.ask("v1/chat/completions", &request.to_string())).unwrap();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "tiny");
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["finish_reason"], "length");
    assert_eq!(choice["logprobs"]["content"].as_array().unwrap().len(), 7);
    assert_eq!(
        choice["logprobs"]["content"][0]["top_logprobs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let usage = &answer["usage"];
    assert_eq!(usage["completion_tokens"], 7);
    assert_eq!(
        usage["total_tokens"],
        usage["prompt_tokens"].as_u64().unwrap() + 7
    );

    // The same, as a stream.
    let mut request = request;
    request["stream"] = true.into();
    request["stream_options"] = json!({"include_usage": true});
    request.as_object_mut().unwrap().remove("logprobs");
    let stream = setup.ask("v1/chat/completions", &request.to_string());
    let events: Vec<&str> = stream
        .split("\n\n")
        .filter(|event| !event.is_empty())
        .collect();
    assert_eq!(*events.last().unwrap(), "data: [DONE]");
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, choice["message"]["content"].as_str().unwrap());
    assert_eq!(
        chunks[chunks.len() - 2]["choices"][0]["finish_reason"],
        "length"
    );
    assert_eq!(chunks[chunks.len() - 1]["usage"]["completion_tokens"], 7);
}

#[test]
fn the_openai_form_answers_completions_and_models() {
    let setup = setup();
    let request =
        json!({"model": "tiny", "prompt": "Say this is a test", "temperature": 0, "max_tokens": 7});
    let answer: Value =
        serde_json::from_str(&setup.ask("v1/completions", &request.to_string())).unwrap();
    assert_eq!(answer["object"], "text_completion");
    assert!(!answer["choices"][0]["text"].as_str().unwrap().is_empty());
    let models: Value = serde_json::from_str(&setup.text("v1/models")).unwrap();
    assert_eq!(models["data"][0]["id"], "tiny");
}

#[test]
fn malformed_openai_requests_get_an_error_object() {
    let setup = setup();
    let cases = [
        "{",
        "[]",
        "{}",
        "{\"messages\": []}",
        "{\"messages\": [{\"role\": \"user\"}]}",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"temperature\": 99}",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"n\": 3}",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"model\": \"none\"}",
        "\u{fffd}",
    ];
    for case in cases {
        let answer: Value = serde_json::from_str(&setup.ask("v1/chat/completions", case)).unwrap();
        assert!(answer["error"]["message"].is_string(), "{case}: {answer}");
    }
    let none: Value = serde_json::from_str(&setup.ask("v1/chat/completions", cases[7])).unwrap();
    assert_eq!(none["error"]["code"], "model_not_found");
}

#[test]
fn many_clients_at_once_get_what_each_would_get_alone() {
    let setup = setup();
    let prompts: Vec<String> = (0..8).map(|n| format!("question number {n}")).collect();
    let alone: Vec<String> = prompts
        .iter()
        .map(|prompt| turn(&setup.open(&format!("chat?{GREEDY}")), prompt))
        .collect();
    let threads: Vec<_> = prompts
        .into_iter()
        .map(|prompt| {
            let ai = setup.ai.clone();
            std::thread::spawn(move || {
                let chat = ai
                    .open(&format!("chat?{GREEDY}"), OpenFlags::READ_WRITE)
                    .unwrap();
                turn(&chat, &prompt)
            })
        })
        .collect();
    let together: Vec<String> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(together, alone);
}

#[test]
fn a_client_that_never_reads_holds_nobody_up() {
    let setup = setup();
    let silent = setup.open("chat?max_tokens=200");
    silent.write_all(b"hello").unwrap();
    let started = silent.start_read(1);
    drop(started);
    assert!(!turn(&setup.open(&format!("chat?{GREEDY}")), "hi").is_empty());
}

#[test]
fn without_a_model_the_error_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let ai = Memory::start(Aid::new(config(&dir)));
    let chat = ai.open("chat", OpenFlags::READ_WRITE).unwrap();
    chat.write_all(b"hello").unwrap();
    assert_eq!(chat.read(10), Err(Errno::ENOENT));
    assert_eq!(error(&chat), "no model is installed\n");
}

#[test]
fn a_form_that_is_not_built_in_is_refused_and_not_ignored() {
    let setup = setup();
    let chat = setup.open("chat?schema=%7B%7D");
    chat.write_all(b"x").unwrap();
    assert_eq!(chat.read(10), Err(Errno::EOPNOTSUPP));
    assert!(error(&chat).contains("schema"));
}

#[test]
fn without_an_encoder_embed_says_so() {
    let setup = setup();
    let file = setup.open("embed");
    file.write_all(b"text").unwrap();
    assert_eq!(file.read(10), Err(Errno::ENOENT));
    assert!(error(&file).contains("embedding"));
    let speaker = setup.open("embed?model=tiny");
    speaker.write_all(b"text").unwrap();
    assert_eq!(speaker.read(10), Err(Errno::EOPNOTSUPP));
}
