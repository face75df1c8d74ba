# Everything that is done to this project, from a fresh clone on. Needs Python 3.11 or newer and a package index.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
AT_LEAST := import sys; sys.exit(sys.version_info < (3, 11))

# The first Python that is new enough; `make PYTHON=/path/to/python …` names another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c '$(AT_LEAST)' 2>/dev/null && echo $$p && break; done)

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

# More for pytest: `make test ARGS="tests/domain -x"`.
ARGS ?=
# Tests that run side by side: twice as many as there are cores, because many wait for processes that were killed.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')

.DEFAULT_GOAL := help
.PHONY: help install run test storm bench check fmt lock clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv from the locks (the others do it by themselves)

$(INSTALLED): requirements-dev.lock pyproject.toml
	@$(or $(PYTHON),false) -c '$(AT_LEAST)' || \
		{ echo "The gateway needs Python 3.11 or newer: install one, or name one with make PYTHON=/path/to/python." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

run: $(INSTALLED) ## Start the gateway and the local Stripe on this machine
	@$(BIN)/gateway dev

test: $(INSTALLED) ## Run every test, on SQLite and on PostgreSQL
	$(BIN)/pytest -m "not storm" -n $(WORKERS) $(ARGS)

storm: $(INSTALLED) ## Run the long tests that break things at random
	$(BIN)/pytest -m storm $(ARGS)

bench: $(INSTALLED) ## Measure how fast the gateway answers
	$(BIN)/python -m benchmarks $(ARGS)

check: $(INSTALLED) ## Lint, format, types, layers, printed schema
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/gateway schema --check

fmt: $(INSTALLED) ## Rewrite the code in the one format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: $(INSTALLED) ## Write the locks anew (UPGRADE=1 takes the newest versions)
	mkdir -p var
	$(COMPILE) $(if $(UPGRADE),--upgrade) -o requirements.lock pyproject.toml
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra pgqueuer -c requirements.lock -o requirements-pgqueuer.lock pyproject.toml
	$(COMPILE) $(if $(UPGRADE),--upgrade) --only-build-deps --build-deps-for wheel \
		-c requirements.lock -o requirements-build.lock pyproject.toml
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")' \
		> var/dev.in
	$(COMPILE) $(if $(UPGRADE),--upgrade) -c requirements-pgqueuer.lock \
		-o requirements-dev.lock pyproject.toml var/dev.in

clean: ## Remove what was made: .venv and the caches, never var/
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
