//! `aid`: serves the `ai:` scheme. In the booted system it registers the scheme; on Linux it mounts it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use ai_daemon::{Aid, Config};

fn main() -> ExitCode {
    // A bug in a worker must not leave its clients waiting: the daemon ends, and its supervisor starts it again.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::exit(101);
    }));
    match Config::from_args(std::env::args().skip(1)).and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("aid: {text}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "redox")]
fn serve(config: Config) -> Result<(), String> {
    let name = config.name.clone();
    let aid = Aid::new(config);
    scheme_server::redox::serve(aid, &name, scheme_server::redox::tell_init)
        .map_err(|errno| format!("scheme {name}: {errno}"))
}

#[cfg(target_os = "linux")]
fn serve(config: Config) -> Result<(), String> {
    let Some(dir) = config.mount.clone() else {
        return Err(format!(
            "on Linux say where to mount: aid --mount DIR\n{}",
            ai_daemon::USAGE
        ));
    };
    scheme_server::fuse::available()?;
    let name = config.name.clone();
    let mount = scheme_server::fuse::mount(Aid::new(config), &name, &dir)
        .map_err(|error| format!("cannot mount on {}: {error}", dir.display()))?;
    mount
        .join()
        .map_err(|error| format!("the mount ended: {error}"))
}
