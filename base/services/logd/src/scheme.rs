//! The log as files.

use std::fmt::Write as _;
use std::time::Instant;

use valence_daemon::syscall::data::Stat;
use valence_daemon::syscall::dirent::DirentKind;
use valence_daemon::syscall::error::{
    EACCES, EBADF, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, ENOSPC, ENOTDIR, Error, Result,
};
use valence_daemon::syscall::flag::{MODE_DIR, MODE_FILE, O_ACCMODE, O_RDONLY, O_WRONLY};
use valence_daemon::{Caller, Entry, Opened, Service, read_at};

use crate::limits::{CONTEXTS_MAX, LINE_BYTES, NAME_BYTES, RING_BYTES};
use crate::ring::{Line, Ring};

const ALL: &str = ".all";
const ECHO: &str = ".echo";

/// What a handle stands for. A reader sees the lines as they were when it first read.
#[derive(Debug)]
pub enum Node {
    /// The list of contexts.
    Root,
    /// One context by index, and what this handle has read.
    Context(usize, Option<String>),
    /// All contexts together.
    All(Option<String>),
    /// The switch of the echo.
    Echo,
}

/// Writes a finished line to the console.
pub type Echo = Box<dyn FnMut(&[u8])>;

/// All logs.
pub struct Log {
    contexts: Vec<Context>,
    ring: Ring,
    start: Instant,
    start_ms: u64,
    echo: Option<Echo>,
    is_echoing: bool,
}

struct Context {
    name: String,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
}

impl Log {
    /// An empty log; `start_ms` is the time since boot now.
    pub fn new(start_ms: u64, echo: Option<Echo>) -> Self {
        Log {
            contexts: Vec::new(),
            ring: Ring::new(RING_BYTES),
            start: Instant::now(),
            start_ms,
            is_echoing: echo.is_some(),
            echo,
        }
    }

    fn context(&mut self, name: &str) -> Result<usize> {
        if let Some(index) = self
            .contexts
            .iter()
            .position(|context| context.name == name)
        {
            return Ok(index);
        }
        if name.len() > NAME_BYTES {
            return Err(Error::new(ENAMETOOLONG));
        }
        if name.starts_with('.') || name.contains('/') {
            return Err(Error::new(EINVAL));
        }
        if self.contexts.len() >= CONTEXTS_MAX {
            return Err(Error::new(ENOSPC));
        }
        self.contexts.push(Context {
            name: name.to_owned(),
            partial: Vec::new(),
        });
        Ok(self.contexts.len() - 1)
    }

    fn append(&mut self, index: usize, bytes: &[u8]) {
        for byte in bytes {
            let partial = &mut self.contexts[index].partial;
            if *byte != b'\n' {
                partial.push(*byte);
            }
            if *byte == b'\n' || partial.len() >= LINE_BYTES {
                let text = std::mem::take(partial);
                self.finish(index, text);
            }
        }
    }

    fn finish(&mut self, index: usize, text: Vec<u8>) {
        if let Some(echo) = self.echo.as_mut().filter(|_| self.is_echoing) {
            let name = self.contexts[index].name.as_bytes();
            echo(&[name, b": ", text.as_slice(), b"\r\n"].concat());
        }
        let at_ms = self.start_ms + self.start.elapsed().as_millis() as u64;
        self.ring.push(Line {
            at_ms,
            context: index,
            text,
        });
    }

    fn text_of(&self, index: usize) -> String {
        let own = self.ring.lines().filter(|line| line.context == index);
        own.map(|line| String::from_utf8_lossy(&line.text).into_owned() + "\n")
            .collect()
    }

    fn text_of_all(&self) -> String {
        let mut text = String::new();
        for line in self.ring.lines() {
            let (seconds, ms) = (line.at_ms / 1000, line.at_ms % 1000);
            let name = &self.contexts[line.context].name;
            let body = String::from_utf8_lossy(&line.text);
            let _ = writeln!(text, "[{seconds:5}.{ms:03}] {name}: {body}");
        }
        text
    }
}

impl Service for Log {
    type Node = Node;

    fn name(&self) -> &str {
        "log"
    }

    fn open(
        &mut self,
        base: Option<&Node>,
        path: &str,
        flags: usize,
        caller: &Caller,
    ) -> Result<Opened<Node>> {
        if !matches!(base, None | Some(Node::Root)) {
            return Err(Error::new(ENOTDIR));
        }
        let node = match path {
            "" => Node::Root,
            ALL => Node::All(None),
            ECHO if flags & O_WRONLY != 0 && caller.uid != 0 => return Err(Error::new(EACCES)),
            ECHO => Node::Echo,
            // Reading does not make a context: a misspelt name should say so.
            _ if flags & O_ACCMODE == O_RDONLY
                && !self.contexts.iter().any(|context| context.name == path) =>
            {
                return Err(Error::new(ENOENT));
            }
            _ => Node::Context(self.context(path)?, None),
        };
        Ok(Opened::Positioned(node))
    }

    fn read(&mut self, node: &mut Node, buf: &mut [u8], offset: u64) -> Result<usize> {
        match node {
            Node::Root => Err(Error::new(EISDIR)),
            Node::Echo => {
                let state = if self.is_echoing { "on\n" } else { "off\n" };
                Ok(read_at(state.as_bytes(), buf, offset))
            }
            Node::Context(index, snapshot) => {
                let index = *index;
                let text = snapshot.get_or_insert_with(|| self.text_of(index));
                Ok(read_at(text.as_bytes(), buf, offset))
            }
            Node::All(snapshot) => {
                let text = snapshot.get_or_insert_with(|| self.text_of_all());
                Ok(read_at(text.as_bytes(), buf, offset))
            }
        }
    }

    fn write(&mut self, node: &mut Node, buf: &[u8], _offset: u64, _flags: usize) -> Result<usize> {
        match node {
            Node::Root | Node::All(_) => return Err(Error::new(EBADF)),
            Node::Echo => {
                self.is_echoing = match buf.trim_ascii() {
                    b"on" => true,
                    b"off" => false,
                    _ => return Err(Error::new(EINVAL)),
                };
            }
            Node::Context(index, _) => {
                let index = *index;
                self.append(index, buf);
            }
        }
        Ok(buf.len())
    }

    fn stat(&mut self, node: &Node, stat: &mut Stat) -> Result<()> {
        stat.st_mode = match node {
            Node::Root => MODE_DIR | 0o755,
            Node::Context(..) => MODE_FILE | 0o622,
            Node::All(_) => MODE_FILE | 0o444,
            Node::Echo => MODE_FILE | 0o644,
        };
        stat.st_size = match node {
            Node::Context(index, _) => self.text_of(*index).len() as u64,
            Node::All(_) => self.text_of_all().len() as u64,
            Node::Root | Node::Echo => 0,
        };
        Ok(())
    }

    fn path(&self, node: &Node) -> String {
        match node {
            Node::Root => String::new(),
            Node::Context(index, _) => self.contexts[*index].name.clone(),
            Node::All(_) => ALL.to_owned(),
            Node::Echo => ECHO.to_owned(),
        }
    }

    fn size(&mut self, node: &Node) -> Result<u64> {
        let mut stat = Stat::default();
        self.stat(node, &mut stat)?;
        Ok(stat.st_size)
    }

    // Shells open a log with `>`, which cuts a file; a log only grows.
    fn truncate(&mut self, _node: &mut Node, _len: u64) -> Result<()> {
        Ok(())
    }

    fn entries(&mut self, node: &Node) -> Result<Vec<Entry>> {
        match node {
            Node::Root => {
                let names = self.contexts.iter().map(|context| context.name.clone());
                let entry = |name| Entry {
                    inode: 0,
                    kind: DirentKind::Regular,
                    name,
                };
                Ok(names.map(entry).collect())
            }
            _ => Err(Error::new(ENOTDIR)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use valence_daemon::syscall::flag::O_RDWR;

    use super::*;

    fn open(log: &mut Log, path: &str, flags: usize) -> Result<Node> {
        match log.open(None, path, flags, &Caller::default())? {
            Opened::Positioned(node) | Opened::Stream(node) => Ok(node),
        }
    }

    fn write(log: &mut Log, path: &str, text: &str) {
        let mut node = open(log, path, O_WRONLY).unwrap();
        assert_eq!(log.write(&mut node, text.as_bytes(), 0, 0), Ok(text.len()));
    }

    fn read(log: &mut Log, path: &str) -> String {
        let mut node = open(log, path, O_RDONLY).unwrap();
        let mut buf = vec![0; RING_BYTES * 2];
        let len = log.read(&mut node, &mut buf, 0).unwrap();
        String::from_utf8_lossy(&buf[..len]).into_owned()
    }

    #[test]
    fn lines_are_kept_by_context_and_together() {
        let mut log = Log::new(1500, None);
        write(&mut log, "a", "one\ntw");
        write(&mut log, "b", "other\n");
        write(&mut log, "a", "o\nunfinished");
        assert_eq!(read(&mut log, "a"), "one\ntwo\n");
        let all = read(&mut log, ".all");
        let bodies: Vec<_> = all
            .lines()
            .map(|line| line.split_once("] ").unwrap().1)
            .collect();
        assert_eq!(bodies, ["a: one", "b: other", "a: two"]);
        assert!(all.starts_with("[    1.5"), "{all}");
        let names: Vec<_> = log
            .entries(&Node::Root)
            .unwrap()
            .into_iter()
            .map(|e| e.name)
            .collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn the_oldest_lines_make_room() {
        let mut log = Log::new(0, None);
        for number in 0..RING_BYTES / 100 {
            write(&mut log, "a", &format!("{number:099}\n"));
        }
        let text = read(&mut log, "a");
        assert!(text.len() < RING_BYTES);
        assert!(text.ends_with(&format!("{:099}\n", RING_BYTES / 100 - 1)));
    }

    #[test]
    fn a_line_without_end_is_cut_and_empty_lines_are_bounded() {
        let mut log = Log::new(0, None);
        write(&mut log, "a", &"x".repeat(LINE_BYTES + 1));
        assert_eq!(read(&mut log, "a").len(), LINE_BYTES + 1);
        write(&mut log, "b", &"\n".repeat(RING_BYTES));
        assert!(log.ring.lines().count() < RING_BYTES / 20);
    }

    #[test]
    fn the_echo_can_be_switched() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&seen);
        let echo = Box::new(move |line: &[u8]| sink.borrow_mut().extend_from_slice(line));
        let mut log = Log::new(0, Some(echo));
        write(&mut log, "a", "shown\n");
        write(&mut log, ".echo", "off\n");
        write(&mut log, "a", "hidden\n");
        assert_eq!(read(&mut log, ".echo"), "off\n");
        assert_eq!(*seen.borrow(), b"a: shown\r\n");
        let mut node = open(&mut log, ".echo", O_RDWR).unwrap();
        assert_eq!(
            log.write(&mut node, b"maybe", 0, 0),
            Err(Error::new(EINVAL))
        );
    }

    #[test]
    fn names_and_numbers_of_contexts_are_bounded() {
        let mut log = Log::new(0, None);
        let long = "x".repeat(NAME_BYTES + 1);
        assert_eq!(
            open(&mut log, &long, O_WRONLY).unwrap_err(),
            Error::new(ENAMETOOLONG)
        );
        assert_eq!(
            open(&mut log, "a/b", O_WRONLY).unwrap_err(),
            Error::new(EINVAL)
        );
        assert_eq!(
            open(&mut log, "missing", O_RDONLY).unwrap_err(),
            Error::new(ENOENT)
        );
        for number in 0..CONTEXTS_MAX {
            open(&mut log, &number.to_string(), O_WRONLY).unwrap();
        }
        assert_eq!(
            open(&mut log, "more", O_WRONLY).unwrap_err(),
            Error::new(ENOSPC)
        );
    }

    #[test]
    fn a_reader_is_not_disturbed_by_what_is_written_meanwhile() {
        let mut log = Log::new(0, None);
        write(&mut log, "a", "one\ntwo\n");
        let mut node = open(&mut log, "a", O_RDONLY).unwrap();
        let mut buf = [0; 4];
        log.read(&mut node, &mut buf, 0).unwrap();
        write(&mut log, "a", "three\n");
        assert_eq!(log.read(&mut node, &mut buf, 8), Ok(0));
    }
}
