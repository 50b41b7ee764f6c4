//! What the daemon keeps per open handle.

use scheme_server::HandleId;

use crate::conversation::Conversation;
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::reply::Reader;

/// A handle.
pub(crate) enum Handle {
    /// A text that was made when it was opened.
    Text(Vec<u8>),
    /// A text that is still being made.
    Pipe { id: HandleId, reader: Reader },
    /// `chat`.
    Chat(Box<Chat>),
    /// A request and its answer.
    Exchange {
        id: HandleId,
        exchange: Box<Exchange>,
    },
    /// `session/new`: makes its session at the first read.
    NewSession {
        uid: u32,
        gid: u32,
        text: Option<Vec<u8>>,
        at: usize,
    },
    /// `session/N/prompt`.
    Prompt { session: u64, input: Vec<u8> },
    /// `session/N/stream`.
    Stream {
        id: HandleId,
        session: u64,
        reader: Option<Reader>,
    },
    /// `session/N/messages`: a snapshot to read; what is written replaces the transcript at close.
    Messages {
        session: u64,
        text: Vec<u8>,
        input: Option<Vec<u8>>,
    },
    /// `session/N/ctl` and `models/NAME/ctl`: state to read, lines to write.
    Ctl {
        of: Target,
        text: Vec<u8>,
        partial: Vec<u8>,
        failure: Option<Failure>,
    },
}

/// Whose `ctl` it is.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Session(u64),
    Model(String),
}

/// A conversation that lives with its handle.
pub(crate) struct Chat {
    pub(crate) id: HandleId,
    pub(crate) conversation: Conversation,
    pub(crate) input: Vec<u8>,
    pub(crate) reader: Option<Reader>,
    pub(crate) failure: Option<Failure>,
}

impl Handle {
    /// The last error in words, for `dup(fd, "error")`.
    pub(crate) fn error(&self) -> String {
        let failure = match self {
            Handle::Chat(chat) => {
                let of_reply = chat
                    .reader
                    .as_ref()
                    .and_then(|reader| reader.reply.failure());
                of_reply.or_else(|| chat.failure.clone())
            }
            Handle::Exchange { exchange, .. } => exchange.failure.clone(),
            Handle::Pipe { reader, .. } => reader.reply.failure(),
            Handle::Ctl { failure, .. } => failure.clone(),
            _ => None,
        };
        failure.map_or(String::new(), |failure| format!("{}\n", failure.text))
    }
}
