# Sourced in front of every recipe's script: the shell functions that cookbook scripts use.
# The variables COOKBOOK_* are set by the cook; the compiler's environment by tools/target-env.sh.
set -eo pipefail

export GNU_TARGET="$TARGET"
build_flags="--release --target $TARGET"
install_flags="$build_flags"
build_type=release
cd "$COOKBOOK_BUILD"

# All programs are static here; upstream scripts call this to allow dynamic linking.
function DYNAMIC_INIT { :; }

# Installs the programs of one crate, by default the one at the source's root or at PACKAGE_PATH below it.
function cookbook_cargo {
    "$COOKBOOK_CARGO" install --quiet --path "$COOKBOOK_SOURCE/${PACKAGE_PATH:-.}" --root "$COOKBOOK_STAGE/usr" \
        --locked --no-track --force $install_flags -j "$COOKBOOK_MAKE_JOBS" "$@"
}

# Installs the programs that cargo says it made; $1 is what to put in front of their names.
function cookbook_install_executables {
    local prefix="$1" executable
    mkdir -p "$COOKBOOK_STAGE/usr/bin"
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | while read -r executable; do
        cp "$executable" "$COOKBOOK_STAGE/usr/bin/$prefix$(basename "$executable")"
    done
}

# Installs the programs of packages of a workspace. Flags of cargo may stand among the names.
# cargopackagesprefixed=1 puts RECIPE_ in front of the installed names.
function cookbook_cargo_packages {
    local arguments=() word prefix=""
    [ "${cargopackagesprefixed:-0}" = 0 ] || prefix="$(basename "$COOKBOOK_RECIPE")_"
    for word in "$@"; do
        case "$word" in
            -*) arguments+=("$word") ;;
            *) arguments+=(--package "$word") ;;
        esac
    done
    "$COOKBOOK_CARGO" build --quiet --manifest-path "$COOKBOOK_SOURCE/${PACKAGE_PATH:-.}/Cargo.toml" --bins \
        --locked $build_flags -j "$COOKBOOK_MAKE_JOBS" --message-format json-render-diagnostics "${arguments[@]}" |
        cookbook_install_executables "$prefix"
}

# Installs examples as RECIPE_EXAMPLE.
function cookbook_cargo_examples {
    local example
    for example in "$@"; do
        "$COOKBOOK_CARGO" build --quiet --manifest-path "$COOKBOOK_SOURCE/${PACKAGE_PATH:-.}/Cargo.toml" \
            --example "$example" --locked $build_flags -j "$COOKBOOK_MAKE_JOBS" \
            --message-format json-render-diagnostics |
            cookbook_install_executables "$(basename "$COOKBOOK_RECIPE")_"
    done
}
