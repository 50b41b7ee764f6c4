//! A model file in memory, ready to run.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ai_engine::engine::Engine;
use ai_engine::gguf::Gguf;
use ai_engine::kernel::{self, Kernel};
use ai_engine::model::{Encoder, Model};
use ai_engine::pool::Pool;
use ai_engine::quant::Format;
use ai_engine::safetensors::{self, Directory};
use ai_engine::template::Template;
use ai_engine::tokenizer::Tokenizer;
use scheme_server::Errno;
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::limits;

/// See the module's text.
pub(crate) struct Loaded {
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) runner: Runner,
    pub(crate) kernel: &'static dyn Kernel,
    pub(crate) pool: Arc<dyn Pool>,
    pub(crate) bytes: usize,
}

/// What a model can do.
pub(crate) enum Runner {
    /// Say something.
    Speaker {
        engine: Box<Engine>,
        template: Box<Template>,
    },
    /// Turn texts into vectors.
    Encoder(Box<Encoder>),
}

/// The name of the weights in a directory as Python tools write it.
pub(crate) const TENSORS: &str = "model.safetensors";

/// The bytes of a model as one GGUF file. A directory is turned into one in memory.
pub(crate) fn gguf_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    if !path.is_dir() {
        return read(path);
    }
    let text = |name: &str| {
        String::from_utf8(read(&path.join(name))?)
            .map_err(|_| Failure::new(Errno::EBADMSG, format!("{name} is not UTF-8")))
    };
    let (config, tokenizer, tensors) = (
        text("config.json")?,
        text("tokenizer.json")?,
        read(&path.join(TENSORS))?,
    );
    let directory = Directory {
        config: &config,
        tokenizer: &tokenizer,
        tensors: &tensors,
    };
    let name = path
        .file_name()
        .map_or(String::new(), |name| name.to_string_lossy().into_owned());
    Ok(safetensors::to_gguf(&directory, &name, Format::Q8_0)?)
}

/// Reads a whole file through one handle. Weights are used where they lie in this one copy.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    if len > limits::MODEL_BYTES {
        return Err(Failure::new(
            Errno::ENOMEM,
            format!("a file of {len} bytes"),
        ));
    }
    let mut bytes = Vec::new();
    let len =
        usize::try_from(len).map_err(|_| Failure::new(Errno::ENOMEM, "the file is too large"))?;
    bytes.try_reserve_exact(len).map_err(|_| {
        Failure::new(
            Errno::ENOMEM,
            format!("{len} bytes of memory are not to be had"),
        )
    })?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The SHA-256 of some bytes in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Where the expected hash of a model file stands, if it was installed with one.
pub(crate) fn hash_path(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sha256");
    name.into()
}

/// Reads, checks and prepares a model.
pub(crate) fn load(
    path: &Path,
    pool: Arc<dyn Pool>,
    cache_bytes: usize,
) -> Result<Loaded, Failure> {
    let bytes = gguf_bytes(path)?;
    if let Ok(expected) = std::fs::read_to_string(hash_path(path)) {
        let expected = expected.split_whitespace().next().unwrap_or_default();
        let found = sha256(&bytes);
        if !expected.eq_ignore_ascii_case(&found) {
            let text = format!("the file's SHA-256 is {found}, not {expected}");
            return Err(Failure::new(Errno::EBADMSG, text));
        }
    }
    let gguf = Gguf::read(&bytes)?;
    let tokenizer = Arc::new(Tokenizer::read(&gguf)?);
    let size = bytes.len();
    let start = Instant::now();
    let mut clock = move || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    if gguf.text("general.architecture") == Some("bert") {
        let encoder = Encoder::load(&gguf, Arc::new(bytes))?;
        let kernel = kernel::pick(&encoder.formats(), &mut clock);
        let runner = Runner::Encoder(Box::new(encoder));
        return Ok(Loaded {
            tokenizer,
            runner,
            kernel,
            pool,
            bytes: size,
        });
    }
    let template = Box::new(Template::new(
        gguf.text("tokenizer.chat_template"),
        &tokenizer,
    )?);
    let model = Arc::new(Model::load(&gguf, Arc::new(bytes))?);
    if tokenizer.len() > model.shape.vocabulary {
        let text = format!(
            "{} tokens, but logits for {}",
            tokenizer.len(),
            model.shape.vocabulary
        );
        return Err(Failure::new(Errno::EBADMSG, text));
    }
    let kernel = kernel::pick(&model.formats(), &mut clock);
    let engine = Box::new(Engine::new(
        model,
        tokenizer.clone(),
        kernel,
        pool.clone(),
        cache_bytes,
    ));
    Ok(Loaded {
        tokenizer,
        runner: Runner::Speaker { engine, template },
        kernel,
        pool,
        bytes: size,
    })
}
