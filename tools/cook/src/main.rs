//! Command line of the cook.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use valence_cook::cpio;
use valence_cook::kitchen::{Kitchen, Options};
use valence_cook::layout::Layout;

/// Cooks recipes (recipes/NAME/recipe.toml) to signed packages in build/repo.
#[derive(Parser)]
#[command(
    name = "cook",
    after_help = "Exit status: 0 done, 1 something failed (the message says what), 2 wrong usage."
)]
struct Arguments {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Cook the named recipes and what they need.
    Make {
        /// Recipe names.
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// Cook every recipe.
        #[arg(long)]
        all: bool,
        /// Cook again even if nothing changed.
        #[arg(long, short)]
        force: bool,
        /// Show what the scripts print.
        #[arg(long, short)]
        verbose: bool,
    },
    /// List the recipes.
    List,
    /// Write a folder as an initfs image (cpio, newc).
    Initfs {
        /// The folder.
        folder: PathBuf,
        /// The file to write.
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cook: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let layout = || Layout::find(&std::env::current_dir()?);
    match arguments.command {
        Verb::Make {
            mut names,
            all,
            force,
            verbose,
        } => {
            let layout = layout()?;
            if all {
                names = layout.recipe_names()?;
            }
            let _lock = lock(&layout)?;
            let summary = Kitchen::open(layout, Options { force, verbose })?.cook(&names)?;
            eprintln!(
                "cook: {} cooked, {} up to date",
                summary.cooked, summary.fresh
            );
        }
        Verb::List => {
            for name in layout()?.recipe_names()? {
                println!("{name}");
            }
        }
        Verb::Initfs { folder, out } => cpio::write_initfs(&folder, &out)?,
    }
    Ok(())
}

/// Two cooks of one tree would write the same files: the second waits.
fn lock(layout: &Layout) -> Result<File> {
    let path = layout.root.join("build/.cook.lock");
    fs::create_dir_all(layout.root.join("build"))?;
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("cook: waiting for another cook of this tree");
        file.lock()?;
    }
    Ok(file)
}
