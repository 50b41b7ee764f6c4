//! Lines in the order they came, bounded by their bytes.

use std::collections::VecDeque;

/// One complete line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Milliseconds since boot.
    pub at_ms: u64,
    /// Index of the context.
    pub context: usize,
    /// Text without the line end.
    pub text: Vec<u8>,
}

/// The kept lines.
#[derive(Debug)]
pub struct Ring {
    lines: VecDeque<Line>,
    bytes: usize,
    limit: usize,
}

impl Ring {
    /// A ring that keeps `limit` bytes of text.
    pub fn new(limit: usize) -> Self {
        Ring {
            lines: VecDeque::new(),
            bytes: 0,
            limit,
        }
    }

    /// Adds a line and drops the oldest ones beyond the limit.
    pub fn push(&mut self, line: Line) {
        self.bytes += cost(&line);
        self.lines.push_back(line);
        while self.bytes > self.limit {
            match self.lines.pop_front() {
                Some(old) => self.bytes -= cost(&old),
                None => break,
            }
        }
    }

    /// The kept lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }
}

/// An empty line takes room too.
fn cost(line: &Line) -> usize {
    line.text.len() + size_of::<Line>()
}
