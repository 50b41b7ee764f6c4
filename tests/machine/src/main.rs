//! `machine-tests`: the kernel's machine layer from a program's side.
//!
//! `forbidden` runs one instruction after the other that a program must not get through, each in a child, and expects the child to
//! end by a signal and the system to go on. `kept` checks what threads must keep: registers, time, memory. With unsafe
//! code, because instructions are what it is about. Runs in the guest only.

mod forbidden;
mod kept;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let status = match arguments.first().map(String::as_str) {
        Some("--role") => forbidden::play(arguments.get(1).map_or("", String::as_str)),
        _ => guest_tests::run(&[forbidden::GROUP, kept::GROUP], &arguments),
    };
    std::process::exit(status);
}
