#!/usr/bin/env bash
# Says what keeps the demo from running here, all of it at once.
set -euo pipefail
problems=()
[[ $(uname -s) == Linux ]] ||
  problems+=("this is $(uname -s): the demo makes Linux network namespaces; run it in a Linux machine or container")
[[ $(id -u) == 0 ]] ||
  problems+=("not root: network namespaces and packet rules need it; run: sudo -E env \"PATH=\$PATH\" make demo")
command -v go >/dev/null ||
  problems+=("no Go: install Go 1.26 or later from go.dev/dl, and put it on PATH")
if [[ $(uname -s) == Linux && $(id -u) == 0 ]] && command -v ip >/dev/null; then
  probe=ensign-probe-$$
  if ip netns add "$probe" 2>/dev/null; then
    ip netns del "$probe"
  else
    problems+=("may not make network namespaces: in a container, start it with --privileged")
  fi
fi
[[ ${#problems[@]} -eq 0 ]] && exit 0
echo "the demo cannot run here:" >&2
printf '  - %s\n' "${problems[@]}" >&2
exit 1
