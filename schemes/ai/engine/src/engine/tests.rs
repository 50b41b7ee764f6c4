//! The scheduler on small random models.

use super::*;
use crate::gguf::Gguf;
use crate::invent::Recipe;
use crate::kernel;
use crate::pool::Serial;
use crate::quant::Format;
use crate::tokenizer::Special;

fn engine_with(budget: usize) -> Engine {
    let file = Recipe::tiny("llama", Format::Q4_0).file();
    let gguf = Gguf::read(&file).unwrap();
    let tokenizer = Tokenizer::read(&gguf).unwrap();
    let model = Model::load(&gguf, Arc::new(file)).unwrap();
    let kernel = *kernel::all().last().unwrap();
    Engine::new(
        Arc::new(model),
        Arc::new(tokenizer),
        kernel,
        Arc::new(Serial),
        budget,
    )
}

fn engine() -> Engine {
    engine_with(64 << 20)
}

fn greedy(max_tokens: usize) -> Options {
    Options {
        temperature: 0.0,
        max_tokens,
        ignore_end: true,
        ..Options::default()
    }
}

fn request(engine: &Engine, text: &str, options: Options) -> Request {
    let tokens = engine.tokenizer().encode(text, Special::Text);
    Request {
        tokens,
        options,
        class: Class::Interactive,
        constraint: None,
    }
}

fn submit(engine: &mut Engine, text: &str, options: Options) -> RequestId {
    let request = request(engine, text, options);
    engine.submit(request).unwrap()
}

#[derive(Default, Debug)]
struct Outcome {
    tokens: BTreeMap<RequestId, Vec<u32>>,
    text: BTreeMap<RequestId, String>,
    done: BTreeMap<RequestId, (Finish, Usage)>,
}

fn run(engine: &mut Engine) -> Outcome {
    let mut outcome = Outcome::default();
    for _ in 0..5000 {
        if engine.is_idle() {
            return outcome;
        }
        for event in engine.step() {
            match event {
                Event::Token { id, text, choice } => {
                    outcome.tokens.entry(id).or_default().push(choice.token);
                    outcome.text.entry(id).or_default().push_str(&text);
                }
                Event::Done {
                    id,
                    text,
                    finish,
                    usage,
                } => {
                    outcome.text.entry(id).or_default().push_str(&text);
                    outcome.done.insert(id, (finish, usage));
                }
                Event::Progress { .. } => {}
            }
        }
    }
    panic!("the engine does not come to an end");
}

#[test]
fn batching_changes_no_ones_tokens() {
    let prompts = [
        "hello there",
        "a",
        "what is the size of this thing?",
        "zzz zzz zzz",
        "the end",
    ];
    let alone: Vec<Vec<u32>> = prompts
        .iter()
        .map(|prompt| {
            let mut engine = engine();
            let id = submit(&mut engine, prompt, greedy(12));
            run(&mut engine).tokens.remove(&id).unwrap()
        })
        .collect();
    let mut engine = engine();
    let mut ids = Vec::new();
    for prompt in prompts {
        ids.push(submit(&mut engine, prompt, greedy(12)));
        engine.step();
    }
    // The first steps' tokens were thrown away; compare the ends.
    let together = run(&mut engine);
    for (id, alone) in ids.iter().zip(alone) {
        let got = &together.tokens[id];
        assert!(alone.ends_with(got), "{got:?} is not the end of {alone:?}");
        assert!(got.len() >= 7);
    }
}

#[test]
fn a_known_prefix_is_not_computed_again_and_changes_nothing() {
    let mut engine = engine();
    let long = "this is a long beginning that many requests share ".repeat(4);
    let first = submit(&mut engine, &format!("{long}one"), greedy(5));
    let outcome = run(&mut engine);
    assert_eq!(outcome.done[&first].1.cached, 0);
    let second = submit(&mut engine, &format!("{long}two"), greedy(5));
    let again = submit(&mut engine, &format!("{long}one"), greedy(5));
    let later = run(&mut engine);
    let usage = later.done[&second].1;
    assert!(usage.cached >= usage.prompt - 4, "{usage:?}");
    assert_eq!(later.tokens[&again], outcome.tokens[&first]);
    assert_eq!(later.done[&again].1.cached, later.done[&again].1.prompt - 1);
}

#[test]
fn a_cancelled_request_is_gone_after_one_step() {
    let mut engine = engine();
    let id = submit(&mut engine, "hello", greedy(1000));
    engine.step();
    engine.step();
    engine.cancel(id);
    let events = engine.step();
    assert!(
        matches!(
            events[..],
            [Event::Done {
                finish: Finish::Cancelled,
                ..
            }]
        ),
        "{events:?}"
    );
    assert!(engine.is_idle());
    assert_eq!(engine.status().reserved_bytes, 0);
    let id = submit(&mut engine, "queued", greedy(5));
    engine.cancel(id);
    assert_eq!(run(&mut engine).done[&id].0, Finish::Cancelled);
}

#[test]
fn prompts_that_do_not_fit_are_refused() {
    let mut engine = engine();
    let tokens = vec![5; 600];
    let long = Request {
        tokens,
        options: greedy(1),
        class: Class::Batch,
        constraint: None,
    };
    assert_eq!(
        engine.submit(long),
        Err(Error::TooLong {
            tokens: 600,
            limit: 511
        })
    );
    let empty = Request {
        tokens: vec![],
        options: greedy(1),
        class: Class::Batch,
        constraint: None,
    };
    assert!(engine.submit(empty).is_err());
    let mut small = engine_with(1000);
    let large = request(&small, "hello", greedy(5));
    assert!(matches!(small.submit(large), Err(Error::NoMemory { .. })));
}

#[test]
fn requests_wait_for_memory_in_order() {
    let engine = engine();
    let one = engine.need(&request(&engine, "hello", greedy(20)));
    let mut engine = engine_with(one);
    let first = submit(&mut engine, "hello", greedy(20));
    let second = submit(&mut engine, "other", greedy(20));
    engine.step();
    assert_eq!((engine.status().active, engine.status().queued), (1, 1));
    let outcome = run(&mut engine);
    assert_eq!(outcome.done[&first].0, Finish::Length);
    assert_eq!(outcome.done[&second].0, Finish::Length);
}

#[test]
fn an_interactive_request_waits_at_most_one_step_for_batch_jobs() {
    let mut engine = engine();
    for at in 0..4 {
        let tokens = vec![10 + at; 500];
        engine
            .submit(Request {
                tokens,
                options: greedy(5),
                class: Class::Batch,
                constraint: None,
            })
            .unwrap();
    }
    engine.step();
    let id = submit(&mut engine, "quick", greedy(3));
    let events = engine.step();
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Token { id: of, .. } if *of == id)),
        "{events:?}"
    );
}

#[test]
fn stop_texts_end_the_reply_and_are_not_part_of_it() {
    let mut engine = engine();
    let id = submit(&mut engine, "hello", greedy(40));
    let whole = run(&mut engine).text.remove(&id).unwrap();
    let letters: Vec<char> = whole.chars().collect();
    let stop: String = letters[6..8].iter().collect();
    let end = whole.find(&stop).unwrap();
    let id = submit(
        &mut engine,
        "hello",
        Options {
            stop: vec![stop],
            ..greedy(40)
        },
    );
    let outcome = run(&mut engine);
    assert_eq!(outcome.text[&id], whole[..end]);
    assert_eq!(outcome.done[&id].0, Finish::Stop);
}

#[test]
fn the_context_bounds_a_reply() {
    let mut engine = engine();
    let tokens = vec![7; 505];
    let id = engine
        .submit(Request {
            tokens,
            options: greedy(50),
            class: Class::Batch,
            constraint: None,
        })
        .unwrap();
    let outcome = run(&mut engine);
    assert_eq!(
        outcome.done[&id],
        (
            Finish::Length,
            Usage {
                prompt: 505,
                cached: 0,
                completion: 7
            }
        )
    );
}

#[test]
fn too_many_requests_are_busy() {
    let mut engine = engine();
    for _ in 0..limits::REQUESTS {
        submit(&mut engine, "x", greedy(1));
    }
    let one_more = request(&engine, "x", greedy(1));
    assert_eq!(engine.submit(one_more), Err(Error::Busy));
    assert_eq!(run(&mut engine).done.len(), limits::REQUESTS);
}
