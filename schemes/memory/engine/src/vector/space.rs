//! All vectors of one model in one collection, and finding the nearest of them.
//!
//! Rows are added in the order of the log. The graph holds a prefix of them and grows by [`Space::index_step`]; rows
//! after the prefix are scanned, so a search never misses a row. Small spaces, and questions whose filter leaves few
//! rows, are scanned as a whole. A scan is exact: it reads the high plane of every row, keeps all that could still be
//! among the best given the plane's error, and ranks those with both planes.
//!
//! The space checks itself ([`Space::check_recall`]): on sampled questions it compares the graph with the scan, widens
//! the walk until the asked recall is reached, and where no width reaches it (vectors without structure) it scans.

use super::codes::{Codes, Metric, Precision, Question};
use super::graph::{Graph, Scratch};
use crate::error::{Error, Result};
use crate::limits;
use crate::text_index::ChunkId;

const NONE: u32 = u32::MAX;
/// Rows compared at once by a scan.
const SCAN_BLOCK: usize = 4096;
/// Neighbours per sampled question of the recall check.
const SAMPLE_NEIGHBOURS: usize = 10;

/// How questions are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Every row is compared.
    Scan,
    /// The graph is walked this wide; rows outside it are scanned.
    Graph(usize),
}

/// The vectors.
#[derive(Clone, Debug)]
pub struct Space {
    model: String,
    codes: Codes,
    graph: Graph,
    strategy: Strategy,
    /// Rows when recall was last checked, and its result in thousandths.
    checked: Option<(usize, u32)>,
    chunk_of: Vec<ChunkId>,
    row_of: Vec<u32>,
}

impl Space {
    /// An empty space.
    pub fn new(model: &str, dims: usize, metric: Metric, precision: Precision) -> Self {
        Self {
            model: model.to_owned(),
            codes: Codes::new(dims, metric, precision),
            graph: Graph::default(),
            strategy: Strategy::Scan,
            checked: None,
            chunk_of: Vec::new(),
            row_of: Vec::new(),
        }
    }

    /// The model that made the vectors.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Dimensions of every vector.
    pub fn dims(&self) -> usize {
        self.codes.dims()
    }

    /// Rows, live or dead.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Rows that the graph holds.
    pub fn indexed(&self) -> usize {
        self.graph.len()
    }

    /// How questions are answered now.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The last self-check: recall in thousandths.
    pub fn recall_milli(&self) -> Option<u32> {
        self.checked.map(|(_, recall)| recall)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.codes.bytes()
            + self.graph.bytes()
            + 4 * (self.chunk_of.capacity() + self.row_of.capacity())
    }

    /// Makes room for `rows` more rows at once.
    pub fn reserve_exact(&mut self, rows: usize) {
        self.codes.reserve_exact(rows);
        self.graph.reserve_exact(rows);
        self.chunk_of.reserve_exact(rows);
        self.row_of.reserve_exact(rows);
    }

    /// The row of a chunk.
    pub fn row_of(&self, chunk: ChunkId) -> Option<u32> {
        self.row_of
            .get(chunk as usize)
            .copied()
            .filter(|&row| row != NONE)
    }

    /// A chunk's vector, as exact as it is kept.
    pub fn vector(&self, chunk: ChunkId) -> Option<Vec<f32>> {
        self.row_of(chunk).map(|row| self.codes.row(row))
    }

    /// Adds a chunk's vector.
    ///
    /// # Errors
    /// `BadVector` for wrong dimensions or numbers that are not finite.
    pub fn add(&mut self, chunk: ChunkId, vector: &[f32]) -> Result<()> {
        if vector.len() != self.codes.dims() || !vector.iter().all(|x| x.is_finite()) {
            return Err(Error::BadVector);
        }
        self.codes.push(vector);
        self.chunk_of.push(chunk);
        self.set_row(chunk, self.len() as u32 - 1);
        Ok(())
    }

    /// Gives the row of an older chunk with the same text to a newer chunk.
    pub fn inherit(&mut self, from: ChunkId, to: ChunkId) {
        if let Some(row) = self.row_of(from) {
            self.chunk_of[row as usize] = to;
            self.set_row(to, row);
        }
    }

    fn set_row(&mut self, chunk: ChunkId, row: u32) {
        if self.row_of.len() <= chunk as usize {
            self.row_of.resize(chunk as usize + 1, NONE);
        }
        self.row_of[chunk as usize] = row;
    }

    /// Puts up to `most` more rows into the graph; says whether any are left.
    pub fn index_step(&mut self, most: usize, s: &mut Scratch) -> bool {
        if self.len() < limits::GRAPH_FROM {
            return false;
        }
        let until = self.len().min(self.graph.len() + most);
        while self.graph.len() < until {
            self.graph.insert_next(&self.codes, s);
        }
        self.graph.len() < self.len()
    }

    /// Whether a recall check is due: the graph is whole and half as large again as at the last check.
    pub fn needs_check(&self) -> bool {
        let checked = self.checked.map_or(0, |(rows, _)| rows);
        self.len() >= limits::GRAPH_FROM
            && self.graph.len() == self.len()
            && self.len() > checked + checked / 2
    }

    /// The `k` nearest accepted chunks, best first. `accepted` says about how many rows `accepts` lets through.
    pub fn search(
        &self,
        vector: &[f32],
        k: usize,
        accepted: usize,
        accepts: &dyn Fn(ChunkId) -> bool,
        s: &mut Scratch,
    ) -> Result<Vec<(f32, ChunkId)>> {
        if vector.len() != self.codes.dims() || !vector.iter().all(|x| x.is_finite()) {
            return Err(Error::BadVector);
        }
        let q = self.codes.question(vector);
        let is_row = |row: u32| accepts(self.chunk_of[row as usize]) && self.is_current(row);
        let rows = match self.strategy {
            Strategy::Graph(width) if accepted >= limits::FILTER_SCAN_BELOW.min(self.len() / 2) => {
                let share = (self.len() / accepted.max(1)).max(1);
                self.walk(&q, k, width.saturating_mul(share), &is_row, s)
            }
            _ => None,
        };
        let mut rows = rows.unwrap_or_else(|| self.scan(&q, k, 0, &is_row));
        rows.truncate(k);
        Ok(rows
            .into_iter()
            .map(|(near, row)| (near, self.chunk_of[row as usize]))
            .collect())
    }

    fn is_current(&self, row: u32) -> bool {
        self.row_of[self.chunk_of[row as usize] as usize] == row
    }

    /// By the graph, and a scan of what it does not hold; `None` when it gives too few.
    fn walk(
        &self,
        q: &Question,
        k: usize,
        width: usize,
        is_row: &dyn Fn(u32) -> bool,
        s: &mut Scratch,
    ) -> Option<Vec<(f32, u32)>> {
        let mut width = width.max(k + k / 2);
        let mut found = Vec::new();
        loop {
            if width > limits::GRAPH_SEARCH_WIDTH_MAX {
                return None;
            }
            self.graph
                .search(&self.codes, q.point(), width, s, &mut found);
            found.retain(|&(_, row)| is_row(row));
            if found.len() >= k {
                break;
            }
            width *= 2;
        }
        found
            .iter_mut()
            .for_each(|hit| hit.0 = self.codes.near_fine(q, hit.1));
        found.extend(self.scan(q, k, self.graph.len(), is_row));
        sort(&mut found);
        Some(found)
    }

    /// The exact `k` nearest of the rows from `from` on.
    fn scan(
        &self,
        q: &Question,
        k: usize,
        from: usize,
        is_row: &dyn Fn(u32) -> bool,
    ) -> Vec<(f32, u32)> {
        let mut near = Vec::new();
        let mut found: Vec<(f32, u32)> = Vec::new();
        let mut at = from;
        while at < self.len() {
            let to = (at + SCAN_BLOCK).min(self.len());
            self.codes.near_range(q.point(), at, to, &mut near);
            let rows = near.iter().zip(at as u32..).map(|(&near, row)| (near, row));
            found.extend(rows.filter(|&(_, row)| is_row(row)));
            at = to;
        }
        if found.len() > k && k > 0 {
            found.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0));
            let floor = found[k - 1].0 - 2.0 * self.codes.margin(q);
            found.retain(|hit| hit.0 >= floor);
        }
        found
            .iter_mut()
            .for_each(|hit| hit.0 = self.codes.near_fine(q, hit.1));
        sort(&mut found);
        found.truncate(k);
        found
    }

    /// Compares the graph with exact search on sampled questions and chooses how to answer from now on.
    pub fn check_recall(&mut self, target_milli: u32, s: &mut Scratch) {
        let all = |_: u32| true;
        let questions = self.sample_questions();
        let exact: Vec<Vec<u32>> = questions
            .iter()
            .map(|q| {
                self.scan(q, SAMPLE_NEIGHBOURS, 0, &all)
                    .into_iter()
                    .map(|hit| hit.1)
                    .collect()
            })
            .collect();
        let mut width = 24;
        let mut recall = 0;
        while width <= limits::GRAPH_SEARCH_WIDTH_MAX {
            let mut hits = 0;
            for (q, exact) in questions.iter().zip(&exact) {
                let found = self
                    .walk(q, SAMPLE_NEIGHBOURS, width, &all, s)
                    .unwrap_or_default();
                hits += found
                    .iter()
                    .take(SAMPLE_NEIGHBOURS)
                    .filter(|h| exact.contains(&h.1))
                    .count();
            }
            let wanted: usize = exact.iter().map(Vec::len).sum();
            recall = (hits * 1000 / wanted.max(1)) as u32;
            if recall >= target_milli + (1000 - target_milli) / 5 {
                self.strategy = Strategy::Graph(width);
                self.checked = Some((self.len(), recall));
                return;
            }
            // Where a wide walk is far off, wider ones cost more than the scan.
            if width >= 256 && recall + 200 < target_milli {
                break;
            }
            width += width / 2;
        }
        let _ = recall;
        self.strategy = Strategy::Scan;
        self.checked = Some((self.len(), 1000));
    }

    /// Questions like the rows: a row moved by the difference of two of its neighbours.
    fn sample_questions(&self) -> Vec<Question> {
        let step = (self.len() / limits::RECALL_SAMPLE).max(1);
        let rows = (step / 2..self.len())
            .step_by(step)
            .take(limits::RECALL_SAMPLE);
        rows.map(|row| {
            let mut moved = self.codes.row(row as u32);
            let near = self.graph.neighbours(row as u32);
            if let [a, .., b] = near {
                let (a, b) = (self.codes.row(*a), self.codes.row(*b));
                moved
                    .iter_mut()
                    .zip(a.iter().zip(&b))
                    .for_each(|(x, (a, b))| *x += 0.7 * (a - b));
            }
            self.codes.question(&moved)
        })
        .collect()
    }

    /// The graph and what the self-check chose, as bytes; holds neither text nor vectors.
    pub fn encode_graph(&self) -> Vec<u8> {
        let width = match self.strategy {
            Strategy::Scan => 0,
            Strategy::Graph(width) => width as u32,
        };
        let (rows, recall) = self
            .checked
            .map_or((0, 0), |(rows, recall)| (rows as u32, recall));
        let mut out = Vec::new();
        for word in [width, rows, recall, self.model.len() as u32] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(self.model.as_bytes());
        out.extend(self.graph.encode());
        out
    }

    /// Takes back what [`Space::encode_graph`] gave for a beginning of the same log; `false` if it does not fit.
    pub fn restore_graph(&mut self, bytes: &[u8]) -> bool {
        let Some((head, rest)) = bytes.split_at_checked(16) else {
            return false;
        };
        let (words, _) = head.as_chunks::<4>();
        let word = |i: usize| u32::from_le_bytes(words[i]);
        let Some((model, rest)) = rest.split_at_checked(word(3) as usize) else {
            return false;
        };
        if model != self.model.as_bytes() {
            return false;
        }
        let Some(graph) = Graph::decode(rest).filter(|graph| graph.len() <= self.len()) else {
            return false;
        };
        self.graph = graph;
        self.checked = (word(1) > 0).then_some((word(1) as usize, word(2)));
        let width = (word(0) as usize).min(limits::GRAPH_SEARCH_WIDTH_MAX);
        let usable = width > 0 && !self.graph.is_empty();
        self.strategy = if usable {
            Strategy::Graph(width)
        } else {
            Strategy::Scan
        };
        true
    }
}

fn sort(found: &mut [(f32, u32)]) {
    found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::testing::Vectors;

    fn filled(count: usize, clusters: usize) -> (Space, Vectors) {
        let mut vectors = Vectors::new(32, clusters, 7);
        let mut space = Space::new("m", 32, Metric::Cosine, Precision::F32);
        (0..count).for_each(|i| space.add(i as u32, &vectors.make(i)).unwrap());
        (space, vectors)
    }

    fn exact(space: &Space, q: &[f32], k: usize, accepts: impl Fn(u32) -> bool) -> Vec<u32> {
        let q = space.codes.question(q);
        let mut all: Vec<(f32, u32)> = (0..space.len() as u32)
            .filter(|&row| accepts(row))
            .map(|row| (space.codes.near_fine(&q, row), row))
            .collect();
        sort(&mut all);
        all.into_iter().take(k).map(|hit| hit.1).collect()
    }

    #[test]
    fn a_scan_is_exact() {
        let (space, mut vectors) = filled(3000, 10);
        let mut s = Scratch::default();
        for i in 0..50 {
            let q = vectors.make(i * 13);
            let accepts = |chunk: u32| !chunk.is_multiple_of(3);
            let found = space.search(&q, 10, 2000, &accepts, &mut s).unwrap();
            let found: Vec<u32> = found.into_iter().map(|hit| hit.1).collect();
            assert_eq!(found, exact(&space, &q, 10, accepts));
        }
    }

    #[test]
    fn the_graph_keeps_the_asked_recall_with_tail_and_filter_and_survives_a_snapshot() {
        let (mut space, mut vectors) = filled(6000, 40);
        let mut s = Scratch::default();
        while space.index_step(500, &mut s) {}
        space.check_recall(950, &mut s);
        assert!(
            matches!(space.strategy(), Strategy::Graph(_)),
            "{:?}",
            space.checked
        );
        let bytes = space.encode_graph();
        for i in 6000..6200 {
            space.add(i as u32, &vectors.make(i)).unwrap();
        }
        let mut reopened = space.clone();
        reopened.graph = Graph::default();
        assert!(reopened.restore_graph(&bytes));
        assert_eq!(reopened.graph, space.graph);
        assert!(!reopened.restore_graph(&bytes[..bytes.len() - 4]));
        let mut hits = 0;
        for i in 0..100 {
            let q = vectors.make(i * 31);
            let accepts = |chunk: u32| chunk.is_multiple_of(2);
            let found = reopened.search(&q, 10, 3100, &accepts, &mut s).unwrap();
            assert!(found.iter().all(|hit| accepts(hit.1)));
            let exact = exact(&reopened, &q, 10, accepts);
            hits += found.iter().filter(|hit| exact.contains(&hit.1)).count();
        }
        assert!(hits >= 940, "{hits} of 1000");
        let new = vectors.make(1);
        reopened.add(6200, &new).unwrap();
        let found = reopened.search(&new, 1, 6201, &|_| true, &mut s).unwrap();
        assert_eq!(found[0].1, 6200, "an unindexed row is found");
    }

    #[test]
    fn vectors_without_structure_are_scanned() {
        let mut vectors = Vectors::new(256, 0, 3);
        let mut space = Space::new("m", 256, Metric::Cosine, Precision::F32);
        (0..12_000).for_each(|i| space.add(i as u32, &vectors.make(i)).unwrap());
        let mut s = Scratch::default();
        while space.index_step(1000, &mut s) {}
        space.check_recall(950, &mut s);
        let mut hits = 0;
        for i in 0..20 {
            let q = vectors.make(i);
            let found = space.search(&q, 10, 12_000, &|_| true, &mut s).unwrap();
            let exact = exact(&space, &q, 10, |_| true);
            hits += found.iter().filter(|hit| exact.contains(&hit.1)).count();
        }
        assert!(hits >= 190, "{hits} of 200 by {:?}", space.strategy());
    }

    #[test]
    fn any_snapshot_bytes_are_refused_or_safe() {
        let (mut space, _) = filled(50, 2);
        for len in 0..200usize {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 31 % 7) as u8).collect();
            space.restore_graph(&bytes);
        }
        let _ = space
            .search(&[1.0; 32], 5, 50, &|_| true, &mut Scratch::default())
            .unwrap();
    }
}
