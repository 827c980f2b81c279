# Everything here works on a machine with Go, git and make alone.

# Overridden where git does not know the version (an unpacked archive).
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOLANGCI_LINT_VERSION = v2.15.0

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

build: ## bin/campaignd and bin/campaignctl
	go build -trimpath -ldflags '-X main.buildVersion=$(VERSION)' -o bin/ ./cmd/...

test: ## go vet and every test, on a real PostgreSQL
	@scripts/need-postgres test
	go vet ./...
	go test -timeout 30m ./...

ROUNDS ?= 100
RECIPIENTS ?= $(shell expr $(ROUNDS) \* 500)
NODES ?= 1
LEADER ?= 0
torture: ## kill campaignd and Postgres ROUNDS times during a campaign, then compare report and ledger (RECIPIENTS, NODES, LEADER=1, SEED)
	@scripts/need-postgres demo
	CAMPAIGN_TORTURE_ROUNDS=$(ROUNDS) CAMPAIGN_TORTURE_RECIPIENTS=$(RECIPIENTS) CAMPAIGN_TORTURE_NODES=$(NODES) \
	CAMPAIGN_TORTURE_LEADER=$(LEADER) CAMPAIGN_TORTURE_SEED=$(SEED) \
	go test -count=1 -timeout 60m -run 'TestTorture$$' -v ./internal/torture

PEOPLE ?= 100000
windows: ## PEOPLE in forty countries, none of them written to outside the window of their own clock
	@scripts/need-postgres test
	CAMPAIGN_WINDOW_CONTACTS=$(PEOPLE) go test -count=1 -timeout 30m -run 'TestNobodyIsWrittenToOutsideTheWindow$$' -v ./cmd/campaignd

demo: build ## a whole campaign on this machine, with a simulated provider
	@scripts/need-postgres demo
	bin/campaignd demo $(DEMO)

compose-demo: ## the same through docker-compose.yml
	scripts/compose-demo

bench: build ## every benchmark beside its ceilings, as docs/benchmarks.md has them (QUICK=1: a minute; BENCH="send --null": one)
	@scripts/need-postgres demo
	bin/campaignctl bench $(if $(QUICK),--quick) $(BENCH)

lint: ## gofmt and golangci-lint (make lint-tools installs it)
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	golangci-lint run

lint-tools: ## golangci-lint, built from source into GOBIN
	go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

clean: ## what the other targets have made
	rm -rf bin

.PHONY: help build test torture windows demo bench compose-demo lint lint-tools clean
