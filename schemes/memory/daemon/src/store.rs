//! One collection on disk: log, keys, graph snapshot; and its state in memory.
//!
//! Files of a collection's directory: `N.log` for the highest `N` with a whole file header is the log; `keys` the key
//! slots; `N.graph` a snapshot of the graph. A change is acknowledged only after the log is synced. If writing fails,
//! the log is cut back to where it was, and nothing was acknowledged. `compact.rs` writes the next generation.

use memory_engine::Collection;
use memory_engine::document::Version;
use memory_engine::frame::{
    self, Decoded, FILE_HEADER_BYTES, FILE_MAGIC, HEADER_BYTES, Header, Key,
};
use memory_engine::limits::DIMENSIONS;
use memory_engine::record::{DocumentId, Record, VectorData, hash};
use scheme_server::Errno;

use crate::disk::{self, Disk, DiskFile};
use crate::error::{Error, Result};
use crate::keys::{Keys, Slot};
use crate::log::{Damage, RawFrame, Scan, scan};

/// Sequence numbers left out after a torn tail, so that none is used twice under one key.
const TORN_SKIP: u64 = 1 << 20;

/// Where randomness for keys comes from.
pub type Random = Box<dyn FnMut(&mut Key) + Send>;

/// What opening found wrong; the rest is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Damaged places of the log.
    pub damage: Vec<Damage>,
    /// Bytes cut from the end of the log.
    pub torn: u64,
    /// Records that decode but do not fit, by sequence number: their key or a record before is lost.
    pub unreadable: Vec<u64>,
    /// Whether a graph snapshot was there but did not fit.
    pub snapshot_refused: bool,
}

/// The open collection.
pub struct Store {
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) dir: String,
    pub(crate) generation: u64,
    pub(crate) log: Box<dyn DiskFile>,
    pub(crate) end: u64,
    pub(crate) keys: Keys,
    random: Random,
    next_seq: u64,
    durable: u64,
    /// Set when a failed write could not be taken back: nothing more is written.
    failed: bool,
    /// The state.
    pub state: Collection,
    /// What opening found.
    pub health: Health,
}

fn file_header(generation: u64) -> [u8; FILE_HEADER_BYTES as usize] {
    let mut bytes = [0; FILE_HEADER_BYTES as usize];
    bytes[..8].copy_from_slice(&FILE_MAGIC);
    bytes[8..].copy_from_slice(&generation.to_le_bytes());
    bytes
}

/// Generations in a directory: number, and whether the file header is whole.
fn generations(disk: &dyn Disk, dir: &str) -> Result<Vec<(u64, bool)>> {
    let mut found = Vec::new();
    for name in disk.list(dir)? {
        let Some(number) = name
            .strip_suffix(".log")
            .and_then(|n| n.parse::<u64>().ok())
        else {
            continue;
        };
        let mut head = [0; FILE_HEADER_BYTES as usize];
        let got = disk
            .open(&format!("{dir}/{name}"), false)?
            .read_at(0, &mut head)?;
        found.push((number, got == head.len() && head == file_header(number)));
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether a directory holds a collection.
///
/// # Errors
/// The filesystem's.
pub fn is_collection(disk: &dyn Disk, dir: &str) -> Result<bool> {
    Ok(!generations(disk, dir)?.is_empty())
}

/// Starts an empty generation: the file header comes last, when everything before is durable.
pub(crate) fn seal_generation(
    disk: &dyn Disk,
    dir: &str,
    generation: u64,
    log: &mut dyn DiskFile,
) -> std::io::Result<()> {
    log.sync()?;
    disk.sync_dir(dir)?;
    log.write_at(0, &file_header(generation))?;
    log.sync()
}

impl Store {
    /// Makes a collection in an empty or new directory, with these options.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn create(disk: Box<dyn Disk>, dir: &str, options: &str, random: Random) -> Result<Store> {
        disk.make_dir(dir)?;
        drop(Keys::open(disk.as_ref(), &format!("{dir}/keys"), true)?);
        let mut log = disk.open(&format!("{dir}/1.log"), true)?;
        log.truncate(0)?;
        log.write_at(0, &[0; FILE_HEADER_BYTES as usize])?;
        let record = Record::Options(options.to_owned());
        let header = Header {
            seq: 1,
            time: 0,
            durable: 0,
            slot: None,
            kind: record.kind(),
        };
        let mut bytes = Vec::new();
        frame::encode(&header, None, &record.encode(), &mut bytes);
        log.write_at(FILE_HEADER_BYTES, &bytes)?;
        seal_generation(disk.as_ref(), dir, 1, log.as_mut())?;
        if let Some((parent, _)) = dir.rsplit_once('/') {
            disk.sync_dir(parent)?;
        }
        drop(log);
        Store::open(disk, dir, random)
    }

    /// Opens a collection: replays its log, cuts a torn tail, takes the graph snapshot back.
    ///
    /// # Errors
    /// ENOENT if there is none; the filesystem's. Damage is no error: see [`Store::health`].
    pub fn open(disk: Box<dyn Disk>, dir: &str, random: Random) -> Result<Store> {
        let found = generations(disk.as_ref(), dir)?;
        let whole = found
            .iter()
            .rev()
            .find(|(_, whole)| *whole)
            .or(found.last());
        let &(generation, whole) = whole.ok_or(Errno::ENOENT)?;
        let keys = Keys::open(disk.as_ref(), &format!("{dir}/keys"), true)?;
        let mut log = disk.open(&format!("{dir}/{generation}.log"), false)?;
        let mut state = Collection::new();
        let mut health = Health::default();
        if !whole {
            health.damage.push(Damage {
                offset: 0,
                len: FILE_HEADER_BYTES,
                after: 0,
            });
        }
        let mut replay = Replay {
            state: &mut state,
            keys,
            unreadable: Vec::new(),
            last_seq: 0,
        };
        let Scan { damage, end, torn } = scan(log.as_mut(), |frame| replay.apply(&frame))?;
        let Replay {
            keys,
            unreadable,
            last_seq,
            ..
        } = replay;
        health.damage.extend(damage);
        (health.torn, health.unreadable) = (torn, unreadable);
        if torn > 0 {
            log.truncate(end)?;
            log.sync()?;
        }
        for &(other, _) in found.iter().filter(|(other, _)| *other != generation) {
            remove_generation(disk.as_ref(), dir, other)?;
        }
        let next_seq = last_seq + 1 + if torn > 0 { TORN_SKIP } else { 0 };
        let (durable, failed, dir) = (last_seq, false, dir.to_owned());
        let mut store = Store {
            disk,
            dir,
            generation,
            log,
            end,
            keys,
            random,
            next_seq,
            durable,
            failed,
            state,
            health,
        };
        store.restore_graph();
        Ok(store)
    }

    fn restore_graph(&mut self) {
        let path = format!("{}/{}.graph", self.dir, self.generation);
        let Ok(bytes) = disk::read_all(self.disk.as_ref(), &path) else {
            return;
        };
        let fits = bytes.split_first_chunk::<4>().is_some_and(|(sum, graph)| {
            u32::from_le_bytes(*sum) == crc32fast::hash(graph) && self.state.restore_graph(graph)
        });
        self.health.snapshot_refused = !fits;
    }

    /// Writes a snapshot of the graph.
    ///
    /// # Errors
    /// The filesystem's; nothing is lost then.
    pub fn snapshot(&mut self) -> Result<()> {
        let Some(graph) = self.state.graph_snapshot() else {
            return Ok(());
        };
        let mut bytes = crc32fast::hash(&graph).to_le_bytes().to_vec();
        bytes.extend(graph);
        disk::replace(
            self.disk.as_ref(),
            &self.dir,
            &format!("{}.graph", self.generation),
            &bytes,
        )?;
        Ok(())
    }

    /// A number and key for a new document.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn new_document(&mut self) -> Result<DocumentId> {
        Ok(self.keys.take(&mut self.random)?)
    }

    /// The sequence number that the next record gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Appends records, all or none, and applies them once they are on disk. This is the group commit: one sync for all.
    ///
    /// # Errors
    /// The filesystem's; then nothing has changed. EIO once a failed write could not be taken back.
    pub fn append(&mut self, time: u64, records: Vec<(Option<DocumentId>, Record)>) -> Result<()> {
        if self.failed {
            return Err(Errno::EIO.into());
        }
        // What the state would refuse must not get into the log.
        if !records.iter().all(|(_, record)| is_sound(record)) {
            return Err(Error::Engine(memory_engine::Error::BadVector));
        }
        let mut bytes = Vec::new();
        let mut placed = Vec::with_capacity(records.len());
        for (slot, record) in records {
            let header = Header {
                seq: self.next_seq + placed.len() as u64,
                time,
                durable: self.durable,
                slot,
                kind: record.kind(),
            };
            let key = match slot.map(|slot| self.keys.get(slot)) {
                None => None,
                Some(Slot::Key(key)) => Some(key),
                Some(_) => return Err(Error::Damaged("key".into())),
            };
            placed.push((header, self.end + bytes.len() as u64, record));
            let (header, _, record) = &placed[placed.len() - 1];
            frame::encode(header, key.as_ref(), &record.encode(), &mut bytes);
        }
        if let Err(error) = self
            .log
            .write_at(self.end, &bytes)
            .and_then(|()| self.log.sync())
        {
            self.failed = self
                .log
                .truncate(self.end)
                .and_then(|()| self.log.sync())
                .is_err();
            self.next_seq += TORN_SKIP;
            return Err(error.into());
        }
        self.end += bytes.len() as u64;
        self.next_seq += placed.len() as u64;
        self.durable = self.next_seq - 1;
        for (header, offset, record) in placed {
            let forgotten = if let Record::Forget(id) = record {
                Some(id)
            } else {
                None
            };
            self.state.apply(&header, record, offset)?;
            if let Some(id) = forgotten {
                self.keys.destroy(id)?;
            }
        }
        Ok(())
    }

    /// The content of a version.
    ///
    /// # Errors
    /// `Damaged` if the stored bytes fail their checksum; the filesystem's.
    pub fn read(&mut self, id: DocumentId, version: &Version) -> Result<Vec<u8>> {
        let damaged = || Error::Damaged(format!("version {} of document {id}", version.seq));
        let (header, mut payload) = self.read_frame(version.offset)?.ok_or_else(damaged)?;
        let Slot::Key(key) = self.keys.get(id) else {
            return Err(damaged());
        };
        frame::apply_key(&key, header.seq, &mut payload);
        match Record::decode(header.kind, &payload) {
            Ok(Record::Put { body, .. }) if hash(&body) == version.hash => Ok(body),
            _ => Err(damaged()),
        }
    }

    fn read_frame(&mut self, offset: u64) -> Result<Option<(Header, Vec<u8>)>> {
        let mut bytes = vec![0; 4096];
        loop {
            let got = self.log.read_at(offset, &mut bytes)?;
            match frame::decode(&bytes[..got]) {
                Decoded::NeedMore(more) if got == bytes.len() && more > got => {
                    bytes.resize(more, 0)
                }
                Decoded::Frame {
                    header,
                    payload_len,
                } => {
                    bytes.truncate(HEADER_BYTES + payload_len);
                    bytes.drain(..HEADER_BYTES);
                    return Ok(Some((header, bytes)));
                }
                _ => return Ok(None),
            }
        }
    }

    /// Bytes of the log.
    pub fn log_bytes(&self) -> u64 {
        self.end
    }

    /// Takes the disk back, to open the collection again.
    pub(crate) fn into_parts(self) -> (Box<dyn Disk>, String, Random) {
        (self.disk, self.dir, self.random)
    }
}

pub(crate) fn remove_generation(
    disk: &dyn Disk,
    dir: &str,
    generation: u64,
) -> std::io::Result<()> {
    let names = disk.list(dir)?;
    for name in [format!("{generation}.log"), format!("{generation}.graph")] {
        if names.contains(&name) {
            disk.remove(&format!("{dir}/{name}"))?;
        }
    }
    disk.sync_dir(dir)
}

fn is_sound(record: &Record) -> bool {
    match record {
        Record::Vectors { dims, data, .. } => {
            let all_finite = match data {
                VectorData::F32(floats) | VectorData::Int8(floats, _) => {
                    floats.iter().all(|x| x.is_finite())
                }
            };
            all_finite && (1..=DIMENSIONS).contains(&(*dims as usize))
        }
        _ => true,
    }
}

struct Replay<'a> {
    state: &'a mut Collection,
    keys: Keys,
    unreadable: Vec<u64>,
    last_seq: u64,
}

impl Replay<'_> {
    fn apply(&mut self, frame: &RawFrame) -> Result<()> {
        let header = &frame.header;
        self.last_seq = header.seq;
        match unseal(&mut self.keys, frame) {
            Unsealed::Gone => {}
            Unsealed::Damaged => self.unreadable.push(header.seq),
            Unsealed::Record(record) => {
                if let Record::Forget(id) = record {
                    // The power may have gone between the record and the key.
                    self.keys.destroy(id)?;
                }
                if self.state.apply(header, record, frame.offset).is_err() {
                    self.unreadable.push(header.seq);
                }
            }
        }
        Ok(())
    }
}

/// A frame's record, as far as its key allows.
pub(crate) enum Unsealed {
    Record(Record),
    /// The document is forgotten.
    Gone,
    Damaged,
}

pub(crate) fn unseal(keys: &mut Keys, frame: &RawFrame) -> Unsealed {
    let header = &frame.header;
    let mut payload = frame.payload.clone();
    if let Some(slot) = header.slot {
        keys.note_used(slot);
        match keys.get(slot) {
            Slot::Key(key) => frame::apply_key(&key, header.seq, &mut payload),
            Slot::Gone => return Unsealed::Gone,
            Slot::Damaged => return Unsealed::Damaged,
        }
    }
    Record::decode(header.kind, &payload).map_or(Unsealed::Damaged, Unsealed::Record)
}
