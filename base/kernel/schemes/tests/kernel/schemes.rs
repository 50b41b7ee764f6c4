//! The user scheme protocol: a daemon (a forked process) and its clients.

use valence_abi::errno::*;
use valence_abi::flags::*;
use valence_abi::scheme::{POSITIONED, opcode, reply};
use valence_abi::syscall as nr;

use crate::harness::{SCRATCH, World};

const SQES: usize = SCRATCH + 0x5_0000;
const BUF: usize = SCRATCH + 0x6_0000;

pub struct Request {
    pub opcode: u8,
    pub flags: u8,
    pub tag: u32,
    pub args: [u64; 6],
    pub caller: u64,
}

pub struct Daemon {
    pub tid: u32,
    pub socket: usize,
}

impl Daemon {
    /// Forks a daemon from init that serves `name` with root handle 7.
    pub fn new(world: &mut World, name: &str) -> Self {
        let tid = world.fork(1);
        let cap = world.open_ok(tid, "namespace/scheme-creation-cap", O_CLOEXEC);
        let socket = world.dup(tid, cap, b"create-scheme").unwrap().unwrap();
        world.ok(tid, nr::FCNTL, [socket, F_SETFD, O_CLOEXEC, 0, 0, 0]);
        world.ok(
            tid,
            nr::FCNTL,
            [socket, F_SETFL, O_FSYNC | 0x20_0000, 0, 0, 0],
        );
        let mut params = [0; 32];
        params[8] = 7;
        let root = world.dup(tid, socket, &params).unwrap().unwrap();
        let ns = world.ok(tid, nr::NS_GET, [0; 6]);
        world.put(tid, SCRATCH, name.as_bytes());
        world.ok(tid, nr::NS_REGISTER, [ns, SCRATCH, name.len(), root, 0, 0]);
        world.ok(tid, nr::CLOSE, [root, 0, 0, 0, 0, 0]);
        Self { tid, socket }
    }

    pub fn next(&self, world: &mut World) -> Request {
        let len = world.ok(self.tid, nr::READ, [self.socket, SQES, 64, 0, 0, 0]);
        assert_eq!(len, 64);
        let bytes = world.get(self.tid, SQES, 64);
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        Request {
            opcode: bytes[0],
            flags: bytes[1],
            tag: u32::from_le_bytes(bytes[4..8].try_into().unwrap()),
            args: std::array::from_fn(|n| word(8 + n * 8)),
            caller: word(56),
        }
    }

    pub fn send(
        &self,
        world: &mut World,
        flags: u8,
        extra: u8,
        tag: u32,
        result: u64,
    ) -> Result<usize, Errno> {
        let mut bytes = vec![flags, extra, 0, 0];
        bytes.extend(tag.to_le_bytes());
        bytes.extend(result.to_le_bytes());
        world.put(self.tid, SQES + 4096, &bytes);
        world.done(self.tid, nr::WRITE, [self.socket, SQES + 4096, 16, 0, 0, 0])
    }

    pub fn answer(&self, world: &mut World, request: &Request, result: Result<u64, Errno>) {
        let word = result.unwrap_or_else(|errno| (u64::from(errno.0)).wrapping_neg());
        assert_eq!(
            self.send(world, reply::REGULAR, 0, request.tag, word),
            Ok(16)
        );
    }

    /// A client opens `path` of this scheme and gets `handle`.
    pub fn open(
        &self,
        world: &mut World,
        client: u32,
        path: &str,
        handle: u64,
        internal: u8,
    ) -> usize {
        assert_eq!(world.open(client, path, O_RDWR), None);
        let request = self.next(world);
        assert_eq!((request.opcode, request.args[0]), (opcode::OPEN_AT, 7));
        assert_eq!(
            self.send(world, reply::REGULAR, internal, request.tag, handle),
            Ok(16)
        );
        world.result(client).unwrap().unwrap()
    }
}

#[test]
fn open_read_write_close_go_through_the_daemon() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    assert_eq!(
        world.open(1, "test/some/path", O_RDWR | O_CREAT | 0o644),
        None
    );
    let request = daemon.next(&mut world);
    assert_eq!(request.opcode, opcode::OPEN_AT);
    assert_eq!(request.args[2], 9);
    assert_eq!(request.args[3], (O_RDWR | O_CREAT | 0o644) as u64);
    assert_eq!(request.caller, 1);
    assert_eq!(
        world.get(daemon.tid, request.args[1] as usize, 9),
        b"some/path"
    );
    daemon.answer(&mut world, &request, Ok(55));
    let fd = world.result(1).unwrap().unwrap();

    world.waits(1, nr::READ, [fd, BUF, 100, 0, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!(
        (request.opcode, request.args[0], request.args[2]),
        (opcode::READ, 55, 100)
    );
    assert_eq!(request.args[3], u64::MAX);
    assert_eq!(request.args[4] as usize & O_ACCMODE, O_RDWR);
    world.put(daemon.tid, request.args[1] as usize, b"answer");
    daemon.answer(&mut world, &request, Ok(6));
    assert_eq!(world.result(1), Some(Ok(6)));
    assert_eq!(world.get(1, BUF, 7), b"answer\0");

    world.put(1, BUF, b"question");
    world.waits(1, nr::WRITE, [fd, BUF, 8, 0, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!(request.opcode, opcode::WRITE);
    assert_eq!(
        world.get(daemon.tid, request.args[1] as usize, 8),
        b"question"
    );
    daemon.answer(&mut world, &request, Err(ENOSPC));
    assert_eq!(world.result(1), Some(Err(ENOSPC)));

    assert_eq!(world.done(1, nr::LSEEK, [fd, 0, 0, 0, 0, 0]), Err(ESPIPE));
    world.ok(1, nr::CLOSE, [fd, 0, 0, 0, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!(
        (request.opcode, request.flags, request.args[0]),
        (opcode::CLOSE_MSG, 1, 55)
    );
}

#[test]
fn large_buffers_are_lent_page_by_page() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 1, 0);
    let (at, len) = (SCRATCH + 0x10_0123, 0x4_0000);
    world.put(1, at - 16, &[9; 16]);
    world.put(1, at + len, &[9; 16]);
    let free = world.kernel.frames.free_count();
    world.waits(1, nr::READ, [fd, at, len, 0, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!(request.args[1] % 4096, 0x123);
    let pattern: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
    world.put(daemon.tid, request.args[1] as usize, &pattern);
    daemon.answer(&mut world, &request, Ok(len as u64));
    assert_eq!(world.result(1), Some(Ok(len)));
    assert_eq!(world.get(1, at, len), pattern);
    assert_eq!(world.get(1, at - 16, 16), [9; 16]);
    assert_eq!(world.get(1, at + len, 16), [9; 16]);
    let gone = world.done(
        daemon.tid,
        nr::WRITE,
        [1, request.args[1] as usize, 1, 0, 0, 0],
    );
    assert_eq!(gone, Err(EFAULT));
    world.waits(1, nr::WRITE, [fd, at, len, 0, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!(
        world.get(daemon.tid, request.args[1] as usize, len),
        pattern
    );
    daemon.answer(&mut world, &request, Ok(len as u64));
    assert!(free - world.kernel.frames.free_count() < 80);
}

#[test]
fn positioned_handles_have_a_cursor() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 1, POSITIONED);
    world.waits(1, nr::READ, [fd, BUF, 10, 0, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!(request.args[3], 0);
    daemon.answer(&mut world, &request, Ok(10));
    assert_eq!(world.ok(1, nr::LSEEK, [fd, 5, SEEK_CUR, 0, 0, 0]), 15);
    world.waits(1, nr::LSEEK, [fd, usize::MAX, SEEK_END, 0, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!(request.opcode, opcode::FSIZE);
    daemon.answer(&mut world, &request, Ok(100));
    assert_eq!(world.result(1), Some(Ok(99)));
    world.waits(1, nr::PREAD, [fd, BUF, 10, 3, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!(request.args[3], 3);
    daemon.answer(&mut world, &request, Ok(1));
    assert_eq!(world.ok(1, nr::LSEEK, [fd, 0, SEEK_CUR, 0, 0, 0]), 99);
}

#[test]
fn answers_come_in_any_order_and_only_once() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 1, 0);
    let other = world.thread(1);
    world.waits(1, nr::READ, [fd, BUF, 1, 0, 0, 0]);
    world.waits(other, nr::READ, [fd, BUF + 8, 1, 0, 0, 0]);
    let (first, second) = (daemon.next(&mut world), daemon.next(&mut world));
    daemon.answer(&mut world, &second, Ok(1));
    assert_eq!((world.result(1), world.result(other)), (None, Some(Ok(1))));
    daemon.answer(&mut world, &first, Ok(0));
    assert_eq!(world.result(1), Some(Ok(0)));
    assert_eq!(daemon.send(&mut world, 0, 0, first.tag, 0), Err(EINVAL));
    assert_eq!(daemon.send(&mut world, 0, 0, 0x7777_0777, 0), Err(EBADFD));
    assert_eq!(daemon.send(&mut world, 7, 0, 1, 0), Err(EBADFD));
    let socket = daemon.socket;
    assert_eq!(
        world.done(daemon.tid, nr::WRITE, [socket, SQES, 0, 0, 0, 0]),
        Ok(0)
    );
    assert_eq!(
        world.done(daemon.tid, nr::WRITE, [socket, SQES, 15, 0, 0, 0]),
        Err(EINVAL)
    );
}

#[test]
fn when_the_daemon_ends_every_request_ends_and_the_name_is_free() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 1, 0);
    let client = world.fork(1);
    world.waits(client, nr::READ, [fd, BUF, 1, 0, 0, 0]);
    let _taken = daemon.next(&mut world);
    let late = world.thread(1);
    world.waits(late, nr::READ, [fd, BUF, 1, 0, 0, 0]);
    world.ok(1, nr::KILL, [daemon.tid as usize, 9, 0, 0, 0, 0]);
    assert_eq!(world.result(client), Some(Err(ENODEV)));
    assert_eq!(world.result(late), Some(Err(ENODEV)));
    assert_eq!(world.done(1, nr::READ, [fd, BUF, 1, 0, 0, 0]), Err(ENODEV));
    assert_eq!(world.open(1, "test/x", O_RDWR), Some(Err(ENODEV)));
    let again = Daemon::new(&mut world, "test");
    let fd = again.open(&mut world, 1, "test/x", 1, 0);
    world.ok(1, nr::CLOSE, [fd, 0, 0, 0, 0, 0]);
}

#[test]
fn a_killed_caller_leaves_its_request_to_be_answered_for_nobody() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let client = world.fork(1);
    assert_eq!(world.open(client, "test/x", O_RDWR), None);
    let request = daemon.next(&mut world);
    world.ok(1, nr::KILL, [client as usize, 9, 0, 0, 0, 0]);
    assert!(!world.alive(client));
    let cancel = daemon.next(&mut world);
    assert_eq!((cancel.opcode, cancel.tag), (opcode::CANCEL, request.tag));
    daemon.answer(&mut world, &request, Ok(77));
    let close = daemon.next(&mut world);
    assert_eq!((close.opcode, close.args[0]), (opcode::CLOSE_MSG, 77));
}

#[test]
fn stat_tells_the_scheme_as_device() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 1, 0);
    world.waits(1, nr::FSTAT, [fd, BUF, 0, 0, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!((request.opcode, request.args[2]), (opcode::FSTAT, 104));
    let mut stat = [3u8; 104];
    stat[16] = 1;
    world.put(daemon.tid, request.args[1] as usize, &stat);
    daemon.answer(&mut world, &request, Ok(0));
    assert_eq!(world.get_u64(1, BUF), 16);
    assert_eq!(world.get_u64(1, BUF + 8), 0x0303_0303_0303_0303);
}

#[test]
fn a_daemon_can_give_descriptors_of_other_schemes() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let (read, write) = world.pipe(daemon.tid);
    assert_eq!(world.open(1, "test/pipe", O_RDWR), None);
    let request = daemon.next(&mut world);
    assert_eq!(
        daemon.send(&mut world, reply::WITH_FD, 0, request.tag, write as u64),
        Ok(16)
    );
    let fd = world.result(1).unwrap().unwrap();
    world.ok(daemon.tid, nr::CLOSE, [write, 0, 0, 0, 0, 0]);
    world.write(1, fd, b"direct");
    assert_eq!(world.read(daemon.tid, read, 9), Ok(b"direct".to_vec()));
    assert_eq!(world.open(1, "test/pipe", O_RDWR), None);
    let request = daemon.next(&mut world);
    assert_eq!(
        daemon.send(&mut world, reply::WITH_FD, 0, request.tag, 9999),
        Err(EBADF)
    );
}

#[test]
fn descriptors_are_passed_to_and_from_a_daemon() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 1, 0);
    let (read, write) = world.pipe(1);
    world.put(1, BUF, &write.to_le_bytes());
    world.waits(1, nr::CALL, [fd, BUF, 8, call::FD | call::WRITE, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!((request.opcode, request.args[3]), (opcode::SENDFD, 1));
    let meta = SQES + 8192;
    world.put(daemon.tid, meta, &0u64.to_le_bytes());
    world.put(daemon.tid, meta + 8, &u64::from(request.tag).to_le_bytes());
    let args = [daemon.socket, BUF, 8, call::FD | call::READ, meta, 2];
    world.ok(daemon.tid, nr::CALL, args);
    let got = world.get_u64(daemon.tid, BUF) as usize;
    daemon.answer(&mut world, &request, Ok(0));
    assert_eq!(world.result(1), Some(Ok(0)));
    world.write(daemon.tid, got, b"thanks");
    assert_eq!(world.read(1, read, 9), Ok(b"thanks".to_vec()));

    world.waits(1, nr::CALL, [fd, BUF, 8, call::FD | call::READ, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!((request.opcode, request.args[2]), (opcode::RECVFD, 1));
    world.put(daemon.tid, meta, &1u64.to_le_bytes());
    world.put(daemon.tid, meta + 8, &u64::from(request.tag).to_le_bytes());
    world.put(daemon.tid, BUF, &got.to_le_bytes());
    world.ok(
        daemon.tid,
        nr::CALL,
        [daemon.socket, BUF, 8, call::FD | call::WRITE, meta, 2],
    );
    assert_eq!(
        daemon.send(&mut world, reply::WITH_MULTIPLE_FDS, 0, request.tag, 1),
        Ok(16)
    );
    assert_eq!(world.result(1), Some(Ok(8)));
    let back = world.get_u64(1, BUF) as usize;
    world.write(1, back, b"again");
    assert_eq!(world.read(1, read, 9), Ok(b"again".to_vec()));
}

#[test]
fn readiness_is_asked_once_and_reported_later() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 5, 0);
    let queue = world.open_ok(1, "event", O_RDWR);
    let record: Vec<u8> = [fd, EVENT_READ, 42]
        .iter()
        .flat_map(|w| w.to_le_bytes())
        .collect();
    assert_eq!(world.write(1, queue, &record), None);
    let request = daemon.next(&mut world);
    assert_eq!(
        (request.opcode, request.args[0], request.args[1]),
        (opcode::FEVENT, 5, 1)
    );
    daemon.answer(&mut world, &request, Ok(0));
    assert_eq!(world.result(1), Some(Ok(24)));
    world.waits(1, nr::READ, [queue, BUF, 24, 0, 0, 0]);
    assert_eq!(
        daemon.send(&mut world, reply::SEND_FEVENT, 0, EVENT_READ as u32, 5),
        Ok(16)
    );
    assert_eq!(world.result(1), Some(Ok(24)));
    assert_eq!(world.get(1, BUF, 24), record);
}

#[test]
fn a_daemon_waits_for_requests_with_a_queue() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let queue = world.open_ok(daemon.tid, "event", O_RDWR);
    let record: Vec<u8> = [daemon.socket, EVENT_READ, 1]
        .iter()
        .flat_map(|w| w.to_le_bytes())
        .collect();
    assert_eq!(world.write(daemon.tid, queue, &record), Some(Ok(24)));
    world.ok(
        daemon.tid,
        nr::FCNTL,
        [daemon.socket, F_SETFL, O_NONBLOCK, 0, 0, 0],
    );
    let empty = world.done(daemon.tid, nr::READ, [daemon.socket, SQES, 64, 0, 0, 0]);
    assert_eq!(empty, Err(EAGAIN));
    world.waits(daemon.tid, nr::READ, [queue, BUF, 24, 0, 0, 0]);
    assert_eq!(world.open(1, "test/x", O_RDWR), None);
    assert_eq!(world.result(daemon.tid), Some(Ok(24)));
    assert_eq!(daemon.next(&mut world).opcode, opcode::OPEN_AT);
}

#[test]
fn mapped_memory_is_shared_with_the_daemon_and_unmapped_once() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 5, 0);
    let flags = PROT_READ | PROT_WRITE | MAP_SHARED;
    world.waits(1, nr::MMAP, [0, 0x3000, flags, fd, 0x1000, 0]);
    let request = daemon.next(&mut world);
    assert_eq!(
        (request.opcode, request.args[0], request.args[1]),
        (opcode::MMAP_PREP, 5, 0x3000)
    );
    assert_eq!(request.args[3], 0x1000);
    let source = SCRATCH + 0x30_0000;
    world.put(daemon.tid, source, b"from the daemon");
    daemon.answer(&mut world, &request, Ok(source as u64));
    let at = world.result(1).unwrap().unwrap();
    assert_eq!(world.get(1, at, 15), b"from the daemon");
    world.put(1, at + 0x1000, b"from the client");
    assert_eq!(
        world.get(daemon.tid, source + 0x1000, 15),
        b"from the client"
    );
    let child = world.fork(1);
    world.put(child, at, b"FROM");
    assert_eq!(world.get(daemon.tid, source, 8), b"FROM the");
    world.ok(1, nr::CLOSE, [fd, 0, 0, 0, 0, 0]);
    world.ok(1, nr::MUNMAP, [at, 0x3000, 0, 0, 0, 0]);
    world.call(child, nr::EXIT, [0; 6]);
    let request = daemon.next(&mut world);
    assert_eq!((request.opcode, request.args[1]), (opcode::MUNMAP, 0x3000));
    daemon.answer(&mut world, &request, Ok(0));
    let close = daemon.next(&mut world);
    assert_eq!((close.opcode, close.args[0]), (opcode::CLOSE_MSG, 5));
}

#[test]
fn status_flags_work_with_daemons_that_know_nothing_of_them() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 5, 0);
    world.waits(1, nr::FCNTL, [fd, F_SETFL, O_NONBLOCK, 0, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!(request.opcode, opcode::FCNTL);
    daemon.answer(&mut world, &request, Err(EOPNOTSUPP));
    assert_eq!(world.result(1), Some(Ok(0)));
    assert_eq!(
        world.ok(1, nr::FCNTL, [fd, F_GETFL, 0, 0, 0, 0]) & O_NONBLOCK,
        O_NONBLOCK
    );
}

#[test]
fn a_daemon_that_forks_serves_from_the_child() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let child = Daemon {
        tid: world.fork(daemon.tid),
        socket: daemon.socket,
    };
    world.call(daemon.tid, nr::EXIT, [0; 6]);
    let fd = child.open(&mut world, 1, "test/x", 5, 0);
    world.put(1, BUF, b"works");
    world.waits(1, nr::WRITE, [fd, BUF, 5, 0, 0, 0]);
    let request = child.next(&mut world);
    assert_eq!(world.get(child.tid, request.args[1] as usize, 5), b"works");
    child.answer(&mut world, &request, Ok(5));
    assert_eq!(world.result(1), Some(Ok(5)));
}

#[test]
fn generic_and_standard_calls_reach_the_daemon_in_their_forms() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 5, 0);
    let meta = SCRATCH + 0x7000;
    for (index, word) in [11u64, 22, 33].iter().enumerate() {
        world.put(1, meta + index * 8, &word.to_le_bytes());
    }
    world.put(1, BUF, b"in");
    world.waits(1, nr::CALL, [fd, BUF, 4, call::READ | call::WRITE, meta, 3]);
    let request = daemon.next(&mut world);
    assert_eq!(
        (request.opcode, &request.args[3..]),
        (opcode::CALL, &[11, 22, 33][..])
    );
    assert_eq!(world.get(daemon.tid, request.args[1] as usize, 2), b"in");
    world.put(daemon.tid, request.args[1] as usize, b"out!");
    daemon.answer(&mut world, &request, Ok(4));
    assert_eq!(world.get(1, BUF, 4), b"out!");
    world.put(1, meta, &2u64.to_le_bytes());
    world.waits(1, nr::CALL, [fd, 0, 0, call::STD_FS, meta, 3]);
    let request = daemon.next(&mut world);
    assert_eq!(
        (request.opcode, &request.args[..3]),
        (opcode::FCHOWN, &[5, 22, 33][..])
    );
    daemon.answer(&mut world, &request, Ok(0));
    world.put(1, meta, &12u64.to_le_bytes());
    world.waits(1, nr::CALL, [fd, 0, 0, call::STD_FS, meta, 3]);
    let request = daemon.next(&mut world);
    assert_eq!(
        (request.opcode, request.args[3], request.args[4]),
        (opcode::STD_FS_CALL, 12, 22)
    );
    daemon.answer(&mut world, &request, Ok(0));
}

#[test]
fn rename_stays_within_its_scheme() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 5, 0);
    world.put(1, BUF, b"sys/a");
    assert_eq!(
        world.done(1, nr::FRENAME, [fd, BUF, 5, 0, 0, 0]),
        Err(EXDEV)
    );
    world.put(1, BUF, b"test/new");
    world.waits(1, nr::FRENAME, [fd, BUF, 8, 0, 0, 0]);
    let request = daemon.next(&mut world);
    assert_eq!((request.opcode, request.args[2]), (opcode::FRENAME, 3));
    assert_eq!(world.get(daemon.tid, request.args[1] as usize, 3), b"new");
    daemon.answer(&mut world, &request, Ok(0));
}

#[test]
fn bad_answers_do_not_hurt() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let fd = daemon.open(&mut world, 1, "test/x", 5, 0);
    world.waits(1, nr::READ, [fd, BUF, 4, 0, 0, 0]);
    let request = daemon.next(&mut world);
    daemon.answer(&mut world, &request, Ok(1 << 40));
    assert_eq!(world.result(1), Some(Err(EIO)));
    world.waits(1, nr::READ, [fd, BUF, 4, 0, 0, 0]);
    let request = daemon.next(&mut world);
    daemon.answer(&mut world, &request, Err(EINTR));
    assert_eq!(world.result(1), Some(Err(EIO)));
    for addr in [
        1,
        0x10,
        0xFFFF_8000_0000_0000,
        0x7FFF_FFFF_F000,
        SCRATCH as u64 + 0x3F_F000,
    ] {
        let flags = PROT_READ | PROT_WRITE | MAP_SHARED;
        world.waits(1, nr::MMAP, [0, 0x3000, flags, fd, 0, 0]);
        let request = daemon.next(&mut world);
        daemon.answer(&mut world, &request, Ok(addr));
        assert!(world.result(1).unwrap().is_err(), "{addr:#x}");
    }
    let paths = [vec![0xFF, 0xFE], b"a\0b".to_vec(), vec![b'a'; 5000]];
    for path in paths {
        let mut full = b"test/".to_vec();
        full.extend(path);
        world.put(1, BUF, &full);
        let result = world.done(
            1,
            nr::OPENAT,
            [nr::AT_NAMESPACE, BUF, full.len(), O_RDWR, 0, 0],
        );
        assert!(result.is_err());
    }
}

#[test]
fn a_scheme_that_asked_hears_of_the_end_before_the_handles_are_closed() {
    let mut world = World::new();
    let daemon = Daemon::new(&mut world, "test");
    let client = world.fork(1);
    let fd = daemon.open(&mut world, client, "test/x", 5, 0);
    for _ in 0..2 {
        world.waits(client, nr::FSYNC, [fd, 0, 0, 0, 0, 0]);
        let request = daemon.next(&mut world);
        let sent = daemon.send(&mut world, reply::AND_NOTIFY_ON_DETACH, 0, request.tag, 0);
        assert_eq!(sent, Ok(16));
        assert_eq!(world.result(client), Some(Ok(0)));
    }
    world.ok(1, nr::KILL, [client as usize, 9, 0, 0, 0, 0]);
    let detach = daemon.next(&mut world);
    assert_eq!((detach.opcode, detach.args[0]), (opcode::DETACH, 5));
    assert_eq!(detach.caller, u64::from(client));
    assert_eq!(daemon.next(&mut world).opcode, opcode::CLOSE_MSG);
}
