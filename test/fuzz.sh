#!/usr/bin/env bash
# Runs every fuzz target of the module for a time (first argument, such as 3s).
# A package is compiled once for all of its targets, and inputs that are merely
# interesting are not minimised at length: what is looked for are failures.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-2s}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=$(go env GOCACHE)/fuzz
module=$(go list -m)

# Go before 1.27 at times calls the end of the time a failure (go.dev/issue/75804):
# all that it says is "context deadline exceeded", and no input is written.
ended() {
  grep -A1 -E '^--- FAIL: Fuzz' "$1" | grep -qE '^ +context deadline exceeded$' &&
    ! grep -qE 'Failing input written|panic|hung or terminated' "$1"
}

for room in $(git ls-files '*_test.go' | xargs grep -lE '^func Fuzz[A-Z]' | xargs -n1 dirname | sort -u); do
  go test -c -fuzz . -o "$work/fuzz.test" "./$room"
  for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$room"/*_test.go | sed 's/^func //' | sort -u); do
    begin=$SECONDS
    # The corpus that earlier runs found is kept where go test keeps it.
    (cd "$room" && "$work/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" -test.fuzzminimizetime 10x \
      -test.parallel 2 -test.fuzzcachedir "$cache/$module/$room") >"$work/log" 2>&1 || { ended "$work/log" || { cat "$work/log"; echo "fuzz: $room $target failed" >&2; exit 1; }; }
    echo "fuzz $room $target $((SECONDS - begin))s $(grep -oE 'execs: [0-9]+' "$work/log" | tail -1)"
  done
done
