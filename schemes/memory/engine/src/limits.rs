//! Every limit of the engine, named and in one place.
//!
//! A limit that a client can reach has the errno it is answered with beside it; the daemon's README repeats the list.

/// Largest document (EFBIG).
pub const DOCUMENT_BYTES: usize = 16 << 20;
/// Longest document path inside a collection (ENAMETOOLONG).
pub const PATH_BYTES: usize = 1024;
/// Longest single name (ENAMETOOLONG).
pub const NAME_BYTES: usize = 255;
/// Largest metadata text of one document (EFBIG).
pub const METADATA_BYTES: usize = 64 << 10;
/// Largest number of values in one document's metadata (EINVAL).
pub const METADATA_VALUES: usize = 1024;
/// Longest query (EMSGSIZE).
pub const QUERY_BYTES: usize = 64 << 10;
/// Most results of one search (a larger `k` is EINVAL).
pub const RESULTS: usize = 1000;
/// Longest filter expression (EINVAL).
pub const FILTER_BYTES: usize = 16 << 10;
/// Deepest nesting of a filter expression (EINVAL).
pub const FILTER_DEPTH: usize = 32;
/// Largest record payload a log may hold; a longer length field is damage.
pub const RECORD_BYTES: usize = 96 << 20;
/// Most chunks of one document; the rest of a longer one is stored but not indexed.
pub const DOCUMENT_CHUNKS: usize = 16 << 10;
/// Versions kept of one document; the oldest beyond are dropped by the next compaction.
pub const VERSIONS: usize = 16;
/// Largest vector dimension (EINVAL).
pub const DIMENSIONS: usize = 4096;
/// Collections and documents one replay may hold.
pub const DOCUMENTS: usize = 16 << 20;

/// Chunk size when a collection does not say otherwise.
pub const CHUNK_BYTES_DEFAULT: usize = 1000;
/// Smallest chunk size a collection may ask for (EINVAL).
pub const CHUNK_BYTES_MIN: usize = 64;
/// Largest chunk size a collection may ask for (EINVAL).
pub const CHUNK_BYTES_MAX: usize = 64 << 10;

/// Below this many vectors a collection has no graph: the exact scan is faster.
pub const GRAPH_FROM: usize = 4096;
/// Neighbours of a node above the lowest layer; the lowest has twice as many.
pub const GRAPH_NEIGHBOURS: usize = 16;
/// Width of the search that finds a new node's neighbours.
pub const GRAPH_BUILD_WIDTH: usize = 120;
/// Width a graph search starts with when the self-check has not chosen one.
pub const GRAPH_SEARCH_WIDTH: usize = 64;
/// Widest graph search; past it a scan is the better way.
pub const GRAPH_SEARCH_WIDTH_MAX: usize = 1024;
/// A graph with more than this share of dead vectors (percent) is rebuilt.
pub const GRAPH_DEAD_PERCENT: usize = 25;
/// When a filter leaves fewer vectors than this, they are scanned.
pub const FILTER_SCAN_BELOW: usize = 8192;
/// Recall@10 against exact search that a collection keeps, in thousandths.
pub const RECALL_TARGET_MILLI: u32 = 950;
/// Sampled questions of one recall self-check.
pub const RECALL_SAMPLE: usize = 64;

/// The `60` of reciprocal rank fusion: `score = sum 1 / (60 + rank)`.
pub const FUSION_OFFSET: f32 = 60.0;
/// Cosine from which two chunks of different documents are linked as similar.
pub const SIMILAR_COSINE: f32 = 0.985;
/// Cosine from which a context leaves the second of two chunks out.
pub const CONTEXT_SAME_COSINE: f32 = 0.95;
