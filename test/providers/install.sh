#!/usr/bin/env bash
# Installs the OpenID providers that tests log in with, and the Node.js that they
# want, outside the repository: into $CRENEL_PROVIDERS, else the user's cache.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
to="${CRENEL_PROVIDERS:-${XDG_CACHE_HOME:-$HOME/.cache}/crenel/providers}"
mkdir -p "$to"
if cmp -s "$here/package.json" "$to/package.json" && [ -x "$to/node_modules/.bin/node" ]; then
  echo "providers: installed in $to"
  exit 0
fi
command -v npm >/dev/null || { echo "providers: npm is missing (Debian: apt-get install npm)" >&2; exit 1; }
cp "$here/package.json" "$to/"
(cd "$to" && npm install --no-audit --no-fund --no-package-lock --loglevel=error)
"$to/node_modules/.bin/node" -e 'process.exit(process.versions.node.split(".")[0] >= 22 ? 0 : 1)' ||
  { echo "providers: Node.js 22 did not install" >&2; exit 1; }
echo "providers: installed in $to"
