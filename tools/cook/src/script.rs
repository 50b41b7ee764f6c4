//! Turns a recipe into the shell script that cooks it.
//!
//! Order: the target's environment, the prelude with the cookbook's functions, the template's commands, the end piece
//! that strips programs. The script is kept beside the log, so a failed cook can be repeated by hand.

use std::path::Path;

use crate::recipe::{Recipe, Template};

/// The functions that scripts may call.
pub const PRELUDE: &str = include_str!("prelude.sh");

/// Programs lose their symbols: the image is small, and the full ones stay in cargo's target folder for debugging.
/// What lies in usr/lib/boot (kernel, loader) is left as the recipe made it.
const END: &str = r#"
cd "$COOKBOOK_STAGE"
rm -f usr/.crates.toml usr/.crates2.json # cargo's list of what it installed, the same name in every package
find . -path ./usr/lib/boot -prune -o -type f -print | while read -r file; do
    if [ "$(head -c 4 "$file" | tr '\177' '_')" = _ELF ]; then strip "$file"; fi
done
"#;

/// The whole script of a recipe. `cookbook` is the cookbook root.
pub fn script(recipe: &Recipe, root: &Path) -> String {
    let mut text = String::from("#!/usr/bin/env bash\n");
    text += &format!(
        ". {}\n",
        quote(&root.join("tools/target-env.sh").to_string_lossy())
    );
    text += PRELUDE;
    text += "\n# ---- the recipe ----\n";
    text += &template_commands(recipe);
    text += END;
    text
}

fn template_commands(recipe: &Recipe) -> String {
    let build = &recipe.build;
    match build.template {
        Template::Custom => format!("{}\n", build.script.as_deref().unwrap_or_default()),
        Template::Cargo => cargo_commands(recipe),
        _ => String::new(),
    }
}

fn cargo_commands(recipe: &Recipe) -> String {
    let build = &recipe.build;
    let flags: String = build
        .cargoflags
        .iter()
        .map(|flag| format!(" {flag}"))
        .collect();
    let names = |list: &[String]| {
        list.iter()
            .map(|name| format!(" {}", quote(name)))
            .collect::<String>()
    };
    let mut text = String::new();
    if let Some(path) = &build.cargopath {
        text += &format!("PACKAGE_PATH={}\n", quote(path));
    }
    if build.cargopackagesprefixed {
        text += "cargopackagesprefixed=1\n";
    }
    if !build.cargopackages.is_empty() {
        text += &format!(
            "cookbook_cargo_packages{}{flags}\n",
            names(&build.cargopackages)
        );
    }
    if !build.cargoexamples.is_empty() {
        text += &format!("cookbook_cargo_examples{}\n", names(&build.cargoexamples));
    }
    if build.cargopackages.is_empty() && build.cargoexamples.is_empty() {
        text += &format!("cookbook_cargo{flags}\n");
    }
    text
}

/// Quotes a word for the shell.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(text: &str) -> String {
        template_commands(&Recipe::parse(text).unwrap())
    }

    #[test]
    fn the_cargo_template_installs_one_crate_by_default() {
        let text = "[source]\npath=\"x\"\n[build]\ntemplate=\"cargo\"\ncargopath=\"a b\"\ncargoflags=[\"--bin\",\"y\"]\n";
        assert_eq!(
            commands(text),
            "PACKAGE_PATH='a b'\ncookbook_cargo --bin y\n"
        );
    }

    #[test]
    fn the_cargo_template_installs_the_packages_it_is_told() {
        let text =
            "[source]\npath=\"x\"\n[build]\ntemplate=\"cargo\"\ncargopackages=[\"a\",\"b\"]\n";
        assert_eq!(commands(text), "cookbook_cargo_packages 'a' 'b'\n");
    }

    #[test]
    fn the_custom_template_is_its_script() {
        assert_eq!(
            commands("[build]\ntemplate=\"custom\"\nscript=\"echo 1\"\n"),
            "echo 1\n"
        );
        assert_eq!(commands("[build]\ntemplate=\"none\"\n"), "");
    }

    #[test]
    fn quoting_keeps_quotes() {
        assert_eq!(quote("it's"), r"'it'\''s'");
    }
}
