# TheRouter. `make up` runs the whole system on this machine; `make test` proves it. Needs Python >= 3.11 and make.
PYTHON ?= python3
REGION ?= global
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# One more than there are processors: many tests wait for processes, clocks and disks.
WORKERS ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
# Medians over fewer rounds are at the mercy of a shared machine: latencies above all.
ROUNDS ?= 7
.DEFAULT_GOAL := help
.PHONY: help setup up test check format unit faults sovereignty compile compiled bench browser claims clients lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(VENV)/.runtime  ## the environment in .venv and nothing else

up: $(VENV)/.runtime  ## run the whole system here: database, model, providers, gateway (REGION=global|china)
	@$(BIN)/therouter up --region $(REGION)

test: check unit  ## format, lint, types, import contracts and every test that is not slow

check: $(VENV)/.test  ## formatting, lint, types, import contracts
	@echo "formatting" && $(BIN)/ruff format --check --quiet .
	@echo "lint" && $(BIN)/ruff check --quiet .
	@echo "types" && $(BIN)/mypy
	@echo "import contracts" && $(BIN)/lint-imports --no-cache

# A file's tests go to one worker, so that what they share is made once; folders in order, so that whole systems start first.
unit: $(VENV)/.test  ## the tests alone; writes the report that the trust page is made from
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow" \
	  -p tests.claims_report --claims-report handlers/site/claims.json

faults: $(VENV)/.test  ## slow tier: SIGKILLs and database crashes under load; the table of upstream faults; ten silent minutes
	@$(BIN)/python -m tests.faults.crashes --kills 200 --database-crashes 5
	@$(BIN)/python -m tests.faults.upstream_faults
	@$(BIN)/python -m pytest -q -m slow tests/faults

sovereignty: $(VENV)/.test  ## slow tier: both regions' tests side by side in network namespaces; packets and canaries counted
	@$(BIN)/python -m tests.faults.sovereignty --workers $(WORKERS)

browser: $(VENV)/.test  ## slow tier: the site in a real Chromium (apt-get install chromium fonts-wqy-microhei)
	@$(BIN)/python -m pytest -q -m slow tests/browser

clients: $(VENV)/.test  ## slow tier: Claude Code, Codex, opencode, SDKs and others through the gateway (needs npm; ONLY=names)
	@$(BIN)/python -m tests.clients --only "$(ONLY)"

claims: $(VENV)/.test  ## only the tests behind the trust page, then claim by claim how they went
	@$(BIN)/therouter claims

compile: $(VENV)/.test  ## gateway and pods as machine code, as in the image: a quarter less processor time (needs cc)
	@$(BIN)/python -m handlers.local.compiling

compiled: compile  ## slow tier, before an image is made: what is machine code passes its tests as machine code (needs cc)
	@THEROUTER_TESTS_COMPILED=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m "not slow and not from_source" \
	  $(addprefix tests/handlers/,gateway keys ledger provider telemetry translation transport) tests/laws tests/replay
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m "not slow" tests/acceptance tests/faults

bench: compile  ## slow tier: this gateway beside nginx in one run, by the fastest Python here of .venv's version (needs cc and nginx; ROUNDS=7)
	@$(BIN)/python -m tests.bench --rounds $(ROUNDS)

format: $(VENV)/.test  ## put the code into its one format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix-only .

lock: $(VENV)/.python  ## resolve pyproject.toml into the hash-locked requirements files
	@$(PIP) install uv
	@for extras in "--extra local|requirements.txt" "--extra image -c requirements.txt|requirements-image.txt" "--all-extras -c requirements.txt|requirements-dev.txt" \
	  "--extra compile -c requirements-dev.txt|requirements-compile.txt"; do \
	  $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --no-header --quiet pyproject.toml $${extras%|*} -o $${extras#*|}; done

clean:  ## remove the environment and what tools left; the data of `make up` in .therouter stays
	rm -rf $(VENV) .compiled .compiled.new cdk.out aliyun.out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "TheRouter needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s/$(BIN)/python" -m handlers.local "$$@"\n' "$(CURDIR)" "$(CURDIR)" > $(BIN)/therouter
	@chmod +x $(BIN)/therouter
	@touch $@

$(VENV)/.runtime: requirements.txt | $(VENV)/.python
	@echo "installing what the running system needs (about 15 s)"
	@$(PIP) install --no-deps --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.test: requirements-dev.txt $(VENV)/.runtime
	@echo "installing what the tests need (about 60 s)"
	@$(PIP) install --no-deps --require-hashes -r requirements-dev.txt
	@touch $@
