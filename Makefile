# The two commands a newcomer needs are `make run` and `make test`.

GO      ?= go
DATA    ?= data
LISTEN  ?= 127.0.0.1:8080
# The labels of the Belgian code lists, where they lie beside the project.
BELGIF  ?= $(if $(wildcard ../shared/data/belgif),--belgif ../shared/data/belgif)
# CI_TIMEOUT bounds one package's tests, so that a hang names itself.
CI_TIMEOUT ?= 40m
FUZZTIME   ?= 30s
# RACE looks for data races in everything but SQLite itself, which is machine-translated
# Go that runs under one lock of its driver (instrumented it takes a third of the suite), and
# but the tests of the sources, which read Go files in one goroutine, with what they read by.
RACE       ?= -race $(foreach pure,github.com/ncruces/go-sqlite3-wasm/v6 coffre_test go/... regexp/...,'-gcflags=$(pure)=-race=false')
# A process that ends under the race detector stays for races at its very end, one second
# by itself: for each package, and for each process that a test starts.
export GORACE ?= atexit_sleep_ms=50

.PHONY: run demo test check servers soak interop bench fuzz build image deb generate clean

## run: build and serve Coffre on this machine, data under $(DATA)
run: build
	@./bin/coffre serve --dev --listen $(LISTEN) --data $(DATA) $(BELGIF)

## demo: play the story on a fresh directory and print what happened
demo: build
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && ./bin/coffre demo --data "$$dir"

# Without the tag gRPC brings in its page of traces, whose template keeps every method of every
# type in the program.
## build: one static binary, bin/coffre
build:
	@CGO_ENABLED=0 $(GO) build -tags grpcnotrace -trimpath -buildvcs=auto -ldflags '-s -w' -o bin/coffre ./cmd/coffre

## image: the container image as an OCI layout, bin/image, with its bill of materials and provenance
image: build
	@cd deploy/image && $(GO) run . --binary ../../bin/coffre --out ../../bin/image

## deb: the Debian package of the binary, with its systemd unit, in bin
deb: build
	@deploy/debian/build bin/coffre bin

## check: the quick part of test (formatting, vet, staticcheck)
check:
	@unformatted=$$(gofmt -l cmd deploy domain eventstore handlers projections *.go) && \
	  { [ -z "$$unformatted" ] || { echo "not formatted:" && echo "$$unformatted" && exit 1; }; }
	$(GO) vet ./...
	$(GO) vet -tags load ./cmd/coffre
	$(GO) tool staticcheck ./...

## servers: the real Vault and S3 servers of the tests, built once from their Go modules
## and kept in the user's cache (six minutes the first time, nothing after it)
servers:
	@for server in ./eventstore/seal/transit/vaulttest ./eventstore/blob/s3/s3test; do \
	  $(GO) test -v -timeout 30m -run ServerIsBuilt $$server || exit 1; \
	done

# What check has vetted is not vetted again.
## test: everything that needs only Go, a C compiler for the race detector, and PostgreSQL's server;
## a line for each package as it ends, and what failed once more at the end
test: check servers
	@$(GO) tool gotestsum --format pkgname --format-hide-empty-pkg -- $(RACE) -vet=off -timeout $(CI_TIMEOUT) ./...

## soak: the long versions: many kills, long outages; the packages whose tests have one
soak:
	COFFRE_SOAK=1 $(GO) test -vet=off -timeout 25m $(addprefix ./,$(sort $(dir $(shell grep -rl --include='*_test.go' COFFRE_SOAK eventstore projections handlers/reactors))))
	COFFRE_SOAK=1 $(GO) test -vet=off -timeout 25m ./cmd/coffre/... -run 'Kill|Gone|Drill|RollingRestart'

## interop: what needs more than Go (Maven, Node, a browser)
interop:
	deploy/interop/run

## bench: ratios measured side by side, see docs/performance.md
bench: build
	@./bin/coffre bench

## fuzz: every fuzz target for FUZZTIME each
fuzz:
	@set -e; grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
	  for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | sed 's/^func //'); do \
	    echo "$$dir $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$dir; \
	  done; done

## generate: the server's types from the contract, docs/rules.md from the sources
generate:
	$(GO) generate ./...

clean:
	rm -rf bin
