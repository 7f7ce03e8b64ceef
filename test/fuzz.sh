#!/usr/bin/env bash
# Runs every fuzz target of the module for a time (first argument, such as 3s).
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-3s}
grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r dir; do
  for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | sed 's/^func //' | sort -u); do
    echo "fuzz $dir $target $time"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 2 "$dir" >/tmp/crenel-fuzz.$$ 2>&1 || { cat /tmp/crenel-fuzz.$$; exit 1; }
  done
done
rm -f /tmp/crenel-fuzz.$$
