# The shell function cookbook_crate, for recipes of programs from the crate registry. Sourced by a recipe's script:
#
#     . "${COOKBOOK_ROOT}/valence/tools/crate.sh"
#     cookbook_crate ripgrep 15.1.0 --features something
#
# It builds the crate of that name and version, with the versions its own lock file pins, and installs its programs into
# the stage. More words are arguments of cargo. Files `patches/CRATE.patch` or `patches/CRATE-VERSION.patch` in the recipe's
# folder are applied (patch -p1) to that crate: the program itself or any of its dependencies. Sources come through cargo
# by name only. It uses nothing but the cookbook's variables, so it works in the upstream cookbook too.

# Their own release profiles ask for slow link-time optimisation (four times the build for a tenth of the size, measured
# on coreutils) or keep debug information. All are built the same way: small, quick to build, a panic aborts.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=s CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
export CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_PANIC=abort CARGO_PROFILE_RELEASE_STRIP=none

function cookbook_crate {
    local name="$1" version="$2"
    shift 2
    local patches=("${COOKBOOK_RECIPE}"/patches/*.patch)
    if [ ! -e "${patches[0]}" ]; then
        "${COOKBOOK_CARGO}" install "$name" --version "=$version" --locked --no-track --force --target "${TARGET}" \
            --root "${COOKBOOK_STAGE}/usr" -j "${COOKBOOK_MAKE_JOBS:-2}" "$@"
        return
    fi

    local sources="${COOKBOOK_BUILD}/crates" source="${COOKBOOK_BUILD}/crates/$name" config=() patch crate crate_version
    mkdir -p "$sources"
    cookbook_crate_unpack "$name" "$version" "$sources/$name" $(cookbook_crate_patch_of "$name" "$version")
    # Its dependencies as the published lock file pins them. (The last cook wrote the lock file for the patched crates.)
    cp "$source.lock" "$source/Cargo.lock"
    "${COOKBOOK_CARGO}" fetch --quiet --manifest-path "$source/Cargo.toml"
    for patch in "${patches[@]}"; do
        crate="$(basename "$patch" .patch)"
        crate_version=""
        if [[ "$crate" =~ ^(.+)-([0-9]+\.[0-9]+\.[0-9]+.*)$ ]]; then
            crate="${BASH_REMATCH[1]}"
            crate_version="${BASH_REMATCH[2]}"
        fi
        [ "$crate" != "$name" ] || continue
        if [ -z "$crate_version" ]; then
            crate_version="$(cookbook_crate_locked_version "$source/Cargo.lock" "$crate")" || return 1
        fi
        cookbook_crate_unpack "$crate" "$crate_version" "$sources/$crate-$crate_version" "$patch"
        config+=(--config "patch.crates-io.$crate.path='$sources/$crate-$crate_version'")
    done
    # A patched crate has no checksum, so the lock file must be written anew once; all other pins stay.
    "${COOKBOOK_CARGO}" metadata --quiet --format-version 1 --manifest-path "$source/Cargo.toml" "${config[@]}" >/dev/null
    "${COOKBOOK_CARGO}" install --path "$source" --locked --no-track --force --target "${TARGET}" \
        --root "${COOKBOOK_STAGE}/usr" -j "${COOKBOOK_MAKE_JOBS:-2}" "${config[@]}" "$@"
}

# Prints the patch file for the program itself, if there is one.
function cookbook_crate_patch_of {
    local file
    for file in "${COOKBOOK_RECIPE}/patches/$1.patch" "${COOKBOOK_RECIPE}/patches/$1-$2.patch"; do
        if [ -e "$file" ]; then echo "$file"; fi
    done
}

# Prints the version of a crate in a lock file; several versions are an error that says how to choose.
function cookbook_crate_locked_version {
    local versions
    versions="$(awk -v want="name = \"$2\"" '$0 == want { getline; gsub(/version = |"/, ""); print }' "$1")"
    case "$(wc -w <<<"$versions")" in
        1) echo "$versions" ;;
        0) echo "cookbook_crate: $1 has no crate $2 (patches/$2.patch)" >&2; return 1 ;;
        *) echo "cookbook_crate: several versions of $2 ($(echo $versions)); name the patch $2-VERSION.patch" >&2; return 1 ;;
    esac
}

# cookbook_crate_unpack NAME VERSION FOLDER [PATCH]: a patched copy of a crate's source. Kept while neither version nor
# patch changes, because cargo compiles a path crate again when its files are newer.
function cookbook_crate_unpack {
    local name="$1" version="$2" folder="$3" patch="${4:-}" stamp unpacked
    stamp="$version $([ -z "$patch" ] || cksum <"$patch")"
    if [ "$(cat "$folder.stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
    rm -rf "$folder" "$folder.stamp"
    # A manifest that asks for exactly this version makes cargo download and check it.
    local ask="${COOKBOOK_BUILD}/ask/$name-$version"
    mkdir -p "$ask/src"
    printf '[package]\nname = "ask"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies.%s]\nversion = "=%s"\ndefault-features = false\n' \
        "$name" "$version" >"$ask/Cargo.toml"
    : >"$ask/src/lib.rs"
    "${COOKBOOK_CARGO}" fetch --quiet --manifest-path "$ask/Cargo.toml" --target "${TARGET}"
    unpacked=("${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$name-$version")
    if [ ! -d "${unpacked[0]}" ]; then
        echo "cookbook_crate: cargo did not unpack $name $version" >&2
        return 1
    fi
    cp -r "${unpacked[0]}" "$folder"
    if [ -e "$folder/Cargo.lock" ]; then cp "$folder/Cargo.lock" "$folder.lock"; fi
    if [ -n "$patch" ]; then
        patch --directory "$folder" --strip 1 --forward --no-backup-if-mismatch <"$patch"
    fi
    # Not part of any workspace around it.
    grep -q '^\[workspace\]' "$folder/Cargo.toml" || printf '\n[workspace]\n' >>"$folder/Cargo.toml"
    echo "$stamp" >"$folder.stamp"
}
