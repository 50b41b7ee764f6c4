//! Random calls with random arguments: the kernel stays up and init is not harmed.

use kernel_core::machine::Trap;
use valence_abi::signal::SIGKILL;
use valence_abi::syscall as nr;

use crate::harness::{SCRATCH, World};
use crate::schemes::Daemon;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn word(&mut self) -> usize {
        let x = self.next();
        (match x % 12 {
            0 => x >> 8,
            1 => 0,
            2 => u64::MAX - (x >> 60),
            3 => 0xFFFF_8000_0000_0000 | x >> 20,
            4..=6 => (x >> 32) % 24,
            7 => SCRATCH as u64 + (x >> 8) % 0x40_0000,
            8 => SCRATCH as u64 + (x >> 8) % 0x400 * 4096,
            9 => 1 << (x >> 8 & 63),
            10 => (x >> 8) % 0x2_0000,
            _ => (x >> 8) & 0xF_000F,
        }) as usize
    }

    fn number(&mut self) -> usize {
        const LAST: [usize; 7] = [0, 0x19, 3, 0xF, 8, 3, 5];
        let group = self.next() as usize % 7;
        match group {
            0 => nr::FUTEX,
            _ => (group << 8) | (self.next() as usize % (LAST[group] + 2)),
        }
    }
}

fn run(seed: u64, calls: usize) {
    let mut random = Random(seed);
    let mut world = World::with(4, (0x10_0000, 24 << 20));
    let daemon = Daemon::new(&mut world, "test");
    let shell = world.fork(1);
    let mut free = None;
    for round in 0..calls / 50 {
        let victim = world.fork(shell);
        world.ok(victim, nr::SETRESUID, [1000, 1000, 1000, 0, 0, 0]);
        if round % 2 == 1 {
            let fd = world.open_ok(victim, "proc/limits", 0x3_0000);
            world
                .write(victim, fd, b"processes 9 threads 20 memory 12M handles 99")
                .unwrap()
                .unwrap();
        }
        for _ in 0..50 {
            for cpu in 0..4 {
                let Some(id) = world.kernel.cpus[cpu].current else {
                    if random.next().is_multiple_of(4) {
                        world.kernel.machine.now += 1_000_000;
                        world.kernel.trap(cpu, Trap::Timer);
                    }
                    continue;
                };
                let tid = world.kernel.threads.get(id).unwrap().tid;
                if tid == 1 || tid == shell || tid == daemon.tid {
                    continue;
                }
                let number = random.number();
                let args: [usize; 6] = std::array::from_fn(|_| random.word());
                let r = world.kernel.registers(cpu);
                r.rax = number as u64;
                [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] = args.map(|word| word as u64);
                if random.next().is_multiple_of(16) {
                    r.rsp = random.word() as u64;
                }
                world.kernel.trap(cpu, Trap::Syscall);
            }
            world.settle();
        }
        // Everything that came from the victim goes.
        for _ in 0..20 {
            let pids: Vec<u32> = world.kernel.pids.keys().copied().collect();
            for pid in pids {
                if pid != 1 && pid != shell && pid != daemon.tid {
                    world
                        .done(1, nr::KILL, [pid as usize, SIGKILL, 0, 0, 0, 0])
                        .ok();
                }
            }
            while world
                .call(1, nr::WAITPID, [usize::MAX, 0, 1, 0, 0, 0])
                .is_some_and(|r| r.is_ok_and(|p| p > 0))
            {}
            while world
                .call(shell, nr::WAITPID, [usize::MAX, 0, 1, 0, 0, 0])
                .is_some_and(|r| r.is_ok_and(|p| p > 0))
            {}
        }
        assert!(world.alive(1) && world.alive(daemon.tid), "round {round}");
        assert!(world.kernel.groups.is_empty(), "seed {seed} round {round}");
        let shell_state = world.kernel.processes.iter().count();
        assert_eq!(shell_state, 3, "seed {seed} round {round}");
        let now = world.kernel.frames.free_count();
        if round > 5 {
            let before = *free.get_or_insert(now);
            assert!(
                now + 64 >= before,
                "frames leak: {before} then {now}, seed {seed} round {round}"
            );
        }
    }
}

#[test]
fn random_calls_never_stop_the_kernel() {
    // The full form: VALENCE_FUZZ_SEEDS=250 gives a million calls.
    let seeds = std::env::var("VALENCE_FUZZ_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(6);
    for seed in 0..seeds {
        run(seed, 4000);
    }
}

#[test]
fn random_answers_of_a_daemon_harm_nobody_else() {
    let mut random = Random(99);
    let mut world = World::with(6, (0x10_0000, 32 << 20));
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 1, 1);
    for _ in 0..3000 {
        let client = world.fork(1);
        let number = [
            nr::READ,
            nr::WRITE,
            nr::FSTAT,
            nr::MMAP,
            nr::LSEEK,
            nr::GETDENTS,
            nr::DUP,
            nr::FPATH,
        ][random.next() as usize % 8];
        let args = match number {
            nr::MMAP => [0, 0x2000, 0x6_0001, fd, 0, 0],
            nr::LSEEK => [fd, 5, 2, 0, 0, 0],
            nr::READ | nr::WRITE => [fd, SCRATCH + 123, random.next() as usize % 200_000, 0, 0, 0],
            _ => [fd, SCRATCH, 4000, 0, 0, 0],
        };
        if world.call(client, number, args).is_none() {
            let request = daemon.next(&mut world);
            for _ in 0..3 {
                let tag = if random.next().is_multiple_of(2) {
                    request.tag
                } else {
                    random.next() as u32
                };
                let flags = random.next() as u8 & 7;
                let result = random.word() as u64;
                daemon
                    .send(&mut world, flags, random.next() as u8, tag, result)
                    .ok();
            }
        }
        world.ok(1, nr::KILL, [client as usize, SIGKILL, 0, 0, 0, 0]);
        world.ok(1, nr::WAITPID, [client as usize, 0, 0, 0, 0, 0]);
        world.ok(daemon.tid, nr::FCNTL, [daemon.socket, 4, 0x4_0000, 0, 0, 0]);
        loop {
            let got = world.done(
                daemon.tid,
                nr::READ,
                [daemon.socket, SCRATCH + 0x5_0000, 64, 0, 0, 0],
            );
            if got.is_err() {
                break;
            }
        }
    }
    assert!(world.alive(1) && world.alive(daemon.tid));
}
