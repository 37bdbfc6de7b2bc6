# The two commands are `make demo` and `make test`; each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test fast shake bench clean

demo: $(VENV)/installed
	$(BIN)/fabric-jobs demo $(if $(EXECUTOR),--executor $(EXECUTOR)) $(DESTINATION)

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 $(ARGS)

# Those that start no processes of the product: a minute, for another Python.
fast: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 tests/unit tests/store tests/engine tests/images $(ARGS)

# The same tests in random order while every core is busy; SEED=… repeats an order, ARGS=… chooses tests.
shake: $(VENV)/installed-dev
	SEED=$(SEED) $(BIN)/python scripts/shake.py $(ARGS)

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fabric-jobs needs Python 3.11 or newer, and '$(PYTHON)' is older or does not run. Run: make PYTHON=python3.11 demo" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is not complete here. On Debian and Ubuntu install it with: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/installed
