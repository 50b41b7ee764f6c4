//! Entry of the first process; see the library of this crate.
#![forbid(unsafe_code)]

#[cfg(target_os = "redox")]
fn main() {
    valence_init::machine::run()
}

#[cfg(not(target_os = "redox"))]
fn main() -> std::process::ExitCode {
    eprintln!("init: the first process of the system; it does nothing elsewhere");
    std::process::ExitCode::FAILURE
}
