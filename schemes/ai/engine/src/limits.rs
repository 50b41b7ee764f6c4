//! Every bound of the engine, in one place. Past one of these a caller gets an error that names it.

/// Key/value pairs in a GGUF file.
pub const GGUF_PAIRS: u64 = 4096;
/// Tensors in a GGUF file.
pub const GGUF_TENSORS: u64 = 16_384;
/// Bytes in one string of a GGUF file (a chat template is the longest in practice).
pub const GGUF_STRING_BYTES: u64 = 1 << 20;
/// Elements in one array of a GGUF file (a vocabulary or its merges).
pub const GGUF_ARRAY: u64 = 2 << 20;
/// Depth of arrays of arrays in a GGUF file.
pub const GGUF_DEPTH: u32 = 2;
/// Dimensions of a tensor.
pub const TENSOR_DIMS: u32 = 4;
/// Elements of a tensor.
pub const TENSOR_ELEMENTS: u64 = 1 << 36;

/// Tokens in a vocabulary.
pub const VOCABULARY: usize = 1 << 20;
/// Bytes of one token.
pub const TOKEN_BYTES: usize = 4096;
/// Layers of a model.
pub const LAYERS: usize = 512;
/// Width of a model (embedding, feed-forward) and heads times their size.
pub const WIDTH: usize = 1 << 17;
/// Attention heads.
pub const HEADS: usize = 1024;
/// Longest context that is offered, whatever a file claims.
pub const CONTEXT: usize = 1 << 17;

/// Bytes of one message or raw prompt.
pub const PROMPT_BYTES: usize = 4 << 20;
/// Messages of a conversation.
pub const MESSAGES: usize = 4096;
/// Bytes that a chat template may expand to.
pub const TEMPLATE_OUTPUT_BYTES: usize = 8 << 20;
/// Steps that a chat template may take.
pub const TEMPLATE_FUEL: u64 = 2_000_000;
/// Stop strings of one request, and bytes of each.
pub const STOPS: usize = 16;
/// Bytes of one stop string.
pub const STOP_BYTES: usize = 256;
/// Entries of a logit bias.
pub const BIASES: usize = 1024;
/// Tokens that the repeat penalty looks back at.
pub const PENALTY_WINDOW: usize = 256;
/// Most tokens of one reply.
pub const REPLY_TOKENS: usize = 1 << 16;

/// Requests in the engine at once; the next is EBUSY.
pub const REQUESTS: usize = 1024;
/// Sequences that decode in one step.
pub const BATCH_SEQUENCES: usize = 32;
/// Prompt tokens in one step when nothing waits for a decode step.
pub const PREFILL_TOKENS: usize = 128;
/// Prompt tokens in one step while an interactive sequence is decoding.
pub const PREFILL_TOKENS_SHARED: usize = 32;
/// Positions in one page of a key/value cache; the unit that sequences share.
pub const PAGE: usize = 32;
