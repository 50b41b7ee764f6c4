//! What the daemon keeps per open file.

use memory_api::ContextRequest;
use memory_api::route::{Control, SearchOptions};

use crate::queries::Vectors;
use crate::worker::Answer;

/// An open file.
pub struct Handle {
    /// Who opened it.
    pub uid: u32,
    /// Number of the handle.
    pub id: u64,
    /// What it is.
    pub file: File,
    /// The last error, in words.
    pub error: String,
}

/// The kinds of open files.
pub enum File {
    /// A text made at open.
    Text(Vec<u8>),
    /// A document, or a control file, that is written as a whole: what is written counts at close or sync.
    Whole(Whole),
    /// A question and its answer.
    Question(Question),
}

/// Where a whole file goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A document: collection and path.
    Document(String, String),
    /// Its metadata.
    Meta(String, String),
    /// A control file.
    Control(String, Control),
}

/// A file that is written as a whole.
pub struct Whole {
    /// Where it goes.
    pub target: Target,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Whether it was changed since it last went there.
    pub changed: bool,
    /// How many cuts of the document to nothing it has seen.
    pub cuts: u64,
    /// Where writes go when they carry no place of their own.
    pub append: bool,
}

/// What a question is asked of.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// A collection.
    Collection(String, SearchOptions),
    /// The context of several.
    Context,
}

/// A question in progress.
pub struct Question {
    /// Of what.
    pub asked: Asked,
    /// What was written.
    pub text: Vec<u8>,
    /// The reply, once it is made, and how much of it was read.
    pub reply: Option<(Vec<u8>, usize)>,
    /// Vectors that are awaited, with their models.
    pub awaited: Vec<(String, Answer)>,
    /// Vectors at hand.
    pub vectors: Vectors,
    /// The parsed request of a context.
    pub context: Option<ContextRequest>,
}

impl Question {
    /// A question that nobody has written yet.
    pub fn new(asked: Asked) -> Self {
        let (text, reply, awaited, vectors, context) =
            (Vec::new(), None, Vec::new(), Vec::new(), None);
        Self {
            asked,
            text,
            reply,
            awaited,
            vectors,
            context,
        }
    }
}
