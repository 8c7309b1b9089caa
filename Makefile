# Targets for developers and CI alike; "make help" lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PROGRAMS := mezu warpgate mezusphere
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  := -s -w -X main.version=$(VERSION)
BUILD    := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'

# Platforms that the programs are built for.
CROSS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
# How long each fuzz target runs, and how often the soak repeats each test.
FUZZTIME ?= 30s
SOAK     ?= 5
# The key that signs a release: a file of ssh-keygen. Without one nothing is signed.
KEY ?=
# Platforms of release-snapshot, as linux/amd64,darwin/arm64; all of goreleaser.yaml if empty.
PLATFORM ?=
# Arguments of the benchmark program.
BENCH ?=
# How many samples each kind of address gets.
SAMPLES ?= 1000
# The earlier build that this one must go on with, and where its programs are put.
COMMIT ?= ec83ff0
BEFORE ?= $(CURDIR)/bin/before-$(COMMIT)

STATICCHECK := go tool -modfile=$(CURDIR)/tools/go.mod staticcheck
# The newest that Go 1.26 builds and whose modules can all be had.
GORELEASER  := v2.16.0

.PHONY: help build release-snapshot release-check test docs docs-pages test-e2e test-unraced test-release check fmt vet vet-cross staticcheck tidy cross bench timing fuzz soak before before-fixture pictures reference vulncheck tools-for-test tools-for-bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

build: ## build the three programs into bin/
	@mkdir -p bin
	for p in $(PROGRAMS); do $(BUILD) -o bin/$$p ./cmd/$$p; done

release-snapshot: ## make of the sources all that goreleaser.yaml names, into dist/; KEY=FILE signs it
	go run -C release . snapshot $(if $(KEY),-key '$(abspath $(KEY))') $(if $(PLATFORM),-platform '$(PLATFORM)')

# goreleaser ends with 2 for a file that is valid and uses what it would rather not see: the
# formula of Homebrew, for which it has nothing that Linux can use.
release-check: ## goreleaser's own judgement of goreleaser.yaml; builds goreleaser first, which takes minutes
	GOBIN=$(CURDIR)/bin/tools go install github.com/goreleaser/goreleaser/v2@$(GORELEASER)
	bin/tools/goreleaser check || [ $$? = 2 ]

# Without the race detector run etcd's driver, because the server in the same process takes
# minutes under it, the test that starts every command a dozen times (SHOWN), the harness of the
# measures, the tests in which a browser and programs do the work, and those that read the
# source or make text of bytes, where nothing is concurrent. make soak has all of them with it.
#
# Many tests wait for time-outs, disks and one another, so more of them run at once than
# there are cores: two packages more, the longest of them first, and then twice as many
# tests of e2e, beside those without the race detector. "go vet" has judged the tests, so
# "go test" does not do it again.
#
# "go test" shows again what it found before, unless a package that the test imports has changed, or
# a file below its module that it reads. Programs that a test builds are neither, nor are files of
# another module: -count=1 has such tests run.
#
# A program with the race detector would sleep for a second before it ends, in which other
# goroutines may show a race: here that is for what a test left running, and most look
# that nothing is.
CORES   := $(shell nproc 2>/dev/null || echo 2)
LONGEST := ./edgesvc/control ./edgesvc/store/badger ./edgesvc/control/backup
UNRACED := ./cli/update ./daemon/mask ./daemon/inspect/decode ./daemon/inspect/filter ./daemon/inspect/pretty ./daemon/inspect/protobuf ./edgesvc/store/etcd ./edgesvc/identity/pages ./e2e/browser ./bench/... ./layout ./tui/newtunnel ./tui/requests ./tui/tunnels
SHOWN   := ^TestTablesInATerminal$$

test: export GORACE ?= atexit_sleep_ms=50
test: export MEZU_TEST_TOOLS := installed
test: tools-for-test ## vet and test everything: packages and a tour of the programs with the race detector, then all of e2e and what makes releases
	go vet ./...
	go test -race -vet=off -skip '$(SHOWN)' -p $$(($(CORES) + 2)) -timeout 15m $(LONGEST) $$(go list ./... | grep -v -x -F -e "$$(go list ./e2e ./e2e/pages $(UNRACED))")
	go test -race -count=1 -vet=off -timeout 15m -run '^TestTour$$' ./e2e
	go build -o bin/tested/ $(PROGRAMS:%=./cmd/%)
	MEZU_PROGRAMS=$(CURDIR)/bin/tested $(MAKE) --no-print-directory -j2 --output-sync=target docs-pages test-e2e test-unraced test-release

docs: export MEZU_PAGES_REQUIRED := 1
docs: export MEZU_TEST_TOOLS := installed
docs: tools-for-test ## run README.md and every page of docs/ as they are written, most on machines that are namespaces; make test does too
	go build -o bin/tested/ $(PROGRAMS:%=./cmd/%)
	MEZU_PROGRAMS=$(CURDIR)/bin/tested $(MAKE) --no-print-directory docs-pages
	go test -count=1 -vet=off -run '^Test(CIPage|DashboardAsLines|DeployPage|InstallPage)$$' ./cmd/mezu ./cmd/warpgate ./cli/update
	MEZU_PROGRAMS=$(CURDIR)/bin/tested go test -count=1 -vet=off -run '^TestOpenAPI$$' ./e2e
	cd release && go test -count=1 -vet=off -run '^TestReleasingPage$$' ./...

# Where the kernel lets nobody make namespaces the tests pass without the pages, as those that need
# another right do. Here that is said, and "make docs" fails.
docs-pages:
	left="$$(mktemp)"; trap 'rm -f "$$left"' EXIT; \
	MEZU_PAGES_LEFT_OUT="$$left" go test -count=1 -vet=off -timeout 10m ./e2e/pages; \
	if [ -s "$$left" ]; then echo "README.md AND docs/ WERE NOT RUN: no namespaces here: $$(cat "$$left")"; fi

test-e2e:
	go test -count=1 -vet=off -parallel $$((2 * $(CORES))) -timeout 25m ./e2e

test-unraced:
	go test -vet=off -p 1 -timeout 25m $(filter-out ./e2e/browser,$(UNRACED))
	go test -count=1 -vet=off -timeout 25m ./e2e/browser
	go test -count=1 -vet=off -timeout 15m -run '$(SHOWN)' ./cmd/mezu
	cd tools/deploy && go test -count=1 -timeout 5m ./...

# A module of its own, in which nothing is concurrent.
test-release:
	cd release && go vet ./... && go test -count=1 -vet=off -timeout 15m ./...

check: fmt vet staticcheck tidy cross vet-cross ## everything that CI checks beside the tests, for every platform

fmt: ## fail on files that gofmt would change
	@out="$$(gofmt -l .)"; if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet: ## go vet
	go vet ./...
	cd release && go vet ./...

# What is of another system alone, tests too, is seen by nothing else here.
vet-cross: ## go vet of the programs' packages for every platform in CROSS
	@for t in $(CROSS); do \
		echo "vet $$t"; \
		export CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/}; \
		go vet $$(go list -deps $(PROGRAMS:%=./cmd/%) | grep "^$$(go list -m)"); \
	done

staticcheck: ## staticcheck at the version of tools/go.mod
	$(STATICCHECK) ./...
	cd release && $(STATICCHECK) ./...
	cd tools/peers && $(STATICCHECK) ./...

tidy: ## fail if go.mod or go.sum are not tidy
	go mod tidy -diff
	cd tools && go mod tidy -diff
	cd release && go mod tidy -diff
	cd tools/deploy && go mod tidy -diff
	cd tools/client && go mod tidy -diff
	cd tools/peers && go mod tidy -diff

cross: ## build the programs for every platform in CROSS
	@for t in $(CROSS); do \
		echo "build $$t"; \
		CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} go build -trimpath -o /dev/null $(PROGRAMS:%=./cmd/%); \
	done

bench: tools-for-bench ## compare with references on this machine; BENCH='-h' for its flags
	go run ./bench $(BENCH)

timing: ## whether time tells who has an account, at the login, the signup and the reset; a quarter of an hour on a quiet machine
	MEZU_TIMING=$(SAMPLES) go test -count=1 -vet=off -v -timeout 2h -run '^TestL1_Timing$$' ./edgesvc/identity/login

fuzz: ## run every fuzz target for FUZZTIME
	@for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "fuzz $$p $$f"; \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; \
		done; \
	done

# What is said of memory and of thousands of connections is looked at without the race detector too: it takes
# many times as much of both.
soak: export MEZU_TEST_TOOLS := installed
soak: tools-for-test before ## the long forms of tests and an upgrade from COMMIT; then with the race detector everything that moves bytes SOAK times, what make test leaves without it, and all of e2e; hours
	MEZU_SOAK=1 go test -timeout 4h ./edgesvc/store/... ./edgesvc/edge ./edgesvc/edge/waf
	go test -race -count $(SOAK) -timeout 4h $$(go list ./tunnel/... ./relay/... ./pipe/... ./preface/... ./daemon/... ./edgesvc/... ./cmd/... | grep -v '/store/etcd$$')
	go test -race -timeout 2h $(filter-out ./e2e/browser,$(UNRACED))
	MEZU_SOAK=1 MEZU_BEFORE=$(BEFORE) go test -race -count=1 -timeout 2h ./e2e ./e2e/browser
	MEZU_SOAK=1 go test -count=1 -timeout 1h -run '^Test(P20_Crowd|P27_Bombs|AttackSlowCrowd|SlowHTTPTest)$$' ./e2e
	cd release && MEZU_SOAK=1 go test -count=1 -timeout 2h ./...
	MEZU_SOAK=1 go test -count=1 -timeout 2h ./cli/update

before: $(BEFORE) ## build the programs of COMMIT into bin/before-COMMIT; needs the history of the repository

$(BEFORE):
	@tree="$$(mktemp -d)"; trap 'rm -rf "$$tree"' EXIT; \
	git archive $(COMMIT) | tar x -C "$$tree"; \
	$(MAKE) -C "$$tree" build VERSION="$$(git describe --tags --always $(COMMIT))"; \
	mkdir -p $(@D); mv "$$tree/bin" $@

before-fixture: $(BEFORE) ## record anew what the programs of COMMIT leave on the disk, for ./e2e/before
	MEZU_PROGRAMS=$(BEFORE) MEZU_RECORD=$(CURDIR)/e2e/before/testdata/before.tar.gz go test -count=1 -run '^TestRecord$$' ./e2e

pictures: tools-for-test ## take pictures of every hosted page, of the dashboard, of the inspector and of commands, into bin/pictures; all but those of hosted pages also into docs
	@mkdir -p bin/pictures
	MEZU_PICTURES=$(CURDIR)/bin/pictures go test -count=1 -run '^Test(Terminal|Inspector|Dashboard)?Pictures$$' ./e2e/browser
	cp bin/pictures/terminal-*.svg bin/pictures/dashboard-*.svg docs/
	cp bin/pictures/inspector-light-1280.png docs/inspector.png

# The tests that hold these files against the commands write them instead.
reference: ## write docs/reference, docs/man and docs/completions anew, from the tree of commands, the unit of warpgate install, and what the OpenAPI document says of the API's types, from their comments
	MEZU_WRITE_REFERENCE=1 go test -count=1 -vet=off -run '^TestReference$$' ./cli ./cmd/warpgate/... ./cmd/mezusphere ./edgesvc/control/rest

vulncheck: ## known vulnerabilities; needs the database at vuln.go.dev
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

# The race detector needs a C compiler; strace fails system calls of a real process;
# power fails over a file system of e2fsprogs in an image; Redocly judges the OpenAPI document; the store's tests run on the
# etcd that Debian has too; people log in with Chromium, and axe-core judges what they see;
# workloads in Node and Python check who their users are; Vite and Next are edited behind a
# tunnel; curl of two releases, nghttp, h2load, Node, grpc-js, httpx, grpcio and git speak
# HTTP/2 with an edge; slowhttptest holds connections of it; logins are kept in a keyring of GNOME; curl and jq run the examples of docs/daemon.md; mandoc
# judges the manual, shellcheck install.sh, which dash and busybox run; completions complete in
# bash, zsh and fish; certutil and update-ca-certificates put CAs into stores; rpm
# installs packages.
# A test whose tool is missing says so and is skipped, but fails under "make test".
tools-for-test:
	@missing=; \
	command -v gcc >/dev/null || command -v clang >/dev/null || missing="$$missing gcc libc6-dev"; \
	command -v strace >/dev/null || missing="$$missing strace"; \
	command -v mkfs.ext4 >/dev/null || [ -x /sbin/mkfs.ext4 ] || missing="$$missing e2fsprogs"; \
	command -v etcd >/dev/null || missing="$$missing etcd-server"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	command -v chromium >/dev/null || missing="$$missing chromium fonts-dejavu-core"; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	command -v node >/dev/null || missing="$$missing nodejs"; \
	python3 -c 'import cryptography' 2>/dev/null || missing="$$missing python3-cryptography"; \
	command -v dbus-run-session >/dev/null || missing="$$missing dbus"; \
	command -v gnome-keyring-daemon >/dev/null || missing="$$missing gnome-keyring"; \
	command -v secret-tool >/dev/null || missing="$$missing libsecret-tools"; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	command -v git >/dev/null || missing="$$missing git"; \
	command -v h2load >/dev/null || missing="$$missing nghttp2-client"; \
	command -v slowhttptest >/dev/null || missing="$$missing slowhttptest"; \
	/usr/bin/python3 -c 'import h2, httpx, grpc' 2>/dev/null || missing="$$missing python3-h2 python3-httpx python3-grpcio"; \
	command -v ip >/dev/null || [ -x /sbin/ip ] || missing="$$missing iproute2"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	command -v tmux >/dev/null || missing="$$missing tmux"; \
	command -v jq >/dev/null || missing="$$missing jq"; \
	command -v rpm >/dev/null || missing="$$missing rpm"; \
	command -v mandoc >/dev/null || missing="$$missing mandoc"; \
	command -v shellcheck >/dev/null || missing="$$missing shellcheck"; \
	command -v busybox >/dev/null || missing="$$missing busybox"; \
	command -v zsh >/dev/null || missing="$$missing zsh"; \
	command -v fish >/dev/null || missing="$$missing fish"; \
	command -v debootstrap >/dev/null || [ -x /usr/sbin/debootstrap ] || missing="$$missing debootstrap"; \
	command -v ssh-keygen >/dev/null || missing="$$missing openssh-client"; \
	command -v certutil >/dev/null || missing="$$missing libnss3-tools"; \
	[ -x /usr/sbin/update-ca-certificates ] || missing="$$missing ca-certificates"; \
	if [ -z "$$missing" ]; then echo "tests need Go, a C compiler, strace, mkfs.ext4, etcd, systemd-analyze, chromium, npm, node, python3-cryptography, -h2, -httpx and -grpcio, gnome-keyring, curl, git, nghttp, h2load, slowhttptest, ip, openssl, jq, tmux, mandoc, shellcheck, busybox, zsh, fish, debootstrap, ssh-keygen, certutil, update-ca-certificates and rpm: nothing to install"; \
	else echo "installing$$missing for the tests"; $(call apt-install,$$missing); fi
	@$(call npm-install,axe,axe-core)
	@$(call npm-install,redocly,Redocly CLI)
	@$(call npm-install,devservers,Vite and Next)
	@$(call npm-install,peers,grpc-js)
	@[ -x bin/curl-next/curl ] || { echo "installing the curl of Debian's next release for the tests"; tools/peers/curl-next bin/curl-next; }

tools-for-bench:
	@missing=; \
	command -v nginx >/dev/null || missing="$$missing nginx-light"; \
	command -v wrk >/dev/null || missing="$$missing wrk"; \
	command -v h2load >/dev/null || missing="$$missing nghttp2-client"; \
	if [ -z "$$missing" ]; then echo "benchmarks need nginx, wrk and h2load: nothing to install"; \
	else echo "installing$$missing for the benchmarks"; $(call apt-install,$$missing); fi

# $(call npm-install,FOLDER,NAMES) installs what the lock file of the folder below tools says.
define npm-install
	cmp -s tools/$(1)/package-lock.json tools/$(1)/node_modules/.lock || { \
	echo "installing $(2) for the tests"; \
	cd tools/$(1) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && cp package-lock.json node_modules/.lock; }
endef

# $(call apt-install,PACKAGES) installs Debian packages, as root or through sudo.
define apt-install
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $(1)
endef

clean: ## remove what was built
	rm -rf bin dist
