#!/bin/sh
# beside.sh FIRST SECOND: two commands at the same time. What FIRST says is shown as it is said, what SECOND says after
# it, so that SECOND has the last word. Fails when one of them failed, after both have ended.
set -eu
ends=$(mktemp -d)
trap 'rm -rf "$ends"' EXIT
{
    end=0
    sh -c "$2" 2>&1 </dev/null || end=$?
    echo $end >"$ends/second"
} | {
    end=0
    sh -c "$1" </dev/null || end=$?
    echo $end >"$ends/first"
    cat
}
read -r first <"$ends/first" && read -r second <"$ends/second"
[ "$first" -eq 0 ] || echo "beside.sh: failed with $first: $1" >&2
[ "$first" -eq 0 ] && exit "$second"
exit "$first"
