//! Local inference as a step function.
//!
//! Bytes of a model file and tokens go in, tokens come out: no I/O, no clock, no threads but those of an injected
//! [`Pool`](pool::Pool), randomness only from seeds. A daemon maps files, keeps time and talks to clients.
//!
//! Reading order: [`gguf`] and [`quant`] (what a file holds), [`kernel`] (the inner loops), [`model`] (the forward pass),
//! [`tokenizer`] and [`template`] (text to tokens), [`sample`] (logits to a token), [`engine`] (many requests at once).
//!
//! The one unsafe module is `kernel::simd`.
#![deny(unsafe_code)]

pub mod constraint;
pub mod engine;
pub mod error;
pub mod gguf;
pub mod invent;
pub mod kernel;
pub mod limits;
pub mod model;
pub mod pool;
pub mod prefix;
pub mod quant;
pub mod random;
pub mod safetensors;
pub mod sample;
pub mod template;
pub mod tokenizer;

pub use error::{Error, Result};
