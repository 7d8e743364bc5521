#!/usr/bin/env bash
# Regenerates the Go code of ensign.v1. Needs protoc (Debian: protobuf-compiler).
set -euo pipefail
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
GOBIN=$bin go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
GOBIN=$bin go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1
PATH=$bin:$PATH protoc -I ../.. -I /usr/include \
  --go_out=../.. --go_opt=paths=source_relative \
  --go-grpc_out=../.. --go-grpc_opt=paths=source_relative \
  ensign/v1/agent.proto ensign/v1/admin.proto
