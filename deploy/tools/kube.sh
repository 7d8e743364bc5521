#!/usr/bin/env bash
# Builds a Kubernetes API server, its etcd, and the plugin by which Vault has that API
# server review tokens, into the cache where the tests look for them, from the modules
# that deploy/tools/kube pins. Does nothing for what is there already, or what one of
# the variables below names instead.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=$here/kube
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ensign
version() { sed -n "s|^\t$1 v||p" "$module/go.mod"; }
kubernetes=$(version k8s.io/kubernetes)
etcd=$(version go.etcd.io/etcd/server/v3)
plugin=$(version github.com/hashicorp/vault-plugin-auth-kubernetes)

# Folder in the cache, program, the variable that may name another, and its package.
programs=(
  "kubernetes-$kubernetes kube-apiserver ENSIGN_KUBE_APISERVER k8s.io/kubernetes/cmd/kube-apiserver"
  "etcd-$etcd etcd ENSIGN_ETCD go.etcd.io/etcd/server/v3"
  "vault-plugin-auth-kubernetes-$plugin vault-plugin-auth-kubernetes ENSIGN_VAULT_KUBERNETES github.com/hashicorp/vault-plugin-auth-kubernetes/cmd/vault-plugin-auth-kubernetes"
)
missing=()
packages=()
for program in "${programs[@]}"; do
  read -r folder name variable package <<<"$program"
  if [[ -n ${!variable:-} ]]; then
    [[ -x ${!variable} ]] && continue
    echo "$variable=${!variable} is not an executable file: correct it, or unset it" >&2
    exit 1
  fi
  [[ -x $cache/$folder/$name ]] && continue
  missing+=("$program")
  packages+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

mkdir -p "$cache"
# Built beside the targets, so that the last step is one rename.
work=$(mktemp -d "$cache/.kube.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "building a Kubernetes $kubernetes API server and what belongs to it (once, about ten minutes of a core)" >&2
cd "$module"
export CGO_ENABLED=0 GOFLAGS= GOWORK=off
# Listing fetches every module that the build needs, some two hundred; a fetch that
# fails begins anew, and what was fetched is kept.
for pause in 2 5 15 30 stop; do
  go list -deps "${packages[@]}" >/dev/null && break
  if [[ $pause == stop ]]; then
    echo "the modules of Kubernetes $kubernetes cannot be fetched: see above; run this again when the module proxy answers" >&2
    exit 1
  fi
  echo "fetching the modules of Kubernetes again in $pause s" >&2
  sleep "$pause"
done
for program in "${missing[@]}"; do
  read -r folder name _ package <<<"$program"
  nice -n 15 go build -p 2 -buildvcs=false -trimpath \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$kubernetes" -o "$work/$name" "$package"
  mkdir -p "$cache/$folder"
  mv -f "$work/$name" "$cache/$folder/$name"
  echo "$name is at $cache/$folder/$name" >&2
done
