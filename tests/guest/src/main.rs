//! `guest-tests`: checks inside the running system what Rust programs and scheme daemons rely on.
//!
//! `guest-tests` runs all groups, `guest-tests GROUP[/TEST] …` some, `--list` names them; the exit status is 0 only if
//! all passed. `keep write` and `keep check` are the two halves of a test with a reboot between them. `--role …` is
//! how tests start this program as their helper.
#![forbid(unsafe_code)]

mod basics;
mod events;
mod files;
mod namespaces;
mod process;
mod reboot;
mod scheme_011;
mod scheme_012;
mod schemes;
mod threads;

use guest_tests::Group;

const GROUPS: [Group; 11] = [
    basics::GROUP,
    files::GROUP,
    files::LARGE,
    threads::GROUP,
    process::GROUP,
    events::GROUP,
    schemes::GROUPS[0],
    schemes::GROUPS[1],
    schemes::GROUPS[2],
    namespaces::GROUP,
    // Own process last: it is the one that a broken kernel is least likely to survive.
    process::STRESS,
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let status = match arguments.first().map(String::as_str) {
        Some("--role") => play(&arguments[1..]),
        Some("keep") => reboot::run(arguments.get(1).map(String::as_str)),
        _ => guest_tests::run(&GROUPS, &arguments),
    };
    std::process::exit(status);
}

/// Plays the helper's role that a test asked for.
fn play(arguments: &[String]) -> i32 {
    let Some((role, rest)) = arguments.split_first() else {
        return 2;
    };
    let word = |index: usize| rest.get(index).map_or("", String::as_str);
    let served = match role.as_str() {
        "daemon-011" => scheme_011::probe::serve(word(0), word(1)),
        "daemon-012" => scheme_012::probe::serve(word(0), word(1)),
        _ => {
            return process::play(role, rest)
                .or_else(|| namespaces::play(role, rest))
                .unwrap_or_else(|| {
                    eprintln!("guest-tests: no role {role}");
                    2
                });
        }
    };
    if let Err(reason) = served {
        eprintln!("guest-tests: {role}: {reason}");
        return 1;
    }
    0
}
