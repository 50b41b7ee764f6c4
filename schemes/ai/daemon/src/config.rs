//! The command line.

use std::path::PathBuf;

use crate::threads;

/// What `--help` prints.
pub const USAGE: &str = "usage: aid [--mount DIR] [--name SCHEME] [--models DIR]... [--state DIR] [--threads N] [--cache-mib N]";

/// How the daemon runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The scheme's name.
    pub name: String,
    /// Where to mount (Linux).
    pub mount: Option<PathBuf>,
    /// Folders with model files; of two models with one name, that of the earlier folder counts.
    pub models: Vec<PathBuf>,
    /// Where saved sessions are kept.
    pub state: Option<PathBuf>,
    /// Threads that compute.
    pub threads: usize,
    /// Bytes that key/value caches of one model may take.
    pub cache_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        let on_redox = cfg!(target_os = "redox");
        let folders = ["/usr/share/models", "/root/models", "/home/user/models"];
        Config {
            name: "ai".to_owned(),
            mount: None,
            models: if on_redox {
                folders.map(PathBuf::from).to_vec()
            } else {
                Vec::new()
            },
            state: on_redox.then(|| PathBuf::from("/var/lib/ai")),
            threads: threads::processors(),
            cache_bytes: if on_redox { 96 << 20 } else { 1 << 30 },
        }
    }
}

impl Config {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with it, with the usage.
    pub fn from_args(mut args: impl Iterator<Item = String>) -> Result<Config, String> {
        let mut config = Config::default();
        let mut folders = Vec::new();
        while let Some(arg) = args.next() {
            let mut value = || {
                args.next()
                    .ok_or_else(|| format!("{arg} wants a value\n{USAGE}"))
            };
            let number = |text: String| {
                text.parse::<usize>()
                    .ok()
                    .filter(|number| (1..=1 << 20).contains(number))
                    .ok_or_else(|| format!("{text:?} is no number from 1 on\n{USAGE}"))
            };
            match arg.as_str() {
                "--mount" => config.mount = Some(value()?.into()),
                "--name" => config.name = value()?,
                "--models" => folders.push(PathBuf::from(value()?)),
                "--state" => config.state = Some(value()?.into()),
                "--threads" => config.threads = number(value()?)?,
                "--cache-mib" => config.cache_bytes = number(value()?)? << 20,
                _ => return Err(format!("unknown argument {arg}\n{USAGE}")),
            }
        }
        if folders.is_empty() && config.models.is_empty() {
            folders.extend(std::env::var_os("HOME").map(|home| PathBuf::from(home).join("models")));
            folders.push(PathBuf::from("/usr/share/models"));
        }
        folders.append(&mut config.models);
        config.models = folders;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_bad_ones_named() {
        let read = |line: &str| Config::from_args(line.split_whitespace().map(str::to_owned));
        let config = read("--mount /m --models /a --models /b --threads 3 --cache-mib 5").unwrap();
        assert_eq!(config.mount, Some("/m".into()));
        assert_eq!(config.models, [PathBuf::from("/a"), "/b".into()]);
        assert_eq!((config.threads, config.cache_bytes), (3, 5 << 20));
        for bad in ["--threads 0", "--threads", "--colour red"] {
            assert!(read(bad).unwrap_err().contains("usage"));
        }
    }
}
