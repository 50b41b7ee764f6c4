//! Terminals as files.

use std::collections::BTreeMap;

use valence_daemon::syscall::data::Stat;
use valence_daemon::syscall::dirent::DirentKind;
use valence_daemon::syscall::error::{EINVAL, EIO, EISDIR, ENOENT, ENOSPC, ENOTDIR, Error, Result};
use valence_daemon::syscall::flag::{EventFlags, MODE_CHR, MODE_DIR};
use valence_daemon::{Caller, Entry, Opened, Service};

use crate::limits::TERMINALS_MAX;
use crate::terminal::{Signal, Terminal, Wait};
use crate::termios::{Termios, WINSIZE_BYTES};

/// What a handle stands for.
#[derive(Clone, Debug)]
pub enum Node {
    /// The list of terminals.
    Root,
    /// The keyboard and screen of a terminal.
    Master(usize),
    /// The terminal as programs see it, and what a read of this handle waits for.
    Slave(usize, Wait),
    /// One setting of a terminal.
    Setting(usize, Setting),
}

/// What `dup` with a name gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `struct termios`.
    Termios,
    /// `struct winsize`.
    Winsize,
    /// The foreground process group, i32.
    Group,
    /// Number of the slave, u32, read only.
    Name,
    /// Whether the slave may not be opened yet, i32.
    Lock,
    /// Writing a byte throws away input (0), output (1) or both (2).
    Flush,
}

struct Pair {
    terminal: Terminal,
    owner: Caller,
    is_locked: bool,
    has_master: bool,
    timer_ms: Option<u64>,
}

/// All terminals. `send` delivers signals.
pub struct Ptys {
    pairs: BTreeMap<usize, Pair>,
    now_ms: u64,
    send: Box<dyn FnMut(Signal)>,
}

impl Ptys {
    /// No terminal yet.
    pub fn new(send: Box<dyn FnMut(Signal)>) -> Self {
        Ptys {
            pairs: BTreeMap::new(),
            now_ms: 0,
            send,
        }
    }

    fn pair(&mut self, number: usize) -> Result<&mut Pair> {
        self.pairs.get_mut(&number).ok_or(Error::new(EIO))
    }

    fn create(&mut self, owner: &Caller) -> Result<Node> {
        let free = (0..TERMINALS_MAX).find(|number| !self.pairs.contains_key(number));
        let number = free.ok_or(Error::new(ENOSPC))?;
        let terminal = Terminal::default();
        let pair = Pair {
            terminal,
            owner: *owner,
            is_locked: false,
            has_master: true,
            timer_ms: None,
        };
        self.pairs.insert(number, pair);
        Ok(Node::Master(number))
    }

    fn open_slave(&mut self, path: &str) -> Result<Node> {
        let number: usize = path.parse().map_err(|_| Error::new(ENOENT))?;
        let pair = self.pairs.get_mut(&number).ok_or(Error::new(ENOENT))?;
        if pair.is_locked || !pair.has_master {
            return Err(Error::new(EIO));
        }
        pair.terminal.slave_opened();
        Ok(Node::Slave(number, Wait::default()))
    }

    fn read_setting(&mut self, number: usize, setting: Setting) -> Result<Vec<u8>> {
        let pair = self.pair(number)?;
        Ok(match setting {
            Setting::Termios => pair.terminal.termios().to_bytes().to_vec(),
            Setting::Winsize => pair.terminal.winsize().to_vec(),
            Setting::Group => i64::from(pair.terminal.group()).to_le_bytes().to_vec(),
            Setting::Name => (number as u64).to_le_bytes().to_vec(),
            Setting::Lock => i64::from(pair.is_locked).to_le_bytes().to_vec(),
            Setting::Flush => return Err(Error::new(EINVAL)),
        })
    }

    fn write_setting(&mut self, number: usize, setting: Setting, bytes: &[u8]) -> Result<()> {
        let invalid = Error::new(EINVAL);
        let word = || {
            bytes
                .first_chunk()
                .map(|word| i32::from_le_bytes(*word))
                .ok_or(invalid)
        };
        let pair = self.pair(number)?;
        let terminal = &mut pair.terminal;
        match setting {
            Setting::Termios => terminal.set_termios(Termios::from_bytes(bytes).ok_or(invalid)?),
            Setting::Winsize => {
                let size: &[u8; WINSIZE_BYTES] = bytes.first_chunk().ok_or(invalid)?;
                terminal.set_winsize(*size);
            }
            Setting::Group => {
                let group = word()?;
                if group < 0 {
                    return Err(invalid);
                }
                terminal.set_group(group);
            }
            Setting::Lock => pair.is_locked = word()? != 0,
            Setting::Flush => match bytes.first().ok_or(invalid)? {
                0 => terminal.flush_input(),
                1 => terminal.flush_output(),
                2 => {
                    terminal.flush_input();
                    terminal.flush_output();
                }
                _ => return Err(invalid),
            },
            Setting::Name => return Err(invalid),
        }
        Ok(())
    }
}

impl Service for Ptys {
    type Node = Node;

    fn name(&self) -> &str {
        "pty"
    }

    fn open(
        &mut self,
        base: Option<&Node>,
        path: &str,
        _flags: usize,
        caller: &Caller,
    ) -> Result<Opened<Node>> {
        let node = match (base, path) {
            (None | Some(Node::Root), "") => Node::Root,
            (None | Some(Node::Root), "ptmx") => self.create(caller)?,
            (None | Some(Node::Root), number) => self.open_slave(number)?,
            (Some(_), _) => return Err(Error::new(ENOTDIR)),
        };
        Ok(Opened::Stream(node))
    }

    fn dup(&mut self, node: &Node, what: &[u8]) -> Result<Opened<Node>> {
        let number = match node {
            Node::Master(number) | Node::Slave(number, _) => *number,
            Node::Root | Node::Setting(..) => return Err(Error::new(EINVAL)),
        };
        let setting = match what {
            b"termios" => Setting::Termios,
            b"winsize" => Setting::Winsize,
            b"pgrp" => Setting::Group,
            b"ptsname" => Setting::Name,
            b"ptlock" => Setting::Lock,
            b"flush" => Setting::Flush,
            _ => return Err(Error::new(EINVAL)),
        };
        Ok(Opened::Stream(Node::Setting(number, setting)))
    }

    fn read(&mut self, node: &mut Node, buf: &mut [u8], _offset: u64) -> Result<usize> {
        let now_ms = self.now_ms;
        match node {
            Node::Root => Err(Error::new(EISDIR)),
            Node::Master(number) => self.pair(*number)?.terminal.master_read(buf),
            Node::Slave(number, wait) => {
                let pair = self.pair(*number)?;
                let result = pair.terminal.slave_read(buf, wait, now_ms);
                if let Some(until) = wait.until_ms {
                    pair.timer_ms = Some(pair.timer_ms.map_or(until, |timer| timer.min(until)));
                }
                result
            }
            Node::Setting(number, setting) => {
                let bytes = self.read_setting(*number, *setting)?;
                let count = bytes.len().min(buf.len());
                buf[..count].copy_from_slice(&bytes[..count]);
                Ok(count)
            }
        }
    }

    fn write(&mut self, node: &mut Node, buf: &[u8], _offset: u64, _flags: usize) -> Result<usize> {
        let now_ms = self.now_ms;
        match node {
            Node::Root => Err(Error::new(EISDIR)),
            Node::Master(number) => self.pair(*number)?.terminal.master_write(buf, now_ms),
            Node::Slave(number, _) => self.pair(*number)?.terminal.slave_write(buf),
            Node::Setting(number, setting) => {
                self.write_setting(*number, *setting, buf)?;
                Ok(buf.len())
            }
        }
    }

    fn stat(&mut self, node: &Node, stat: &mut Stat) -> Result<()> {
        match node {
            Node::Root => stat.st_mode = MODE_DIR | 0o755,
            Node::Master(number) | Node::Slave(number, _) | Node::Setting(number, _) => {
                let owner = self.pair(*number)?.owner;
                stat.st_mode = MODE_CHR | 0o620;
                (stat.st_uid, stat.st_gid) = (owner.uid, owner.gid);
                stat.st_ino = *number as u64 + 1;
            }
        }
        Ok(())
    }

    fn path(&self, node: &Node) -> String {
        match node {
            Node::Root => String::new(),
            Node::Master(number) | Node::Slave(number, _) | Node::Setting(number, _) => {
                number.to_string()
            }
        }
    }

    fn entries(&mut self, node: &Node) -> Result<Vec<Entry>> {
        let Node::Root = node else {
            return Err(Error::new(ENOTDIR));
        };
        let names = self
            .pairs
            .keys()
            .map(usize::to_string)
            .chain(["ptmx".to_owned()]);
        Ok(names
            .map(|name| Entry {
                inode: 0,
                kind: DirentKind::CharDev,
                name,
            })
            .collect())
    }

    fn ready(&mut self, node: &Node) -> EventFlags {
        let (number, is_master) = match node {
            Node::Master(number) => (number, true),
            Node::Slave(number, _) => (number, false),
            Node::Root | Node::Setting(..) => {
                return EventFlags::EVENT_READ | EventFlags::EVENT_WRITE;
            }
        };
        match self.pairs.get(number) {
            Some(pair) if is_master => pair.terminal.master_ready(),
            Some(pair) => pair.terminal.slave_ready(),
            None => EventFlags::EVENT_READ | EventFlags::EVENT_WRITE,
        }
    }

    fn activity(&self, node: &Node) -> u64 {
        match node {
            Node::Master(number) | Node::Slave(number, _) => self
                .pairs
                .get(number)
                .map_or(0, |pair| pair.terminal.activity()),
            Node::Root | Node::Setting(..) => 0,
        }
    }

    fn close(&mut self, node: Node) {
        let number = match node {
            Node::Master(number) | Node::Slave(number, _) => number,
            Node::Root | Node::Setting(..) => return,
        };
        let Some(pair) = self.pairs.get_mut(&number) else {
            return;
        };
        match node {
            Node::Master(_) => {
                pair.has_master = false;
                pair.terminal.hang_up();
            }
            _ => pair.terminal.slave_closed(),
        }
        if !pair.has_master && pair.terminal.slaves() == 0 {
            let signals = pair.terminal.take_signals();
            signals.into_iter().for_each(&mut self.send);
            self.pairs.remove(&number);
        }
    }

    fn uses_clock(&self) -> bool {
        true
    }

    fn deadline_ms(&self) -> Option<u64> {
        self.pairs.values().filter_map(|pair| pair.timer_ms).min()
    }

    fn on_clock(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        for pair in self.pairs.values_mut() {
            pair.timer_ms = pair.timer_ms.filter(|timer| *timer > now_ms);
        }
    }

    fn settle(&mut self) {
        for pair in self.pairs.values_mut() {
            pair.terminal
                .take_signals()
                .into_iter()
                .for_each(&mut self.send);
        }
    }
}
