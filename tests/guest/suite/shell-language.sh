# The shell's language: what scripts of others rely on. Each line that fails says so.
failed=0
expect() { # WHAT EXPECTED GOT
    if [ "$2" != "$3" ]; then echo "$1: expected <$2>, got <$3>"; failed=1; fi
}
cd "$(mktemp -d)" || exit 1
touch a.txt b.txt c.md
expect globbing "a.txt b.txt" "$(echo *.txt)"
expect "no match" "*.none" "$(echo *.none)"
expect braces "x1 x2 x3" "$(echo x{1..3})"
expect arithmetic 14 "$((2 + 3 * 4))"
expect quoting 'a  $b' "$(echo 'a  $b')"
name=value
expect expansion "value-value-none-5" "$name-${name:-x}-${unset:-none}-${#name}"
expect trimming "b/c a/b txt" "$(path=a/b/c; file=x.txt; echo "${path#*/}" "${path%/*}" "${file##*.}")"
expect pipes 2 "$(printf 'a\nb\n' | wc -l | tr -d ' ')"
expect "pipe status" 3 "$(true | (exit 3); echo $?)"
expect substitution "inner" "$(echo "$(echo inner)")"
expect loop "0123" "$(for i in 0 1 2 3; do printf %s $i; done)"
expect while "abc" "$(printf 'a\nb\nc\n' | while read -r line; do printf %s "$line"; done)"
case a.txt in *.md) kind=markdown ;; *.txt) kind=text ;; esac
expect case "text" "$kind"
double() { local n=$1; echo $((n * 2)); return 9; }
expect function "8 9" "$(echo $(double 4; echo $?))"
expect "here document" "one 2" "$(two=2; cat <<END
one $two
END
)"
echo first >out; echo second >>out
expect redirection "first second" "$(echo $(cat <out))"
expect "stderr to a file" "1" "$(ls /no-such-file 2>err; wc -l <err | tr -d ' ')"
expect "both streams" "2" "$( (echo o; echo e >&2) 2>&1 | wc -l | tr -d ' ')"
expect subshell "outer" "$(v=outer; (v=inner); echo $v)"
expect "exit status" 7 "$(sh -c 'exit 7'; echo $?)"
expect "and or" "yes" "$(false && echo no || echo yes)"
expect trap "bye" "$(sh -c 'trap "echo bye" EXIT; exit 0')"
expect environment "set" "$(VAR=set sh -c 'echo $VAR')"
expect "exec bit" "ran" "$(printf '#!/bin/sh\necho ran\n' >script; chmod +x script; ./script)"
expect background "done" "$(sh -c 'sleep 0.1 & wait; echo done')"
expect "killed by a signal" "143" "$(sh -c '/usr/bin/kill -TERM $$; sleep 60'; echo $?)"
exit $failed
