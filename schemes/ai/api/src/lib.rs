//! The contract of the `ai:` scheme.
//!
//! [`route`] turns paths into [`Route`]s, [`settings`] reads and writes the options that `ctl` lines and queries share,
//! [`transcript`] is the form of `messages`. [`client`] talks to a running scheme through plain files, in the booted
//! system as `/scheme/ai`, hosted through a mount.
//!
//! ```no_run
//! let ai = ai_api::Client::open()?;
//! let mut chat = ai.chat(&Default::default())?;
//! chat.send("What can you do?")?;
//! while let Some(text) = chat.read()? {
//!     print!("{text}");
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod client;
pub mod limits;
pub mod route;
pub mod settings;
pub mod transcript;

pub use client::Client;
pub use route::Route;
pub use settings::Settings;
pub use transcript::{Message, Role};
