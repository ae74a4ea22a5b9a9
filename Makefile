PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# It would fill a screen at each build.
export NO_MKDOCS_2_WARNING := 1
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

.DELETE_ON_ERROR:
.NOTPARALLEL: # one pip at a time in one .venv
.PHONY: help demo test check docs bench campaign format constraints clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile
	@echo 'Set-up is part of each of them: .venv from python3 (3.11 or newer; another: make PYTHON=python3.12 test).'

demo: .venv/.package ## find regions of interest in a real image and a synthetic plate; results in demo/
	$(BIN)/simsearch demo demo

test: .venv/.dev ## all tests; some of them: make test ARGS="tests/core -k tile"
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: .venv/.dev ## style, types, layers and the links of the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --strict

docs: .venv/.dev ## the pages for people, at http://127.0.0.1:8000; another port: make docs ARGS="--dev-addr 127.0.0.1:8001"
	$(BIN)/mkdocs serve --strict --dev-addr 127.0.0.1:8000 $(ARGS)

bench: .venv/.package ## time and accuracy side by side; never a gate
	$(BIN)/python benchmarks/run.py $(ARGS)

campaign: .venv/.dev ## kill commands, fill disks, give hostile names, for three hours; another: make campaign ARGS="--hours 12 --seed 5"
	$(BIN)/python -m tests.faults.campaign --hours 3 --folder campaign $(ARGS)

format: .venv/.dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: ## resolve all dependencies anew and pin what comes out
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(PYTHON) -m venv "$$fresh"; \
	"$$fresh/bin/pip" install --quiet --upgrade pip; \
	"$$fresh/bin/pip" install --quiet --dry-run --ignore-installed --report "$$fresh/report.json" \
	    pip hatchling editables '.[formats,slurm]' --group test --group check --group docs; \
	"$$fresh/bin/python" .ci/pin.py "$$fresh/report.json" > "$$fresh/constraints.txt"; \
	cp "$$fresh/constraints.txt" constraints.txt

clean: ## remove what was made, but for .venv: that took minutes (rm -r .venv)
	rm -rf demo campaign dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find simsearch tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo 'simsearch: expected Python 3.11 or newer as $(PYTHON), got' "$$($(PYTHON) --version 2>&1):" \
	        'name a newer one, as in make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	@$(PYTHON) -m venv --clear --without-pip .venv || { rm -rf .venv; \
	    echo 'simsearch: $(PYTHON) cannot make .venv: on Debian and Ubuntu, apt-get install python3-venv' >&2; exit 1; }

# pip comes in a second step, so that a set-up that was cut short can go on from here.
.venv/.pip: $(BIN)/python constraints.txt
	@$(BIN)/python -m ensurepip >/dev/null || { rm -rf .venv; \
	    echo 'simsearch: $(PYTHON) has no ensurepip: on Debian and Ubuntu, apt-get install python3-venv' >&2; exit 1; }
	@$(INSTALL) --quiet --upgrade pip
	@touch $@

# The demo's user needs no development tools: two stamps.
.venv/.package: .venv/.pip pyproject.toml constraints.txt
	@echo 'Installing simsearch into .venv: torch and its libraries take about 5 GB and a few minutes the first time.'
	$(INSTALL) --build-constraint constraints.txt --editable '.[formats,slurm]'
	@touch $@

.venv/.dev: .venv/.pip pyproject.toml constraints.txt
	@echo 'Installing simsearch into .venv: torch and its libraries take about 5 GB and a few minutes the first time.'
	$(INSTALL) --build-constraint constraints.txt --editable '.[formats,slurm]' --group test --group check --group docs
	@touch .venv/.package $@
