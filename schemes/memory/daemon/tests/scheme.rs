//! The scheme from outside, through the in-memory transport: every path of the documentation, bad input, users.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memory_api::{ContextPart, Found, HistoryLine};
use memoryd::config::Config;
use memoryd::disk::{Disk, RealDisk};
use memoryd::embed::Embedder;
use memoryd::hub::{Hub, World};
use memoryd::service::MemoryService;
use memoryd::store::Random;
use scheme_server::memory::Memory;
use scheme_server::{Caller, Errno, Kind, OpenFlags};

type Scheme = Memory<MemoryService>;

/// A directory that is removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("memoryd-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    fn start(&self) -> Scheme {
        Memory::start(Config::hashing(self.0.clone()).service().unwrap())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(scheme: &Scheme, path: &str) -> String {
    String::from_utf8(scheme.read(path).unwrap()).unwrap()
}

fn ask(scheme: &Scheme, path: &str, question: &str) -> Result<String, Errno> {
    let file = scheme.open(path, OpenFlags::READ_WRITE)?;
    file.write_all(question.as_bytes())?;
    Ok(String::from_utf8(file.read_to_end()?).unwrap())
}

fn find(scheme: &Scheme, path: &str, question: &str) -> Vec<Found> {
    let reply = ask(scheme, path, question).unwrap();
    reply
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn names(scheme: &Scheme, path: &str) -> Vec<String> {
    scheme
        .list(path)
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect()
}

fn notes(scheme: &Scheme) {
    scheme.make_dir("notes").unwrap();
    scheme
        .write(
            "notes/boot.md",
            b"# Boot\n\nThe loader reads the kernel from the EFI partition.\n",
        )
        .unwrap();
    scheme
        .write(
            "notes/net/tcp.md",
            b"# TCP\n\nThe network stack speaks TCP over virtio.\n",
        )
        .unwrap();
    scheme
        .write("notes/cat.txt", b"Cats sleep most of the day.")
        .unwrap();
}

#[test]
fn documents_are_files() {
    let dir = Dir::new("files");
    let scheme = dir.start();
    notes(&scheme);
    assert_eq!(
        names(&scheme, ""),
        [
            "episodic", "notes", "semantic", "working", "context", "metrics", "status"
        ]
    );
    assert_eq!(names(&scheme, "notes"), ["boot.md", "cat.txt", "net"]);
    assert_eq!(names(&scheme, "notes/net"), ["tcp.md"]);
    assert_eq!(
        scheme.read("notes/cat.txt").unwrap(),
        b"Cats sleep most of the day."
    );
    assert_eq!(scheme.stat("notes/cat.txt").unwrap().size, 27);
    assert_eq!(scheme.stat("notes/net").unwrap().kind, Kind::Dir);
    scheme.write("notes/cat.txt", b"Cats.").unwrap();
    assert_eq!(scheme.read("notes/cat.txt").unwrap(), b"Cats.");
    scheme.rename("notes/cat.txt", "notes/dog.txt").unwrap();
    scheme.rename("notes/net", "notes/web").unwrap();
    assert_eq!(names(&scheme, "notes"), ["boot.md", "dog.txt", "web"]);
    scheme.remove("notes/dog.txt", Kind::File).unwrap();
    assert_eq!(scheme.read("notes/dog.txt"), Err(Errno::ENOENT));
    assert_eq!(scheme.remove("notes", Kind::Dir), Err(Errno::ENOTEMPTY));
    scheme.remove("notes/boot.md", Kind::File).unwrap();
    scheme.remove("notes/web/tcp.md", Kind::File).unwrap();
    scheme.remove("notes/web", Kind::Dir).unwrap();
    scheme.remove("notes", Kind::Dir).unwrap();
    assert_eq!(scheme.stat("notes"), Err(Errno::ENOENT));
}

#[test]
fn a_question_finds_the_passage_with_its_source_also_after_a_restart() {
    let dir = Dir::new("search");
    let scheme = dir.start();
    notes(&scheme);
    for round in 0..2 {
        let scheme = if round == 0 {
            scheme.clone()
        } else {
            dir.start()
        };
        for mode in ["hybrid", "vector", "text"] {
            let found = find(
                &scheme,
                &format!("notes/.search?k=2&mode={mode}"),
                "where does the loader read the kernel",
            );
            assert_eq!(found[0].path, "boot.md", "{mode}");
            assert_eq!(found[0].source, "memory:/notes/boot.md");
            assert!(found[0].text.contains("EFI partition"));
            let [start, end] = found[0].span;
            let body = text(&scheme, "notes/boot.md");
            assert!(body[start as usize..end as usize].contains("EFI partition"));
        }
        assert_eq!(
            scheme.list("notes/?q=virtio+network&k=1").unwrap()[0].name,
            "net%2Ftcp.md"
        );
        assert!(
            text(&scheme, "notes/?q=virtio+network&k=1/net%2Ftcp.md").contains("TCP over virtio")
        );
    }
}

#[test]
fn one_handle_asks_again_and_again() {
    let dir = Dir::new("again");
    let scheme = dir.start();
    notes(&scheme);
    let file = scheme
        .open("notes/.search?k=1", OpenFlags::READ_WRITE)
        .unwrap();
    for (question, path) in [("sleeping cats", "cat.txt"), ("kernel loader", "boot.md")] {
        file.write_all(question.as_bytes()).unwrap();
        let reply = String::from_utf8(file.read_to_end().unwrap()).unwrap();
        assert!(reply.contains(path), "{reply}");
    }
}

#[test]
fn metadata_filters_are_exact() {
    let dir = Dir::new("meta");
    let scheme = dir.start();
    notes(&scheme);
    scheme
        .write("notes/.meta/boot.md", b"year = 2024\ntags = [os, efi]\n")
        .unwrap();
    scheme
        .write("notes/.meta/net/tcp.md", b"year = 2020\n")
        .unwrap();
    assert_eq!(
        text(&scheme, "notes/.meta/boot.md"),
        "tags = [\"os\", \"efi\"]\nyear = 2024\n"
    );
    let paths = |filter: &str| {
        let path = format!("notes/.search?filter={}", memory_api::encode_name(filter));
        let mut paths: Vec<String> = find(&scheme, &path, "the")
            .into_iter()
            .map(|f| f.path)
            .collect();
        paths.sort();
        paths
    };
    assert_eq!(paths("year > 2021"), ["boot.md"]);
    assert_eq!(paths("year <= 2024 and not tags = efi"), ["net/tcp.md"]);
    assert_eq!(
        paths("path = \"cat.txt\" or exists(tags)"),
        ["boot.md", "cat.txt"]
    );
    assert_eq!(
        ask(&scheme, "notes/.search?filter=%28", "x"),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        scheme.write("notes/.meta/boot.md", b"no equals sign"),
        Err(Errno::EINVAL)
    );
}

#[test]
fn history_shows_the_old_and_undo_brings_it_back() {
    let dir = Dir::new("history");
    let scheme = dir.start();
    scheme.make_dir("facts").unwrap();
    scheme
        .write("facts/old", b"The capital of Freedonia is Oldtown.")
        .unwrap();
    scheme
        .write("facts/.meta/old", b"fact = capital of Freedonia")
        .unwrap();
    scheme
        .write("facts/new", b"The capital of Freedonia is Newtown.")
        .unwrap();
    scheme
        .write("facts/.meta/new", b"fact = capital of Freedonia")
        .unwrap();
    let answers = |scheme: &Scheme| find(scheme, "facts/.search", "capital of Freedonia");
    assert_eq!(answers(&scheme).len(), 1);
    assert!(answers(&scheme)[0].text.contains("Newtown"));
    let history: Vec<HistoryLine> = text(&scheme, "facts/.history")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let entry = history
        .iter()
        .find(|entry| entry.change == "superseded")
        .unwrap();
    assert_eq!((&entry.path[..], &entry.detail[..]), ("old", "new"));
    assert!(entry.before.as_ref().unwrap().contains("Oldtown"));
    scheme
        .write("facts/.undo", entry.id.to_string().as_bytes())
        .unwrap();
    assert_eq!(answers(&scheme).len(), 2);
    scheme.write("facts/new", b"changed by mistake").unwrap();
    scheme.write("facts/.undo", b"\n").unwrap();
    assert!(text(&scheme, "facts/new").contains("Newtown"));
}

#[test]
fn users_see_only_their_own() {
    let dir = Dir::new("users");
    let root = dir.start();
    let user = |uid| {
        root.as_caller(Caller {
            pid: 1,
            uid,
            gid: uid,
        })
    };
    let (ann, bob) = (user(1000), user(1001));
    ann.make_dir("diary").unwrap();
    ann.write("diary/day", b"a secret about zebras").unwrap();
    assert_eq!(bob.stat("diary"), Err(Errno::ENOENT));
    assert_eq!(bob.read("diary/day"), Err(Errno::ENOENT));
    assert_eq!(ask(&bob, "diary/.search", "zebras"), Err(Errno::ENOENT));
    assert!(!names(&bob, "").contains(&"diary".to_owned()));
    assert!(!text(&bob, "status").contains("diary") && !text(&bob, "metrics").contains("diary"));
    assert_eq!(
        ask(&bob, "context", "{\"goal\":\"zebras\",\"tokens\":500}").unwrap(),
        ""
    );
    bob.make_dir("diary").unwrap();
    assert_eq!(names(&bob, "diary"), [] as [&str; 0]);
    root.make_dir("system").unwrap();
    root.write("system/help.md", b"The manual of the mem command.")
        .unwrap();
    assert_eq!(
        find(&ann, "system/.search", "manual of mem")[0].path,
        "help.md"
    );
    assert_eq!(ann.write("system/mine", b"x"), Err(Errno::EACCES));
    assert_eq!(ann.remove("system/help.md", Kind::File), Err(Errno::EACCES));
}

#[test]
fn a_context_fits_its_budget_and_names_its_sources() {
    let dir = Dir::new("context");
    let scheme = dir.start();
    notes(&scheme);
    scheme
        .write("notes/copy.md", &scheme.read("notes/boot.md").unwrap())
        .unwrap();
    let request =
        "{\"goal\":\"how is the kernel loaded\",\"tokens\":60,\"from\":[\"memory:/notes\"]}";
    let reply = ask(&scheme, "context", request).unwrap();
    let parts: Vec<ContextPart> = reply
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(parts.iter().map(|part| part.tokens).sum::<usize>() <= 60);
    assert_eq!(
        parts
            .iter()
            .filter(|part| part.text.contains("EFI partition"))
            .count(),
        1
    );
    assert!(parts[0].source.starts_with("memory:/notes/"));
    assert_eq!(ask(&scheme, "context", "{}"), Err(Errno::EPROTO));
    assert_eq!(
        ask(
            &scheme,
            "context",
            "{\"goal\":\"x\",\"tokens\":5,\"from\":[\"no\"]}"
        ),
        Err(Errno::ENOENT)
    );
}

#[test]
fn an_export_imports_again_with_its_vectors() {
    let dir = Dir::new("export");
    let scheme = dir.start();
    notes(&scheme);
    scheme.write("notes/binary", &[0, 255, 7]).unwrap();
    scheme.write("notes/.meta/boot.md", b"year = 2024").unwrap();
    let export = scheme.read("notes/.export").unwrap();
    scheme.make_dir("copy").unwrap();
    scheme.write("copy/.import", &export).unwrap();
    assert_eq!(
        names(&scheme, "copy"),
        ["binary", "boot.md", "cat.txt", "net"]
    );
    assert_eq!(scheme.read("copy/binary").unwrap(), [0, 255, 7]);
    assert_eq!(
        find(&scheme, "copy/.search?mode=vector&k=1", "sleeping cats")[0].path,
        "cat.txt"
    );
    assert_eq!(text(&scheme, "copy/.meta/boot.md"), "year = 2024\n");
    assert_eq!(
        scheme.write("copy/.import", b"{ not json"),
        Err(Errno::EPROTO)
    );
    let chroma =
        br#"{"ids":["x"],"documents":["penguins swim"],"metadatas":[{"n":1}],"embeddings":null}"#;
    scheme.write("copy/.import", chroma).unwrap();
    assert_eq!(find(&scheme, "copy/.search?k=1", "penguins")[0].path, "x");
}

#[test]
fn what_is_forgotten_is_nowhere() {
    let dir = Dir::new("forget");
    let scheme = dir.start();
    notes(&scheme);
    scheme
        .write("notes/secret-name.txt", b"the word is swordfish")
        .unwrap();
    scheme.remove("notes/secret-name.txt", Kind::File).unwrap();
    assert!(
        find(&scheme, "notes/.search", "swordfish")
            .iter()
            .all(|found| found.path != "secret-name.txt")
    );
    for file in ["notes/.export", "notes/.history", "status"] {
        assert!(
            !text(&scheme, file).contains("swordfish")
                && !text(&scheme, file).contains("secret-name")
        );
    }
    scheme.write("notes/.ctl", b"compact\nsnapshot").unwrap();
    drop(scheme);
    let mut files = vec![dir.0.clone()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            let bytes = std::fs::read(&path).unwrap();
            assert!(
                !bytes.windows(9).any(|window| window == b"swordfish"),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn options_are_text_and_layout_is_fixed_once_there_are_documents() {
    let dir = Dir::new("options");
    let scheme = dir.start();
    notes(&scheme);
    let before = text(&scheme, "notes/.ctl");
    assert!(before.contains("model hashing") && before.contains("vectors f32"));
    scheme.write("notes/.ctl", before.as_bytes()).unwrap();
    scheme.write("notes/.ctl", b"ttl 2d\n").unwrap();
    assert!(text(&scheme, "notes/.ctl").contains("ttl 2d"));
    assert_eq!(
        scheme.write("notes/.ctl", b"vectors int8"),
        Err(Errno::EBUSY)
    );
    assert_eq!(
        scheme.write("notes/.ctl", b"colour red"),
        Err(Errno::EINVAL)
    );
    scheme.write("notes/.ctl", b"check").unwrap();
    assert!(
        text(&scheme, "notes/.check").starts_with("8 records and 3 documents are whole"),
        "{}",
        text(&scheme, "notes/.check")
    );
    scheme.make_dir("small").unwrap();
    scheme
        .write("small/.ctl", b"vectors int8\nchunk 200")
        .unwrap();
    scheme
        .write("small/a", b"penguins swim in cold water")
        .unwrap();
    assert_eq!(
        find(&scheme, "small/.search?mode=vector", "swimming penguins")[0].path,
        "a"
    );
}

#[test]
fn bad_input_is_refused_and_the_daemon_goes_on() {
    let dir = Dir::new("bad");
    let scheme = dir.start();
    scheme.make_dir("c").unwrap();
    for (path, errno) in [
        ("c/a\0b", Errno::EINVAL),
        ("c/../x", Errno::EINVAL),
        ("c/.hidden", Errno::EINVAL),
        ("c/a\nb", Errno::EINVAL),
    ] {
        assert_eq!(scheme.write(path, b"x"), Err(errno), "{path:?}");
    }
    assert_eq!(
        scheme.write(&format!("c/{}", "x".repeat(10_000)), b"x"),
        Err(Errno::ENAMETOOLONG)
    );
    assert_eq!(scheme.make_dir(&"y".repeat(200)), Err(Errno::ENAMETOOLONG));
    scheme.write("c/empty", b"").unwrap();
    scheme.write("c/bytes", &[0xff, 0xfe, 0, 1]).unwrap();
    assert_eq!(scheme.read("c/empty").unwrap(), b"");
    assert_eq!(scheme.read("c/bytes").unwrap(), [0xff, 0xfe, 0, 1]);
    let huge = vec![b'x'; memory_engine::limits::DOCUMENT_BYTES + 1];
    assert_eq!(scheme.write("c/huge", &huge), Err(Errno::EFBIG));
    assert_eq!(
        ask(&scheme, "c/.search", &"q ".repeat(1 << 19)),
        Err(Errno::EMSGSIZE)
    );
    assert_eq!(ask(&scheme, "c/.search?k=100000", "q"), Err(Errno::EINVAL));
    assert_eq!(
        ask(&scheme, "c/.search?colour=red", "q"),
        Err(Errno::EINVAL)
    );
    let file = scheme.open("c/.search", OpenFlags::READ_WRITE).unwrap();
    file.write_all(&[0xff, 0xff]).unwrap();
    assert_eq!(file.read_to_end(), Err(Errno::EPROTO));
    assert_eq!(scheme.write("c/.undo", b"12345"), Err(Errno::ENOENT));
    assert_eq!(scheme.write("c/.undo", b"minus one"), Err(Errno::EINVAL));
    scheme.write("c/fine", b"still here").unwrap();
    assert_eq!(find(&scheme, "c/.search", "still here")[0].path, "fine");
}

#[test]
fn one_damaged_collection_leaves_the_others_alone() {
    let dir = Dir::new("damage");
    let scheme = dir.start();
    notes(&scheme);
    scheme.make_dir("other").unwrap();
    scheme.write("other/a", b"fine").unwrap();
    drop(scheme);
    let log = dir.0.join("u0/notes/1.log");
    let len = std::fs::read(&log).unwrap().len();
    std::fs::write(&log, vec![0x55; len]).unwrap();
    let scheme = dir.start();
    assert_eq!(text(&scheme, "other/a"), "fine");
    assert!(scheme.read("notes/boot.md").is_err());
    assert!(text(&scheme, "status").contains("damage"));
}

#[test]
fn the_working_tier_is_memory_only() {
    let dir = Dir::new("working");
    let scheme = dir.start();
    scheme
        .write("working/scratch", b"a passing thought")
        .unwrap();
    assert_eq!(
        find(&scheme, "working/.search", "passing thought")[0].path,
        "scratch"
    );
    drop(scheme);
    assert_eq!(dir.start().read("working/scratch"), Err(Errno::ENOENT));
}

#[test]
fn more_collections_than_may_be_open_at_once_all_work() {
    let disk = memoryd::mem_disk::MemDisk::new();
    let world = World {
        disk: Box::new(move || Box::new(disk.clone()) as Box<dyn Disk>),
        now: Box::new(|| 1_000_000),
        random: Box::new(|| Box::new(|key: &mut [u8; 32]| key.fill(7)) as Random),
        model: "hashing".into(),
    };
    let scheme = Memory::start(MemoryService::new(
        Hub::new(world),
        Box::new(SlowModel { fails: 0 }),
    ));
    let count = memoryd::hub::OPEN_COLLECTIONS + 40;
    for i in 0..count {
        scheme.make_dir(&format!("c{i}")).unwrap();
        scheme
            .write(&format!("c{i}/a"), format!("number {i}").as_bytes())
            .unwrap();
    }
    assert_eq!(names(&scheme, "").len(), count + 6);
    for i in 0..count {
        assert_eq!(text(&scheme, &format!("c{i}/a")), format!("number {i}"));
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused_in_an_import() {
    let dir = Dir::new("inf");
    let scheme = dir.start();
    scheme.make_dir("c").unwrap();
    scheme.write("c/.ctl", b"model given").unwrap();
    let line = |x: &str| {
        format!(
            "{{\"path\":\"a\",\"text\":\"b\",\"model\":\"given\",\"chunks\":[{{\"span\":[0,1],\"vector\":[{x},1]}}]}}"
        )
    };
    assert!(scheme.write("c/.import", line("1e39").as_bytes()).is_err());
    scheme.write("c/.import", line("0.5").as_bytes()).unwrap();
    scheme.write("c/.ctl", b"check").unwrap();
    assert_eq!(text(&scheme, "c/.check").lines().count(), 1);
    assert!(text(&scheme, "status").contains("\"vectors\":1"));
}

/// A model that is slow, or away at first, as `ai:` may be.
struct SlowModel {
    fails: u32,
}

impl Embedder for SlowModel {
    fn embed(&mut self, _: &str, texts: &[String]) -> memoryd::error::Result<Vec<Vec<f32>>> {
        std::thread::sleep(Duration::from_millis(20));
        if self.fails > 0 {
            self.fails -= 1;
            return Err(memoryd::error::Error::Embedder("away".into()));
        }
        Ok(texts
            .iter()
            .map(|text| memory_engine::hashing::hashing_embedding(text))
            .collect())
    }
}

fn with_model(dir: &Path, fails: u32) -> Scheme {
    let dir = dir.to_owned();
    let world = World {
        disk: Box::new(move || Box::new(RealDisk::new(&dir)) as Box<dyn Disk>),
        now: Box::new(|| 1_000_000),
        random: Box::new(|| Box::new(|key: &mut [u8; 32]| key.fill(7)) as Random),
        model: "some-model".into(),
    };
    Memory::start(MemoryService::new(
        Hub::new(world),
        Box::new(SlowModel { fails }),
    ))
}

/// How many chunks of a collection have no vector yet, from its line of the status.
fn unembedded(scheme: &Scheme, collection: &str) -> u64 {
    text(scheme, "status")
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a status line"))
        .find(|status| status["collection"] == collection)
        .and_then(|status| status["unembedded"].as_u64())
        .expect("the collection's line with its count")
}

#[test]
fn a_search_covers_what_a_slow_model_has_not_embedded_yet() {
    let dir = Dir::new("slow");
    let scheme = with_model(&dir.0, 0);
    notes(&scheme);
    assert_eq!(
        find(&scheme, "notes/.search?k=1", "sleeping cats")[0].path,
        "cat.txt"
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    while unembedded(&scheme, "notes") != 0
        || find(&scheme, "notes/.search?k=1&mode=vector", "kernel loader").is_empty()
    {
        assert!(Instant::now() < deadline, "{}", text(&scheme, "status"));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        find(&scheme, "notes/.search?k=1&mode=vector", "kernel loader")[0].path,
        "boot.md"
    );
}

#[test]
fn without_its_model_a_collection_is_searched_by_words() {
    let dir = Dir::new("away");
    let scheme = with_model(&dir.0, u32::MAX);
    notes(&scheme);
    assert_eq!(
        find(&scheme, "notes/.search?k=1", "sleeping cats")[0].path,
        "cat.txt"
    );
    assert!(find(&scheme, "notes/.search?k=1&mode=vector", "sleeping cats").is_empty());
}
