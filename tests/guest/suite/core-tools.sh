# The core tools on real data: results that are known.
failed=0
expect() { # WHAT EXPECTED GOT
    if [ "$2" != "$3" ]; then echo "$1: expected <$2>, got <$3>"; failed=1; fi
}
cd "$(mktemp -d)" || exit 1
seq 1 1000 >numbers
expect "wc" "1000" "$(wc -l <numbers | tr -d ' ')"
expect "sort" "999" "$(sort -r numbers | head -1)"
expect "sort -n" "1000" "$(sort -n numbers | tail -1)"
expect "uniq" "3 a" "$(printf 'a\na\nb\na\n' | sort | uniq -c | head -1 | sed 's/^ *//')"
expect "cut" "b" "$(echo a:b:c | cut -d: -f2)"
expect "tr" "HELLO" "$(echo hello | tr a-z A-Z)"
expect "paste" "1,2,3" "$(seq 3 | paste -s -d,)"
expect "head and tail" "500" "$(head -500 numbers | tail -1)"
expect "sha256sum" "67d4ff71d43921d5739f387da09746f405e425b07d727e4c69d029461d1f051f" "$(sha256sum numbers | cut -c1-64)"
expect "md5sum" "53d025127ae99ab79e8502aae2d9bea6" "$(md5sum numbers | cut -c1-32)"
expect "base64" "aGVsbG8=" "$(printf hello | base64)"
expect "cp and cmp" "0" "$(cp numbers copy; cmp numbers copy; echo $?)"
expect "diff" "1" "$(echo x >>copy; diff numbers copy >/dev/null; echo $?)"
expect "mv and ls" "moved numbers" "$(mv copy moved; echo $(ls))"
expect "mkdir, rmdir" "no" "$(mkdir -p p/q/r; rmdir p/q/r p/q p; test -e p && echo yes || echo no)"
expect "rm -r" "no" "$(mkdir -p d/e; touch d/e/f; rm -r d; test -e d && echo yes || echo no)"
expect "ln -s, readlink" "numbers" "$(ln -s numbers link; readlink link)"
expect "stat" "3893" "$(stat -c %s numbers)"
expect "chmod" "600" "$(chmod 600 numbers; stat -c %a numbers)"
expect "du" "yes" "$(test "$(du -k numbers | cut -f1)" -ge 4 && echo yes)"
expect "date" "2001-09-09" "$(date -u -d @1000000000 +%Y-%m-%d)"
expect "printf" "00ff 3.50" "$(printf '%04x %.2f' 255 3.5)"
expect "expr, test" "42" "$(expr 6 '*' 7)"
expect "env" "1" "$(env -i A=1 printenv A)"
expect "tee" "both both" "$(echo both | tee one >two; echo $(cat one two))"
expect "timeout" "124" "$(timeout 0.3 sleep 10; echo $?)"
expect "split" "1000" "$(split -l 300 numbers part.; cat part.* | wc -l | tr -d ' ')"
expect "dd" "4096" "$(dd if=/dev/zero bs=1024 count=4 2>/dev/null | wc -c | tr -d ' ')"
expect "od" "68 69" "$(printf hi | od -An -tx1 | sed 's/^ *//')"
expect "uname" "0" "$(uname -a >/dev/null; echo $?)"
expect "df" "0" "$(df / >/dev/null; echo $?)"
expect "sed" "one-two" "$(echo 'one two' | sed 's/ /-/')"
expect "awk" "500500" "$(awk '{ sum += $1 } END { print sum }' numbers)"
expect "grep" "2" "$(printf 'a1\nb\na22\n' | grep -c 'a[0-9]\{1,2\}$')"
expect "grep -v, -i, -E" "b" "$(printf 'A1\nb\na22\n' | grep -viE '^a[0-9]+$')"
expect "basename, dirname" "c /a/b" "$(basename /a/b/c) $(dirname /a/b/c)"
mkdir -p tree/deep && touch tree/one.c tree/deep/two.c tree/deep/three.h
expect "find -name" "tree/deep/two.c tree/one.c" "$(echo $(find tree -name '*.c' | sort))"
expect "find -type, -exec" "tree/deep" "$(find tree -mindepth 1 -type d -exec echo {} ';')"
expect "xargs" "3" "$(find tree -type f | xargs ls -d | wc -l | tr -d ' ')"
expect "xargs -0, -n" "2" "$(find tree -name '*.c' -print0 | xargs -0 -n 1 echo | wc -l | tr -d ' ')"
exit $failed
