//! Passes the linker script, so that a plain `cargo build --target x86_64-unknown-none -p kernel` is enough.

fn main() {
    println!("cargo:rerun-if-changed=kernel.ld");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo:rustc-link-arg-bins=-T{folder}/kernel.ld");
    for argument in [
        "--no-pie",
        "-znorelro",
        "-znostart-stop-gc",
        "--build-id=sha1",
        "--gc-sections",
    ] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
