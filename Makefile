# `make sweep` and `make test` work on a machine with python3 (3.11 or newer), venv, pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# One compile cache for everything that runs from this checkout.
SWEEP_FILE ?= configs/sweeps/quickstart.yaml

.DEFAULT_GOAL := help
.PHONY: help sweep test coverage faults soak lint format types bench constraints clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

sweep: $(VENV)/.installed  ## set up, then run the quickstart sweep (SWEEP_FILE=… for another)
	$(BIN)/sweep launch $(SWEEP_FILE)

test: $(VENV)/.installed-test  ## set up, then the whole quick test suite
	$(BIN)/python -m pytest

coverage: $(VENV)/.installed-test  ## the quick suite, then the lines that it never ran
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

faults: $(VENV)/.installed-test  ## real faults of host and runs, and security
	$(BIN)/python -m pytest -m faults

soak: $(VENV)/.installed-test  ## thousands of runs under faults (SOAK=short for some hundreds)
	$(BIN)/python -m pytest -m soak

lint: $(VENV)/.installed-dev  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev  ## ruff: mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev  ## mypy, strict
	$(BIN)/mypy

bench: $(VENV)/.installed-test  ## every benchmark behind a figure in the docs
	$(BIN)/python -m benchmarks

constraints: $(VENV)/.installed-dev  ## pin what is installed now
	{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sort -f; } > constraints.new
	mv constraints.new constraints.txt

clean:  ## remove the environment and caches, never results
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*

# pip before 25.1 doesn't know dependency groups: the pinned pip of the environment does.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt pip setuptools
	$(PIP) install --constraint constraints.txt --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --group test
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(PIP) install --constraint constraints.txt --group dev
	touch $@
