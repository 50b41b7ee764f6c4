//! Pipes, event queues, timers, kernel schemes.

use valence_abi::errno::*;
use valence_abi::flags::*;
use valence_abi::syscall as nr;

use crate::harness::{SCRATCH, World};

fn subscribe(
    world: &mut World,
    tid: u32,
    queue: usize,
    id: usize,
    flags: usize,
) -> Option<Result<usize, Errno>> {
    let mut bytes = Vec::new();
    for word in [id, flags, 42] {
        bytes.extend(word.to_le_bytes());
    }
    world.write(tid, queue, &bytes)
}

fn event(id: usize, flags: usize) -> Vec<u8> {
    [id, flags, 42]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect()
}

#[test]
fn pipes_carry_bytes_and_end_when_the_writer_closes() {
    let mut world = World::new();
    let (read, write) = world.pipe(1);
    assert_eq!(world.write(1, write, b"abc"), Some(Ok(3)));
    assert_eq!(world.read(1, read, 2), Ok(b"ab".to_vec()));
    world.ok(1, nr::CLOSE, [write, 0, 0, 0, 0, 0]);
    assert_eq!(world.read(1, read, 9), Ok(b"c".to_vec()));
    assert_eq!(world.read(1, read, 9), Ok(vec![]));
}

#[test]
fn a_reader_waits_and_is_woken_by_the_writer() {
    let mut world = World::new();
    let (read, write) = world.pipe(1);
    let child = world.fork(1);
    world.waits(child, nr::READ, [read, SCRATCH, 10, 0, 0, 0]);
    world.write(1, write, b"ping");
    assert_eq!(world.result(child), Some(Ok(4)));
    assert_eq!(world.get(child, SCRATCH, 4), b"ping");
}

#[test]
fn a_long_write_waits_for_room_and_goes_in_whole() {
    let mut world = World::new();
    let (read, write) = world.pipe(1);
    let child = world.fork(1);
    world.put(child, SCRATCH, &[5; 100_000]);
    world.waits(child, nr::WRITE, [write, SCRATCH, 100_000, 0, 0, 0]);
    let mut got = 0;
    while got < 100_000 {
        got += world.read(1, read, 30_000).unwrap().len();
    }
    assert_eq!(world.result(child), Some(Ok(100_000)));
    world.ok(1, nr::FCNTL, [read, F_SETFL, O_NONBLOCK, 0, 0, 0]);
    assert_eq!(world.read(1, read, 1), Err(EAGAIN));
}

#[test]
fn writing_without_reader_is_a_broken_pipe_and_a_signal() {
    let mut world = World::new();
    let child = world.fork(1);
    let (read, write) = world.pipe(child);
    world.ok(child, nr::CLOSE, [read, 0, 0, 0, 0, 0]);
    assert_eq!(world.write(child, write, b"x"), None);
    assert!(!world.alive(child));
    world.ok(1, nr::WAITPID, [child as usize, SCRATCH, 0, 0, 0, 0]);
    assert_eq!(world.get(1, SCRATCH, 4), 13i32.to_le_bytes());
}

#[test]
fn a_socket_pair_goes_both_ways() {
    let mut world = World::new();
    world.ok(1, nr::SOCKETPAIR, [0, SCRATCH, 0, 0, 0, 0]);
    let (a, b) = (
        world.get_u64(1, SCRATCH) as usize,
        world.get_u64(1, SCRATCH + 8) as usize,
    );
    world.write(1, a, b"to b");
    world.write(1, b, b"to a");
    assert_eq!(world.read(1, b, 9), Ok(b"to b".to_vec()));
    assert_eq!(world.read(1, a, 9), Ok(b"to a".to_vec()));
    world.ok(1, nr::CLOSE, [a, 0, 0, 0, 0, 0]);
    assert_eq!(world.read(1, b, 9), Ok(vec![]));
}

#[test]
fn descriptors_pass_through_pipes() {
    let mut world = World::new();
    let (read, write) = world.pipe(1);
    let child = world.fork(1);
    let (own_read, own_write) = world.pipe(child);
    world.put(child, SCRATCH, &own_write.to_le_bytes());
    let flags = call::FD | call::WRITE;
    world.ok(child, nr::CALL, [write, SCRATCH, 8, flags, 0, 0]);
    assert_eq!(
        world.done(child, nr::FCNTL, [own_write, F_GETFD, 0, 0, 0, 0]),
        Err(EBADF)
    );
    world.ok(1, nr::CALL, [read, SCRATCH, 8, call::FD | call::READ, 0, 0]);
    let fd = world.get_u64(1, SCRATCH) as usize;
    world.write(1, fd, b"passed");
    assert_eq!(world.read(child, own_read, 9), Ok(b"passed".to_vec()));
}

#[test]
fn a_queue_tells_what_is_ready_at_once_and_later() {
    let mut world = World::new();
    let (read, write) = world.pipe(1);
    let queue = world.open_ok(1, "event", O_RDWR);
    assert_eq!(
        subscribe(&mut world, 1, queue, read, EVENT_READ),
        Some(Ok(24))
    );
    assert_eq!(
        subscribe(&mut world, 1, queue, write, EVENT_WRITE),
        Some(Ok(24))
    );
    assert_eq!(world.read(1, queue, 48), Ok(event(write, EVENT_WRITE)));
    let child = world.fork(1);
    world.waits(child, nr::READ, [queue, SCRATCH, 24, 0, 0, 0]);
    world.write(1, write, b"x");
    assert_eq!(world.result(child), Some(Ok(24)));
    assert_eq!(world.get(child, SCRATCH, 24), event(read, EVENT_READ));
    subscribe(&mut world, 1, queue, read, 0);
    world.write(1, write, b"y");
    world.ok(1, nr::FCNTL, [queue, F_SETFL, O_NONBLOCK, 0, 0, 0]);
    assert_eq!(world.read(1, queue, 24), Err(EAGAIN));
}

#[test]
fn every_write_to_a_pipe_is_an_event_even_when_nobody_drains_it() {
    let mut world = World::new();
    let (read, write) = world.pipe(1);
    let queue = world.open_ok(1, "event", O_RDWR);
    subscribe(&mut world, 1, queue, read, EVENT_READ);
    for _ in 0..3 {
        world.write(1, write, b"x");
        assert_eq!(world.read(1, queue, 24), Ok(event(read, EVENT_READ)));
    }
}

#[test]
fn a_queue_can_watch_a_queue() {
    let mut world = World::new();
    let (read, write) = world.pipe(1);
    let (inner, outer) = (
        world.open_ok(1, "event", O_RDWR),
        world.open_ok(1, "event", O_RDWR),
    );
    subscribe(&mut world, 1, inner, read, EVENT_READ);
    assert_eq!(
        subscribe(&mut world, 1, outer, inner, EVENT_READ),
        Some(Ok(24))
    );
    assert_eq!(
        subscribe(&mut world, 1, outer, outer, EVENT_READ),
        Some(Err(EINVAL))
    );
    world.write(1, write, b"x");
    assert_eq!(world.read(1, outer, 24), Ok(event(inner, EVENT_READ)));
    assert_eq!(world.read(1, inner, 24), Ok(event(read, EVENT_READ)));
}

#[test]
fn waiting_for_events_ends_at_the_deadline() {
    let mut world = World::new();
    let queue = world.open_ok(1, "event", O_RDWR);
    let deadline = world.kernel.machine.now as usize + 1_000_000_000;
    world.waits(1, nr::EVENT_WAIT, [queue, SCRATCH, 4, deadline, 0, 0]);
    world.pass(500_000_000);
    assert_eq!(world.result(1), None);
    world.pass(600_000_000);
    assert_eq!(world.result(1), Some(Ok(0)));
    assert_eq!(
        world.done(1, nr::EVENT_WAIT, [1, SCRATCH, 4, 0, 0, 0]),
        Err(EBADF)
    );
}

#[test]
fn a_timer_makes_its_handle_ready() {
    let mut world = World::new();
    let timer = world.open_ok(1, "time/4", O_RDWR);
    let queue = world.open_ok(1, "event", O_RDWR);
    subscribe(&mut world, 1, queue, timer, EVENT_READ);
    let mut at = 5u64.to_le_bytes().to_vec();
    at.extend([0; 8]);
    assert_eq!(world.write(1, timer, &at), Some(Ok(16)));
    world.waits(1, nr::READ, [queue, SCRATCH, 24, 0, 0, 0]);
    world.pass(6_000_000_000);
    assert_eq!(world.result(1), Some(Ok(24)));
    assert_eq!(world.get(1, SCRATCH, 24), event(timer, EVENT_READ));
    let now = world.read(1, timer, 16).unwrap();
    assert_eq!(now[..8], 6u64.to_le_bytes());
}

#[test]
fn sleeping_ends_at_its_deadline() {
    let mut world = World::new();
    let deadline = world.kernel.machine.now as usize + 1000;
    world.waits(1, nr::SLEEP_UNTIL, [deadline, 0, 0, 0, 0, 0]);
    world.pass(1001);
    assert_eq!(world.result(1), Some(Ok(0)));
}

#[test]
fn futexes_compare_wake_and_time_out() {
    let mut world = World::new();
    let other = world.thread(1);
    world.put(1, SCRATCH, &7u32.to_le_bytes());
    assert_eq!(
        world.done(other, nr::FUTEX_WAIT, [SCRATCH, 6, usize::MAX, 0, 0, 0]),
        Err(EAGAIN)
    );
    world.waits(other, nr::FUTEX, [SCRATCH, 0, 7, 0, 0, 0]);
    assert_eq!(world.ok(1, nr::FUTEX, [SCRATCH, 1, 1, 0, 0, 0]), 1);
    assert_eq!(world.result(other), Some(Ok(0)));
    assert_eq!(world.ok(1, nr::FUTEX_WAKE, [SCRATCH, 1, 0, 0, 0, 0]), 0);
    let mut timeout = 1u64.to_le_bytes().to_vec();
    timeout.extend([0; 8]);
    world.put(1, SCRATCH + 64, &timeout);
    world.waits(other, nr::FUTEX, [SCRATCH, 0, 7, SCRATCH + 64, 0, 0]);
    world.pass(1_000_000_001);
    assert_eq!(world.result(other), Some(Err(ETIMEDOUT)));
    assert_eq!(
        world.done(1, nr::FUTEX_WAKE, [0x10, 1, 0, 0, 0, 0]),
        Err(EFAULT)
    );
    assert_eq!(
        world.done(1, nr::FUTEX_WAIT, [SCRATCH + 1, 1, 0, 0, 0, 0]),
        Err(EINVAL)
    );
}

#[test]
fn a_futex_in_shared_memory_works_between_processes() {
    let mut world = World::new();
    let flags = PROT_READ | PROT_WRITE | MAP_SHARED;
    let at = world.ok(1, nr::MMAP, [0, 0x1000, flags, usize::MAX, 0, 0]);
    let child = world.fork(1);
    world.waits(child, nr::FUTEX_WAIT, [at, 0, usize::MAX, 0, 0, 0]);
    assert_eq!(world.ok(1, nr::FUTEX_WAKE, [at, 9, 0, 0, 0, 0]), 1);
    assert_eq!(world.result(child), Some(Ok(0)));
}

#[test]
fn the_initfs_is_read_with_a_cursor_and_listed() {
    let mut world = World::new();
    let fd = world.open_ok(1, "initfs/etc/motd", O_RDONLY);
    assert_eq!(world.read(1, fd, 5), Ok(b"hello".to_vec()));
    assert_eq!(world.ok(1, nr::LSEEK, [fd, 6, SEEK_SET, 0, 0, 0]), 6);
    assert_eq!(world.read(1, fd, 4), Ok(b"from".to_vec()));
    assert_eq!(world.ok(1, nr::LSEEK, [fd, 0, SEEK_END, 0, 0, 0]), 18);
    assert_eq!(
        world.done(1, nr::LSEEK, [fd, usize::MAX, SEEK_SET, 0, 0, 0]),
        Err(EINVAL)
    );
    assert_eq!(world.ok(1, nr::PREAD, [fd, SCRATCH, 5, 0, 0, 0]), 5);
    let dir = world.open_ok(1, "initfs", O_RDONLY | O_DIRECTORY);
    let len = world.ok(1, nr::GETDENTS, [dir, SCRATCH, 4096, 0, 0, 0]);
    let listing = world.get(1, SCRATCH, len);
    assert!(listing.windows(3).any(|w| w == b"bin") && listing.windows(3).any(|w| w == b"etc"));
    assert_eq!(
        world.open(1, "initfs/etc/none", O_RDONLY),
        Some(Err(ENOENT))
    );
    assert_eq!(world.open(1, "initfs/etc/motd", O_RDWR), Some(Err(EROFS)));
    world.ok(1, nr::FSTAT, [fd, SCRATCH, 0, 0, 0, 0]);
    assert_eq!(world.get_u64(1, SCRATCH + 32), 18);
    let len = world.ok(1, nr::FPATH, [fd, SCRATCH, 100, 0, 0, 0]);
    assert_eq!(world.get(1, SCRATCH, len), b"/scheme/initfs/etc/motd");
}

#[test]
fn the_state_of_the_system_is_text() {
    let mut world = World::new();
    for (name, wanted) in [
        ("sys/context", "1 0 1 1 0 R"),
        ("sys/cpu", "cpu15:"),
        ("sys/env", "A=1"),
        ("sys/exe", "/scheme/initfs/bin/init"),
        ("sys/uname", "Valence\n"),
        ("sys/mem", "total 67108864"),
        ("sys/log", "Valence"),
        ("sys/stat", "processes 1"),
    ] {
        let fd = world.open_ok(1, name, O_RDONLY);
        let text = String::from_utf8(world.read(1, fd, 4096).unwrap()).unwrap();
        assert!(text.contains(wanted), "{name}: {text}");
    }
}

#[test]
fn console_input_wakes_its_reader() {
    let mut world = World::new();
    world.waits(1, nr::READ, [0, SCRATCH, 10, 0, 0, 0]);
    world.kernel.machine.input[0].extend(b"ls\n");
    world.kernel.trap(
        9,
        kernel_core::machine::Trap::Interrupt(kernel_core::machine::Interrupt::Serial(0)),
    );
    world.settle();
    assert_eq!(world.result(1), Some(Ok(3)));
    assert_eq!(world.get(1, SCRATCH, 3), b"ls\n");
}

#[test]
fn drivers_get_interrupts_memory_and_addresses() {
    let mut world = World::new();
    let irq = world.open_ok(1, "irq/msi", O_RDWR);
    assert_eq!(
        world.ok(1, nr::CALL, [irq, SCRATCH, 16, call::READ, 0, 0]),
        16
    );
    assert_eq!(world.get_u64(1, SCRATCH), 0xFEE0_0000);
    world.waits(1, nr::READ, [irq, SCRATCH, 8, 0, 0, 0]);
    world.kernel.trap(
        9,
        kernel_core::machine::Trap::Interrupt(kernel_core::machine::Interrupt::Msi(3)),
    );
    world.settle();
    assert_eq!(world.result(1), Some(Ok(8)));
    let dma = world.open_ok(1, "memory/zeroed@wb?phys_contiguous", O_RDWR);
    let flags = PROT_READ | PROT_WRITE | MAP_SHARED;
    let at = world.ok(1, nr::MMAP, [0, 0x4000, flags, dma, 0, 0]);
    assert_eq!(world.get(1, at, 0x4000), vec![0; 0x4000]);
    let translation = world.open_ok(1, "memory/translation", O_RDWR);
    let mut physical = Vec::new();
    for page in 0..4 {
        world.put(1, SCRATCH, &(at + page * 4096 + 5).to_le_bytes());
        world.ok(
            1,
            nr::CALL,
            [translation, SCRATCH, 8, call::READ | call::WRITE, 0, 0],
        );
        physical.push(world.get_u64(1, SCRATCH));
    }
    assert!(physical.windows(2).all(|pair| pair[1] == pair[0] + 4096));
    assert_eq!(physical[0] % 4096, 5);
    let device = world.open_ok(1, "memory/physical@uc", O_RDWR);
    world.ok(1, nr::MMAP, [0, 0x1000, flags, device, 0xFE00_0000, 0]);
    assert_eq!(
        world.done(1, nr::MMAP, [0, 0x1000, flags, device, 0x20_0000, 0]),
        Err(EPERM)
    );
}

#[test]
fn descriptor_limits_are_errors_not_crashes() {
    let mut world = World::new();
    let mut last = Ok(0);
    for _ in 0..5000 {
        last = world.done(1, nr::DUP, [1, 0, 0, 0, 0, 0]);
        if last.is_err() {
            break;
        }
    }
    assert_eq!(last, Err(EMFILE));
    assert_eq!(world.done(1, nr::DUP2, [1, 4096, 0, 0, 0, 0]), Err(EBADF));
    assert_eq!(
        world.done(1, nr::FCNTL, [1, F_DUPFD, 1 << 40, 0, 0, 0]),
        Err(EINVAL)
    );
    world.ok(1, nr::CLOSE, [77, 0, 0, 0, 0, 0]);
    assert_eq!(world.ok(1, nr::DUP, [1, 0, 0, 0, 0, 0]), 77);
}

#[test]
fn a_short_writer_goes_on_as_soon_as_it_fits() {
    let mut world = World::new();
    let (read, write) = world.pipe(1);
    world.write(1, write, &[1; 65_536]);
    let child = world.fork(1);
    world.waits(child, nr::WRITE, [write, SCRATCH, 10, 0, 0, 0]);
    world.read(1, read, 20).unwrap();
    assert_eq!(world.result(child), Some(Ok(10)));
}
