# One command per target; `make help` lists them. BUDGET is a Go duration: make fuzz BUDGET=10m
SHELL  := /bin/bash
BUDGET ?= 1m
TOOL   := go tool -modfile=.ci/tools/go.mod

.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

build: ## build the node into bin/micronode
	go build -trimpath -o bin/micronode ./cmd/micronode

test: ## all tests
	go test ./...

race: ## all tests under the race detector
	go test -race -p 1 -timeout 20m ./...

conformance: ## the black-box suite; NODE_HTTP and NODE_OAP name a running node, else one is built
	go test -count=1 ./conformance -args $(if $(NODE_HTTP),-node.http=$(NODE_HTTP)) $(if $(NODE_OAP),-node.oap=$(NODE_OAP))

fuzz: ## all fuzz targets in turn for BUDGET; crashers are kept under testdata/fuzz
	@mkdir -p bin
	go build -o bin/campaign ./fuzz/campaign
	bin/campaign -budget $(BUDGET) -artefacts out/crashers

tla: ## TLC over tla/, its graphs against the Go models, and the must-fail twins (Java; TLA2TOOLS_JAR or Maven Central); ONLY=Cas
	go run ./tla/check $(if $(ONLY),-only $(ONLY))

tla-update: ## the same, and write the graphs that TLC found
	go run ./tla/check -update $(if $(ONLY),-only $(ONLY))
	go test ./tla -run TestTable -args -update

tours: ## every reachable step of the models on real nodes, with the limits of 5 and 60 seconds
	go test -count=1 -timeout 30m -v -run Tour ./conformance/tour -args -all

schedules: ## all interleavings of the scenarios
	go test -count=1 -timeout 30m -v ./chaos/schedule -args -full

lin: ## HISTORIES random concurrent histories of the store, a twentieth as many of a node; SEED=0 is a new one
	go test -count=1 -timeout 30m ./chaos/linear -run 'Histories$$' -v -args -histories=$(or $(HISTORIES),20000) -seed=$(or $(SEED),0) -out=$(CURDIR)/out/linear

mutants: ## break the node in every way of cmd/mutants/mutants.json; each has to be noticed by the check that is named for it; ONLY=cap
	go run ./cmd/mutants $(if $(ONLY),-only '$(ONLY)')

evidence: ## run the checks that leave figures and write out/evidence/evidence.html (and .json); anything missing or empty is red
	go run ./cmd/evidence -fuzz $(BUDGET) $(if $(FULL),-full -tours)

bench: ## benchmarks with their floors in the same run, readable by benchstat
	go test -run '^$$' -bench . -count $(or $(COUNT),5) ./impl/wire ./impl/store/... ./impl/session ./impl/gate ./impl/capability ./impl/keys ./impl/channel ./impl/audit ./impl/server

lint: ## gofmt, go vet on linux and darwin, golangci-lint
	@test -z "$$(gofmt -l $$(git ls-files '*.go' | grep -v testdata))" || { gofmt -l $$(git ls-files '*.go' | grep -v testdata); exit 1; }
	go vet ./...
	GOOS=darwin go vet ./...
	$(TOOL) golangci-lint run ./...

vuln: ## govulncheck; needs the vulnerability database (network, or GOVULNDB)
	$(TOOL) govulncheck $(if $(GOVULNDB),-db $(GOVULNDB)) ./...

ci: ## what CI runs
	.ci/run

clean: ## remove build output
	rm -rf bin out

.PHONY: help tours schedules lin evidence tla tla-update build test race conformance fuzz bench lint vuln ci clean
