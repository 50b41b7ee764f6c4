//! Command line of the image maker.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use redoxfs::DiskIo;
use valence_image::config::Config;
use valence_image::disk::{self, Slice};
use valence_image::limits::MIB;
use valence_image::make::{self, Order, Outcome};
use valence_image::packages::Repository;
use valence_image::root::Reader;

/// Makes disk images from packages and a filesystem configuration, and looks into them.
#[derive(Parser)]
#[command(
    name = "image",
    after_help = "Exit status: 0 done, 1 something failed (the message says what), 2 wrong usage."
)]
struct Arguments {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print the packages that a configuration asks for.
    Packages {
        /// filesystem.toml
        config: PathBuf,
    },
    /// Make the image in a folder, if anything changed.
    Make {
        /// filesystem.toml
        config: PathBuf,
        /// Folder for valence.img and boot/.
        folder: PathBuf,
        /// Folder with the packages.
        #[arg(long, default_value = "build/repo/x86_64-unknown-redox")]
        repo: PathBuf,
        /// Key that the packages are signed with.
        #[arg(long, default_value = "build/id_ed25519.pub.toml")]
        key: PathBuf,
    },
    /// List a folder of an image's root filesystem.
    Ls {
        /// Image file or its folder.
        image: PathBuf,
        /// Path on the image.
        #[arg(default_value = "/")]
        path: String,
    },
    /// Print a file of an image's root filesystem.
    Cat {
        /// Image file or its folder.
        image: PathBuf,
        /// Path on the image.
        path: String,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("image: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Verb::Packages { config } => {
            for name in Config::read(&config)?.package_names() {
                println!("{name}");
            }
        }
        Verb::Make {
            config,
            folder,
            repo,
            key,
        } => {
            let repository = Repository { folder: repo, key };
            let outcome = make::make(&Order {
                config,
                folder: folder.clone(),
                repository,
            })?;
            report(&folder.join(make::IMAGE_NAME), &outcome);
        }
        Verb::Ls { image, path } => {
            for entry in open(&image)?.list(&path)? {
                println!(
                    "{:6o} {:5} {:5} {:10} {}",
                    entry.mode, entry.uid, entry.gid, entry.size, entry.name
                );
            }
        }
        Verb::Cat { image, path } => {
            std::io::stdout().write_all(&open(&image)?.read_file(&path)?)?;
        }
    }
    Ok(())
}

fn report(image: &Path, outcome: &Outcome) {
    let image = image.display();
    match outcome {
        Outcome::UpToDate => eprintln!("image: {image} is up to date"),
        Outcome::Made { packages, bytes } => {
            eprintln!(
                "image: {image}: {packages} packages, {} MiB of files",
                bytes.div_ceil(MIB)
            );
        }
    }
}

fn open(image: &Path) -> Result<Reader<DiskIo<Slice>>> {
    let path = make::image_file(image)?;
    let mut file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let partitions = disk::read_partitions(&mut file)
        .with_context(|| format!("{} is not an image of ours", path.display()))?;
    Reader::open(Slice::new(&file, partitions.root)?)
}
