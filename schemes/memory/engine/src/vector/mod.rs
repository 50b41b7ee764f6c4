//! Vectors: how they are kept, compared, scanned and found through a graph.
pub mod codes;
pub mod distance;
pub mod graph;
pub mod space;
pub mod testing;
