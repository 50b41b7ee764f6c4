//! Times a model file: `bench FILE [THREADS…]` (a row per number of threads and sessions). The tables of `make bench-ai`.

use std::sync::Arc;
use std::time::Instant;

use ai_engine::engine::{Class, Engine, Event, Request};
use ai_engine::gguf::Gguf;
use ai_engine::kernel;
use ai_engine::model::Model;
use ai_engine::pool::{Pool, Serial};
use ai_engine::sample::Options;
use ai_engine::tokenizer::Tokenizer;

struct Threads(rayon::ThreadPool);

impl Pool for Threads {
    fn threads(&self) -> usize {
        self.0.current_num_threads()
    }
    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        self.0
            .scope(|scope| (0..parts).for_each(|index| scope.spawn(move |_| part(index))));
    }
}

const PROMPT: usize = 128;
const REPLY: usize = 32;

fn main() {
    let mut args = std::env::args().skip(1);
    let file = args.next().expect("usage: bench FILE [THREADS…]");
    let mut threads: Vec<usize> = args
        .map(|arg| arg.parse().expect("a number of threads"))
        .collect();
    if threads.is_empty() {
        threads = vec![1, 2];
    }
    let start = Instant::now();
    let bytes = std::fs::read(&file).expect("the file can be read");
    let gguf = Gguf::read(&bytes).expect("a GGUF file");
    let tokenizer = Arc::new(Tokenizer::read(&gguf).expect("a tokenizer"));
    let model = Arc::new(Model::load(&gguf, Arc::new(bytes)).expect("a model"));
    let clock = Instant::now();
    let kernel = kernel::pick(&model.formats(), &mut || clock.elapsed().as_nanos() as u64);
    println!(
        "{file}: {} weights, kernel {}, load {:.0} ms",
        model.parameters(),
        kernel.name(),
        start.elapsed().as_secs_f64() * 1e3
    );
    println!("threads sessions  prompt t/s  first ms  decode t/s");
    for count in threads {
        for sessions in [1, 4, 16] {
            let pool: Arc<dyn Pool> = if count == 1 {
                Arc::new(Serial)
            } else {
                Arc::new(Threads(
                    rayon::ThreadPoolBuilder::new()
                        .num_threads(count)
                        .build()
                        .expect("threads"),
                ))
            };
            let mut engine = Engine::new(model.clone(), tokenizer.clone(), kernel, pool, 8 << 30);
            row(&mut engine, count, sessions);
        }
    }
    if let Some(peak) = peak() {
        println!("peak memory {peak}");
    }
}

fn row(engine: &mut Engine, threads: usize, sessions: usize) {
    let options = Options {
        temperature: 0.0,
        max_tokens: REPLY,
        ignore_end: true,
        ..Options::default()
    };
    for session in 0..sessions {
        let tokens = (0..PROMPT)
            .map(|at| ((at * 7 + session * 31) % 256) as u32)
            .collect();
        let request = Request {
            tokens,
            options: options.clone(),
            class: Class::Batch,
            constraint: None,
        };
        engine.submit(request).expect("it fits");
    }
    let begun = Instant::now();
    let (mut first, mut all_read, mut tokens, mut spoken) = (None, None, 0, 0);
    while !engine.is_idle() {
        let events = engine.step();
        let now = begun.elapsed().as_secs_f64();
        for event in events {
            if let Event::Token { .. } = event {
                first.get_or_insert(now);
                spoken += 1;
                if all_read.is_some() {
                    tokens += 1;
                }
            }
        }
        if all_read.is_none()
            && engine.status().prompt_tokens as usize + engine.status().cached_tokens as usize
                >= sessions * PROMPT
            && spoken >= sessions
        {
            all_read = Some(now);
        }
    }
    let end = begun.elapsed().as_secs_f64();
    let read = all_read.unwrap_or(end);
    println!(
        "{threads:7} {sessions:8} {:11.1} {:9.1} {:11.1}",
        (sessions * PROMPT) as f64 / read,
        first.unwrap_or(end) * 1e3,
        f64::from(tokens) / (end - read).max(1e-9),
    );
}

fn peak() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line["VmHWM:".len()..].trim().to_owned())
}
