# make demo and make test need git, make and Python 3.11 or later with venv; each sets up the rest in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes --only-binary :all:

.PHONY: demo test lint types bench docs lock clean

demo: $(VENV)/.run
	@$(BIN)/meshwarden demo $(ARGS)

# End-to-end tests run side by side where each worker can have a network of its own; what measures load runs by itself, at last.
# `ARGS="tests/unit -k tree"` runs just that.
test: $(VENV)/.dev
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit tests/property tests/contract tests/scenario
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not alone" tests/e2e
	$(BIN)/python -m pytest -m alone tests/e2e
endif

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python tools/check_licences.py

types: $(VENV)/.dev
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.authorization

$(VENV)/.run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "meshwarden needs Python 3.11 or later; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) ..."
	@$(PIP) -r requirements.lock
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@$(PIP) -r requirements-dev.lock
	@touch $@

lock: ## needs uv; run after a change of dependencies in pyproject.toml
	uv pip compile -q --python-version 3.11 --python-platform x86_64-manylinux_2_36 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header pyproject.toml --group build -o requirements.lock
	uv pip compile -q --python-version 3.11 --python-platform x86_64-manylinux_2_36 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
