# The smallest guest test: the shell runs, pipes work, a file can be written and read.
test "$(echo one two | wc -w)" -eq 2 || exit 1
echo text >/tmp/shell-runs && test "$(cat /tmp/shell-runs)" = text && rm /tmp/shell-runs
