//! Limits of a process and its descendants together.

use valence_abi::errno::*;
use valence_abi::flags::*;
use valence_abi::syscall as nr;

use crate::harness::{SCRATCH, World};
use crate::processes::exec;

fn limit(world: &mut World, tid: u32, text: &str) -> Result<usize, Errno> {
    let fd = world.open_ok(tid, "proc/limits", O_RDWR);
    let result = world.write(tid, fd, text.as_bytes()).expect("waits");
    world.ok(tid, nr::CLOSE, [fd, 0, 0, 0, 0, 0]);
    result
}

fn limits(world: &mut World, tid: u32) -> String {
    let fd = world.open_ok(tid, "proc/limits", O_RDONLY);
    let text = world.read(tid, fd, 1000).unwrap();
    world.ok(tid, nr::CLOSE, [fd, 0, 0, 0, 0, 0]);
    String::from_utf8(text).unwrap()
}

#[test]
fn a_fork_bomb_ends_at_the_border_of_its_group() {
    let mut world = World::with(24, (0x10_0000, 64 << 20));
    let shell = world.fork(1);
    assert!(limit(&mut world, shell, "processes 6 threads 8").is_ok());
    let mut forked = vec![shell];
    let mut refused = 0;
    for round in 0..4 {
        for tid in forked.clone() {
            match world.done(tid, nr::FORK, [0; 6]) {
                Ok(pid) => forked.push(pid as u32),
                Err(errno) => {
                    assert_eq!(errno, EAGAIN, "round {round}");
                    refused += 1;
                }
            }
        }
    }
    assert_eq!(forked.len(), 6);
    assert!(refused > 0);
    world.thread(shell);
    world.thread(shell);
    let args = [0x40_1000, SCRATCH + 0x8000, 0, 0, 0, 0];
    assert_eq!(world.done(shell, nr::THREAD_CREATE, args), Err(EAGAIN));
    world.fork(1);
    assert!(limits(&mut world, shell).contains("processes 6 of 6\nthreads 8 of 8"));
    world.call(forked[5], nr::EXIT, [0; 6]);
    assert_eq!(
        world.done(shell, nr::FORK, [0; 6]),
        Err(EAGAIN),
        "until it is collected"
    );
}

#[test]
fn memory_is_counted_for_all_descendants() {
    let mut world = World::new();
    let before = world.kernel.frames.free_count();
    let shell = world.fork(1);
    assert!(limit(&mut world, shell, "memory 1M").is_ok());
    let child = world.fork(shell);
    let flags = PROT_READ | PROT_WRITE | MAP_PRIVATE;
    let at = world.ok(child, nr::MMAP, [0, 2 << 20, flags, usize::MAX, 0, 0]);
    for page in 0..512 {
        if !world.alive(child) {
            break;
        }
        world.touch(child, at + page * 4096, true);
    }
    assert!(!world.alive(child), "ended at its limit");
    assert!(world.alive(shell) && before - world.kernel.frames.free_count() < 300);
    world.ok(shell, nr::WAITPID, [child as usize, 0, 0, 0, 0, 0]);
    let again = world.fork(shell);
    world.put(again, SCRATCH, &[1; 100_000]);
}

#[test]
fn descriptors_are_counted_and_come_back() {
    let mut world = World::new();
    let shell = world.fork(1);
    assert!(limit(&mut world, shell, "handles 10").is_ok());
    let mut open = Vec::new();
    let errno = loop {
        match world.done(shell, nr::DUP, [1, 0, 0, 0, 0, 0]) {
            Ok(fd) => open.push(fd),
            Err(errno) => break errno,
        }
    };
    assert_eq!((errno, open.len()), (EMFILE, 7));
    assert_eq!(
        world.done(shell, nr::DUP2, [1, 50, 0, 0, 0, 0]),
        Err(EMFILE)
    );
    assert_eq!(world.done(shell, nr::DUP2, [1, 2, 0, 0, 0, 0]), Ok(2));
    assert_eq!(world.done(shell, nr::FORK, [0; 6]), Err(EMFILE));
    for fd in open {
        world.ok(shell, nr::CLOSE, [fd, 0, 0, 0, 0, 0]);
    }
    let child = world.fork(shell);
    assert!(limits(&mut world, shell).contains("handles 7 of 10"));
    world.call(child, nr::EXIT, [0; 6]);
    world.ok(shell, nr::WAITPID, [child as usize, 0, 0, 0, 0, 0]);
    assert!(limits(&mut world, shell).contains("handles 4 of 10"));
}

#[test]
fn a_child_cannot_raise_its_limits_and_groups_end_with_their_processes() {
    let mut world = World::new();
    let shell = world.fork(1);
    assert!(limit(&mut world, shell, "processes 3 memory 8M").is_ok());
    let child = world.fork(shell);
    assert!(limit(&mut world, child, "processes 1000 memory 1G").is_ok());
    assert!(limits(&mut world, child).contains("processes 1 of 2"));
    world.fork(child);
    assert_eq!(world.done(child, nr::FORK, [0; 6]), Err(EAGAIN));
    assert_eq!(limit(&mut world, child, "nonsense"), Err(EINVAL));
    exec(&mut world, child, &crate::harness::program());
    assert_eq!(world.kernel.groups.len(), 2);
    for _ in 0..3 {
        let pids: Vec<u32> = world
            .kernel
            .pids
            .keys()
            .copied()
            .filter(|pid| *pid != 1)
            .collect();
        for pid in pids {
            world.done(1, nr::KILL, [pid as usize, 9, 0, 0, 0, 0]).ok();
        }
        while world
            .call(1, nr::WAITPID, [usize::MAX, 0, WNOHANG, 0, 0, 0])
            .is_some_and(|r| r.is_ok_and(|p| p > 0))
        {}
    }
    assert_eq!(
        (world.kernel.groups.len(), world.kernel.processes.len()),
        (0, 1)
    );
}
