//! The command line of `memoryd`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use memory_engine::frame::Key;
use memory_engine::hashing::HASHING_MODEL;

use crate::disk::{Disk, RealDisk};
use crate::embed::AiEmbedder;
use crate::hub::{Hub, World};
use crate::service::MemoryService;
use crate::store::Random;

/// What `--help` prints.
pub const USAGE: &str = "\
usage: memoryd [--root DIR] [--mount DIR] [--name NAME] [--embed FILE] [--model NAME]
  --root DIR    where collections are kept (default /var/lib/memory)
  --mount DIR   on Linux: where the scheme is mounted
  --name NAME   name of the scheme (default memory)
  --embed FILE  the embedding file of ai: (default /scheme/ai/embed)
  --model NAME  embedding model of new collections (default: that of ai:, or `hashing` for words only)";

/// The settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Storage directory.
    pub root: PathBuf,
    /// Mount point on Linux.
    pub mount: Option<PathBuf>,
    /// Name of the scheme.
    pub name: String,
    /// The embedding file.
    pub embed: PathBuf,
    /// Embedding model of new collections.
    pub model: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: "/var/lib/memory".into(),
            mount: None,
            name: "memory".into(),
            embed: "/scheme/ai/embed".into(),
            model: "default".into(),
        }
    }
}

impl Config {
    /// Reads the arguments.
    ///
    /// # Errors
    /// What is wrong, and the usage.
    pub fn from_args(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut config = Config::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || {
                args.next()
                    .ok_or_else(|| format!("{arg} needs a value\n{USAGE}"))
            };
            match &arg[..] {
                "--root" => config.root = value()?.into(),
                "--mount" => config.mount = Some(value()?.into()),
                "--name" => config.name = value()?,
                "--embed" => config.embed = value()?.into(),
                "--model" => config.model = value()?,
                _ => return Err(format!("unknown argument {arg}\n{USAGE}")),
            }
        }
        Ok(config)
    }

    /// The service that these settings describe.
    ///
    /// # Errors
    /// What cannot be made, in words.
    pub fn service(&self) -> Result<MemoryService, String> {
        std::fs::create_dir_all(&self.root)
            .map_err(|error| format!("cannot make {}: {error}", self.root.display()))?;
        let root = self.root.clone();
        let world = World {
            disk: Box::new(move || Box::new(RealDisk::new(&root)) as Box<dyn Disk>),
            now: Box::new(now_ms),
            random: Box::new(|| Box::new(system_random) as Random),
            model: self.model.clone(),
        };
        Ok(MemoryService::new(
            Hub::new(world),
            Box::new(AiEmbedder::new(self.embed.clone())),
        ))
    }

    /// The same with words-only vectors, for tests.
    pub fn hashing(root: PathBuf) -> Self {
        Self {
            root,
            model: HASHING_MODEL.into(),
            ..Self::default()
        }
    }
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_millis() as u64)
}

/// A key from the system's generator. Without one no document may be sealed, so the daemon ends.
fn system_random(key: &mut Key) {
    if let Err(error) = getrandom::fill(key) {
        panic!("no random numbers: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_unknown_ones_refused() {
        let args = ["--root", "/x", "--mount", "/m", "--model", "hashing"].map(str::to_owned);
        let config = Config::from_args(args).unwrap();
        assert_eq!(
            (config.root, config.mount),
            ("/x".into(), Some("/m".into()))
        );
        assert!(Config::from_args(["--colour".to_owned()]).is_err());
        assert!(Config::from_args(["--root".to_owned()]).is_err());
    }
}
