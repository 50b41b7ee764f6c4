//! Turns a directory with an encoder (`config.json`, `tokenizer.json`, `model.safetensors`) into a GGUF file:
//! `to_gguf DIR FILE [F32]`. Matrices get eight bits unless F32 is asked for.

use std::fs;
use std::path::Path;

use ai_engine::quant::Format;
use ai_engine::safetensors::{Directory, to_gguf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (dir, file, format) = match &args[..] {
        [dir, file] => (Path::new(dir), file, Format::Q8_0),
        [dir, file, wide] if wide == "F32" => (Path::new(dir), file, Format::F32),
        _ => return Err("usage: to_gguf DIR FILE [F32]".into()),
    };
    let config = fs::read_to_string(dir.join("config.json"))?;
    let tokenizer = fs::read_to_string(dir.join("tokenizer.json"))?;
    let tensors = fs::read(dir.join("model.safetensors"))?;
    let directory = Directory {
        config: &config,
        tokenizer: &tokenizer,
        tensors: &tensors,
    };
    let name = Path::new(file)
        .file_stem()
        .map_or(String::new(), |name| name.to_string_lossy().into_owned());
    fs::write(file, to_gguf(&directory, &name, format)?)?;
    Ok(())
}
