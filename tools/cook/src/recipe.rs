//! The recipe file: `recipe.toml` in cookbook format, as types.
//!
//! Every key the format has is known here, so that an upstream recipe parses; unknown keys are errors, because a typing
//! error in a recipe must not be silently ignored. Whether a key can be obeyed by this cook is decided in one place,
//! [`Recipe::check_supported`], with a message that says what to do instead.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// One recipe.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Where the source comes from; none for recipes that need no source of their own.
    pub source: Option<Source>,
    /// How it is built.
    pub build: Build,
    /// What the package says about itself.
    #[serde(default)]
    pub package: Package,
    /// Sub-packages `NAME.SUB` that take some of the staged files.
    #[serde(default, rename = "optional-packages")]
    pub optional_packages: Vec<OptionalPackage>,
}

/// The `[source]` table. Exactly one of `path`, `git`, `tar`, `same_as` names the kind.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the keys of the format, under their own names
pub struct Source {
    pub path: Option<String>,
    pub git: Option<String>,
    pub upstream: Option<String>,
    pub branch: Option<String>,
    pub rev: Option<String>,
    pub shallow_clone: Option<bool>,
    pub tar: Option<String>,
    pub blake3: Option<String>,
    #[serde(default)]
    pub patches: Vec<String>,
    pub script: Option<String>,
    pub same_as: Option<String>,
}

/// The `[build]` table.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Which standard way of building is meant.
    pub template: Template,
    /// Shell commands of the `custom` template.
    pub script: Option<String>,
    /// Packages whose files lie in the recipe's sysroot while it builds.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// Packages needed by the build only; the same as dependencies to this cook.
    #[serde(default, rename = "dev-dependencies")]
    pub dev_dependencies: Vec<String>,
    /// `cargo`: folder of the crate below the source.
    pub cargopath: Option<String>,
    /// `cargo`: more arguments of cargo.
    #[serde(default)]
    pub cargoflags: Vec<String>,
    /// `cargo`: packages of a workspace to build and install.
    #[serde(default)]
    pub cargopackages: Vec<String>,
    /// `cargo`: examples to build and install.
    #[serde(default)]
    pub cargoexamples: Vec<String>,
    /// `cargo`: upstream forgets the lock file's pins; not supported here.
    #[serde(default)]
    pub clearlocked: bool,
    /// `cargo`: installed names get the recipe's name and `_` in front.
    #[serde(default)]
    pub cargopackagesprefixed: bool,
}

/// The `template` key.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the values of the format, under their own names
pub enum Template {
    Cargo,
    Custom,
    Configure,
    Cmake,
    Meson,
    Python,
    Remote,
    #[default]
    None,
}

/// The `[package]` table.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Packages that must be installed with this one.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// Version; the workspace's when absent.
    pub version: Option<String>,
    /// One line for people.
    pub description: Option<String>,
}

/// One `[[optional-packages]]` entry.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct OptionalPackage {
    /// Name after the dot.
    pub name: String,
    /// Packages that must be installed with it.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// Staged files (paths without the leading slash) that go into it.
    #[serde(default)]
    pub files: Vec<String>,
}

impl Recipe {
    /// Reads and parses a recipe file; the error names the file and the line.
    pub fn read(path: &Path) -> Result<Recipe> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Recipe::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Parses the text of a recipe.
    pub fn parse(text: &str) -> Result<Recipe> {
        let recipe: Recipe = toml::from_str(text)?;
        recipe.check_source()?;
        Ok(recipe)
    }

    fn check_source(&self) -> Result<()> {
        let Some(source) = &self.source else {
            return Ok(());
        };
        let kinds = [&source.path, &source.git, &source.tar, &source.same_as];
        match kinds.iter().filter(|kind| kind.is_some()).count() {
            1 => Ok(()),
            0 => bail!("[source] needs one of path, git, tar, same_as"),
            _ => bail!("[source] has more than one of path, git, tar, same_as"),
        }
    }

    /// Says whether this cook can build the recipe, and if not, what to do.
    pub fn check_supported(&self) -> Result<()> {
        if let Some(source) = &self.source {
            if source.path.is_none() {
                bail!(
                    "only `path` sources are cooked here; for a program from the crate registry \
                     leave [source] out and call cookbook_crate (docs/HACKING.md)"
                );
            }
            if source.script.is_some() || !source.patches.is_empty() {
                bail!("`script` and `patches` of [source] are for fetched sources");
            }
        }
        match self.build.template {
            Template::Cargo if self.source.is_none() => bail!("template cargo needs a [source]"),
            Template::Custom if self.build.script.is_none() => {
                bail!("template custom needs a script")
            }
            Template::Cargo | Template::Custom | Template::None => {}
            other => {
                bail!("template {other:?} is not supported here; write a custom script instead")
            }
        }
        if self.build.clearlocked {
            bail!("clearlocked is not supported: builds use the lock file");
        }
        if !self.optional_packages.is_empty() {
            bail!("[[optional-packages]] is not supported here; make a second recipe");
        }
        Ok(())
    }

    /// Names of the packages that must be cooked before this one is built.
    pub fn build_dependencies(&self) -> BTreeSet<String> {
        let build = &self.build;
        build
            .dependencies
            .iter()
            .chain(&build.dev_dependencies)
            .cloned()
            .collect()
    }
}

/// Checks that a name can be a folder, a package and a key: letters, digits, `-`, `_`, `+`.
pub fn check_name(name: &str) -> Result<()> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-_+".contains(c);
    if name.is_empty() || !name.chars().all(is_good) {
        bail!("{name:?} is not a package name (letters, digits, '-', '_' and '+')");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_with_every_supported_key_parses() {
        let recipe = Recipe::parse(
            r#"
            [source]
            path = "valence"
            [build]
            template = "cargo"
            cargopath = "base/init"
            cargoflags = ["--features", "x"]
            cargopackages = ["init", "logd"]
            dependencies = ["a"]
            dev-dependencies = ["b", "a"]
            [package]
            dependencies = ["c"]
            version = "1.2.3"
            description = "text"
            "#,
        )
        .unwrap();
        recipe.check_supported().unwrap();
        assert_eq!(recipe.build.template, Template::Cargo);
        assert_eq!(recipe.package.version.as_deref(), Some("1.2.3"));
        let names: Vec<_> = recipe.build_dependencies().into_iter().collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = Recipe::parse("[build]\ntemplate = \"none\"\nscirpt = \"\"\n").unwrap_err();
        assert!(format!("{error:#}").contains("scirpt"), "{error:#}");
    }

    #[test]
    fn a_recipe_without_build_is_an_error() {
        assert!(Recipe::parse("[package]\ndependencies = []\n").is_err());
    }

    #[test]
    fn two_kinds_of_source_are_an_error() {
        let text = "[source]\npath = \"a\"\ngit = \"b\"\n[build]\ntemplate = \"none\"\n";
        assert!(Recipe::parse(text).is_err());
    }

    #[test]
    fn upstream_kinds_parse_but_are_refused_with_advice() {
        let text = "[source]\ngit = \"x\"\nshallow_clone = true\n[build]\ntemplate = \"cargo\"\n";
        let error = Recipe::parse(text).unwrap().check_supported().unwrap_err();
        assert!(error.to_string().contains("cookbook_crate"));
        let text = "[build]\ntemplate = \"meson\"\n";
        assert!(Recipe::parse(text).unwrap().check_supported().is_err());
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["", "..", "a/b", "a.b", "ä"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        check_name("guest-tests").unwrap();
    }
}
