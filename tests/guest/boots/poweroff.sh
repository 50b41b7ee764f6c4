# `poweroff` in the guest ends the machine by itself, with success.
said="$("$GUEST" "$IMAGE" -- poweroff 2>&1)"
if ! grep -q 'QEMU ended (exit status: 0)' <<<"$said"; then
    echo "$said"
    exit 1
fi
