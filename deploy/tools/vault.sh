#!/usr/bin/env bash
# Builds Vault into the cache where the tests look for it, from the modules that
# deploy/tools/vault pins: no storage engine or plugin but the few it comes with.
# Does nothing when it is there already, or when ENSIGN_VAULT names another.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=$here/vault
version=$(sed -n 's|^require github.com/hashicorp/vault v||p' "$module/go.mod")
target=${XDG_CACHE_HOME:-$HOME/.cache}/ensign/vault-$version/vault

if [[ -n ${ENSIGN_VAULT:-} ]]; then
  [[ -x $ENSIGN_VAULT ]] && exit 0
  echo "ENSIGN_VAULT=$ENSIGN_VAULT is not an executable file: correct it, or unset it" >&2
  exit 1
fi
[[ -x $target ]] && exit 0

mkdir -p "$(dirname "$target")"
# Built beside the target, so that the last step is one rename.
work=$(mktemp -d "$(dirname "$target")/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "building Vault $version (once, about ten minutes of a core)" >&2
cd "$module"
export CGO_ENABLED=0 GOFLAGS= GOWORK=off
# Listing fetches every module that the build needs, some hundreds; a fetch that fails
# begins anew, and what was fetched is kept.
for pause in 2 5 15 30 stop; do
  go list -deps -tags minimal github.com/hashicorp/vault >/dev/null && break
  if [[ $pause == stop ]]; then
    echo "the modules of Vault $version cannot be fetched: see above; run this again when the module proxy answers" >&2
    exit 1
  fi
  echo "fetching the modules of Vault again in $pause s" >&2
  sleep "$pause"
done
nice -n 15 go build -p 2 -buildvcs=false -trimpath -tags minimal -ldflags "-s -w" -o "$work/vault" github.com/hashicorp/vault
"$work/vault" version >/dev/null
mv -f "$work/vault" "$target"
echo "Vault $version is at $target" >&2
