//! The disk scheme against a disk in memory.

use valence_daemon::syscall::error::{EACCES, EINVAL, ENOENT, ENOLCK, ENOSPC, EROFS, Error};
use valence_daemon::syscall::flag::{O_RDONLY, O_RDWR, O_STAT};
use valence_daemon::{Caller, Opened, Service};

use crate::{BLOCK_BYTES, DiskScheme, Medium, Node, Partition, read_table};

struct Memory {
    bytes: Vec<u8>,
    read_only: bool,
    flushes: usize,
}

impl Medium for Memory {
    fn blocks(&self) -> u64 {
        (self.bytes.len() / BLOCK_BYTES) as u64
    }
    fn is_read_only(&self) -> bool {
        self.read_only
    }
    fn read(&mut self, block: u64, out: &mut [u8]) -> std::io::Result<()> {
        let at = block as usize * BLOCK_BYTES;
        out.copy_from_slice(&self.bytes[at..at + out.len()]);
        Ok(())
    }
    fn write(&mut self, block: u64, data: &[u8]) -> std::io::Result<()> {
        let at = block as usize * BLOCK_BYTES;
        self.bytes[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.flushes += 1;
        Ok(())
    }
}

fn blank(blocks: usize) -> Memory {
    Memory {
        bytes: vec![0; blocks * BLOCK_BYTES],
        read_only: false,
        flushes: 0,
    }
}

/// A disk of 100 blocks with GPT partitions at 40..=49 and 50..=89 and one that ends behind the disk.
fn with_gpt() -> Memory {
    let mut disk = blank(100);
    let header = BLOCK_BYTES;
    disk.bytes[header..header + 8].copy_from_slice(b"EFI PART");
    disk.bytes[header + 72..header + 80].copy_from_slice(&2u64.to_le_bytes());
    disk.bytes[header + 80..header + 84].copy_from_slice(&128u32.to_le_bytes());
    disk.bytes[header + 84..header + 88].copy_from_slice(&128u32.to_le_bytes());
    for (index, (first, last)) in [(40u64, 49u64), (50, 89), (90, 100)]
        .into_iter()
        .enumerate()
    {
        let at = 2 * BLOCK_BYTES + index * 128;
        disk.bytes[at] = 1;
        disk.bytes[at + 32..at + 40].copy_from_slice(&first.to_le_bytes());
        disk.bytes[at + 40..at + 48].copy_from_slice(&last.to_le_bytes());
    }
    disk
}

fn scheme(disk: Memory) -> DiskScheme<Memory> {
    DiskScheme::new("disk.test".into(), disk).unwrap()
}

fn open(scheme: &mut DiskScheme<Memory>, path: &str, flags: usize) -> Result<Node, Error> {
    match scheme.open(None, path, flags, &Caller::default())? {
        Opened::Positioned(node) => Ok(node),
        Opened::Stream(_) => panic!("a disk has positions"),
    }
}

#[test]
fn a_gpt_gives_the_partitions_that_fit_the_disk() {
    let parts = read_table(&mut with_gpt()).unwrap();
    let expected = [
        Partition {
            start: 40,
            blocks: 10,
        },
        Partition {
            start: 50,
            blocks: 40,
        },
    ];
    assert_eq!(parts, expected);
}

#[test]
fn an_mbr_is_read_and_a_protective_one_is_not() {
    let mut disk = blank(100);
    disk.bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.bytes[446 + 4] = 0x0c;
    disk.bytes[446 + 8] = 10;
    disk.bytes[446 + 12] = 20;
    assert_eq!(
        read_table(&mut disk).unwrap(),
        [Partition {
            start: 10,
            blocks: 20
        }]
    );
    disk.bytes[446 + 4] = 0xee;
    assert!(read_table(&mut disk).unwrap().is_empty());
}

#[test]
fn no_table_or_a_wild_one_means_no_partitions() {
    assert!(read_table(&mut blank(100)).unwrap().is_empty());
    assert!(read_table(&mut blank(1)).unwrap().is_empty());
    for offset in (72..88).step_by(4) {
        let mut disk = with_gpt();
        disk.bytes[BLOCK_BYTES + offset..BLOCK_BYTES + offset + 4].fill(0xff);
        let parts = read_table(&mut disk).unwrap();
        assert!(parts.len() <= 2, "a wild word at {offset}");
    }
}

#[test]
fn names_are_the_disk_and_its_partitions() {
    let mut scheme = scheme(with_gpt());
    let mut root = open(&mut scheme, "", O_RDONLY).unwrap();
    let names: Vec<_> = scheme
        .entries(&root)
        .unwrap()
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert_eq!(names, ["0", "0p0", "0p1"]);
    let mut buf = [0; 64];
    let len = scheme.read(&mut root, &mut buf, 0).unwrap();
    assert_eq!(&buf[..len], b"0\n0p0\n0p1\n");
    assert_eq!(open(&mut scheme, "0p2", O_RDWR), Err(Error::new(ENOENT)));
}

#[test]
fn a_partition_is_addressed_from_its_own_start_and_ends_where_it_ends() {
    let mut scheme = scheme(with_gpt());
    let mut part = open(&mut scheme, "0p0", O_RDWR).unwrap();
    assert_eq!(scheme.size(&part), Ok(10 * 512));
    assert_eq!(scheme.write(&mut part, &[7; 1024], 9 * 512, 0), Ok(512));
    assert_eq!(
        scheme.write(&mut part, &[7; 512], 10 * 512, 0),
        Err(Error::new(ENOSPC))
    );
    let mut buf = [0; 1024];
    assert_eq!(scheme.read(&mut part, &mut buf, 9 * 512), Ok(512));
    assert_eq!(buf[..512], [7; 512]);
    assert_eq!(scheme.read(&mut part, &mut buf, 10 * 512), Ok(0));
    scheme.close(part);
    let mut whole = open(&mut scheme, "0", O_RDWR).unwrap();
    assert_eq!(scheme.read(&mut whole, &mut buf, 49 * 512), Ok(1024));
    assert_eq!((buf[0], buf[512]), (7, 0));
}

#[test]
fn only_whole_blocks_are_moved() {
    let mut scheme = scheme(with_gpt());
    let mut disk = open(&mut scheme, "0", O_RDWR).unwrap();
    let mut buf = [0; 600];
    assert_eq!(scheme.read(&mut disk, &mut buf, 0), Err(Error::new(EINVAL)));
    assert_eq!(
        scheme.read(&mut disk, &mut buf[..512], 100),
        Err(Error::new(EINVAL))
    );
    assert_eq!(
        scheme.write(&mut disk, &buf[..511], 0, 0),
        Err(Error::new(EINVAL))
    );
    assert_eq!(
        scheme.read(&mut disk, &mut buf[..512], u64::MAX - 511),
        Ok(0)
    );
}

#[test]
fn one_handle_at_a_time_but_anyone_may_look() {
    let mut scheme = scheme(with_gpt());
    let first = open(&mut scheme, "0p1", O_RDWR).unwrap();
    assert_eq!(open(&mut scheme, "0p1", O_RDWR), Err(Error::new(ENOLCK)));
    let looking = open(&mut scheme, "0p1", O_STAT).unwrap();
    scheme.close(looking);
    assert_eq!(open(&mut scheme, "0p1", O_RDWR), Err(Error::new(ENOLCK)));
    scheme.close(first);
    assert!(open(&mut scheme, "0p1", O_RDWR).is_ok());
}

#[test]
fn users_and_read_only_disks_are_refused() {
    let mut disk = with_gpt();
    disk.read_only = true;
    let mut scheme = scheme(disk);
    let user = Caller {
        pid: 1,
        uid: 1000,
        gid: 1000,
    };
    assert_eq!(
        scheme.open(None, "0", O_RDONLY, &user).unwrap_err(),
        Error::new(EACCES)
    );
    assert_eq!(open(&mut scheme, "0", O_RDWR), Err(Error::new(EROFS)));
    assert!(open(&mut scheme, "0", O_RDONLY).is_ok());
}
