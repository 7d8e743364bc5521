#!/usr/bin/env bash
# Installs what the lab, the tests and the fetch of Envoy need and this machine
# lacks. Arguments: the commands that must exist. Does nothing when they all do.
set -euo pipefail

package_of() {
  case $1 in
    ip) echo iproute2 ;;
    iptables | iptables-restore) echo iptables ;;
    setpriv) echo util-linux ;;
    gcc) echo gcc libc6-dev ;;
    pip) echo python3-pip ;;
    promtool) echo prometheus ;;
    softhsm2-util) echo softhsm2 ;;
    *) echo "$1" ;;
  esac
}

present() {
  if [[ $1 == pip ]]; then
    python3 -m pip --version >/dev/null 2>&1
  else
    command -v "$1" >/dev/null 2>&1
  fi
}

# Debian keeps the network tools where a plain user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin
missing=()
for tool in "$@"; do
  present "$tool" || missing+=($(package_of "$tool"))
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]} (Debian's package names); install them, or run as root where apt-get is" >&2
  exit 1
fi
echo "installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
# The package lists of a fresh image are often empty or old.
install 2>/dev/null || { apt-get update -qq && install; }
