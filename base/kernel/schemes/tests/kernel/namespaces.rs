//! What a process can reach is what its namespace says.

use valence_abi::errno::*;
use valence_abi::flags::*;
use valence_abi::syscall as nr;

use crate::harness::{SCRATCH, World};
use crate::schemes::Daemon;

/// Makes a namespace of these names; its descriptor.
fn make(world: &mut World, tid: u32, names: &[&str]) -> usize {
    let mut at = SCRATCH + 0x3000;
    for (index, name) in names.iter().enumerate() {
        world.put(tid, at, name.as_bytes());
        world.put(tid, SCRATCH + index * 16, &at.to_le_bytes());
        world.put(tid, SCRATCH + index * 16 + 8, &name.len().to_le_bytes());
        at += name.len();
    }
    world.ok(tid, nr::NS_MAKE, [SCRATCH, names.len(), 0, 0, 0, 0])
}

/// A child that has only these names.
fn confined(world: &mut World, names: &[&str]) -> u32 {
    let ns = make(world, 1, names);
    let child = world.fork(1);
    world.ok(child, nr::NS_SET, [ns, 0, 0, 0, 0, 0]);
    world.ok(child, nr::CLOSE, [ns, 0, 0, 0, 0, 0]);
    world.ok(1, nr::CLOSE, [ns, 0, 0, 0, 0, 0]);
    child
}

fn names(world: &mut World, tid: u32) -> Vec<String> {
    let dir = world.open_ok(tid, "", O_RDONLY | O_DIRECTORY);
    let len = world.ok(tid, nr::GETDENTS, [dir, SCRATCH + 0x5000, 4096, 0, 0, 0]);
    let bytes = world.get(tid, SCRATCH + 0x5000, len);
    let mut names = Vec::new();
    let mut at = 0;
    while at < len {
        let size = u16::from_le_bytes([bytes[at + 16], bytes[at + 17]]) as usize;
        let name = &bytes[at + 19..at + size];
        names.push(String::from_utf8(name.split(|b| *b == 0).next().unwrap().to_vec()).unwrap());
        at += size;
    }
    names
}

#[test]
fn a_child_has_only_the_listed_names() {
    let mut world = World::new();
    let child = confined(&mut world, &["time", "s*", "missing"]);
    assert_eq!(names(&mut world, child), ["serio", "sys", "time"]);
    assert!(world.open(child, "time/4", O_RDWR).unwrap().is_ok());
    for path in [
        "debug",
        "initfs/bin/init",
        "namespace/scheme-creation-cap",
        "initfs",
        "missing",
    ] {
        assert_eq!(
            world.open(child, path, O_RDONLY),
            Some(Err(ENODEV)),
            "{path}"
        );
    }
    let grandchild = world.fork(child);
    let wider = make(&mut world, grandchild, &["*", "debug", "initfs"]);
    world.ok(grandchild, nr::NS_SET, [wider, 0, 0, 0, 0, 0]);
    assert_eq!(names(&mut world, grandchild), ["serio", "sys", "time"]);
}

#[test]
fn without_the_authority_no_scheme_is_made_and_no_name_registered() {
    let mut world = World::new();
    let child = confined(&mut world, &["time", "pipe"]);
    let ns = world.ok(child, nr::NS_GET, [0; 6]);
    let fd = world.open_ok(child, "time/4", O_RDWR);
    world.put(child, SCRATCH, b"fake");
    assert_eq!(
        world.done(child, nr::NS_REGISTER, [ns, SCRATCH, 4, fd, 0, 0]),
        Err(EPERM)
    );
    world.put(child, SCRATCH, b"time");
    assert_eq!(
        world.done(child, nr::UNLINKAT, [nr::AT_NAMESPACE, SCRATCH, 4, 0, 0, 0]),
        Err(EPERM)
    );
    assert_eq!(
        world.done(child, nr::UNLINKAT, [ns, SCRATCH, 4, 0, 0, 0]),
        Err(EPERM)
    );
}

#[test]
fn an_attenuated_root_takes_the_usual_name() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "ai");
    let limited = daemon.open(&mut world, 1, "ai/limited", 99, 0);
    let ns = make(&mut world, 1, &["time"]);
    world.put(1, SCRATCH, b"ai");
    world.ok(1, nr::NS_REGISTER, [ns, SCRATCH, 2, limited, 0, 0]);
    assert_eq!(
        world.done(1, nr::NS_REGISTER, [ns, SCRATCH, 2, limited, 0, 0]),
        Err(EEXIST)
    );
    let child = world.fork(1);
    world.ok(child, nr::NS_SET, [ns, 0, 0, 0, 0, 0]);
    assert_eq!(world.open(child, "ai/chat", O_RDWR), None);
    let request = daemon.next(&mut world);
    assert_eq!(request.args[0], 99, "relative to the attenuated root");
}

#[test]
fn a_restarted_daemon_is_found_again_by_confined_children() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "log");
    let child = confined(&mut world, &["log"]);
    world.ok(1, nr::KILL, [daemon.tid as usize, 9, 0, 0, 0, 0]);
    assert_eq!(world.open(child, "log/x", O_RDWR), Some(Err(ENODEV)));
    let again = Daemon::new(&mut world, "log");
    again.open(&mut world, child, "log/x", 3, 0);
}

#[test]
fn a_name_is_taken_once_and_can_be_removed() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 5, 0);
    let ns = world.ok(1, nr::NS_GET, [0; 6]);
    world.put(1, SCRATCH, b"testa/b");
    assert_eq!(
        world.done(1, nr::NS_REGISTER, [ns, SCRATCH, 4, fd, 0, 0]),
        Err(EEXIST)
    );
    assert_eq!(
        world.done(1, nr::NS_REGISTER, [ns, SCRATCH + 4, 3, fd, 0, 0]),
        Err(EINVAL)
    );
    assert_eq!(
        world.done(1, nr::NS_REGISTER, [fd, SCRATCH, 4, fd, 0, 0]),
        Err(EBADF)
    );
    world.ok(1, nr::UNLINKAT, [nr::AT_NAMESPACE, SCRATCH, 4, 0, 0, 0]);
    assert_eq!(world.open(1, "test/x", O_RDWR), Some(Err(ENODEV)));
    world.waits(1, nr::READ, [fd, SCRATCH, 1, 0, 0, 0]);
}

#[test]
fn raw_paths_cannot_leave_the_directory_they_start_from() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let dir = daemon.open(&mut world, 1, "test/dir", 5, 0);
    for path in ["..", "../x", "a/../../x"] {
        world.put(1, SCRATCH, path.as_bytes());
        let args = [dir, SCRATCH, path.len(), O_RDONLY, 0, 0];
        assert_eq!(world.done(1, nr::OPENAT, args), Err(EPERM));
        assert_eq!(world.done(1, nr::UNLINKAT, args), Err(EPERM));
    }
}

#[test]
fn events_need_no_name() {
    let mut world = World::new();
    let child = confined(&mut world, &["time"]);
    let queue = world.ok(child, nr::EVENT_QUEUE, [O_CLOEXEC, 0, 0, 0, 0, 0]);
    assert_eq!(
        world.ok(child, nr::EVENT_WAIT, [queue, SCRATCH, 1, 0, 0, 0]),
        0
    );
}
