//! Namespaces as capabilities: what a process cannot name it cannot open.
//!
//! Each test starts a helper that changes its own namespace and reports what it can still do.

use std::fs::{self, File};
use std::io::Read;

use guest_tests::client::Helper;
use guest_tests::scratch::Scratch;
use guest_tests::{Group, OrFail, Outcome, check_eq, group};
use ioslice::IoSlice;
use libredox::flag::{O_CLOEXEC, O_DIRECTORY, O_RDONLY};

/// All about namespaces.
pub(crate) const GROUP: Group = group!(
    "namespaces",
    guest_tests::DEFAULT_LIMIT,
    [
        without_file_no_file_opens,
        a_prefix_entry_grants_what_matches,
        the_null_namespace_grants_nothing,
        a_child_inherits_the_namespace,
        a_namespace_cannot_grow,
        an_attenuated_root_shows_only_its_subtree,
        a_private_scheme_is_not_seen_outside,
        open_descriptors_keep_working,
    ]
);

/// Makes a namespace of the named schemes and enters it.
fn enter(names: &[&str]) -> Result<usize, String> {
    let slices: Vec<_> = names
        .iter()
        .map(|name| IoSlice::new(name.as_bytes()))
        .collect();
    let namespace = libredox::call::mkns(&slices).or_fail("mkns")?;
    libredox::call::setns(namespace).or_fail("setns")?;
    Ok(namespace)
}

/// The roles of the helpers; gives the exit code. Every answer is one line `NAME yes|no`.
pub(crate) fn play(name: &str, arguments: &[String]) -> Option<i32> {
    if name != "namespace" {
        return None;
    }
    let (kind, path) = (arguments.first()?, arguments.get(1)?);
    match act(kind, path) {
        Ok(()) => Some(0),
        Err(reason) => {
            println!("error: {reason}");
            Some(1)
        }
    }
}

fn tell(what: &str, works: bool) {
    println!("{what} {}", if works { "yes" } else { "no" });
}

fn act(kind: &str, path: &str) -> Outcome {
    println!("ready");
    match kind {
        "no-file" => {
            enter(&["null", "rand", "pipe"])?;
            tell("file", File::open(path).is_ok());
            tell("modern", File::open(format!("/scheme/file{path}")).is_ok());
            tell("legacy", File::open(format!("file:{path}")).is_ok());
            tell("null", File::open("/scheme/null").is_ok());
            tell("zero", File::open("/scheme/zero").is_ok());
        }
        "prefix" => {
            enter(&["nu*", "rand", "pipe"])?;
            tell("null", File::open("/scheme/null").is_ok());
            tell("zero", File::open("/scheme/zero").is_ok());
        }
        "null-namespace" => {
            libredox::call::setrens(0, 0).or_fail("setrens")?;
            tell("file", File::open(path).is_ok());
            tell("null", File::open("/scheme/null").is_ok());
            tell("pipe", std::io::pipe().is_ok());
        }
        "child" => {
            enter(&["null", "rand", "pipe", "file"])?;
            let output = std::process::Command::new(guest_tests::client::own_program())
                .args(["--role", "namespace", "look", path])
                .output()
                .or_fail("spawn")?;
            print!(
                "{}",
                String::from_utf8_lossy(&output.stdout).replace("ready\n", "")
            );
        }
        "look" => {
            tell("file", File::open(path).is_ok());
            tell("zero", File::open("/scheme/zero").is_ok());
        }
        "grow" => {
            enter(&["null", "rand", "pipe"])?;
            let grown = enter(&["null", "rand", "pipe", "file", "zero"]);
            tell("file", File::open(path).is_ok());
            tell("zero", File::open("/scheme/zero").is_ok());
            tell("entered", grown.is_ok());
        }
        "attenuated" => {
            let root = libredox::call::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
                .or_fail("subtree")?;
            let slices = ["null", "rand", "pipe"].map(|name| IoSlice::new(name.as_bytes()));
            let namespace = libredox::call::mkns(&slices).or_fail("mkns")?;
            libredox::call::register_scheme_to_ns(namespace, "file", root).or_fail("register")?;
            libredox::call::setns(namespace).or_fail("setns")?;
            tell(
                "inside",
                fs::read_to_string("/inside").is_ok_and(|text| text == "inside"),
            );
            tell(
                "deeper",
                fs::read_to_string("/dir/deeper").is_ok_and(|text| text == "deeper"),
            );
            tell("write", fs::write("/dir/written", b"x").is_ok());
            tell("passwd", File::open("/etc/passwd").is_ok());
            tell("dots", File::open("/../outside").is_ok());
            tell("more-dots", File::open("/dir/../../outside").is_ok());
            tell(
                "raw-dots",
                libredox::Fd::new(root)
                    .openat("../outside", O_RDONLY, 0)
                    .is_ok(),
            );
        }
        "private" => {
            // Registering is a right of the old namespace, so it comes before entering the new one.
            let root = libredox::call::open("/etc", O_RDONLY | O_DIRECTORY, 0).or_fail("root")?;
            let slices = ["null", "rand", "pipe", "file"].map(|name| IoSlice::new(name.as_bytes()));
            let namespace = libredox::call::mkns(&slices).or_fail("mkns")?;
            libredox::call::register_scheme_to_ns(namespace, path, root).or_fail("register")?;
            libredox::call::setns(namespace).or_fail("setns")?;
            tell("own", File::open(format!("/scheme/{path}/passwd")).is_ok());
            let mut wait = String::new();
            std::io::stdin().read_line(&mut wait).or_fail("wait")?;
        }
        "keeps" => {
            let mut file = File::open(path).or_fail("open")?;
            enter(&["null", "rand", "pipe"])?;
            let mut text = String::new();
            tell(
                "read",
                file.read_to_string(&mut text).is_ok() && text == "kept",
            );
            tell("open", File::open(path).is_ok());
        }
        other => return Err(format!("no role {other}")),
    }
    Ok(())
}

/// Starts the role and compares its answers.
fn expect(kind: &str, path: &str, answers: &[&str]) -> Outcome {
    let mut helper = Helper::start("namespace", &[kind, path])?;
    for answer in answers {
        check_eq!(helper.line()?, *answer);
    }
    check_eq!(helper.line()?, "");
    check_eq!(helper.wait()?, Some(0));
    Ok(())
}

fn without_file_no_file_opens() -> Outcome {
    expect(
        "no-file",
        "/etc/passwd",
        &["file no", "modern no", "legacy no", "null yes", "zero no"],
    )
}

fn a_prefix_entry_grants_what_matches() -> Outcome {
    expect("prefix", "-", &["null yes", "zero no"])
}

fn the_null_namespace_grants_nothing() -> Outcome {
    expect(
        "null-namespace",
        "/etc/passwd",
        &["file no", "null no", "pipe yes"],
    )
}

fn a_child_inherits_the_namespace() -> Outcome {
    expect("child", "/etc/passwd", &["file yes", "zero no"])
}

fn a_namespace_cannot_grow() -> Outcome {
    let mut helper = Helper::start("namespace", &["grow", "/etc/passwd"])?;
    check_eq!(helper.line()?, "file no");
    check_eq!(helper.line()?, "zero no");
    Ok(())
}

fn an_attenuated_root_shows_only_its_subtree() -> Outcome {
    let scratch = Scratch::new()?;
    fs::create_dir_all(scratch.join("tree/dir")).or_fail("mkdir")?;
    fs::write(scratch.join("tree/inside"), b"inside").or_fail("write")?;
    fs::write(scratch.join("tree/dir/deeper"), b"deeper").or_fail("write")?;
    fs::write(scratch.join("outside"), b"outside").or_fail("write")?;
    let tree = scratch.join("tree");
    let answers = [
        "inside yes",
        "deeper yes",
        "write yes",
        "passwd no",
        "dots no",
        "more-dots no",
        "raw-dots no",
    ];
    expect("attenuated", &tree.to_string_lossy(), &answers)?;
    check_eq!(
        fs::read(scratch.join("tree/dir/written")).or_fail("read")?,
        b"x"
    );
    Ok(())
}

fn a_private_scheme_is_not_seen_outside() -> Outcome {
    let name = format!("private-{}", std::process::id());
    let mut helper = Helper::start("namespace", &["private", &name])?;
    check_eq!(helper.line()?, "own yes");
    check_eq!(File::open(format!("/scheme/{name}/passwd")).is_ok(), false);
    helper.tell("done")?;
    check_eq!(helper.wait()?, Some(0));
    Ok(())
}

fn open_descriptors_keep_working() -> Outcome {
    let scratch = Scratch::new()?;
    fs::write(scratch.join("kept"), b"kept").or_fail("write")?;
    expect(
        "keeps",
        &scratch.join("kept").to_string_lossy(),
        &["read yes", "open no"],
    )
}
