//! `cargo bench -p memoryd [-- N]`: speed and memory of `memory:`, printed as a table.
//!
//! Vectors have 384 dimensions, clustered like embeddings (1000 centres, deviation 0.7 around centres of deviation 1), or
//! uniform. Times are of this thread on the processor (from /proc), so that a busy machine does not count; latencies of
//! disk and scheme are wall time. Recall is against exact search.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use memory_engine::hashing::{HASHING_MODEL, hashing_embedding};
use memory_engine::record::{Record, VectorData};
use memory_engine::search::{Mode, Query};
use memory_engine::vector::codes::{Metric, Precision};
use memory_engine::vector::graph::Scratch;
use memory_engine::vector::space::Space;
use memory_engine::vector::testing::Vectors;
use memoryd::config::Config;
use memoryd::disk::RealDisk;
use memoryd::store::{Random, Store};
use scheme_server::OpenFlags;
use scheme_server::memory::Memory;

const DIMS: usize = 384;
const QUESTIONS: usize = 1000;
const NEIGHBOURS: usize = 10;

/// Processor time of this thread.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let before = cpu();
    let value = act();
    (value, cpu() - before)
}

fn line(name: &str, value: String) {
    println!("{name:<58} {value}");
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

fn index(title: &str, count: usize, clusters: usize, precision: Precision) {
    println!("\n{title}: {count} vectors");
    let mut vectors = Vectors::new(DIMS, clusters, 11);
    let mut space = Space::new("m", DIMS, Metric::Cosine, precision);
    space.reserve_exact(count);
    for i in 0..count {
        space
            .add(i as u32, &vectors.make(i))
            .expect("made vectors fit");
    }
    let mut s = Scratch::default();
    let ((), build) = timed(|| while space.index_step(4096, &mut s) {});
    let ((), check) = timed(|| space.check_recall(950, &mut s));
    let questions: Vec<Vec<f32>> = (0..QUESTIONS).map(|i| vectors.make(i * 31 + 5)).collect();
    let all = |_: u32| true;
    let (found, took) = timed(|| {
        let search = |q: &Vec<f32>| space.search(q, NEIGHBOURS, count, &all, &mut s);
        questions
            .iter()
            .map(search)
            .collect::<Result<Vec<_>, _>>()
            .expect("questions fit")
    });
    // A filter that leaves fewer rows than a graph is for makes the search an exact scan.
    let sample = 200.min(QUESTIONS);
    let mut hits = 0;
    for (q, found) in questions.iter().zip(&found).take(sample) {
        let exact = space
            .search(q, NEIGHBOURS, 0, &all, &mut s)
            .expect("questions fit");
        hits += found
            .iter()
            .filter(|hit| exact.iter().any(|other| other.1 == hit.1))
            .count();
    }
    let raw = (count * DIMS * 4) as f64;
    line("build, one thread", format!("{:.1} s", build.as_secs_f64()));
    line("recall self-check", format!("{:.2} s", check.as_secs_f64()));
    line(
        "strategy chosen for recall 0.95",
        format!("{:?}", space.strategy()),
    );
    line(
        "recall@10",
        format!("{:.3}", hits as f64 / (sample * NEIGHBOURS) as f64),
    );
    line(
        "questions per second, one thread",
        format!("{:.0}", QUESTIONS as f64 / took.as_secs_f64()),
    );
    line(
        "memory",
        format!(
            "{:.0} MB = {:.2} of the raw vectors",
            space.bytes() as f64 / 1e6,
            space.bytes() as f64 / raw
        ),
    );
}

fn directory() -> PathBuf {
    std::env::temp_dir().join(format!("memory-bench-{}", std::process::id()))
}

fn key(key: &mut [u8; 32]) {
    getrandom::fill(key).expect("the system gives random numbers");
}

fn storage(count: usize) {
    println!("\nstorage: {count} documents of one chunk");
    let dir = directory();
    std::fs::create_dir_all(&dir).expect("temporary directory");
    let disk = || Box::new(RealDisk::new(&dir));
    let random = || Box::new(key) as Random;
    let mut store = Store::create(disk(), "u0/bench", "model m", random()).expect("create");
    let mut vectors = Vectors::new(DIMS, 1000, 5);
    let mut batch = Vec::new();
    for i in 0..count {
        let path = format!("d{i}");
        let body = format!(
            "document number {i} about topic{} and item{}",
            i % 997,
            i % 89
        )
        .into_bytes();
        let (chunks, _) = store.state.needed_for(&path, &body);
        let id = Some(store.new_document().expect("key"));
        let data = VectorData::pack(&[vectors.make(i)], Precision::F32);
        batch.push((id, Record::Put { path, body }));
        batch.push((
            id,
            Record::Vectors {
                model: "m".into(),
                dims: DIMS as u32,
                chunks,
                data,
            },
        ));
        if batch.len() >= 2000 {
            store.append(1, std::mem::take(&mut batch)).expect("append");
        }
    }
    store.append(1, batch).expect("append");
    while store.state.index_step(4096) {}
    let log = store.log_bytes();
    line("log", format!("{:.0} MB", log as f64 / 1e6));
    store.snapshot().expect("snapshot");
    drop(store);
    let wall = Instant::now();
    let (store, took) = timed(|| Store::open(disk(), "u0/bench", random()).expect("open"));
    line(
        "open after a clean stop",
        format!(
            "{:.2} s (wall {:.2} s), {} rows to index",
            took.as_secs_f64(),
            wall.elapsed().as_secs_f64(),
            store.state.unindexed()
        ),
    );
    let mut store = store;
    for i in 0..1000 {
        let body = format!("late document {i}").into_bytes();
        let id = Some(store.new_document().expect("key"));
        let (chunks, _) = store.state.needed_for(&format!("late{i}"), &body);
        let data = VectorData::pack(&[vectors.make(i)], Precision::F32);
        let put = Record::Put {
            path: format!("late{i}"),
            body,
        };
        let record = Record::Vectors {
            model: "m".into(),
            dims: DIMS as u32,
            chunks,
            data,
        };
        store
            .append(2, vec![(id, put), (id, record)])
            .expect("append");
    }
    drop(store);
    let (store, took) = timed(|| Store::open(disk(), "u0/bench", random()).expect("open"));
    line(
        "open after a kill, 1000 documents past the snapshot",
        format!(
            "{:.2} s, {} rows to index",
            took.as_secs_f64(),
            store.state.unindexed()
        ),
    );
    drop(store);
    let _ = std::fs::remove_dir_all(&dir);
}

fn scheme(count: usize) {
    println!("\nscheme: {count} documents, hashing embedder, wall time");
    let dir = directory();
    let scheme = Memory::start(Config::hashing(dir.clone()).service().expect("service"));
    scheme.make_dir("bench").expect("collection");
    let mut puts = Vec::new();
    for i in 0..count {
        let body = format!(
            "document number {i} about topic{} and item{}",
            i % 97,
            i % 89
        );
        let start = Instant::now();
        scheme
            .write(&format!("bench/d{i}"), body.as_bytes())
            .expect("write");
        puts.push(start.elapsed());
    }
    line(
        "insert to acknowledged, median / 99 %",
        format!(
            "{:?} / {:?}",
            percentile(&mut puts, 50),
            percentile(&mut puts, 99)
        ),
    );
    let file = scheme
        .open("bench/.search?k=10", OpenFlags::READ_WRITE)
        .expect("search file");
    let (mut outer, mut inner) = (Vec::new(), Vec::new());
    for i in 0..500 {
        let question = format!("what about topic{} and item{}", i % 97, i % 13);
        let start = Instant::now();
        file.write_all(question.as_bytes()).expect("question");
        file.read_to_end().expect("answer");
        outer.push(start.elapsed());
        let start = Instant::now();
        scheme.with_service(|service| {
            let shared = service.shared();
            let mut hub = shared.hub();
            let store = hub
                .get(0, "bench")
                .and_then(|open| open.store())
                .expect("collection");
            let vectors = vec![(HASHING_MODEL.to_owned(), hashing_embedding(&question))];
            let query = Query {
                text: question,
                vectors,
                k: 10,
                mode: Mode::Hybrid,
                ..Query::default()
            };
            store.state.search(&query).expect("search")
        });
        inner.push(start.elapsed());
    }
    let (outer, inner) = (percentile(&mut outer, 50), percentile(&mut inner, 50));
    line("search in the engine, median", format!("{inner:?}"));
    line(
        "search through the scheme with passages, median",
        format!("{outer:?} (+{:?})", outer.saturating_sub(inner)),
    );
    drop(file);
    drop(scheme);
    let _ = std::fs::remove_dir_all(&dir);
}

fn main() {
    let arguments = std::env::args().skip(1);
    let count: usize = arguments
        .filter_map(|word| word.parse().ok())
        .next()
        .unwrap_or(100_000);
    index("clustered, 16-bit in memory", count, 1000, Precision::F32);
    index("clustered, int8", count, 1000, Precision::Int8);
    index("uniform", count.min(100_000), 0, Precision::F32);
    storage(count.min(100_000));
    scheme(2000);
}
