# Without its root filesystem the system says what is wrong and stops.
copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT
cp -r "$IMAGE/." "$copy"
: >"$copy/valence.img"
truncate -s 64M "$copy/valence.img"
said="$("$GUEST" "$copy" --boot-timeout 60 -- 'echo booted' 2>&1)"
status=$?
if [ "$status" != 125 ] || ! grep -q 'root file system could not be mounted' <<<"$said"; then
    echo "status $status: $said"
    exit 1
fi
