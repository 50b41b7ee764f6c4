# Programs from the registry that nobody here wrote or changed, doing their work on real input.
failed=0
expect() { # WHAT EXPECTED GOT
    if [ "$2" != "$3" ]; then echo "$1: expected <$2>, got <$3>"; failed=1; fi
}
cd "$(mktemp -d)" || exit 1
mkdir -p tree/deep
seq 1 3000 >tree/numbers
echo "a needle in a haystack" >tree/deep/hay
expect "rg, recursively" "tree/deep/hay:a needle in a haystack" "$(rg --no-heading needle tree)"
expect "rg, counting" "354" "$(rg -c '^.*7$|99' tree/numbers)"
expect "rg, nothing found" "1" "$(rg nothing-like-this tree >/dev/null; echo $?)"
expect "rg, a bad pattern" "2" "$(rg '(' tree >/dev/null 2>&1; echo $?)"
expect "hexyl" "yes" "$(printf 'hello' | hexyl --plain | tr -d ' \n' | cut -c1-8 | sed 's/00000000/yes/;s/68656c6c/yes/')"
brotli -c <tree/numbers >numbers.br
expect "brotli makes it smaller" "yes" "$(test "$(stat -c %s numbers.br)" -lt 8000 && echo yes)"
expect "brotli gives it back" "0" "$(brotli <numbers.br >back; cmp back tree/numbers; echo $?)"
exit $failed
