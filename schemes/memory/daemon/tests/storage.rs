//! Storage under faults: kills at random moments, full disks, flipped bits, forgotten bytes.

use std::collections::BTreeMap;

use memory_engine::record::Record;
use memoryd::disk::Disk;
use memoryd::mem_disk::MemDisk;
use memoryd::store::Store;

/// A seeded source of numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Fills a key with random bytes.
type FillKey = Box<dyn FnMut(&mut [u8; 32]) + Send>;

fn keys(seed: u64) -> FillKey {
    let mut random = Random(seed ^ 0x5eed);
    Box::new(move |key| {
        key.iter_mut()
            .for_each(|byte| *byte = random.next() as u8 | 1)
    })
}

fn create(disk: &MemDisk) -> Store {
    Store::create(Box::new(disk.clone()), "1/notes", "model hashing", keys(1)).unwrap()
}

fn open(disk: &MemDisk, seed: u64) -> Store {
    Store::open(Box::new(disk.clone()), "1/notes", keys(seed)).unwrap()
}

fn put(store: &mut Store, path: &str, body: &[u8]) -> memoryd::error::Result<u32> {
    let id = match store.state.at_path(path) {
        Some(document) => document.id,
        None => store.new_document()?,
    };
    let record = Record::Put {
        path: path.into(),
        body: body.to_vec(),
    };
    store.append(1000, vec![(Some(id), record)]).map(|()| id)
}

fn contents(store: &mut Store) -> BTreeMap<String, Vec<u8>> {
    let list: Vec<_> = store
        .state
        .under("")
        .map(|d| (d.id, d.path.clone(), d.current().unwrap().clone()))
        .collect();
    list.into_iter()
        .map(|(id, path, version)| (path, store.read(id, &version).unwrap()))
        .collect()
}

fn body(random: &mut Random) -> Vec<u8> {
    let words = 1 + random.below(400);
    (0..words)
        .flat_map(|_| format!("w{} ", random.below(5000)).into_bytes())
        .collect()
}

/// One life of the disk: operations until it stops, then a crash, then a look at what is there.
fn kill_once(seed: u64) {
    let disk = MemDisk::with_faults();
    let mut random = Random(seed);
    drop(create(&disk));
    let mut acknowledged: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for life in 0..4 {
        let mut store = open(&disk, life + 50);
        disk.stop_after(random.below(120));
        let mut in_doubt: Option<(String, Option<Vec<u8>>)> = None;
        loop {
            let path = format!("d{}", random.below(12));
            match random.below(10) {
                0..=5 => {
                    let body = body(&mut random);
                    if put(&mut store, &path, &body).is_err() {
                        in_doubt = Some((path, Some(body)));
                        break;
                    }
                    acknowledged.insert(path, body);
                }
                6..=7 => {
                    let Some(id) = store.state.at_path(&path).map(|document| document.id) else {
                        continue;
                    };
                    if store
                        .append(1000, vec![(None, Record::Forget(id))])
                        .is_err()
                    {
                        in_doubt = Some((path, None));
                        break;
                    }
                    acknowledged.remove(&path);
                }
                8 => {
                    let (after, result) = store.compact();
                    // Without a store the disk stopped while the new generation was opened.
                    let Some(after) = after else { break };
                    store = after;
                    if result.is_err() {
                        break;
                    }
                }
                _ => {
                    if store.snapshot().is_err() {
                        break;
                    }
                }
            }
        }
        let mut store = reopen_after_crash(&disk, &mut random, life);
        assert_eq!(store.health.damage, [], "seed {seed}");
        assert_eq!(store.health.unreadable, [] as [u64; 0], "seed {seed}");
        let found = contents(&mut store);
        if let Some((path, wanted)) = in_doubt {
            // An unacknowledged change is there as a whole or not at all.
            let seen = found.get(&path).cloned();
            assert!(
                seen == wanted || seen == acknowledged.get(&path).cloned(),
                "seed {seed}"
            );
            match seen {
                Some(body) => acknowledged.insert(path, body),
                None => acknowledged.remove(&path),
            };
        }
        assert_eq!(found, acknowledged, "seed {seed}");
    }
}

fn reopen_after_crash(disk: &MemDisk, random: &mut Random, life: u64) -> Store {
    disk.crash(|| random.next());
    open(disk, life + 2)
}

#[test]
fn a_kill_at_any_moment_loses_nothing_acknowledged_short() {
    (0..60).for_each(kill_once);
}

#[test]
#[ignore = "the full form of the test above"]
fn a_kill_at_any_moment_loses_nothing_acknowledged_full() {
    (1000..2500).for_each(kill_once);
}

#[test]
fn a_full_disk_refuses_and_goes_on_once_there_is_room() {
    let disk = MemDisk::with_faults();
    let mut store = create(&disk);
    put(&mut store, "a", b"kept").unwrap();
    disk.set_capacity(Some(disk.medium().len() as u64 + 100));
    let error = put(&mut store, "b", &[7; 5000]).unwrap_err();
    assert_eq!(error.errno(), scheme_server::Errno::ENOSPC);
    let (store, result) = store.compact();
    assert!(result.is_err());
    let mut store = store.unwrap();
    assert_eq!(contents(&mut store).len(), 1);
    disk.set_capacity(None);
    put(&mut store, "b", &[7; 5000]).unwrap();
    drop(store);
    disk.crash(|| 0);
    assert_eq!(contents(&mut open(&disk, 9)).len(), 2);
}

#[test]
fn a_flipped_bit_is_named_and_the_rest_is_served() {
    let disk = MemDisk::with_faults();
    let mut store = create(&disk);
    for i in 0..20 {
        put(
            &mut store,
            &format!("d{i}"),
            format!("content number {i} of it").as_bytes(),
        )
        .unwrap();
    }
    drop(store);
    let len = disk.open("1/notes/1.log", false).unwrap().len().unwrap();
    let mut random = Random(4);
    for _ in 0..150 {
        let bit = random.below(len * 8);
        disk.flip("1/notes/1.log", bit);
        let mut store = open(&disk, 3);
        let served = contents(&mut store).len();
        let report = store.check().unwrap();
        assert!(served >= 19, "bit {bit}: {served}");
        assert!(
            served == 20 || !report.problems.is_empty() || store.health.torn > 0,
            "bit {bit}"
        );
        if store.health.torn > 0 {
            return; // the last record was cut off: the rest of the file is another file now
        }
        disk.flip("1/notes/1.log", bit);
    }
    let key_bits = 20 * 40 * 8;
    for _ in 0..50 {
        let bit = random.below(key_bits);
        disk.flip("1/notes/keys", bit);
        let mut store = open(&disk, 3);
        assert!(contents(&mut store).len() >= 19);
        let report = store.check().unwrap();
        assert!(!report.problems.is_empty(), "key bit {bit}");
        disk.flip("1/notes/keys", bit);
    }
}

#[test]
fn repair_saves_the_rest_and_says_what_was_lost() {
    let disk = MemDisk::with_faults();
    let mut store = create(&disk);
    for i in 0..10 {
        put(&mut store, &format!("d{i}"), b"some content").unwrap();
    }
    disk.flip("1/notes/1.log", 3000);
    let store = open(&disk, 3);
    let (store, report) = store.repair();
    let (mut store, report) = (store.unwrap(), report.unwrap());
    assert!(report.problems[0].contains("1.log bytes"), "{report:?}");
    assert_eq!(contents(&mut store).len(), 9);
    assert_eq!(store.check().unwrap().problems, [] as [String; 0]);
    put(&mut store, "again", b"and on").unwrap();
}

#[test]
fn a_forgotten_document_is_nowhere_on_the_medium() {
    let disk = MemDisk::with_faults();
    let mut store = create(&disk);
    let secret = b"the zebra password is swordfish";
    put(&mut store, "folder/zebra-name.md", secret).unwrap();
    put(&mut store, "other", b"harmless").unwrap();
    let has = |needle: &[u8]| {
        disk.medium()
            .windows(needle.len())
            .any(|window| window == needle)
    };
    assert!(
        !has(b"swordfish") && !has(b"zebra-name"),
        "it is sealed while it is kept"
    );
    let id = store.state.at_path("folder/zebra-name.md").unwrap().id;
    let sealed_before = disk.medium();
    store.append(1, vec![(None, Record::Forget(id))]).unwrap();
    assert!(disk.open("1/notes/keys", false).is_ok() && sealed_before != disk.medium());
    let (store, _) = store.compact();
    let mut store = store.unwrap();
    assert_eq!(contents(&mut store).len(), 1);
    let new = put(&mut store, "new", b"x").unwrap();
    assert_ne!(new, id, "numbers and keys are not used again");
}
