//! Where things lie: the one list of the folders that the cook reads and writes.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The target of every package.
pub const TARGET: &str = "x86_64-unknown-redox";

/// The folders of one work tree.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The workspace: where `Cargo.toml` and `recipes/` are.
    pub root: PathBuf,
}

impl Layout {
    /// Finds the work tree that holds `start`.
    pub fn find(start: &Path) -> Result<Layout> {
        for folder in start.ancestors() {
            if folder.join("Cargo.toml").is_file() && folder.join("recipes").is_dir() {
                return Ok(Layout {
                    root: folder.to_path_buf(),
                });
            }
        }
        bail!(
            "{} is not inside a work tree with Cargo.toml and recipes/",
            start.display()
        )
    }

    /// Folder of a recipe.
    pub fn recipe(&self, name: &str) -> PathBuf {
        self.root.join("recipes").join(name)
    }

    /// Folder where a recipe is cooked: script, log, build, stage, sysroot.
    pub fn cook(&self, name: &str) -> PathBuf {
        self.root.join("build/cook").join(name)
    }

    /// The cookbook root that recipes see: it holds this workspace under the name `valence`, as a Redox checkout does
    /// in which our tree was put (`docs/decisions/0502-recipes.md`). `path` sources are relative to it.
    pub fn cookbook(&self) -> PathBuf {
        self.root.join("build/cookbook")
    }

    /// The repository folder with the packages.
    pub fn repo(&self) -> PathBuf {
        self.root.join("build/repo").join(TARGET)
    }

    /// The package file of a recipe.
    pub fn package(&self, name: &str) -> PathBuf {
        self.repo().join(format!("{name}.pkgar"))
    }

    /// The key that signs packages; made on first use.
    pub fn secret_key(&self) -> PathBuf {
        self.root.join("build/id_ed25519.toml")
    }

    /// The key that readers of packages check with.
    pub fn public_key(&self) -> PathBuf {
        self.root.join("build/id_ed25519.pub.toml")
    }

    /// Cargo's target folder for crates of the workspace.
    pub fn workspace_target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Cargo's target folder for crates from elsewhere; shared, so common dependencies compile once.
    pub fn foreign_target(&self) -> PathBuf {
        self.root.join("build/cargo")
    }

    /// Names of all recipes, sorted.
    pub fn recipe_names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.root.join("recipes"))? {
            let entry = entry?;
            if entry.path().join("recipe.toml").is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}
