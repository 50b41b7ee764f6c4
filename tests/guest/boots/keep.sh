# What is written before a power-off is there after the next boot.
copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT
cp -r "$IMAGE/." "$copy"
"$GUEST" "$copy" --keep -- 'guest-tests keep write' || exit 1
"$GUEST" "$copy" --keep -- 'guest-tests keep check' 'test ! -e /var/guest-tests-kept'
