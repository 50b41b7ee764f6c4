//! One CPU: who runs next.

use kernel_core::Next;
use kernel_core::limits::QUANTUM_NS;
use kernel_core::machine::Trap;
use valence_abi::syscall as nr;

use crate::harness::{RAM, SCRATCH, World};

fn current(world: &World) -> u32 {
    let id = world.kernel.cpus[0].current.expect("somebody runs");
    world.kernel.threads.get(id).unwrap().tid
}

fn syscall(world: &mut World, number: usize, args: [usize; 6]) -> Next {
    let r = world.kernel.registers(0);
    r.rax = number as u64;
    [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] = args.map(|word| word as u64);
    world.kernel.trap(0, Trap::Syscall)
}

#[test]
fn threads_share_the_cpu_by_time() {
    let mut world = World::with(1, RAM);
    let a = world.ok(
        1,
        nr::THREAD_CREATE,
        [0x40_1000, SCRATCH + 0x8000, 0, 0, 0, 0],
    ) as u32;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(current(&world));
        world.kernel.machine.now += QUANTUM_NS + 1;
        world.kernel.trap(0, Trap::Timer);
    }
    assert_eq!(seen, [1, a, 1, a]);
}

#[test]
fn who_was_woken_runs_when_the_waker_waits() {
    let mut world = World::with(1, RAM);
    let (read, write) = world.pipe(1);
    let (back, answer) = world.pipe(1);
    let a = world.ok(
        1,
        nr::THREAD_CREATE,
        [0x40_1000, SCRATCH + 0x8000, 0, 0, 0, 0],
    ) as u32;
    let b = world.ok(
        1,
        nr::THREAD_CREATE,
        [0x40_1000, SCRATCH + 0x8000, 0, 0, 0, 0],
    ) as u32;
    syscall(&mut world, nr::YIELD, [0; 6]);
    assert_eq!(current(&world), a);
    syscall(&mut world, nr::READ, [read, SCRATCH, 1, 0, 0, 0]);
    assert_eq!(current(&world), b);
    syscall(&mut world, nr::YIELD, [0; 6]);
    assert_eq!(current(&world), 1);
    syscall(&mut world, nr::WRITE, [write, SCRATCH, 1, 0, 0, 0]);
    assert_eq!(current(&world), 1, "the waker goes on");
    syscall(&mut world, nr::READ, [back, SCRATCH, 1, 0, 0, 0]);
    assert_eq!(current(&world), a, "before b, which waited longer");
    syscall(&mut world, nr::WRITE, [answer, SCRATCH, 1, 0, 0, 0]);
    syscall(&mut world, nr::READ, [read, SCRATCH, 1, 0, 0, 0]);
    assert_eq!(current(&world), 1);
    world.kernel.machine.now += QUANTUM_NS + 1;
    world.kernel.trap(0, Trap::Timer);
    assert_eq!(current(&world), b, "the pair does not starve it");
}

#[test]
fn a_cpu_without_work_halts_and_wakes_for_a_deadline() {
    let mut world = World::with(1, RAM);
    let deadline = world.kernel.machine.now as usize + 1000;
    assert_eq!(
        syscall(&mut world, nr::SLEEP_UNTIL, [deadline, 0, 0, 0, 0, 0]),
        Next::Idle
    );
    world.kernel.machine.now += 2000;
    assert_eq!(world.kernel.trap(0, Trap::Timer), Next::Run);
    assert_eq!(current(&world), 1);
}
