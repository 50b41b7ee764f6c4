//! The graph index: a hierarchical navigable small world (Malkov and Yashunin, 2016) over the high plane.
//!
//! Rows are inserted in order, so a graph of `n` rows is a function of the first `n` rows and nothing else: replaying
//! the log gives the same graph, and a snapshot is valid for any longer log with the same beginning. A node's layer is
//! taken from a hash of its row number. Nothing is ever deleted here; the caller re-checks every hit and rebuilds.
//!
//! Links are flat arrays without pointers or counts (a free place holds `NONE`): 128 bytes per row plus about 8.

use super::codes::{Codes, Point};
use crate::limits::{GRAPH_BUILD_WIDTH, GRAPH_NEIGHBOURS};

const NONE: u32 = u32::MAX;
/// Neighbours of a node on the lowest layer.
const BASE: usize = 2 * GRAPH_NEIGHBOURS;
/// Highest layer a node may have.
const LAYERS_MAX: u32 = 12;

/// The links.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    base: Vec<u32>,
    /// Where a node's upper layers begin in `upper`, or `NONE`.
    upper_at: Vec<u32>,
    upper: Vec<u32>,
    entry: u32,
    layers: u32,
}

/// Buffers of a walk, reused between walks.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    seen: Vec<u16>,
    round: u16,
    ids: Vec<u32>,
    sums: Vec<i32>,
    near: Vec<f32>,
    /// Best rows so far, best first; the flag says whether a row's neighbours were looked at.
    beam: Vec<(f32, u32, bool)>,
}

impl Scratch {
    fn begin(&mut self, rows: usize) {
        if self.seen.len() < rows {
            self.seen.resize(rows, 0);
        }
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.seen.fill(0);
            self.round = 1;
        }
        self.beam.clear();
    }
}

/// splitmix64: a well mixed number from a row number.
fn mix(row: u32) -> u64 {
    let mut z = u64::from(row).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Layers above the lowest: each is `GRAPH_NEIGHBOURS` times rarer than the one below.
fn layers_of(row: u32) -> u32 {
    let bits = GRAPH_NEIGHBOURS.ilog2();
    (mix(row).trailing_zeros() / bits).min(LAYERS_MAX)
}

impl Graph {
    /// Rows in the graph.
    pub fn len(&self) -> usize {
        self.upper_at.len()
    }

    /// Whether the graph holds no rows.
    pub fn is_empty(&self) -> bool {
        self.upper_at.is_empty()
    }

    /// The neighbours of a row on the lowest layer, nearest chosen first.
    pub fn neighbours(&self, row: u32) -> &[u32] {
        self.links(row, 0)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        4 * (self.base.capacity() + self.upper_at.capacity() + self.upper.capacity())
    }

    /// Makes room for `rows` more rows at once.
    pub fn reserve_exact(&mut self, rows: usize) {
        self.base.reserve_exact(rows * BASE);
        self.upper_at.reserve_exact(rows);
    }

    fn links(&self, row: u32, layer: u32) -> &[u32] {
        let (at, len) = self.place(row, layer);
        let all = if layer == 0 {
            &self.base[at..at + len]
        } else {
            &self.upper[at..at + len]
        };
        &all[..all.iter().position(|&id| id == NONE).unwrap_or(len)]
    }

    fn place(&self, row: u32, layer: u32) -> (usize, usize) {
        if layer == 0 {
            (row as usize * BASE, BASE)
        } else {
            let at = self.upper_at[row as usize] as usize;
            (
                at + (layer as usize - 1) * GRAPH_NEIGHBOURS,
                GRAPH_NEIGHBOURS,
            )
        }
    }

    fn set_links(&mut self, row: u32, layer: u32, ids: &[u32]) {
        let (at, len) = self.place(row, layer);
        let all = if layer == 0 {
            &mut self.base[at..at + len]
        } else {
            &mut self.upper[at..at + len]
        };
        all[..ids.len()].copy_from_slice(ids);
        all[ids.len()..].fill(NONE);
    }

    /// Walks to the nearest row of `layer`, one step at a time.
    fn descend(&self, codes: &Codes, q: Point<'_>, from: u32, layer: u32, s: &mut Scratch) -> u32 {
        let mut best = from;
        codes.near(q, &[from], &mut s.sums, &mut s.near);
        let mut best_near = s.near[0];
        loop {
            let before = best;
            codes.near(q, self.links(before, layer), &mut s.sums, &mut s.near);
            for (&id, &near) in self.links(before, layer).iter().zip(&s.near) {
                if near > best_near {
                    (best, best_near) = (id, near);
                }
            }
            if best == before {
                return best;
            }
        }
    }

    /// Fills `s.beam` with the `width` nearest rows of `layer` that a best-first walk from `from` finds.
    fn walk(
        &self,
        codes: &Codes,
        q: Point<'_>,
        from: u32,
        layer: u32,
        width: usize,
        s: &mut Scratch,
    ) {
        s.begin(self.len());
        s.seen[from as usize] = s.round;
        codes.near(q, &[from], &mut s.sums, &mut s.near);
        s.beam.push((s.near[0], from, false));
        let mut next = 0;
        while next < s.beam.len() {
            if s.beam[next].2 {
                next += 1;
                continue;
            }
            s.beam[next].2 = true;
            let row = s.beam[next].1;
            s.ids.clear();
            for &id in self.links(row, layer) {
                let seen = &mut s.seen[id as usize];
                if *seen != s.round {
                    *seen = s.round;
                    s.ids.push(id);
                }
            }
            codes.near(q, &s.ids, &mut s.sums, &mut s.near);
            for (&id, &near) in s.ids.iter().zip(&s.near) {
                let full = s.beam.len() >= width;
                if full && s.beam.last().is_some_and(|worst| near <= worst.0) {
                    continue;
                }
                let at = s.beam.partition_point(|x| x.0 >= near);
                if full {
                    s.beam.pop();
                }
                s.beam.insert(at, (near, id, false));
                next = next.min(at);
            }
        }
    }

    /// The `width` nearest rows the graph finds, best first, by the high plane.
    pub fn search(
        &self,
        codes: &Codes,
        q: Point<'_>,
        width: usize,
        s: &mut Scratch,
        out: &mut Vec<(f32, u32)>,
    ) {
        out.clear();
        if self.is_empty() {
            return;
        }
        let mut at = self.entry;
        for layer in (1..=self.layers).rev() {
            at = self.descend(codes, q, at, layer, s);
        }
        self.walk(codes, q, at, 0, width, s);
        out.extend(s.beam.iter().map(|&(near, id, _)| (near, id)));
    }

    /// Keeps, of `found` (best first), rows that are nearer to the new row than to each other.
    fn choose(codes: &Codes, found: &[(f32, u32)], most: usize, s: &mut Scratch) -> Vec<u32> {
        let mut kept: Vec<u32> = Vec::with_capacity(most);
        for &(near, id) in found {
            if kept.len() >= most {
                break;
            }
            codes.near(codes.point(id), &kept, &mut s.sums, &mut s.near);
            if s.near.iter().all(|&other| other < near) {
                kept.push(id);
            }
        }
        kept
    }

    /// Adds the next row (`self.len()`), which `codes` must hold.
    pub fn insert_next(&mut self, codes: &Codes, s: &mut Scratch) {
        let row = self.len() as u32;
        let layers = layers_of(row);
        self.base.extend([NONE; BASE]);
        if layers == 0 {
            self.upper_at.push(NONE);
        } else {
            self.upper_at.push(self.upper.len() as u32);
            self.upper.extend(core::iter::repeat_n(
                NONE,
                layers as usize * GRAPH_NEIGHBOURS,
            ));
        }
        if row == 0 {
            (self.entry, self.layers) = (0, layers);
            return;
        }
        let q = codes.point(row);
        let mut at = self.entry;
        for layer in (layers + 1..=self.layers).rev() {
            at = self.descend(codes, q, at, layer, s);
        }
        for layer in (0..=layers.min(self.layers)).rev() {
            self.walk(codes, q, at, layer, GRAPH_BUILD_WIDTH, s);
            let found: Vec<(f32, u32)> = s.beam.iter().map(|&(near, id, _)| (near, id)).collect();
            at = found[0].1;
            let kept = Self::choose(codes, &found, GRAPH_NEIGHBOURS, s);
            self.set_links(row, layer, &kept);
            for id in kept {
                self.link_back(codes, id, row, layer, s);
            }
        }
        if layers > self.layers {
            (self.entry, self.layers) = (row, layers);
        }
    }

    fn link_back(&mut self, codes: &Codes, at: u32, to: u32, layer: u32, s: &mut Scratch) {
        let (start, len) = self.place(at, layer);
        let used = self.links(at, layer).len();
        if used < len {
            let all = if layer == 0 {
                &mut self.base
            } else {
                &mut self.upper
            };
            all[start + used] = to;
            return;
        }
        let mut ids = self.links(at, layer).to_vec();
        ids.push(to);
        codes.near(codes.point(at), &ids, &mut s.sums, &mut s.near);
        let mut found: Vec<(f32, u32)> = s.near.iter().copied().zip(ids).collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let kept = Self::choose(codes, &found, len, s);
        self.set_links(at, layer, &kept);
    }

    /// The links as bytes, for a snapshot.
    pub fn encode(&self) -> Vec<u8> {
        let words = [
            self.len() as u32,
            self.upper.len() as u32,
            self.entry,
            self.layers,
        ];
        let all = words
            .iter()
            .chain(&self.base)
            .chain(&self.upper_at)
            .chain(&self.upper);
        all.flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Reads what `encode` wrote; `None` if the bytes are not a whole and consistent graph.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<4>();
        let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
        let head: [u32; 4] = [words.next()?, words.next()?, words.next()?, words.next()?];
        let (rows, upper_len) = (head[0] as usize, head[1] as usize);
        let total = rows
            .checked_mul(BASE + 1)?
            .checked_add(upper_len)?
            .checked_add(4)?;
        if !rest.is_empty() || total != bytes.len() / 4 || (rows > 0 && head[2] >= head[0]) {
            return None;
        }
        let mut take = |n: usize| words.by_ref().take(n).collect::<Vec<u32>>();
        let (base, upper_at, upper) = (take(rows * BASE), take(rows), take(upper_len));
        let graph = Self {
            base,
            upper_at,
            upper,
            entry: head[2],
            layers: head[3],
        };
        graph.is_consistent().then_some(graph)
    }

    /// Whether no walk can leave the arrays: checked once, so walks need not.
    fn is_consistent(&self) -> bool {
        let rows = self.len() as u32;
        let links = self.base.iter().chain(&self.upper);
        let mut at = 0u64;
        let placed = self.upper_at.iter().enumerate().all(|(row, &place)| {
            let layers = layers_of(row as u32);
            let right = if layers == 0 {
                place == NONE
            } else {
                u64::from(place) == at
            };
            at += u64::from(layers) * GRAPH_NEIGHBOURS as u64;
            right
        });
        placed
            && at == self.upper.len() as u64
            && links.into_iter().all(|&id| id == NONE || id < rows)
            && (rows == 0 || self.layers == layers_of(self.entry))
            && self.upper_links_stay_in_their_layer()
    }

    fn upper_links_stay_in_their_layer(&self) -> bool {
        (0..self.len() as u32).all(|row| {
            (1..=layers_of(row)).all(|layer| {
                layer <= self.layers
                    && self
                        .links(row, layer)
                        .iter()
                        .all(|&id| layers_of(id) >= layer)
            })
        })
    }
}
