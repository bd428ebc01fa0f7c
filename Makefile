# Every command a contributor or a machine needs. `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install demo test check format nightly docs bench lock clean

BIN := .venv/bin
STAMP := .venv/.nextbest-installed
# One thread per process: two processes of tests would otherwise wait on each other's threads.
PYTEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links

help: ## list these commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(STAMP) ## .venv with the package (editable), the demo data and the test tools, all by hash

$(STAMP): pyproject.toml requirements/dev.txt requirements/uv.txt scripts/install.sh scripts/system-packages.sh
	@scripts/install.sh
	@touch $@

demo: install ## real retail data, the whole loop, then the dashboard
	$(BIN)/nextbest demo

test: install ## all tests but the nightly ones
	@scripts/system-packages.sh chromium
	$(PYTEST) -n 2 -m "not nightly"

check: install ## format, lint, types, imports, examples in the docs: what CI runs before the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -q tests/docs

format: install ## put the code in shape
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

nightly: install ## the long tests: crashes, races, coverage of intervals
	@scripts/system-packages.sh chromium
	$(PYTEST) -n 2 -m nightly

docs: install ## build the pages into site/
	$(BIN)/zensical build --clean --strict

bench: install ## every benchmark, and the page of results that they make
	$(BIN)/python benchmarks/report.py --run

lock: install ## resolve the newest versions and write the hashes anew
	$(COMPILE) pyproject.toml --extra demo --extra forecast --extra tune --extra fast --group dev --output-file requirements/dev.txt
	echo uv | $(COMPILE) - --output-file requirements/uv.txt

clean: ## remove everything that `make` has made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks .cache site build dist
