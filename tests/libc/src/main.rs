//! `libc-tests`: the C library's functions, called as a C program calls them.
//!
//! The one test crate with unsafe code: declaring and calling C functions is what it is for. Everything here is plain
//! POSIX except `shared`, which maps memory of a scheme daemon; so the tests are themselves tested by running them on
//! Linux (`cargo run -p libc-tests`).

mod call;
mod descriptors;
mod memory;
mod processes;
mod signals;
mod streams;
mod system;
mod threads;
mod wait;

use guest_tests::Group;

const GROUPS: [Group; 8] = [
    system::GROUP,
    descriptors::GROUP,
    streams::GROUP,
    processes::GROUP,
    signals::GROUP,
    threads::GROUP,
    wait::GROUP,
    memory::GROUP,
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, number] = arguments.as_slice()
        && word == "--is-open"
    {
        // SAFETY: a plain descriptor call.
        let flags = unsafe { libc::fcntl(number.parse().unwrap_or(-1), libc::F_GETFD) };
        std::process::exit(i32::from(flags != -1));
    }
    std::process::exit(guest_tests::run(&GROUPS, &arguments));
}
