# Everything a person or a build machine does with this tree. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(PATH):/usr/sbin:/sbin
export CGO_ENABLED ?= 0

BIN      := bin
PROGRAMS := ensignd ensign-agent ensign
GOFLAGS_BUILD := -trimpath -tags grpcnotrace -ldflags "-s -w"
TEST_PACKAGES ?= ./...
TEST_TIMEOUT  ?= 25m
BENCH_PACKAGES ?= ./test/bench

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.PHONY: build
build: ## bin/ensignd, bin/ensign-agent, bin/ensign
	@mkdir -p $(BIN)
	go build $(GOFLAGS_BUILD) -o $(BIN)/ $(PROGRAMS:%=./cmd/%)

.PHONY: bookshop
bookshop: ## bin/bookshop, the sample services
	@mkdir -p $(BIN)
	go build $(GOFLAGS_BUILD) -o $(BIN)/bookshop ./examples/bookshop

.PHONY: demo
demo: ## the whole story on this machine, with real Envoys (KEEP=1 leaves it up)
	@deploy/tools/ready.sh
	@$(MAKE) --no-print-directory tools envoy build bookshop
	@mkdir -p $(BIN) && go build $(GOFLAGS_BUILD) -o $(BIN)/demo ./examples/demo
	@exec $(BIN)/demo

.PHONY: demo-revoke
demo-revoke: ## a stolen key is cut off everywhere, live connections included
	@deploy/tools/ready.sh
	@$(MAKE) --no-print-directory tools envoy build bookshop
	@mkdir -p $(BIN) && go build $(GOFLAGS_BUILD) -o $(BIN)/demo ./examples/demo
	@exec $(BIN)/demo -story revoke

.PHONY: demo-rotate
demo-rotate: ## another root, in Vault, while requests run (builds Vault first: ten minutes, once)
	@deploy/tools/ready.sh
	@$(MAKE) --no-print-directory tools envoy vault build bookshop
	@mkdir -p $(BIN) && go build $(GOFLAGS_BUILD) -o $(BIN)/demo ./examples/demo
	@exec $(BIN)/demo -story rotate

.PHONY: demo-clean
demo-clean: ## remove what KEEP=1 left, and what a killed run could not remove
	@mkdir -p $(BIN) && go build $(GOFLAGS_BUILD) -o $(BIN)/demo ./examples/demo
	@exec $(BIN)/demo -clean

.PHONY: test
test: tools envoy vault kube build bookshop ## every test, with the race detector
	@deploy/tools/packages.sh gcc promtool softhsm2-util
	@# Whole meshes last and one by one: they measure times, and need the machine.
	@export CGO_ENABLED=1 CI=true; status=0; \
	  go test -race -timeout $(TEST_TIMEOUT) $$(go list $(TEST_PACKAGES) | grep -Ev '/test/(e2e|runbooks)$$') || status=1; \
	  go test -race -p 1 -timeout $(TEST_TIMEOUT) ./test/e2e ./test/runbooks || status=1; \
	  exit $$status

.PHONY: bench
bench: ## what one change costs the control plane (BENCH_PACKAGES=./... for all)
	go test -run '^$$' -bench . -benchmem -timeout 30m $(BENCH_PACKAGES)

.PHONY: fuzz
fuzz: ## every fuzz test for a few seconds (FUZZTIME=5s)
	@deploy/tools/fuzz.sh

.PHONY: lint
lint: ## gofmt and vet
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	  if [[ -n $$unformatted ]]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...

.PHONY: tools
tools: ## install the system packages that the lab needs (Debian, root)
	@deploy/tools/packages.sh ip iptables iptables-restore setpriv curl python3 pip

.PHONY: envoy
envoy: ## fetch the pinned Envoy into the cache
	@deploy/tools/envoy.sh

.PHONY: vault
vault: ## build the pinned Vault into the cache (ten minutes of a core, once)
	@deploy/tools/vault.sh

.PHONY: kube
kube: ## build a pinned Kubernetes API server, and what Vault needs for it, into the cache (ten minutes of a core, once)
	@deploy/tools/kube.sh
