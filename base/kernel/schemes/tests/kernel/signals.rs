//! Signals: delivery, masks, interrupted calls, stops.

use valence_abi::errno::*;
use valence_abi::flags::*;
use valence_abi::signal::*;
use valence_abi::syscall as nr;

use crate::harness::{SCRATCH, World};
use crate::schemes::Daemon;

const HANDLER: u64 = 0x40_1100;
const RESTORER: u64 = 0x40_1200;

fn handle(world: &mut World, tid: u32, signal: usize, flags: u32) {
    let mut bytes = HANDLER.to_le_bytes().to_vec();
    bytes.extend(flags.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(RESTORER.to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    world.put(tid, SCRATCH + 0x7000, &bytes);
    world.ok(tid, nr::SIGACTION, [signal, SCRATCH + 0x7000, 0, 0, 0, 0]);
    if world.kernel.registers(world.cpu_of(tid).unwrap()).rsp == SCRATCH as u64 + 0x4000 {
        return;
    }
    let cpu = world.cpu_of(tid).unwrap();
    world.kernel.registers(cpu).rsp = SCRATCH as u64 + 0x4000;
}

/// The handler returns.
fn finish(world: &mut World, tid: u32) {
    let cpu = world.cpu_of(tid).expect("runs");
    let registers = world.kernel.registers(cpu);
    registers.rsp += 8;
    world.call(tid, nr::SIGRETURN, [0; 6]);
}

#[test]
fn a_handler_runs_and_everything_comes_back() {
    let mut world = World::new();
    let child = world.fork(1);
    handle(&mut world, child, SIGUSR1, sa::SIGINFO);
    let cpu = world.cpu_of(child).unwrap();
    world.kernel.registers(cpu).rbx = 0x1234;
    let before = *world.kernel.registers(cpu);
    world.ok(1, nr::KILL, [child as usize, SIGUSR1, 0, 0, 0, 0]);
    assert_eq!(world.rip(child), HANDLER);
    let registers = *world.kernel.registers(cpu);
    assert_eq!((registers.rdi, registers.rsp % 16), (SIGUSR1 as u64, 8));
    assert_eq!(world.get_u64(child, registers.rsp as usize), RESTORER);
    assert_eq!(
        world.get(child, registers.rsi as usize, 4),
        (SIGUSR1 as i32).to_le_bytes()
    );
    assert_eq!(
        world.get(child, registers.rsi as usize + 12, 4),
        1i32.to_le_bytes()
    );
    world.ok(1, nr::KILL, [child as usize, SIGUSR1, 0, 0, 0, 0]);
    assert_eq!(world.rip(child), HANDLER, "blocked while its handler runs");
    finish(&mut world, child);
    assert_eq!(world.rip(child), HANDLER, "the second one");
    finish(&mut world, child);
    let cpu = world.cpu_of(child).unwrap();
    let after = *world.kernel.registers(cpu);
    assert_eq!(
        (after.rip, after.rsp, after.rbx, after.rax),
        (before.rip, before.rsp, before.rbx, before.rax)
    );
}

#[test]
fn an_interrupted_call_fails_or_runs_again() {
    for (flags, restarts) in [(0, false), (sa::RESTART, true)] {
        let mut world = World::new();
        let (read, write) = world.pipe(1);
        let child = world.fork(1);
        handle(&mut world, child, SIGUSR1, flags);
        let rip = world.rip(child);
        world.waits(child, nr::READ, [read, SCRATCH, 5, 0, 0, 0]);
        world.ok(1, nr::KILL, [child as usize, SIGUSR1, 0, 0, 0, 0]);
        assert_eq!(world.rip(child), HANDLER);
        finish(&mut world, child);
        let cpu = world.cpu_of(child).unwrap();
        let registers = *world.kernel.registers(cpu);
        if restarts {
            assert_eq!((registers.rip, registers.rax), (rip - 2, nr::READ as u64));
            world.kernel.registers(cpu).rip += 2;
            world.waits(child, nr::READ, [read, SCRATCH, 5, 0, 0, 0]);
            world.write(1, write, b"late");
            assert_eq!(world.result(child), Some(Ok(4)));
        } else {
            assert_eq!(world.result(child), Some(Err(EINTR)));
            assert_eq!(registers.rip, rip);
        }
    }
}

#[test]
fn a_signal_asks_the_daemon_to_cancel() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 1, 0);
    let child = world.fork(1);
    handle(&mut world, child, SIGUSR1, 0);
    world.waits(child, nr::READ, [fd, SCRATCH, 5, 0, 0, 0]);
    let request = daemon.next(&mut world);
    world.ok(1, nr::KILL, [child as usize, SIGUSR1, 0, 0, 0, 0]);
    assert_eq!(world.result(child), None, "until the daemon answers");
    let cancel = daemon.next(&mut world);
    assert_eq!(
        (cancel.opcode, cancel.flags, cancel.tag),
        (25, 1, request.tag)
    );
    daemon.answer(&mut world, &request, Err(ECANCELED));
    assert_eq!(world.rip(child), HANDLER);
    finish(&mut world, child);
    assert_eq!(world.result(child), Some(Err(EINTR)));
    world.waits(child, nr::READ, [fd, SCRATCH, 5, 0, 0, 0]);
    world.ok(1, nr::KILL, [child as usize, SIGUSR1, 0, 0, 0, 0]);
    assert_eq!(
        world.rip(child),
        HANDLER,
        "a request that was not read is taken back"
    );
    finish(&mut world, child);
    assert_eq!(world.result(child), Some(Err(EINTR)));
    world.call(child, nr::EXIT, [0; 6]);
    world.waits(daemon.tid, nr::READ, [daemon.socket, SCRATCH, 64, 0, 0, 0]);
}

#[test]
fn a_call_that_finished_in_spite_of_the_signal_keeps_its_result() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 1, 0);
    let child = world.fork(1);
    handle(&mut world, child, SIGUSR1, 0);
    world.waits(child, nr::WRITE, [fd, SCRATCH, 5, 0, 0, 0]);
    let request = daemon.next(&mut world);
    world.ok(1, nr::KILL, [child as usize, SIGUSR1, 0, 0, 0, 0]);
    daemon.answer(&mut world, &request, Ok(5));
    assert_eq!(world.rip(child), HANDLER);
    finish(&mut world, child);
    assert_eq!(world.result(child), Some(Ok(5)));
}

#[test]
fn blocked_signals_wait_until_they_are_unblocked() {
    let mut world = World::new();
    let child = world.fork(1);
    handle(&mut world, child, SIGUSR1, 0);
    world.put(child, SCRATCH, &(1u64 << (SIGUSR1 - 1)).to_le_bytes());
    world.ok(child, nr::SIGPROCMASK, [how::BLOCK, SCRATCH, 0, 0, 0, 0]);
    world.ok(1, nr::KILL, [child as usize, SIGUSR1, 0, 0, 0, 0]);
    assert_ne!(world.rip(child), HANDLER);
    world.ok(child, nr::SIGPENDING, [SCRATCH + 8, 0, 0, 0, 0, 0]);
    assert_eq!(world.get_u64(child, SCRATCH + 8), 1 << (SIGUSR1 - 1));
    world.call(child, nr::SIGPROCMASK, [how::UNBLOCK, SCRATCH, 0, 0, 0, 0]);
    assert_eq!(world.rip(child), HANDLER);
}

#[test]
fn suspend_and_wait_take_what_comes() {
    let mut world = World::new();
    let child = world.fork(1);
    handle(&mut world, child, SIGUSR1, 0);
    let usr1 = 1u64 << (SIGUSR1 - 1);
    world.put(child, SCRATCH, &usr1.to_le_bytes());
    world.put(child, SCRATCH + 8, &0u64.to_le_bytes());
    world.ok(child, nr::SIGPROCMASK, [how::BLOCK, SCRATCH, 0, 0, 0, 0]);
    world.waits(child, nr::SIGSUSPEND, [SCRATCH + 8, 0, 0, 0, 0, 0]);
    world.ok(1, nr::KILL, [child as usize, SIGUSR1, 0, 0, 0, 0]);
    assert_eq!(world.rip(child), HANDLER);
    finish(&mut world, child);
    assert_eq!(world.result(child), Some(Err(EINTR)));
    world.waits(
        child,
        nr::SIGWAIT,
        [SCRATCH, SCRATCH + 64, usize::MAX, 0, 0, 0],
    );
    world.ok(1, nr::KILL, [child as usize, SIGUSR1, 0, 0, 0, 0]);
    assert_eq!(world.result(child), Some(Ok(SIGUSR1)));
    let deadline = world.kernel.machine.now as usize + 10;
    world.waits(child, nr::SIGWAIT, [SCRATCH, 0, deadline, 0, 0, 0]);
    world.pass(20);
    assert_eq!(world.result(child), Some(Err(EAGAIN)));
}

#[test]
fn stopping_and_continuing_is_seen_by_the_parent() {
    let mut world = World::new();
    let child = world.fork(1);
    let (read, write) = world.pipe(1);
    let _ = read;
    world.ok(1, nr::KILL, [child as usize, SIGTSTP, 0, 0, 0, 0]);
    assert_eq!(world.result(child), None);
    let got = world.ok(
        1,
        nr::WAITPID,
        [child as usize, SCRATCH, WUNTRACED, 0, 0, 0],
    );
    assert_eq!(got, child as usize);
    assert_eq!(
        world.get(1, SCRATCH, 4),
        ((SIGTSTP as i32) << 8 | 0x7F).to_le_bytes()
    );
    assert_eq!(
        world.ok(
            1,
            nr::WAITPID,
            [child as usize, 0, WNOHANG | WUNTRACED, 0, 0, 0]
        ),
        0
    );
    world.ok(1, nr::KILL, [child as usize, SIGCONT, 0, 0, 0, 0]);
    assert!(world.result(child).is_some());
    world.ok(
        1,
        nr::WAITPID,
        [child as usize, SCRATCH, WCONTINUED, 0, 0, 0],
    );
    assert_eq!(world.get(1, SCRATCH, 4), 0xFFFFi32.to_le_bytes());
    world.ok(1, nr::KILL, [child as usize, SIGSTOP, 0, 0, 0, 0]);
    world.ok(1, nr::KILL, [child as usize, SIGKILL, 0, 0, 0, 0]);
    assert!(!world.alive(child));
    world.ok(1, nr::CLOSE, [write, 0, 0, 0, 0, 0]);
}

#[test]
fn children_that_end_send_a_signal_and_may_be_forgotten_at_once() {
    let mut world = World::new();
    let shell = world.fork(1);
    handle(&mut world, shell, SIGCHLD, 0);
    let child = world.fork(shell);
    world.call(child, nr::EXIT, [0; 6]);
    assert_eq!(world.rip(shell), HANDLER);
    finish(&mut world, shell);
    world.ok(shell, nr::WAITPID, [child as usize, 0, 0, 0, 0, 0]);
    handle(&mut world, shell, SIGCHLD, sa::NOCLDWAIT);
    let child = world.fork(shell);
    world.call(child, nr::EXIT, [0; 6]);
    let _ = world.result(shell);
    assert_eq!(
        world.done(shell, nr::WAITPID, [usize::MAX, 0, 0, 0, 0, 0]),
        Err(ECHILD)
    );
}

#[test]
fn the_alternate_stack_is_used_when_asked() {
    let mut world = World::new();
    let child = world.fork(1);
    handle(&mut world, child, SIGUSR1, sa::ONSTACK);
    world.put(child, SCRATCH, &(SCRATCH + 0x1_0000).to_le_bytes());
    world.put(child, SCRATCH + 8, &0x4000usize.to_le_bytes());
    world.ok(child, nr::SIGALTSTACK, [SCRATCH, 0, 0, 0, 0, 0]);
    world.ok(1, nr::KILL, [child as usize, SIGUSR1, 0, 0, 0, 0]);
    let cpu = world.cpu_of(child).unwrap();
    let sp = world.kernel.registers(cpu).rsp as usize;
    assert!((SCRATCH + 0x1_0000..SCRATCH + 0x1_4000).contains(&sp));
}

#[test]
fn faults_reach_a_handler_with_their_address() {
    let mut world = World::new();
    let child = world.fork(1);
    handle(&mut world, child, SIGSEGV, sa::SIGINFO);
    world.touch(child, 0xDEAD_0000, false);
    assert_eq!(world.rip(child), HANDLER);
    let cpu = world.cpu_of(child).unwrap();
    let info = world.kernel.registers(cpu).rsi as usize;
    assert_eq!(world.get_u64(child, info + 24), 0xDEAD_0000);
    world.touch(child, 0xDEAD_0000, false);
    assert!(!world.alive(child), "a fault in its own handler ends it");
}

#[test]
fn a_forged_frame_cannot_gain_rights() {
    let mut world = World::new();
    let child = world.fork(1);
    handle(&mut world, child, SIGUSR1, 0);
    world.ok(1, nr::KILL, [child as usize, SIGUSR1, 0, 0, 0, 0]);
    let cpu = world.cpu_of(child).unwrap();
    let frame = world.kernel.registers(cpu).rsp as usize + 8;
    world.put(child, frame + 16 + 17 * 8, &u64::MAX.to_le_bytes());
    finish(&mut world, child);
    let flags = world.kernel.registers(cpu).rflags;
    assert_eq!(flags & 0x3000, 0, "no I/O privilege");
    assert_eq!(flags & 0x200, 0x200, "interrupts stay on");
    world.ok(1, nr::KILL, [child as usize, SIGUSR1, 0, 0, 0, 0]);
    let frame = world.kernel.registers(cpu).rsp as usize + 8;
    world.put(
        child,
        frame + 16 + 15 * 8,
        &0xFFFF_8000_0000_0000u64.to_le_bytes(),
    );
    finish(&mut world, child);
    assert!(!world.alive(child));
}

#[test]
fn alarms_come_and_come_again() {
    let mut world = World::new();
    let child = world.fork(1);
    handle(&mut world, child, SIGALRM, 0);
    let at = world.kernel.machine.now as usize + 1000;
    world.ok(child, nr::ALARM, [at, 500, 0, 0, 0, 0]);
    world.pass(1100);
    assert_eq!(world.rip(child), HANDLER);
    finish(&mut world, child);
    world.pass(600);
    assert_eq!(world.rip(child), HANDLER);
    finish(&mut world, child);
    world.ok(child, nr::ALARM, [usize::MAX, 0, SCRATCH, 0, 0, 0]);
    assert!(world.get_u64(child, SCRATCH) > 0 && world.get_u64(child, SCRATCH + 8) == 500);
    world.pass(2000);
    assert_ne!(world.rip(child), HANDLER);
}

#[test]
fn init_is_not_touched_by_signals_it_does_not_handle() {
    let mut world = World::new();
    let child = world.fork(1);
    world.ok(child, nr::KILL, [1, SIGKILL, 0, 0, 0, 0]);
    world.ok(child, nr::KILL, [1, SIGTERM, 0, 0, 0, 0]);
    assert!(world.alive(1));
}
