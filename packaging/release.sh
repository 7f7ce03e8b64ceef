#!/usr/bin/env bash
# Builds what a release consists of into dist/: static, stripped binaries, a
# .deb for each Linux architecture, an SBOM (CycloneDX) of each binary, and checksums.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:?usage: packaging/release.sh VERSION}
command -v dpkg-deb >/dev/null || { echo "release: dpkg-deb is missing: it is in Debian's package dpkg" >&2; exit 1; }
rm -rf dist && mkdir -p dist
# The same commit gives the same files, whenever it is built.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH

ldflags="-s -w -X github.com/crenel-project/crenel/internal/cli.version=$version"
for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do
  os=${target%/*} arch=${target#*/}
  out=dist/crenel_${version}_${os}_${arch}
  echo "building $out"
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false -ldflags "$ldflags" -o "$out" ./cmd/crenel
done

# The binary that runs here says how shells complete its commands.
host=dist/crenel_${version}_$(go env GOHOSTOS)_$(go env GOHOSTARCH)

# Debian wants a version that starts with a digit.
deb_version=${version#v}
case $deb_version in [0-9]*) ;; *) deb_version=0~$deb_version ;; esac
for arch in amd64 arm64; do
  root=$(mktemp -d)
  chmod 755 "$root"
  install -Dm755 "dist/crenel_${version}_linux_$arch" "$root/usr/bin/crenel"
  install -Dm644 packaging/crenel.service "$root/usr/lib/systemd/system/crenel.service"
  install -Dm644 LICENSE "$root/usr/share/doc/crenel/copyright"
  install -dm755 "$root/etc/crenel" "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d"
  "$host" completion bash >"$root/usr/share/bash-completion/completions/crenel"
  "$host" completion zsh >"$root/usr/share/zsh/vendor-completions/_crenel"
  "$host" completion fish >"$root/usr/share/fish/vendor_completions.d/crenel.fish"
  install -Dm755 packaging/postinst "$root/DEBIAN/postinst"
  install -Dm755 packaging/prerm "$root/DEBIAN/prerm"
  cat >"$root/DEBIAN/control" <<CONTROL
Package: crenel
Version: $deb_version
Architecture: $arch
Maintainer: The Crenel maintainers <maintainers@users.noreply.github.com>
Section: net
Priority: optional
Depends: adduser
Homepage: https://github.com/crenel-project/crenel
Description: API security platform
 Crenel stands in front of an API, knows every call from its OpenAPI document,
 and lets only the right ones through. It records who called what.
CONTROL
  dpkg-deb --root-owner-group --build "$root" "dist/crenel_${deb_version}_$arch.deb" >/dev/null
  rm -rf "$root"
done

for binary in dist/crenel_*_linux_* dist/crenel_*_darwin_*; do
  go run ./packaging/sbom "$binary" "$version" >"$binary.cdx.json"
done

cp packaging/crenel.service dist/
(cd dist && sha256sum -- * >SHA256SUMS)
ls -l dist
