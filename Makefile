# `make sweep` and `make test` work on a machine with python3 (3.11 or newer), venv, pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The sweep that `make sweep` launches.
SWEEP_FILE ?= configs/sweeps/quickstart.yaml

.DEFAULT_GOAL := help
.PHONY: help sweep test coverage faults real soak lint format types bench constraints site reference wheel clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

sweep: $(VENV)/.installed  ## set up, then run the quickstart sweep (SWEEP_FILE=… for another)
	$(BIN)/sweep launch $(SWEEP_FILE)

# Tests that launch sweeps use all CPUs and run one at a time; the others run side by side.
LAUNCHING := benchmarks cli docs doctor engine install launch test_trainer_discovery.py

test: $(VENV)/.installed-test  ## set up, then run the quick test suite
	$(BIN)/python -m pytest --numprocesses 2 $(LAUNCHING:%=--ignore tests/%)
	$(BIN)/python -m pytest $(LAUNCHING:%=tests/%)

coverage: $(VENV)/.installed-test  ## run the quick test suite and list the lines that it missed
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

faults: $(VENV)/.installed-test  ## run the tests with real failures of hosts and runs, and of security
	$(BIN)/python -m pytest -m faults

real: $(VENV)/.installed-test  ## run the tests with a real tmux, which apt installs if it is missing
	command -v tmux > /dev/null || apt-get install -y --no-install-recommends tmux \
	  || { apt-get update && apt-get install -y --no-install-recommends tmux; }
	$(BIN)/python -m pytest -m real

soak: $(VENV)/.installed-test  ## train thousands of runs under failures (SOAK=short for a few hundred)
	$(BIN)/python -m pytest -m soak

lint: $(VENV)/.installed-dev  ## check rules and format with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev  ## fix rules and format with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev  ## check types with mypy
	$(BIN)/mypy

bench: $(VENV)/.installed-test  ## run every benchmark that the docs quote
	$(BIN)/python -m benchmarks

constraints: $(VENV)/.installed-dev  ## pin the versions that are installed
	{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sort -f; } > constraints.new
	mv constraints.new constraints.txt

site: $(VENV)/.installed-test  ## build the docs as a site in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

reference: $(VENV)/.installed  ## renew docs/commands.md from the commands
	$(BIN)/python -m sweeper.cli.reference > docs/commands.new
	mv docs/commands.new docs/commands.md

wheel: $(VENV)/.installed  ## build the wheel in dist/
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build

clean:  ## remove the environment and caches, but no results
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*

# pip before 25.1 doesn't know dependency groups; the pinned one does.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt pip setuptools
	$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[all]'
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --group test
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(PIP) install --constraint constraints.txt --group dev
	touch $@
