#!/usr/bin/env bash
# Builds the C library and puts it where the linker of the target looks: build/sysroot/lib/libc.a.
# When the library changed, programs already linked against the old one are removed, so that cargo links them again
# (cargo does not know that they depend on it).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/target-env.sh"
cd "$VALENCE_ROOT"

out="$VALENCE_SYSROOT/lib/libc.a"
if [ ! -f base/libc/Cargo.toml ]; then
    echo "sysroot: base/libc is not in this tree, so there is no C library to build" >&2
    exit 1
fi
# A profile of its own: the library must not be able to unwind and must be one object (docs/decisions/0304).
cargo build --quiet --profile libc --target "$TARGET" -p valence-libc
built="$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/$TARGET/libc/libvalence_libc.a"
if [ ! -f "$built" ]; then
    echo "sysroot: cargo built valence-libc but left no $built: is its crate-type \"staticlib\"?" >&2
    exit 1
fi
if cmp -s "$built" "$out"; then
    exit 0
fi

# Linked programs are the executable files without an extension.
for dir in target build/cargo; do
    for profile in release debug; do
        for folder in "$dir/$TARGET/$profile" "$dir/$TARGET/$profile/deps" "$dir/$TARGET/$profile/examples"; do
            [ -d "$folder" ] && find "$folder" -maxdepth 1 -type f -perm -u+x ! -name '*.*' -delete
        done
    done
done
mkdir -p "$(dirname "$out")"
cp "$built" "$out.new"
mv "$out.new" "$out"
echo "sysroot: new $out" >&2
