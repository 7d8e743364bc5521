#!/usr/bin/env bash
# Runs every fuzz test of the tree, each for FUZZTIME (default 5s).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort |
  while IFS=: read -r file func; do
    name=${func#func }
    echo "== ${file%/*} $name"
    go test -run '^$' -fuzz "^$name\$" -fuzzminimizetime 10x -fuzztime "${FUZZTIME:-5s}" "${file%/*}"
  done
