#!/usr/bin/env bash
# Makes a Debian machine ready to build and boot: Debian packages and Rust targets, only those that are missing.
# Quick and silent when there is nothing to do. Exit 1 with what to do by hand when something cannot be installed.
# Everything it says goes to stderr: `make -s guest` must keep its stdout for the guest's output.
set -uo pipefail
exec >&2
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failures=0
problem() {
    echo "setup: $*"
    failures=$((failures + 1))
}

# program that shows the package is there : Debian package
packages=(
    "cc:gcc"
    "ld:binutils"
    "strip:binutils"
    "patch:patch"
    "make:make"
    "git:git"
    "qemu-system-x86_64:qemu-system-x86"
)
missing=()
for pair in "${packages[@]}"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
# A window needs a package of its own; without a display the serial console is enough.
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    [ -e /usr/share/doc/qemu-system-gui ] || missing+=(qemu-system-gui)
fi
# The C start files come with libc6-dev; the host tools need them.
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
[ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] || [ -e /usr/share/OVMF/OVMF_CODE.fd ] || missing+=(ovmf)

install_packages() {
    local as_root=()
    if ! command -v apt-get >/dev/null; then
        problem "this is not a Debian system; install by your own package manager: $*"
        return
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            problem "as root, run: apt-get install --no-install-recommends $*"
            return
        fi
        as_root=(sudo)
    fi
    echo "setup: installing $*"
    "${as_root[@]}" apt-get update -qq </dev/null || echo "setup: apt-get update failed, trying with the lists that are there"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null ||
        problem "apt-get could not install: $* (run 'apt-get install $*' to see why)"
}
if [ ${#missing[@]} -gt 0 ]; then
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    install_packages "${missing[@]}"
fi

targets=(x86_64-unknown-redox x86_64-unknown-none x86_64-unknown-uefi)
wanted="$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)"

# Makes the pinned toolchain there: by rustup, or, where nothing can be fetched, by a link to one of the same version.
install_toolchain() {
    local home="${RUSTUP_HOME:-$HOME/.rustup}/toolchains" other
    for other in "$home"/*; do
        if [ "$("$other/bin/rustc" --version 2>/dev/null | cut -d' ' -f2)" = "$wanted" ]; then
            echo "setup: using $(basename "$other"), which is Rust $wanted"
            ln -sfn "$other" "$home/$wanted-x86_64-unknown-linux-gnu"
            return
        fi
    done
    rustup toolchain install --profile default "$wanted"
}

if ! command -v cargo >/dev/null; then
    problem "no cargo: install Rust $wanted with rustup, then run this again"
else
    if ! rustc --version >/dev/null 2>&1 && command -v rustup >/dev/null; then
        install_toolchain || problem "Rust $wanted is missing and rustup could not install it"
    fi
    version="$(rustc --version | cut -d' ' -f2)"
    [ "$version" = "$wanted" ] || problem "Rust is $version, but this tree needs $wanted (rust-toolchain.toml)"
    libraries="$(rustc --print sysroot)/lib/rustlib"
    for target in "${targets[@]}"; do
        [ -d "$libraries/$target/lib" ] && continue
        if ! command -v rustup >/dev/null; then
            problem "the Rust library for $target is missing and there is no rustup to add it; with a distribution's Rust, install the package rust-src of the same version and build with -Zbuild-std (docs/HACKING.md, \"Without rustup\")"
        elif ! rustup target add "$target"; then
            problem "rustup could not add the target $target (docs/HACKING.md, \"Without rustup\")"
        fi
    done
fi

if [ "$failures" -gt 0 ]; then
    echo "setup: $failures problem(s), see above"
    exit 1
fi
