//! The work itself: which recipes to cook in which order, and each step of cooking one.
//!
//! Steps of one recipe: compare its inputs with those of the last cook; lay out its folder; put the packages it depends
//! on into its sysroot; run its script; check and pack its stage. Nothing is recorded as done before it is done, so a
//! cook that was interrupted starts again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::fingerprint::{self, Files, Inputs, Workspace};
use crate::layout::{Layout, TARGET};
use crate::package;
use crate::recipe::{self, Recipe, Template};
use crate::script;

/// Lines of a log that are shown when a cook fails.
const LOG_TAIL_LINES: usize = 40;

/// How to cook.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Cook again even what is up to date, from an empty folder.
    pub force: bool,
    /// Show the output of the scripts instead of only logging it.
    pub verbose: bool,
}

/// Cooks recipes of one work tree.
pub struct Kitchen {
    layout: Layout,
    options: Options,
    version: String,
    recipes: BTreeMap<String, Recipe>,
    workspace: Option<Workspace>,
    tree_hashes: BTreeMap<PathBuf, blake3::Hash>,
}

/// What a run did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Recipes that were built.
    pub cooked: usize,
    /// Recipes that were up to date.
    pub fresh: usize,
}

impl Kitchen {
    /// Prepares the folders and keys below `build/`.
    pub fn open(layout: Layout, options: Options) -> Result<Kitchen> {
        fs::create_dir_all(layout.repo())?;
        fs::create_dir_all(layout.cookbook())?;
        link(&layout.root, &layout.cookbook().join("valence"))?;
        package::ensure_keys(&layout)?;
        let version = workspace_version(&layout.root)?;
        Ok(Kitchen {
            layout,
            options,
            version,
            recipes: BTreeMap::new(),
            workspace: None,
            tree_hashes: BTreeMap::new(),
        })
    }

    /// Cooks the named recipes and all that they need.
    pub fn cook(&mut self, names: &[String]) -> Result<Summary> {
        let order = self.order(names)?;
        let mut summary = Summary::default();
        for name in order {
            let was_cooked = self
                .cook_one(&name)
                .with_context(|| format!("recipe {name}"))?;
            if was_cooked {
                summary.cooked += 1
            } else {
                summary.fresh += 1
            }
        }
        package::write_index(&self.layout)?;
        Ok(summary)
    }

    /// All recipes to cook, each after the ones that its build needs. Packages needed only at run time come last.
    fn order(&mut self, names: &[String]) -> Result<Vec<String>> {
        let mut order = Vec::new();
        let mut open: Vec<String> = names.iter().rev().cloned().collect();
        while let Some(name) = open.pop() {
            self.visit(&name, &mut order, &mut Vec::new())?;
            let needed = &self.recipes[&name].package.dependencies;
            open.extend(needed.iter().filter(|name| !order.contains(name)).cloned());
        }
        Ok(order)
    }

    fn visit(&mut self, name: &str, order: &mut Vec<String>, path: &mut Vec<String>) -> Result<()> {
        if order.iter().any(|done| done == name) {
            return Ok(());
        }
        if path.iter().any(|open| open == name) {
            bail!(
                "these recipes need each other: {} -> {name}",
                path.join(" -> ")
            );
        }
        path.push(name.to_string());
        let needed = self.recipe(name, path)?.build_dependencies();
        for needed in needed {
            self.visit(&needed, order, path)?;
        }
        path.pop();
        order.push(name.to_string());
        Ok(())
    }

    fn recipe(&mut self, name: &str, path: &[String]) -> Result<&Recipe> {
        recipe::check_name(name)?;
        let file = self.layout.recipe(name).join("recipe.toml");
        if !file.is_file() {
            let by = match path {
                [.., by, _] => format!(", which {by} needs"),
                _ => String::new(),
            };
            bail!(
                "there is no recipe {name}{by}: {} does not exist",
                file.display()
            );
        }
        if !self.recipes.contains_key(name) {
            let recipe = Recipe::read(&file)?;
            recipe
                .check_supported()
                .with_context(|| format!("in {}", file.display()))?;
            self.recipes.insert(name.to_string(), recipe);
        }
        Ok(&self.recipes[name])
    }

    /// Cooks one recipe if it must be; says whether it was.
    fn cook_one(&mut self, name: &str) -> Result<bool> {
        let recipe = self.recipes[name].clone();
        let script = script::script(&recipe, &self.layout.root);
        let inputs = self.inputs(name, &recipe, &script)?;
        let folder = self.layout.cook(name);
        let old = Inputs::parse(&fs::read_to_string(folder.join("inputs")).unwrap_or_default());
        let is_packed =
            self.layout.package(name).is_file() && package::read_info(&self.layout, name).is_some();
        if inputs == old && is_packed && !self.options.force {
            return Ok(false);
        }
        let why = if old == Inputs::default() {
            vec!["new".into()]
        } else {
            inputs.changed_since(&old)
        };
        eprintln!("cook {name} ({})", why.join(", "));
        let start = Instant::now();
        self.prepare(name, &recipe, &script)?;
        self.run_script(name, &recipe)?;
        let result = self.pack(name, &recipe)?;
        fs::write(folder.join("inputs"), inputs.to_text())?;
        eprintln!(
            "     {name}: {result}, {:.1} s",
            start.elapsed().as_secs_f64()
        );
        Ok(true)
    }

    /// Everything that the package is made from.
    fn inputs(&mut self, name: &str, recipe: &Recipe, script: &str) -> Result<Inputs> {
        let mut inputs = Inputs::default();
        let root = self.layout.root.clone();
        inputs.add("recipe", self.tree_hash(&self.layout.recipe(name))?);
        inputs.add("script", blake3::hash(script.as_bytes()));
        for file in [
            "tools/target-env.sh",
            "tools/crate.sh",
            "rust-toolchain.toml",
            "build/sysroot/lib/libc.a",
        ] {
            let path = root.join(file);
            if path.is_file() {
                inputs.add(file, fingerprint::file_hash(&path)?);
            }
        }
        for needed in recipe.build_dependencies() {
            inputs.add(
                format!("package:{needed}"),
                fingerprint::file_hash(&self.layout.package(&needed))?,
            );
        }
        for folder in self.source_folders(recipe)? {
            let shown = folder
                .strip_prefix(&root)
                .unwrap_or(&folder)
                .display()
                .to_string();
            let shown = if shown.is_empty() { ".".into() } else { shown };
            inputs.add(format!("source:{shown}"), self.tree_hash(&folder)?);
        }
        if recipe.source.is_some() {
            for file in ["Cargo.toml", "Cargo.lock"] {
                inputs.add(file, fingerprint::file_hash(&root.join(file))?);
            }
        }
        Ok(inputs)
    }

    /// The folders that the source consists of: for cargo templates on our own workspace the named crates and what they
    /// depend on, else the whole source.
    fn source_folders(&mut self, recipe: &Recipe) -> Result<Vec<PathBuf>> {
        let Some(source) = self.source(recipe)? else {
            return Ok(Vec::new());
        };
        let build = &recipe.build;
        if build.template != Template::Cargo || source != self.layout.root {
            return Ok(vec![source]);
        }
        if self.workspace.is_none() {
            self.workspace = Some(Workspace::read(&self.layout.root)?);
        }
        let workspace = self.workspace.as_ref().context("no workspace")?;
        let mut starts = Vec::new();
        if build.cargopackages.is_empty() {
            starts.push(source.join(build.cargopath.as_deref().unwrap_or(".")));
        }
        for name in &build.cargopackages {
            starts.push(workspace.folder(name)?.to_path_buf());
        }
        Ok(workspace.closure(starts).into_iter().collect())
    }

    /// The source folder, read where it lies: nothing is copied.
    fn source(&self, recipe: &Recipe) -> Result<Option<PathBuf>> {
        let Some(path) = recipe
            .source
            .as_ref()
            .and_then(|source| source.path.as_ref())
        else {
            return Ok(None);
        };
        let folder = self.layout.cookbook().join(path);
        let folder = folder.canonicalize().with_context(|| {
            format!("source path {path:?} does not exist (it is relative to the cookbook root, which holds this tree as \"valence\")")
        })?;
        Ok(Some(folder))
    }

    fn tree_hash(&mut self, folder: &Path) -> Result<blake3::Hash> {
        if let Some(hash) = self.tree_hashes.get(folder) {
            return Ok(*hash);
        }
        let hash = fingerprint::tree_hash(folder, Files::NotIgnored)?;
        self.tree_hashes.insert(folder.to_path_buf(), hash);
        Ok(hash)
    }

    /// Lays out the folder: an empty stage, a sysroot with the dependencies' files, the script.
    fn prepare(&self, name: &str, recipe: &Recipe, script: &str) -> Result<()> {
        let folder = self.layout.cook(name);
        fs::create_dir_all(&folder)?;
        // A cook that fails must not look fresh afterwards.
        remove(&folder.join("inputs"))?;
        remove(&folder.join("stage"))?;
        remove(&folder.join("sysroot"))?;
        if self.options.force {
            remove(&folder.join("build"))?;
        }
        for sub in ["stage", "sysroot", "build"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        for needed in recipe.build_dependencies() {
            package::extract(&self.layout, &needed, &folder.join("sysroot"))?;
        }
        fs::write(folder.join("script.sh"), script)?;
        Ok(())
    }

    fn run_script(&self, name: &str, recipe: &Recipe) -> Result<()> {
        if recipe.build.template == Template::None {
            return Ok(());
        }
        let folder = self.layout.cook(name);
        let log_path = folder.join("log");
        let log = File::create(&log_path)?;
        let mut command = Command::new("bash");
        command.arg(folder.join("script.sh")).stdin(Stdio::null());
        if !self.options.verbose {
            command.stdout(log.try_clone()?).stderr(log);
        }
        self.set_environment(&mut command, name, recipe)?;
        let status = command.status().context("cannot run bash")?;
        if status.success() {
            return Ok(());
        }
        if !self.options.verbose {
            let text = String::from_utf8_lossy(&fs::read(&log_path)?).into_owned();
            let lines: Vec<_> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..] {
                eprintln!("  | {line}");
            }
        }
        let libc = self.layout.root.join("build/sysroot/lib/libc.a");
        let hint = if libc.is_file() {
            ""
        } else {
            "; the C library is missing: `make sysroot`"
        };
        bail!(
            "its script failed ({status}); the whole log: {}{hint}",
            log_path.display()
        )
    }

    fn set_environment(&self, command: &mut Command, name: &str, recipe: &Recipe) -> Result<()> {
        let folder = self.layout.cook(name);
        let source = self.source(recipe)?;
        let is_ours = source
            .as_ref()
            .is_some_and(|source| source.starts_with(&self.layout.root));
        let target = if is_ours {
            self.layout.workspace_target()
        } else {
            self.layout.foreign_target()
        };
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        command
            .env(
                "COOKBOOK_SOURCE",
                source.unwrap_or_else(|| folder.join("source")),
            )
            .env("COOKBOOK_STAGE", folder.join("stage"))
            .env("COOKBOOK_BUILD", folder.join("build"))
            .env("COOKBOOK_SYSROOT", folder.join("sysroot"))
            .env("COOKBOOK_RECIPE", self.layout.recipe(name))
            .env("COOKBOOK_ROOT", self.layout.cookbook())
            .env("COOKBOOK_COOK", std::env::current_exe()?)
            .env("COOKBOOK_CARGO", "cargo")
            .env("COOKBOOK_MAKE", "make")
            .env("COOKBOOK_MAKE_JOBS", jobs.to_string())
            .env("CARGO_TARGET_DIR", target)
            .env("TARGET", TARGET);
        // Left over from `cargo run`: they describe this tool, not the recipe.
        for (key, _) in std::env::vars_os() {
            let key_text = key.to_string_lossy();
            if key_text.starts_with("CARGO_PKG_") || key_text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&key);
            }
        }
        command.env_remove("LD_LIBRARY_PATH");
        Ok(())
    }

    /// Packs the stage, unless the package that is there was made from the same content.
    fn pack(&self, name: &str, recipe: &Recipe) -> Result<String> {
        let folder = self.layout.cook(name);
        let version = recipe.package.version.as_deref().unwrap_or(&self.version);
        let depends = &recipe.package.dependencies;
        let mut content = Inputs::default();
        content.add(
            "stage",
            fingerprint::tree_hash(&folder.join("stage"), Files::All)?,
        );
        content.add("key", fingerprint::file_hash(&self.layout.public_key())?);
        let record = folder.join("packed");
        let old_content = Inputs::parse(&fs::read_to_string(&record).unwrap_or_default());
        let old_info = package::read_info(&self.layout, name);
        if let Some(mut info) =
            old_info.filter(|_| old_content == content && self.layout.package(name).is_file())
        {
            info.version = version.into();
            info.depends = depends.clone();
            package::write_info(&self.layout, &info)?;
            return Ok("same content as before".into());
        }
        remove(&record)?;
        let info = package::pack(&self.layout, name, version, depends)?;
        fs::write(&record, content.to_text())?;
        Ok(format!(
            "{:.1} MiB",
            info.storage_size as f64 / (1024.0 * 1024.0)
        ))
    }
}

/// Version of the workspace, the default of packages.
fn workspace_version(root: &Path) -> Result<String> {
    let file = root.join("Cargo.toml");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let manifest: toml::Table = text
        .parse()
        .with_context(|| format!("in {}", file.display()))?;
    let version = manifest
        .get("workspace")
        .and_then(|w| w.get("package"))
        .and_then(|p| p.get("version"));
    Ok(version
        .and_then(|v| v.as_str())
        .unwrap_or("0.0.0")
        .to_string())
}

/// Removes a file or tree if it is there.
fn remove(path: &Path) -> Result<()> {
    let result = match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    result.with_context(|| format!("cannot remove {}", path.display()))
}

/// Makes `link` a symbolic link to `target`, whatever it was before.
fn link(target: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    remove(link)?;
    std::os::unix::fs::symlink(target, link)
        .with_context(|| format!("cannot make {}", link.display()))
}

#[cfg(test)]
#[path = "kitchen_tests.rs"]
mod tests;
