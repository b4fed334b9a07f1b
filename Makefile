# Everything a newcomer needs: `make demo` and `make test` do all the set-up themselves, in .venv, and ask nothing.
# Wanted beforehand: git, make, and Python 3.11 or newer with its venv module.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= $(firstword $(shell command -v python3.11 python3 2>/dev/null) python3)
VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := .venv-bench
PEERS_VENV := .venv-peers
PACKAGES := packages/knowngood-sdk packages/knowngood
PIP := $(BIN)/python -m pip --disable-pip-version-check install --no-input
# For a narrower run: make test TESTS=tests/domain PYTEST_ARGS='-x -k planner'
TESTS ?=
# Tests of one file stay together; most of them wait for processes, so that two cores carry more than two.
WORKERS ?= 3
PYTEST_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=
# The model servers beside us are installed unless the benchmarks that were asked for do not need them.
PEERS := $(if $(filter --only,$(BENCH_ARGS)),$(filter model_servers,$(BENCH_ARGS)),all)
MUTANTS ?=

.PHONY: simulate simulate-rules help demo server test coverage lint format check bench soak mutation requirements requirements-lock docs clean

help:  ## Say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.run  ## Replay the incident on real data: a bad deployment, caught, and the whole system taken back
	@$(BIN)/kg demo $(DEMO_ARGS)

server: $(VENV)/.server  ## Install what the control plane over HTTP needs: kg serve
	@echo "Installed: $(BIN)/kg serve --help"

test: $(VENV)/.dev $(VENV)/.debian  ## Run the whole test suite
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(TESTS) $(PYTEST_ARGS)

coverage: $(VENV)/.dev $(VENV)/.debian  ## Run the whole test suite and print what it covers, branches too
	@$(BIN)/python -m pytest --cov --cov-report=term $(TESTS) $(PYTEST_ARGS)

lint: $(VENV)/.dev  ## Check style, format, types and the import contracts
	@echo "ruff check"; $(BIN)/ruff check
	echo "ruff format"; $(BIN)/ruff format --check
	echo "mypy"; $(BIN)/mypy
	echo "import contracts"; $(BIN)/lint-imports --no-logo

format: $(VENV)/.dev  ## Format the code and mend what a linter can mend
	@$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

check: lint test requirements  ## Lint, test, and tests by requirement: what must pass before a change lands

simulate: $(VENV)/.run  ## Try 100,000 interleavings of the route, and search small worlds (half an hour; KNOWNGOOD_SIMULATION_*)
	@$(BIN)/python -m knowngood.testing.simulation

simulate-rules: $(VENV)/.run  ## Leave out each rule of the route, and write which promise breaks without it
	@$(BIN)/python -m knowngood.testing.simulation --table docs/explanation/simulation.md

requirements: $(VENV)/.dev  ## Print for each requirement how many tests cover it
	@$(BIN)/python -m tools.requirements

bench: $(BENCH_VENV)/.bench $(if $(PEERS),$(PEERS_VENV)/.peers)  ## Measure routing, flips and local trips, ours beside peers', in one run
	@$(BENCH_VENV)/bin/python -m benchmarks.run $(BENCH_ARGS)

soak: $(BENCH_VENV)/.bench  ## A million requests over a thousand flips, agents and control plane killed (a quarter of an hour or more)
	@$(BENCH_VENV)/bin/python -m benchmarks.run --only soak --strict $(BENCH_ARGS)

mutation: $(VENV)/.dev  ## Mutate the domain and print how many mutants the tests kill (an hour or so)
	@$(BIN)/python -m tools.mutation $(MUTANTS)

docs: $(VENV)/.dev  ## Write the generated pages of docs/ again
	@$(BIN)/python -m tools.reference --write

requirements-lock: $(VENV)/.dev  ## Write the locks in requirements/ again, from the pyproject files
	@$(BIN)/python -m tools.lock

clean:  ## Remove the environments and every cache
	@rm -rf $(VENV) $(BENCH_VENV) $(PEERS_VENV) mutants htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Stamps: each stands for a step that is done and stays done until what it was made from changes.

$(VENV)/.made:
	@echo "Making $(VENV) with $(PYTHON)"
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
	    echo "knowngood needs Python 3.11 or newer, and $(PYTHON) is older (or missing). Install one, or name it: make PYTHON=/path/to/python3.11" >&2
	    exit 1
	}
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || {
	    echo "$(PYTHON) cannot make an environment. On Debian: apt-get install python3-venv" >&2
	    exit 1
	}
	touch $@

$(VENV)/.run: $(VENV)/.made requirements/run.txt $(PACKAGES:%=%/pyproject.toml)
	@echo "Installing what knowngood and its demo need (some 250 MB, once)"
	$(PIP) --require-hashes -r requirements/run.txt
	echo "Installing knowngood itself"
	$(PIP) --quiet --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	touch $@

$(VENV)/.server: $(VENV)/.run requirements/server.txt
	@echo "Installing what the control plane over HTTP needs"
	$(PIP) --require-hashes -r requirements/server.txt
	touch $@

$(VENV)/.dev: $(VENV)/.server requirements/dev.txt
	@echo "Installing what tests and linters need"
	$(PIP) --require-hashes -r requirements/dev.txt
	touch $@

$(VENV)/.debian: $(VENV)/.made tools/debian_packages.sh
	@if bash tools/debian_packages.sh; then touch $@; fi  # what is missing is looked for again the next time

$(BENCH_VENV)/.bench: requirements/run.txt requirements/server.txt requirements/bench.txt $(PACKAGES:%=%/pyproject.toml)
	@echo "Making $(BENCH_VENV), an environment of its own, for the peer that we compare with"
	[ -x $(BENCH_VENV)/bin/python ] || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check install --no-input --require-hashes -r requirements/run.txt -r requirements/server.txt -r requirements/bench.txt
	$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check install --no-input --quiet --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	touch $@

$(PEERS_VENV)/.peers: requirements/peers.txt
	@echo "Making $(PEERS_VENV), an environment of its own, for the model servers that we compare with (some 400 MB, once)"
	[ -x $(PEERS_VENV)/bin/python ] || $(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip --disable-pip-version-check install --no-input --require-hashes -r requirements/peers.txt
	touch $@
