# Needs python3 (3.11 or newer) and make; everything else goes into .venv.

PYTHON ?= python3
PYTEST_FLAGS ?= -n auto
UV_VERSION := 0.13.9

UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .venv/bin/uv)
PIP_INSTALL := $(UV) pip install --quiet --compile-bytecode --python .venv/bin/python
LOCK := $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-emit-index-url --no-emit-find-links

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help install run demo test lint types schema lock clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/.runtime ## Set up .venv with what the server needs

run: install ## Set up, then serve on http://localhost:8000
	.venv/bin/claude-cli-api serve

demo: .venv/.dev ## Show three tasks being queued, run and watched
	.venv/bin/python demo.py

test: .venv/.dev ## Run every test, on SQLite and on PostgreSQL
	.venv/bin/pytest $(PYTEST_FLAGS)

lint: .venv/.dev ## Check style and format
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/.dev ## Check types
	.venv/bin/mypy

schema: install ## Write schema.graphql
	.venv/bin/claude-cli-api schema > .venv/schema.graphql
	mv .venv/schema.graphql schema.graphql

lock: $(UV) ## Resolve the dependencies anew (LOCK_FLAGS=--upgrade raises them)
	$(LOCK) $(LOCK_FLAGS) --group build --output-file requirements.lock
	$(LOCK) $(LOCK_FLAGS) --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock

clean: ## Remove .venv and the caches; data/ stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.runtime: requirements.lock
.venv/.dev: requirements-dev.lock

# pip steps in where only pip has been told which registry to use.
.venv/.runtime .venv/.dev: pyproject.toml | .venv/bin/python $(UV)
	$(PIP_INSTALL) --require-hashes -r $(filter %.lock,$^) \
		|| .venv/bin/python -m pip install --quiet --require-hashes -r $(filter %.lock,$^)
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv .venv

.venv/bin/uv: | .venv/bin/python
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
