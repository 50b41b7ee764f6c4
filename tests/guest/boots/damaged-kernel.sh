# A kernel that is damaged on the disk is named by the loader, which then stops.
copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT
cp -r "$IMAGE/." "$copy"
# The first place where the kernel's first bytes stand in the image is the EFI partition; one byte further in is changed.
kernel="$copy/boot/kernel"
size="$(stat -c %s "$kernel")"
marker="$(head -c 65536 "$kernel" | tail -c 32 | od -An -v -tx1 | tr -d ' \n' | sed 's/../\\x&/g')"
at="$(LC_ALL=C grep -obUaP -m1 "$marker" "$copy/valence.img" | head -1 | cut -d: -f1)"
if [ -z "$at" ]; then
    echo "the kernel ($size bytes) was not found in the image"
    exit 1
fi
printf 'damaged' | dd of="$copy/valence.img" bs=1 seek="$at" conv=notrunc status=none
said="$("$GUEST" "$copy" --uefi --boot-timeout 60 -- 'echo booted' 2>&1)"
status=$?
if [ "$status" != 125 ] || ! grep -q 'The boot file valence/kernel' <<<"$said"; then
    echo "status $status: $said"
    exit 1
fi
