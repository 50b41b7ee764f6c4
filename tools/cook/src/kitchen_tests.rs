//! The kitchen on small trees of its own, with scripts that need no compiler.

use super::*;

struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    fn new() -> Tree {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree { folder };
        tree.write(
            "Cargo.toml",
            "[workspace]\nmembers = []\n[workspace.package]\nversion = \"1.2.3\"\n",
        );
        tree.write("Cargo.lock", "");
        tree.write("tools/target-env.sh", "TARGET=x86_64-unknown-redox\n");
        tree
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn recipe(&self, name: &str, keys: &str, script: &str) {
        let text = format!("[build]\ntemplate = \"custom\"\n{keys}\nscript = '''\n{script}\n'''\n");
        self.write(&format!("recipes/{name}/recipe.toml"), &text);
    }

    fn cook(&self, names: &[&str]) -> Result<Summary> {
        let layout = Layout {
            root: self.folder.path().canonicalize().unwrap(),
        };
        let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
        Kitchen::open(layout, Options::default())?.cook(&names)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

const HELLO: &str =
    "mkdir -p $COOKBOOK_STAGE/etc; cp $COOKBOOK_RECIPE/text $COOKBOOK_STAGE/etc/hello";

#[test]
fn a_recipe_is_cooked_once_and_again_when_its_content_changed() {
    let tree = Tree::new();
    tree.recipe("hello", "", HELLO);
    tree.write("recipes/hello/text", "1");
    assert_eq!(
        tree.cook(&["hello"]).unwrap(),
        Summary {
            cooked: 1,
            fresh: 0
        }
    );
    assert!(
        tree.read("build/repo/x86_64-unknown-redox/hello.toml")
            .contains("version = \"1.2.3\"")
    );
    tree.write("recipes/hello/text", "1");
    assert_eq!(
        tree.cook(&["hello"]).unwrap(),
        Summary {
            cooked: 0,
            fresh: 1
        }
    );
    tree.write("recipes/hello/text", "2");
    assert_eq!(
        tree.cook(&["hello"]).unwrap(),
        Summary {
            cooked: 1,
            fresh: 0
        }
    );
}

#[test]
fn a_dependency_is_cooked_first_and_lies_in_the_sysroot() {
    let tree = Tree::new();
    tree.recipe("hello", "", HELLO);
    tree.write("recipes/hello/text", "from hello");
    tree.recipe(
        "user",
        "dependencies = [\"hello\"]",
        "cp $COOKBOOK_SYSROOT/etc/hello $COOKBOOK_STAGE/copy",
    );
    assert_eq!(tree.cook(&["user"]).unwrap().cooked, 2);
    assert_eq!(tree.read("build/cook/user/stage/copy"), "from hello");
    tree.write("recipes/hello/text", "changed");
    assert_eq!(tree.cook(&["user"]).unwrap().cooked, 2);
}

#[test]
fn an_unchanged_stage_keeps_the_package_file() {
    let tree = Tree::new();
    tree.recipe("hello", "", HELLO);
    tree.write("recipes/hello/text", "1");
    tree.cook(&["hello"]).unwrap();
    let before = tree.read("build/repo/x86_64-unknown-redox/hello.toml");
    tree.recipe("hello", "", &format!("{HELLO}; true"));
    assert_eq!(tree.cook(&["hello"]).unwrap().cooked, 1);
    assert_eq!(
        tree.read("build/repo/x86_64-unknown-redox/hello.toml"),
        before
    );
}

#[test]
fn a_failing_script_names_the_recipe_and_the_log() {
    let tree = Tree::new();
    tree.recipe("broken", "", "echo reason; exit 3");
    for _ in 0..2 {
        let message = format!("{:#}", tree.cook(&["broken"]).unwrap_err());
        assert!(
            message.contains("recipe broken") && message.contains("build/cook/broken/log"),
            "{message}"
        );
    }
    assert_eq!(tree.read("build/cook/broken/log"), "reason\n");
}

#[test]
fn a_missing_recipe_says_who_needs_it() {
    let tree = Tree::new();
    tree.recipe("user", "dependencies = [\"nothing\"]", "true");
    let message = format!("{:#}", tree.cook(&["user"]).unwrap_err());
    assert!(
        message.contains("no recipe nothing, which user needs"),
        "{message}"
    );
}

#[test]
fn recipes_that_need_each_other_are_refused() {
    let tree = Tree::new();
    tree.recipe("a", "dependencies = [\"b\"]", "true");
    tree.recipe("b", "dependencies = [\"a\"]", "true");
    let message = format!("{:#}", tree.cook(&["a"]).unwrap_err());
    assert!(message.contains("a -> b -> a"), "{message}");
}

#[test]
fn packages_needed_at_run_time_are_cooked_too() {
    let tree = Tree::new();
    tree.write(
        "recipes/set/recipe.toml",
        "[build]\ntemplate = \"none\"\n[package]\ndependencies = [\"hello\"]\n",
    );
    tree.recipe("hello", "", HELLO);
    tree.write("recipes/hello/text", "1");
    assert_eq!(tree.cook(&["set"]).unwrap().cooked, 2);
}
