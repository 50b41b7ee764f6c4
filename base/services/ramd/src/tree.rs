//! Names: finding, linking, renaming, removing.

use valence_daemon::Caller;
use valence_daemon::syscall::data::TimeSpec;
use valence_daemon::syscall::error::{
    EEXIST, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EXDEV, Error,
    Result,
};

use crate::limits::{LINKS_FOLLOWED_MAX, NAME_BYTES};
use crate::volume::{Body, Ino, ROOT, SEARCH, Volume, WRITE};

/// Where a path leads: a directory, a name in it, and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) dir: Ino,
    /// Empty when the path is the directory itself.
    pub(crate) name: String,
    pub(crate) ino: Option<Ino>,
}

/// Whether a link in the last place is followed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Last {
    Follow,
    Keep,
}

impl Volume {
    /// Walks a path from a directory.
    pub(crate) fn find(&self, base: Ino, path: &str, last: Last, caller: &Caller) -> Result<Found> {
        let mut rest: Vec<String> = components(path).rev().map(str::to_owned).collect();
        let mut here = Found {
            dir: base,
            name: String::new(),
            ino: Some(base),
        };
        let mut followed = 0;
        while let Some(name) = rest.pop() {
            let dir = here.ino.ok_or(Error::new(ENOENT))?;
            let entries = self.entries(dir)?;
            self.check(dir, caller, SEARCH)?;
            if name == ".." {
                let parent = self.parent(dir)?;
                here = Found {
                    dir: parent,
                    name: String::new(),
                    ino: Some(parent),
                };
                continue;
            }
            if name.len() > NAME_BYTES {
                return Err(Error::new(ENAMETOOLONG));
            }
            let ino = entries.get(&name).copied();
            if let Some(target) = ino.and_then(|ino| self.link_target(ino))
                && (last == Last::Follow || !rest.is_empty())
            {
                followed += 1;
                if followed > LINKS_FOLLOWED_MAX {
                    return Err(Error::new(ELOOP));
                }
                if target.starts_with('/') {
                    return Err(Error::new(EXDEV));
                }
                rest.extend(components(target).rev().map(str::to_owned));
                here = Found {
                    dir,
                    name: String::new(),
                    ino: Some(dir),
                };
                continue;
            }
            here = Found { dir, name, ino };
        }
        Ok(here)
    }

    fn link_target(&self, ino: Ino) -> Option<&str> {
        match &self.inodes.get(&ino)?.body {
            Body::Link(target) => Some(target),
            _ => None,
        }
    }

    fn parent(&self, dir: Ino) -> Result<Ino> {
        match self.inode(dir)?.body {
            Body::Directory { parent, .. } => Ok(parent),
            _ => Err(Error::new(ENOTDIR)),
        }
    }

    /// Path of a directory below the root.
    pub(crate) fn path_of(&self, dir: Ino) -> String {
        let mut names = Vec::new();
        let mut here = dir;
        while here != ROOT
            && let Ok(parent) = self.parent(here)
            && let Ok(entries) = self.entries(parent)
            && let Some((name, _)) = entries.iter().find(|(_, ino)| **ino == here)
        {
            names.push(name.as_str());
            here = parent;
        }
        names.reverse();
        names.join("/")
    }

    /// Removes a name of a file, or an empty directory.
    pub(crate) fn remove(
        &mut self,
        base: Ino,
        path: &str,
        wants_directory: bool,
        caller: &Caller,
        now: TimeSpec,
    ) -> Result<()> {
        let found = self.find(base, path, Last::Keep, caller)?;
        let ino = found.ino.ok_or(Error::new(ENOENT))?;
        if found.name.is_empty() {
            return Err(Error::new(if wants_directory { EINVAL } else { EISDIR }));
        }
        self.check_removal(found.dir, ino, caller)?;
        match (&self.inode(ino)?.body, wants_directory) {
            (Body::Directory { entries, .. }, true) if !entries.is_empty() => {
                return Err(Error::new(ENOTEMPTY));
            }
            (Body::Directory { .. }, false) => return Err(Error::new(EISDIR)),
            (Body::File(_) | Body::Link(_), true) => return Err(Error::new(ENOTDIR)),
            _ => {}
        }
        self.detach(found.dir, &found.name, ino, now)
    }

    /// Takes a name away and forgets the inode when that was its last use.
    fn detach(&mut self, dir: Ino, name: &str, ino: Ino, now: TimeSpec) -> Result<()> {
        self.entries_mut(dir)?.remove(name);
        self.touch(dir, now);
        let inode = self.inode_mut(ino)?;
        inode.links = inode.links.saturating_sub(1);
        inode.changed = now;
        self.collect(ino);
        Ok(())
    }

    /// Gives `ino`, which is `old` in directory `old_dir`, a new path in place of that name.
    pub(crate) fn rename(
        &mut self,
        (old_dir, old, ino): (Ino, &str, Ino),
        path: &str,
        caller: &Caller,
        now: TimeSpec,
    ) -> Result<Found> {
        if self.entries(old_dir)?.get(old) != Some(&ino) {
            return Err(Error::new(ENOENT));
        }
        let mut to = self.find(ROOT, path, Last::Keep, caller)?;
        if to.name.is_empty() {
            return Err(Error::new(EINVAL));
        }
        self.check_removal(old_dir, ino, caller)?;
        self.check(to.dir, caller, WRITE | SEARCH)?;
        if to.ino == Some(ino) {
            return Ok(to);
        }
        let moves_directory = matches!(self.inode(ino)?.body, Body::Directory { .. });
        if moves_directory && self.is_inside(to.dir, ino)? {
            return Err(Error::new(EINVAL));
        }
        if let Some(target) = to.ino {
            self.check_removal(to.dir, target, caller)?;
            match (&self.inode(target)?.body, moves_directory) {
                (Body::Directory { .. }, false) => return Err(Error::new(EISDIR)),
                (Body::Directory { entries, .. }, true) if !entries.is_empty() => {
                    return Err(Error::new(ENOTEMPTY));
                }
                (Body::File(_) | Body::Link(_), true) => return Err(Error::new(ENOTDIR)),
                _ => {}
            }
            self.detach(to.dir, &to.name, target, now)?;
        }
        self.entries_mut(old_dir)?.remove(old);
        self.entries_mut(to.dir)?.insert(to.name.clone(), ino);
        let new_parent = to.dir;
        let inode = self.inode_mut(ino)?;
        inode.changed = now;
        if let Body::Directory { parent, .. } = &mut inode.body {
            *parent = new_parent;
        }
        self.touch(old_dir, now);
        self.touch(to.dir, now);
        to.ino = Some(ino);
        Ok(to)
    }

    /// Whether directory `dir` is `ancestor` or lies below it.
    fn is_inside(&self, dir: Ino, ancestor: Ino) -> Result<bool> {
        let mut here = dir;
        loop {
            if here == ancestor {
                return Ok(true);
            }
            if here == ROOT {
                return Ok(false);
            }
            here = self.parent(here)?;
        }
    }

    /// Gives a file a second name.
    pub(crate) fn link(
        &mut self,
        ino: Ino,
        path: &str,
        caller: &Caller,
        now: TimeSpec,
    ) -> Result<()> {
        let to = self.find(ROOT, path, Last::Keep, caller)?;
        if to.ino.is_some() {
            return Err(Error::new(EEXIST));
        }
        if matches!(self.inode(ino)?.body, Body::Directory { .. }) {
            return Err(Error::new(EPERM));
        }
        self.check(to.dir, caller, WRITE | SEARCH)?;
        self.entries_mut(to.dir)?.insert(to.name, ino);
        self.touch(to.dir, now);
        let inode = self.inode_mut(ino)?;
        inode.links += 1;
        inode.changed = now;
        Ok(())
    }
}

fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "."))
}
