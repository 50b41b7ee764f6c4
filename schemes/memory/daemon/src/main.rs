//! `memoryd`: serves the `memory:` scheme. In the booted system it registers the scheme; on Linux it mounts it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use memoryd::config::{Config, USAGE};

fn main() -> ExitCode {
    // A bug in a thread must not leave clients waiting: the daemon ends, and its supervisor starts it again.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::exit(101);
    }));
    if std::env::args().any(|arg| arg == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match Config::from_args(std::env::args().skip(1)).and_then(|config| serve(&config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("memoryd: {text}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "redox")]
fn serve(config: &Config) -> Result<(), String> {
    use scheme_server::redox;
    redox::serve(config.service()?, &config.name, redox::tell_init)
        .map_err(|errno| format!("scheme {}: {errno}", config.name))
}

#[cfg(target_os = "linux")]
fn serve(config: &Config) -> Result<(), String> {
    let Some(dir) = &config.mount else {
        return Err(format!(
            "on Linux say where to mount: memoryd --mount DIR\n{USAGE}"
        ));
    };
    scheme_server::fuse::available()?;
    let mount = scheme_server::fuse::mount(config.service()?, &config.name, dir)
        .map_err(|error| format!("cannot mount on {}: {error}", dir.display()))?;
    mount
        .join()
        .map_err(|error| format!("the mount ended: {error}"))
}
