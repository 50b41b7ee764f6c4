//! Namespaces: which names a process can open, and what they open. They are the system's capabilities.
//!
//! An entry is a description whose handle acts as the root. A namespace made from another holds *patterns*, not copies: a
//! name that a pattern lets through is looked up in the namespace above. So a daemon that was restarted and registered
//! again is found under its name, while a name no pattern lets through does not exist here. Entries registered in
//! the namespace itself come first: an attenuated root can take a scheme's usual name.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use valence_abi::errno::{EEXIST, EINVAL, EMFILE, ENODEV, ENOSPC, EPERM, Errno};

use crate::io::file::Target;
use crate::kernel::{FileId, Kernel, NamespaceId};
use crate::limits::{NAME_MAX, NAMESPACE_DEPTH_MAX, NAMESPACE_ENTRIES_MAX};
use crate::machine::Machine;

/// The entry without which a namespace can neither create schemes nor register names.
pub const AUTHORITY: &str = "namespace";

/// A namespace.
#[derive(Debug, Default)]
pub struct Namespace {
    /// Where names that match `patterns` are looked up.
    pub above: Option<NamespaceId>,
    /// Names, or prefixes followed by `*`.
    pub patterns: Vec<String>,
    /// Entries of its own.
    pub own: BTreeMap<String, FileId>,
    /// Processes, descriptions and namespaces that use it.
    pub references: u32,
}

impl Namespace {
    /// Whether a name passes from above.
    pub fn passes(&self, name: &str) -> bool {
        self.patterns
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => pattern == name,
            })
    }
}

/// Whether a name can be registered.
pub fn name_is_valid(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_MAX
        && !name
            .bytes()
            .any(|byte| byte <= b' ' || byte == 0x7F || b"/:*".contains(&byte))
        && name != "."
        && name != ".."
}

impl<M: Machine> Kernel<M> {
    /// A namespace with these patterns over another.
    pub fn namespace_new(
        &mut self,
        above: Option<NamespaceId>,
        patterns: Vec<String>,
    ) -> Result<NamespaceId, Errno> {
        let mut depth = 0;
        let mut at = above;
        while let Some(namespace) = at.and_then(|id| self.namespaces.get(id)) {
            depth += 1;
            at = namespace.above;
        }
        if depth >= NAMESPACE_DEPTH_MAX {
            return Err(ENOSPC);
        }
        let namespace = Namespace {
            above,
            patterns,
            own: BTreeMap::new(),
            references: 1,
        };
        let id = self.namespaces.insert(namespace).map_err(|_| EMFILE)?;
        if let Some(above) = above {
            self.namespace_retain(above);
        }
        Ok(id)
    }

    /// One user more.
    pub fn namespace_retain(&mut self, id: NamespaceId) {
        if let Some(namespace) = self.namespaces.get_mut(id) {
            namespace.references = namespace.references.saturating_add(1);
        }
    }

    /// One user less; the last removes it.
    pub fn namespace_release(&mut self, id: NamespaceId) {
        let mut next = Some(id);
        while let Some(id) = next.take() {
            let Some(namespace) = self.namespaces.get_mut(id) else {
                return;
            };
            namespace.references = namespace.references.saturating_sub(1);
            if namespace.references == 0
                && let Some(namespace) = self.namespaces.remove(id)
            {
                for file in namespace.own.into_values() {
                    self.file_release(file);
                }
                next = namespace.above;
            }
        }
    }

    /// What a name opens. `ENODEV`: nothing.
    pub fn namespace_find(&self, id: NamespaceId, name: &str) -> Result<FileId, Errno> {
        let mut at = self.namespaces.get(id).ok_or(ENODEV)?;
        loop {
            if let Some(file) = at.own.get(name) {
                return Ok(*file);
            }
            if !at.passes(name) {
                return Err(ENODEV);
            }
            at = at
                .above
                .and_then(|id| self.namespaces.get(id))
                .ok_or(ENODEV)?;
        }
    }

    /// Who serves each name of a namespace: the process that made the scheme, or the kernel itself (`None`).
    pub fn namespace_servers(&self, id: NamespaceId) -> Vec<(String, Option<u32>)> {
        let server = |name: &str| {
            let file = self.file(self.namespace_find(id, name).ok()?).ok()?;
            match file.target {
                Target::Kernel(_) => None,
                Target::User(scheme) | Target::Socket(scheme) => {
                    self.schemes.get(scheme).map(|scheme| scheme.owner)
                }
            }
        };
        let names = self.namespace_names(id).into_iter();
        names
            .map(|name| {
                let owner = server(&name);
                (name, owner)
            })
            .collect()
    }

    /// All names that can be opened, sorted.
    pub fn namespace_names(&self, id: NamespaceId) -> Vec<String> {
        let mut chain = Vec::new();
        let mut at = self.namespaces.get(id);
        while let Some(namespace) = at {
            chain.push(namespace);
            at = namespace.above.and_then(|id| self.namespaces.get(id));
        }
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for namespace in chain.into_iter().rev() {
            names.retain(|name| namespace.passes(name));
            names.extend(namespace.own.keys().map(String::as_str));
        }
        names.into_iter().map(ToString::to_string).collect()
    }

    /// Registers a name; takes one reference of the file over, also on failure.
    pub fn namespace_register(
        &mut self,
        id: NamespaceId,
        name: &str,
        file: FileId,
    ) -> Result<(), Errno> {
        let taken = self.namespace_find(id, name).is_ok();
        let result = match self.namespaces.get_mut(id) {
            _ if !name_is_valid(name) => Err(EINVAL),
            _ if taken => Err(EEXIST),
            None => Err(ENODEV),
            Some(namespace) if namespace.own.len() >= NAMESPACE_ENTRIES_MAX => Err(ENOSPC),
            Some(namespace) => {
                namespace.own.insert(name.to_string(), file);
                Ok(())
            }
        };
        if result.is_err() {
            self.file_release(file);
        }
        result
    }

    /// Takes a name of the namespace's own away.
    pub fn namespace_unregister(&mut self, id: NamespaceId, name: &str) -> Result<(), Errno> {
        let namespace = self.namespaces.get_mut(id).ok_or(ENODEV)?;
        let file = namespace.own.remove(name);
        let shadowed = file.is_none() && self.namespace_find(id, name).is_ok();
        match file {
            Some(file) => {
                self.file_release(file);
                Ok(())
            }
            None if shadowed => Err(EPERM),
            None => Err(ENODEV),
        }
    }

    /// Whether processes of this namespace may create schemes and register names.
    pub fn namespace_has_authority(&self, id: NamespaceId) -> bool {
        self.namespace_find(id, AUTHORITY).is_ok()
    }

    /// Removes every entry that is a handle of a scheme that died.
    pub(crate) fn namespace_purge(&mut self, dead: crate::io::file::Target) {
        for id in self.namespaces.ids() {
            let Some(namespace) = self.namespaces.get(id) else {
                continue;
            };
            let gone: Vec<String> = namespace
                .own
                .iter()
                .filter(|(_, file)| {
                    self.files
                        .get(**file)
                        .is_some_and(|file| file.target == dead)
                })
                .map(|(name, _)| name.clone())
                .collect();
            for name in gone {
                let _ = self.namespace_unregister(id, &name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_names_and_prefixes() {
        let namespace = Namespace {
            patterns: alloc::vec!["log".into(), "display*".into()],
            ..Default::default()
        };
        assert!(
            namespace.passes("log") && namespace.passes("display") && namespace.passes("display.a")
        );
        assert!(
            !namespace.passes("logs") && !namespace.passes("file") && !namespace.passes("displa")
        );
    }

    #[test]
    fn names_that_could_be_taken_for_paths_are_refused() {
        for name in [
            "",
            "a/b",
            "a:b",
            "a*",
            ".",
            "..",
            "a b",
            "a\n",
            &"x".repeat(256),
        ] {
            assert!(!name_is_valid(name), "{name:?}");
        }
        assert!(name_is_valid("disk.pci-00-00-03.0-virtio-blk"));
    }
}
