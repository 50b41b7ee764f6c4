# Environment of every build for x86_64-unknown-redox. Source it, do not run it:
#
#     . tools/target-env.sh
#     cargo build --release --target "$TARGET" -p my-program
#
# This is the one place that says how programs of the target are compiled and linked: plain `cc` as the linker, our
# libc.a in place of the host's, no start files of the host (docs/decisions/0501). Needs bash; changes nothing but the
# environment. What it does not do: build libc.a (tools/sysroot.sh does).

VALENCE_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export VALENCE_ROOT
export TARGET=x86_64-unknown-redox
export VALENCE_SYSROOT="${VALENCE_SYSROOT:-$VALENCE_ROOT/build/sysroot}"

# redox-scheme uses one unstable library feature; naming the crate keeps other crates on the stable language.
export RUSTC_BOOTSTRAP=redox_scheme

# RUSTFLAGS of the caller would replace the flags below without a word.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS

# -u _start: the entry lives in libc.a and nothing refers to it, so the linker must be told to fetch it.
# -nostartfiles and -L: without them cc adds the host's crt1.o and libc, and the result is a Linux program that only
# looks right. tools/cook refuses a program that asks for a dynamic loader.
export CARGO_TARGET_X86_64_UNKNOWN_REDOX_LINKER=cc
export CARGO_TARGET_X86_64_UNKNOWN_REDOX_RUSTFLAGS="-C link-arg=-nostartfiles -C link-arg=-L$VALENCE_SYSROOT/lib -C link-arg=-Wl,-u,_start -C link-arg=-Wl,--build-id=none"

# Build scripts that compile C or assembly must not see the host's headers: they describe another libc.
export CC_x86_64_unknown_redox=cc
export AR_x86_64_unknown_redox=ar
CFLAGS_x86_64_unknown_redox="-nostdinc -isystem $(cc -print-file-name=include 2>/dev/null || true)"
export CFLAGS_x86_64_unknown_redox
export PKG_CONFIG_ALLOW_CROSS=0
