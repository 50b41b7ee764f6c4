//! Start, fork, exec, exit, wait, identity.

use valence_abi::errno::*;
use valence_abi::flags::*;
use valence_abi::syscall as nr;

use crate::harness::{SCRATCH, World, program};

const STATUS: usize = SCRATCH + 0x100;

/// Puts an image and `ExecArgs` with one argument into memory and calls `EXEC`.
pub fn exec(world: &mut World, tid: u32, image: &[u8]) -> Option<Result<usize, Errno>> {
    let (args, file) = (SCRATCH + 0x1000, SCRATCH + 0x10_0000);
    world.put(tid, file, image);
    world.put(tid, args + 0x200, b"progX=1/bin/progstate");
    let words = [
        file,
        image.len(),
        args + 0x100,
        1,
        args + 0x110,
        1,
        args + 0x207,
        9,
        args + 0x210,
        5,
        args + 0x200,
        4,
        args + 0x204,
        3,
    ];
    for (index, word) in words.iter().enumerate() {
        let at = if index < 10 {
            args + index * 8
        } else {
            args + 0x100 + (index - 10) * 8
        };
        world.put(tid, at, &word.to_le_bytes());
    }
    world.call(tid, nr::EXEC, [args, 0, 0, 0, 0, 0])
}

#[test]
fn init_starts_with_its_arguments_and_the_console() {
    let mut world = World::new();
    assert_eq!(world.rip(1), 0x40_1000);
    assert_eq!(world.write(1, 1, b"hello"), Some(Ok(5)));
    assert!(world.kernel.machine.serial[0].ends_with(b"hello"));
    assert_eq!(world.ok(1, nr::GETPID, [0; 6]), 1);
    assert_eq!(world.get(1, 0x40_2F00, 6), b"data\0\0");
}

#[test]
fn exec_replaces_the_image_and_keeps_what_it_should() {
    let mut world = World::new();
    let child = world.fork(1);
    let kept = world.ok(child, nr::DUP, [1, 0, 0, 0, 0, 0]);
    let closed = world.ok(child, nr::DUP, [1, 0, 0, O_CLOEXEC, 0, 0]);
    let other = world.thread(child);
    exec(&mut world, child, &program());
    assert_eq!(world.rip(child), 0x40_1000);
    assert!(!world.alive(other));
    let cpu = world.cpu_of(child).unwrap();
    let sp = world.kernel.registers(cpu).rsp as usize;
    assert_eq!(world.get_u64(child, sp), 1);
    let argv = world.get_u64(child, sp + 8) as usize;
    assert_eq!(world.get(child, argv, 5), b"prog\0");
    let envp = world.get_u64(child, sp + 24) as usize;
    assert_eq!(world.get(child, envp, 4), b"X=1\0");
    assert_eq!(world.get(child, 0x40_1000, 4), [0x90; 4]);
    assert_eq!(world.get(child, 0x40_2F00, 6), b"data\0\0");
    assert!(
        world
            .done(child, nr::FCNTL, [kept, F_GETFD, 0, 0, 0, 0])
            .is_ok()
    );
    assert_eq!(
        world.done(child, nr::FCNTL, [closed, F_GETFD, 0, 0, 0, 0]),
        Err(EBADF)
    );
}

#[test]
fn a_bad_image_leaves_the_caller_as_it_was() {
    let mut world = World::new();
    let before = world.kernel.frames.free_count();
    let mut image = program();
    image[4] = 1;
    assert_eq!(exec(&mut world, 1, &image), Some(Err(ENOEXEC)));
    assert_eq!(exec(&mut world, 1, b"#!/bin/sh\n"), Some(Err(ENOEXEC)));
    assert_eq!(exec(&mut world, 1, b""), Some(Err(ENOEXEC)));
    assert!(before - world.kernel.frames.free_count() < 10);
    assert_eq!(world.ok(1, nr::GETPID, [0; 6]), 1);
}

#[test]
fn repeated_exec_does_not_leak() {
    let mut world = World::new();
    let child = world.fork(1);
    let mut free = Vec::new();
    for _ in 0..4 {
        let flags = PROT_READ | PROT_WRITE | MAP_PRIVATE | MAP_FIXED;
        let _ = world.ok(
            child,
            nr::MMAP,
            [SCRATCH, 0x40_0000, flags, usize::MAX, 0, 0],
        );
        exec(&mut world, child, &program());
        free.push(world.kernel.frames.free_count());
    }
    assert_eq!(free[1], free[3]);
}

#[test]
fn waiting_collects_each_child_once() {
    let mut world = World::new();
    let child = world.fork(1);
    world.waits(1, nr::WAITPID, [usize::MAX, STATUS, 0, 0, 0, 0]);
    world.call(child, nr::EXIT, [7, 0, 0, 0, 0, 0]);
    assert_eq!(world.result(1), Some(Ok(child as usize)));
    assert_eq!(world.get(1, STATUS, 4), (7i32 << 8).to_le_bytes());
    assert_eq!(
        world.done(1, nr::WAITPID, [usize::MAX, 0, 0, 0, 0, 0]),
        Err(ECHILD)
    );
}

#[test]
fn no_hang_tells_that_nothing_changed() {
    let mut world = World::new();
    let child = world.fork(1);
    assert_eq!(
        world.ok(1, nr::WAITPID, [usize::MAX, 0, WNOHANG, 0, 0, 0]),
        0
    );
    world.call(child, nr::EXIT, [0; 6]);
    assert_eq!(
        world.ok(1, nr::WAITPID, [usize::MAX, 0, WNOHANG, 0, 0, 0]),
        child as usize
    );
}

#[test]
fn orphans_become_children_of_init() {
    let mut world = World::new();
    let child = world.fork(1);
    let grandchild = world.fork(child);
    world.call(child, nr::EXIT, [0; 6]);
    assert_eq!(
        world.ok(1, nr::WAITPID, [usize::MAX, 0, 0, 0, 0, 0]),
        child as usize
    );
    world.call(grandchild, nr::EXIT, [3, 0, 0, 0, 0, 0]);
    assert_eq!(
        world.ok(1, nr::WAITPID, [usize::MAX, 0, 0, 0, 0, 0]),
        grandchild as usize
    );
}

#[test]
fn exit_ends_every_thread_of_the_process() {
    let mut world = World::new();
    let child = world.fork(1);
    let other = world.thread(child);
    let (read, _write) = world.pipe(other);
    world.waits(other, nr::READ, [read, SCRATCH, 1, 0, 0, 0]);
    world.call(child, nr::EXIT, [0; 6]);
    assert!(!world.alive(other) && !world.alive(child));
    assert_eq!(
        world.ok(1, nr::WAITPID, [child as usize, 0, 0, 0, 0, 0]),
        child as usize
    );
}

#[test]
fn a_thread_that_exits_clears_its_word_and_wakes_who_joins() {
    let mut world = World::new();
    let other = world.thread(1);
    world.put(1, SCRATCH, &1u32.to_le_bytes());
    world.waits(1, nr::FUTEX_WAIT, [SCRATCH, 1, usize::MAX, 0, 0, 0]);
    world.call(
        other,
        nr::THREAD_EXIT,
        [SCRATCH, SCRATCH + 0x30_0000, 0x1000, 0, 0, 0],
    );
    assert_eq!(world.result(1), Some(Ok(0)));
    assert_eq!(world.get(1, SCRATCH, 4), [0; 4]);
    assert_eq!(
        world.done(1, nr::WRITE, [1, SCRATCH + 0x30_0000, 1, 0, 0, 0]),
        Err(EFAULT)
    );
}

#[test]
fn sessions_and_groups_follow_the_rules() {
    let mut world = World::new();
    let child = world.fork(1);
    assert_eq!(world.done(1, nr::SETSID, [0; 6]), Err(EPERM));
    assert_eq!(world.ok(child, nr::SETSID, [0; 6]), child as usize);
    let job = world.fork(child);
    world.ok(child, nr::SETPGID, [job as usize, job as usize, 0, 0, 0, 0]);
    world.ok(job, nr::GETMETA, [0, SCRATCH, 0, 0, 0, 0]);
    assert_eq!(world.get(job, SCRATCH + 4, 4), job.to_le_bytes());
    assert_eq!(
        world.done(1, nr::SETPGID, [job as usize, 0, 0, 0, 0, 0]),
        Err(ESRCH)
    );
    assert_eq!(world.ok(job, nr::GETSID, [0; 6]), child as usize);
    exec(&mut world, job, &program());
    assert_eq!(
        world.done(
            child,
            nr::SETPGID,
            [job as usize, child as usize, 0, 0, 0, 0]
        ),
        Err(EACCES)
    );
}

#[test]
fn rights_once_given_up_do_not_come_back() {
    let mut world = World::new();
    let child = world.fork(1);
    world.ok(child, nr::SETRESUID, [1000, 1000, 1000, 0, 0, 0]);
    assert_eq!(
        world.done(child, nr::SETRESUID, [0, 0, 0, 0, 0, 0]),
        Err(EPERM)
    );
    assert_eq!(world.done(child, nr::KILL, [1, 15, 0, 0, 0, 0]), Err(EPERM));
    assert_eq!(world.open(child, "serio/0", O_RDONLY), Some(Err(EACCES)));
    assert_eq!(
        world.open(child, "memory/physical", O_RDWR),
        Some(Err(EACCES))
    );
    assert_eq!(world.open(child, "irq/msi", O_RDWR), Some(Err(EACCES)));
    assert_eq!(world.open(child, "sys/kstop", O_WRONLY), Some(Err(EACCES)));
}
