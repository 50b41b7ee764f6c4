# The way users boot: firmware, loader, kernel, shell.
test "$("$GUEST" "$IMAGE" --uefi --boot-timeout 180 -- 'echo booted')" = booted
