//! Mappings, copy on write, exhaustion.

use valence_abi::errno::*;
use valence_abi::flags::*;
use valence_abi::syscall as nr;

use crate::harness::{SCRATCH, SCRATCH_LEN, World};

const RW: usize = PROT_READ | PROT_WRITE | MAP_PRIVATE;

#[test]
fn anonymous_memory_is_zero_and_unmapping_gives_the_frames_back() {
    let mut world = World::new();
    let before = world.kernel.frames.free_count();
    let at = world.ok(1, nr::MMAP, [0, 0x8000, RW, usize::MAX, 0, 0]);
    assert_eq!(
        world.kernel.frames.free_count(),
        before,
        "made on first use"
    );
    assert!(world.get(1, at, 0x8000).iter().all(|byte| *byte == 0));
    assert_eq!(world.kernel.frames.free_count(), before - 8);
    world.ok(1, nr::MUNMAP, [at + 0x2000, 0x1000, 0, 0, 0, 0]);
    assert_eq!(world.kernel.frames.free_count(), before - 7);
    world.ok(1, nr::MUNMAP, [at, 0x8000, 0, 0, 0, 0]);
    assert_eq!(world.kernel.frames.free_count(), before);
    assert_eq!(world.done(1, nr::WRITE, [1, at, 1, 0, 0, 0]), Err(EFAULT));
}

#[test]
fn protection_can_be_taken_and_given_without_losing_content() {
    let mut world = World::new();
    let at = world.ok(1, nr::MMAP, [0, 0x3000, RW, usize::MAX, 0, 0]);
    world.put(1, at + 0x1000, b"kept");
    world.ok(1, nr::MPROTECT, [at + 0x1000, 0x1000, 0, 0, 0, 0]);
    let out = world.done(1, nr::WRITE, [1, at + 0x1000, 4, 0, 0, 0]);
    assert_eq!(out, Err(EFAULT));
    world.ok(1, nr::MPROTECT, [at + 0x1000, 0x1000, PROT_READ, 0, 0, 0]);
    assert_eq!(world.get(1, at + 0x1000, 4), b"kept");
    assert_eq!(
        world.done(1, nr::CLOCK_GETTIME, [4, at + 0x1000, 0, 0, 0, 0]),
        Err(EFAULT)
    );
    assert_eq!(
        world.done(
            1,
            nr::MPROTECT,
            [at, 0x1000, PROT_WRITE | PROT_EXEC, 0, 0, 0]
        ),
        Err(EINVAL)
    );
    assert_eq!(
        world.done(1, nr::MPROTECT, [at + 0x2000, 0x2000, PROT_READ, 0, 0, 0]),
        Err(ENOMEM)
    );
}

#[test]
fn fork_shares_until_one_side_writes() {
    let mut world = World::new();
    world.put(1, SCRATCH, b"before");
    let child = world.fork(1);
    world.put(child, SCRATCH, b"child!");
    assert_eq!(world.get(1, SCRATCH, 6), b"before");
    world.put(1, SCRATCH, b"parent");
    assert_eq!(world.get(child, SCRATCH, 6), b"child!");
}

#[test]
fn shared_anonymous_memory_stays_shared_after_fork() {
    let mut world = World::new();
    let flags = PROT_READ | PROT_WRITE | MAP_SHARED;
    let at = world.ok(1, nr::MMAP, [0, 0x2000, flags, usize::MAX, 0, 0]);
    let child = world.fork(1);
    world.put(child, at + 0x1000, b"seen");
    assert_eq!(world.get(1, at + 0x1000, 4), b"seen");
}

#[test]
fn a_forked_and_ended_process_leaves_no_frame_behind() {
    let mut world = World::new();
    world.put(1, SCRATCH, &[1; 0x5000]);
    let before = (
        world.kernel.frames.free_count(),
        world.kernel.machine.spaces(),
    );
    let child = world.fork(1);
    world.put(child, SCRATCH, &[2; 0x5000]);
    world.call(child, nr::EXIT, [0; 6]);
    world.ok(1, nr::WAITPID, [child as usize, 0, 0, 0, 0, 0]);
    assert_eq!(
        (
            world.kernel.frames.free_count(),
            world.kernel.machine.spaces()
        ),
        before
    );
}

#[test]
fn mremap_grows_in_place_or_moves_with_its_content() {
    let mut world = World::new();
    let at = world.ok(
        1,
        nr::MMAP,
        [0x2000_0000, 0x2000, RW | MAP_FIXED, usize::MAX, 0, 0],
    );
    world.put(1, at + 0x1000, b"here");
    assert_eq!(world.ok(1, nr::MREMAP, [at, 0x2000, 0x3000, 0, 0, 0]), at);
    world.ok(
        1,
        nr::MMAP,
        [at + 0x3000, 0x1000, RW | MAP_FIXED, usize::MAX, 0, 0],
    );
    world.ok(1, nr::MPROTECT, [at + 0x3000, 0x1000, PROT_READ, 0, 0, 0]);
    assert_eq!(
        world.done(1, nr::MREMAP, [at, 0x3000, 0x9000, 0, 0, 0]),
        Err(ENOMEM)
    );
    let moved = world.ok(1, nr::MREMAP, [at, 0x3000, 0x9000, 1, 0, 0]);
    assert_ne!(moved, at);
    assert_eq!(world.get(1, moved + 0x1000, 4), b"here");
    assert_eq!(world.done(1, nr::WRITE, [1, at, 1, 0, 0, 0]), Err(EFAULT));
}

#[test]
fn a_fault_outside_of_memory_ends_the_process_alone() {
    let mut world = World::new();
    let child = world.fork(1);
    world.touch(child, 0xDEAD_0000, true);
    assert!(!world.alive(child));
    let status = SCRATCH + 16;
    world.ok(1, nr::WAITPID, [child as usize, status, 0, 0, 0, 0]);
    assert_eq!(world.get(1, status, 4), 11i32.to_le_bytes());
}

#[test]
fn when_memory_runs_out_one_process_ends_and_the_rest_goes_on() {
    let mut world = World::with(4, (0x10_0000, 8 << 20));
    let child = world.fork(1);
    let len = 6 << 20;
    let at = world.ok(child, nr::MMAP, [0, len, RW, usize::MAX, 0, 0]);
    assert_eq!(
        world.done(child, nr::MMAP, [0, 1 << 40, RW, usize::MAX, 0, 0]),
        Err(ENOMEM)
    );
    for page in 0..len / 4096 {
        if !world.alive(child) {
            break;
        }
        world.touch(child, at + page * 4096, true);
    }
    assert!(!world.alive(child));
    world.ok(1, nr::WAITPID, [child as usize, 0, 0, 0, 0, 0]);
    world.put(1, SCRATCH + SCRATCH_LEN / 2, b"fine");
}

#[test]
fn hostile_ranges_are_errors() {
    let mut world = World::new();
    let huge = usize::MAX & !0xFFF;
    for (number, args) in [
        (nr::MMAP, [huge, 0x1000, RW | MAP_FIXED, usize::MAX, 0, 0]),
        (nr::MMAP, [0, 0x1000, RW | MAP_FIXED, usize::MAX, 0, 0]),
        (nr::MMAP, [0, 0, RW, usize::MAX, 0, 0]),
        (nr::MMAP, [0, usize::MAX, RW, usize::MAX, 0, 0]),
        (nr::MUNMAP, [huge, 0x2000, 0, 0, 0, 0]),
        (nr::MUNMAP, [1, 0x2000, 0, 0, 0, 0]),
        (nr::MPROTECT, [0x7FFF_FFFF_F000, 0x2000, PROT_READ, 0, 0, 0]),
        (nr::MREMAP, [SCRATCH, 0, 0x1000, 1, 0, 0]),
        (nr::MREMAP, [SCRATCH, 0x1000, usize::MAX, 1, 0, 0]),
        (nr::CLOCK_GETTIME, [4, 0xFFFF_8000_0000_0000, 0, 0, 0, 0]),
        (nr::CLOCK_GETTIME, [4, 0x7FFF_FFFF_FFF8, 0, 0, 0, 0]),
        (nr::WRITE, [1, 0xFFFF_8000_0000_0000, 1, 0, 0, 0]),
    ] {
        if let Some(result) = world.call(1, number, args) {
            assert!(result.is_err(), "{number:#x} {args:x?}: {result:?}");
        }
    }
}
