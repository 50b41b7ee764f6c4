//! Limits that hold for a process and all its descendants together.
//!
//! A process that sets limits moves into a group of its own below the one it was in; its children are born there. Every use is
//! counted in the group and in all groups above, so a group below can never have more than one above leaves: limits only
//! shrink, and a bomb of processes, threads, memory or descriptors ends at the border of its group.

use valence_abi::errno::{EAGAIN, EMFILE, ENOMEM, Errno};

use crate::kernel::{GroupId, Kernel, ProcessId};
use crate::machine::Machine;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Pages present in address spaces.
    Memory = 0,
    /// Processes, ended ones that were not collected included.
    Processes = 1,
    /// Threads.
    Threads = 2,
    /// Descriptors.
    Handles = 3,
}

impl Resource {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Processes, Self::Threads, Self::Handles];

    /// Its name in texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Threads => "threads",
            Self::Handles => "handles",
        }
    }

    fn refusal(self) -> Errno {
        match self {
            Self::Memory => ENOMEM,
            Self::Processes | Self::Threads => EAGAIN,
            Self::Handles => EMFILE,
        }
    }
}

/// Amounts of each resource, by `Resource as usize`.
pub type Amounts = [u64; 4];

/// No limit at all.
pub const UNLIMITED: Amounts = [u64::MAX; 4];

/// Processes with a common limit.
#[derive(Debug)]
pub struct Group {
    /// The group around it.
    pub above: Option<GroupId>,
    /// What may be used.
    pub limits: Amounts,
    /// What is used, groups below included.
    pub used: Amounts,
    /// Processes and groups below.
    pub references: u32,
}

impl<M: Machine> Kernel<M> {
    /// Counts a use in the group and all above, or refuses it without a trace.
    pub(crate) fn charge(
        &mut self,
        group: Option<GroupId>,
        resource: Resource,
        amount: u64,
    ) -> Result<(), Errno> {
        let index = resource as usize;
        let mut at = group;
        while let Some(found) = at.and_then(|id| self.groups.get(id)) {
            let after = found.used[index].checked_add(amount);
            if after.is_none_or(|after| after > found.limits[index]) {
                return Err(resource.refusal());
            }
            at = found.above;
        }
        let mut at = group;
        while let Some(found) = at.and_then(|id| self.groups.get_mut(id)) {
            found.used[index] += amount;
            at = found.above;
        }
        Ok(())
    }

    /// Takes a use back.
    pub(crate) fn uncharge(&mut self, group: Option<GroupId>, resource: Resource, amount: u64) {
        let index = resource as usize;
        let mut at = group;
        while let Some(found) = at.and_then(|id| self.groups.get_mut(id)) {
            found.used[index] = found.used[index].saturating_sub(amount);
            at = found.above;
        }
    }

    /// The group of a process.
    pub(crate) fn group_of(&self, process: ProcessId) -> Option<GroupId> {
        self.processes.get(process)?.group
    }

    /// One user more.
    pub(crate) fn group_retain(&mut self, group: Option<GroupId>) {
        if let Some(group) = group.and_then(|id| self.groups.get_mut(id)) {
            group.references = group.references.saturating_add(1);
        }
    }

    /// One user less. What an ended group still had counted (a space that another CPU has loaded) leaves the groups above.
    pub(crate) fn group_release(&mut self, group: Option<GroupId>) {
        let mut next = group;
        while let Some(id) = next.take() {
            let Some(found) = self.groups.get_mut(id) else {
                return;
            };
            found.references = found.references.saturating_sub(1);
            if found.references > 0 {
                return;
            }
            if let Some(ended) = self.groups.remove(id) {
                for resource in Resource::ALL {
                    self.uncharge(ended.above, resource, ended.used[resource as usize]);
                }
                next = ended.above;
            }
        }
    }

    /// Puts a process into a group of its own with these limits.
    pub fn group_enter(&mut self, id: ProcessId, limits: Amounts) -> Result<(), Errno> {
        let process = self.processes.get(id).ok_or(EAGAIN)?;
        let (above, space) = (process.group, process.space);
        let (threads, handles) = (process.threads.len() as u64, process.fds.len() as u64);
        let memory = self.spaces.get(space).map_or(0, |space| space.resident) as u64;
        let group = Group {
            above,
            limits,
            used: [memory, 1, threads, handles],
            references: 1,
        };
        let group = self.groups.insert(group).map_err(|_| EAGAIN)?;
        // The reference that the process had to the group above passes to the new group.
        if let Some(process) = self.processes.get_mut(id) {
            process.group = Some(group);
        }
        if let Some(space) = self.spaces.get_mut(space) {
            space.group = Some(group);
        }
        Ok(())
    }
}
