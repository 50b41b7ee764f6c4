//! All collections of all users: finding, opening, making and removing them.
//!
//! A user's collections lie in `u<uid>/`, one directory each; the collection `system`, which everybody may read and only
//! root may change, lies in `shared/`. `working` is on a disk in memory. `episodic` and `semantic` are always there.
//! A collection is opened when it is first used; one that is damaged beyond opening answers EBADMSG, the others go on.

use std::collections::{BTreeMap, BTreeSet};

use memory_api::route::{decode_name, encode_name};
use memory_engine::options::Options;
use memory_engine::path;
use scheme_server::Errno;

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::mem_disk::MemDisk;
use crate::store::{Random, Store};

/// Longest name of a collection: its percent-encoded form must be a file name.
pub const COLLECTION_NAME_BYTES: usize = 80;
/// Collections one user may have (EDQUOT).
pub const COLLECTIONS: usize = 20_000;
/// Collections that are open at once; past it the one not used for longest is closed.
pub const OPEN_COLLECTIONS: usize = 128;
/// The collection that all users share.
pub const SYSTEM: &str = "system";
/// Collections that every user has.
pub const TIERS: [&str; 3] = ["episodic", "semantic", "working"];

/// What the hub needs of the world.
pub struct World {
    /// Opens the storage directory again (each open collection has its own).
    pub disk: Box<dyn Fn() -> Box<dyn Disk> + Send>,
    /// Unix milliseconds.
    pub now: Box<dyn Fn() -> u64 + Send>,
    /// Makes sources of keys.
    pub random: Box<dyn Fn() -> Random + Send>,
    /// Embedding model of new collections.
    pub model: String,
}

/// A collection that is open.
pub struct Open {
    /// Where it is.
    pub place: Place,
    /// Its storage; `None` only while it is being rewritten, or after that failed.
    pub store: Option<Store>,
    /// Folders made with mkdir that hold no document yet; kept until the daemon ends.
    pub folders: BTreeSet<String>,
    /// Result of the last check, in words.
    pub checked: String,
    /// Records appended since the last graph snapshot.
    pub unsaved: bool,
    /// When it was last used, as a count of uses.
    used: u64,
}

impl Open {
    /// Its storage.
    ///
    /// # Errors
    /// EIO after a rewrite that failed; opening it again may help.
    pub fn store(&mut self) -> Result<&mut Store> {
        self.store.as_mut().ok_or(Error::Errno(Errno::EIO))
    }
}

/// Who owns a collection, and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Directory of the owner.
    pub owner: String,
    /// Name of the collection.
    pub name: String,
}

impl Place {
    /// The collection that `uid` means by `name`.
    pub fn of(uid: u32, name: &str) -> Place {
        let owner = if name == SYSTEM {
            "shared".to_owned()
        } else {
            format!("u{uid}")
        };
        Place {
            owner,
            name: name.to_owned(),
        }
    }

    fn dir(&self) -> String {
        format!("{}/{}", self.owner, encode_name(&self.name))
    }

    fn in_memory(&self) -> bool {
        self.name == "working"
    }
}

/// The hub.
pub struct Hub {
    /// What it needs of the world.
    pub world: World,
    scratch: MemDisk,
    open: BTreeMap<Place, Open>,
    uses: u64,
}

impl Hub {
    /// A hub over a storage directory.
    pub fn new(world: World) -> Self {
        Self {
            world,
            scratch: MemDisk::new(),
            open: BTreeMap::new(),
            uses: 0,
        }
    }

    /// Now, Unix milliseconds.
    pub fn now(&self) -> u64 {
        (self.world.now)()
    }

    fn disk_of(&self, place: &Place) -> Box<dyn Disk> {
        if place.in_memory() {
            Box::new(self.scratch.clone())
        } else {
            (self.world.disk)()
        }
    }

    fn options_of(&self, place: &Place) -> String {
        let mut options = Options {
            model: self.world.model.clone(),
            ..Options::default()
        };
        let lines = match &place.name[..] {
            "working" => "tier working\nttl 24h",
            "episodic" => "tier episodic",
            _ => "tier semantic",
        };
        let applied = options.apply(lines);
        debug_assert!(applied.is_ok());
        options.to_string()
    }

    /// Names of the collections that a user sees, in order.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn names(&self, uid: u32) -> Result<Vec<String>> {
        let mut names: BTreeSet<String> = TIERS.iter().map(|&name| name.to_owned()).collect();
        let disk = (self.world.disk)();
        match disk.list(&format!("u{uid}")) {
            Ok(found) => names.extend(
                found
                    .iter()
                    .filter_map(|n| decode_name(n.strip_suffix('/')?)),
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        if disk
            .list("shared")
            .is_ok_and(|found| found.iter().any(|name| name == "system/"))
        {
            names.insert(SYSTEM.to_owned());
        }
        Ok(names.into_iter().collect())
    }

    /// Whether the user sees a collection of that name.
    pub fn exists(&self, uid: u32, name: &str) -> bool {
        let place = Place::of(uid, name);
        self.open.contains_key(&place)
            || TIERS.contains(&name)
            || (path::check_name(name).is_ok()
                && name.len() <= COLLECTION_NAME_BYTES
                && self
                    .disk_of(&place)
                    .list(&place.dir())
                    .is_ok_and(|files| !files.is_empty()))
    }

    /// Makes a collection.
    ///
    /// # Errors
    /// EEXIST, EACCES for `system` unless root, EDQUOT, name errors, the filesystem's.
    pub fn make(&mut self, uid: u32, name: &str) -> Result<()> {
        path::check_name(name)?;
        let reserved = ["status", "metrics", "context"].contains(&name);
        if name.len() > COLLECTION_NAME_BYTES {
            return Err(Errno::ENAMETOOLONG.into());
        }
        if reserved || self.exists(uid, name) {
            return Err(Errno::EEXIST.into());
        }
        if name == SYSTEM && uid != 0 {
            return Err(Errno::EACCES.into());
        }
        if self.names(uid)?.len() >= COLLECTIONS {
            return Err(Errno::EDQUOT.into());
        }
        self.create(Place::of(uid, name))
    }

    fn create(&mut self, place: Place) -> Result<()> {
        let options = self.options_of(&place);
        let store = Store::create(
            self.disk_of(&place),
            &place.dir(),
            &options,
            (self.world.random)(),
        )?;
        self.insert(place, store);
        Ok(())
    }

    fn insert(&mut self, place: Place, store: Store) {
        if self.open.len() >= OPEN_COLLECTIONS {
            self.close_oldest();
        }
        let (folders, checked) = (BTreeSet::new(), String::new());
        let (unsaved, used) = (false, self.uses);
        let open = Open {
            place: place.clone(),
            store: Some(store),
            folders,
            checked,
            unsaved,
            used,
        };
        self.open.insert(place, open);
    }

    fn close_oldest(&mut self) {
        let oldest = self
            .open
            .values()
            .min_by_key(|open| open.used)
            .map(|open| open.place.clone());
        let Some(mut open) = oldest.and_then(|place| self.open.remove(&place)) else {
            return;
        };
        if open.unsaved
            && let Some(store) = &mut open.store
        {
            // Without the snapshot the next opening only takes longer.
            let _ = store.snapshot();
        }
    }

    /// A collection, opened if need be.
    ///
    /// # Errors
    /// ENOENT, EBADMSG if it cannot be opened, the filesystem's.
    pub fn get(&mut self, uid: u32, name: &str) -> Result<&mut Open> {
        self.uses += 1;
        let uses = self.uses;
        let open = self.get_place(&Place::of(uid, name))?;
        open.used = uses;
        Ok(open)
    }

    /// As [`Hub::get`], by place.
    ///
    /// # Errors
    /// As [`Hub::get`].
    pub fn get_place(&mut self, place: &Place) -> Result<&mut Open> {
        let closed = self.open.get(place).is_none_or(|open| open.store.is_none());
        if closed {
            self.open_place(place)?;
        }
        self.open.get_mut(place).ok_or(Error::Errno(Errno::ENOENT))
    }

    fn open_place(&mut self, place: &Place) -> Result<()> {
        path::check_name(&place.name).map_err(|_| Errno::ENOENT)?;
        if place.name.len() > COLLECTION_NAME_BYTES {
            return Err(Errno::ENOENT.into());
        }
        let disk = self.disk_of(place);
        let there = disk
            .list(&place.dir())
            .is_ok_and(|files| files.iter().any(|f| f.ends_with(".log")));
        if there {
            let store = Store::open(disk, &place.dir(), (self.world.random)())?;
            self.insert(place.clone(), store);
            return Ok(());
        }
        // A directory without a log is a mkdir that the power cut short.
        if TIERS.contains(&&place.name[..]) {
            return self.create(place.clone());
        }
        Err(Errno::ENOENT.into())
    }

    /// Removes a collection without documents, and its keys.
    ///
    /// # Errors
    /// ENOTEMPTY, EACCES, the filesystem's.
    pub fn remove(&mut self, uid: u32, name: &str) -> Result<()> {
        if TIERS.contains(&name) || (name == SYSTEM && uid != 0) {
            return Err(Errno::EACCES.into());
        }
        let place = Place::of(uid, name);
        let open = self.get_place(&place)?;
        if open.store()?.state.under("").next().is_some() || !open.folders.is_empty() {
            return Err(Errno::ENOTEMPTY.into());
        }
        self.open.remove(&place);
        let (disk, dir) = (self.disk_of(&place), place.dir());
        let mut keys = disk.open(&format!("{dir}/keys"), true)?;
        let len = keys.len()? as usize;
        keys.write_at(0, &vec![0; len])?;
        keys.sync()?;
        for file in disk.list(&dir)? {
            disk.remove(&format!("{dir}/{file}"))?;
        }
        disk.sync_dir(&dir)?;
        disk.remove_dir(&dir)?;
        Ok(disk.sync_dir(&place.owner)?)
    }

    /// Every open collection.
    pub fn opened(&mut self) -> impl Iterator<Item = &mut Open> {
        self.open.values_mut()
    }

    /// Places of every open collection.
    pub fn places(&self) -> Vec<Place> {
        self.open.keys().cloned().collect()
    }
}
