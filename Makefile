# `make demo` shows it, `make check` is for between two changes, `make test` runs everything; each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

IMAGE ?= fabric-jobs:$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' fabric_jobs/__init__.py)

CLUSTER_TESTS := tests/kubernetes tests/executors tests/acceptance/test_gateway_in_cluster.py

.PHONY: demo check test test-kubernetes only lint shake bench image clean

demo: $(VENV)/installed
	$(BIN)/fabric-jobs demo $(if $(EXECUTOR),--executor $(EXECUTOR)) $(DESTINATION)

# What starts no processes of the product, in under a minute.
check: $(VENV)/installed-dev lint
	$(BIN)/python -m pytest -n auto -m 'not docker and not kubernetes' tests/unit tests/store tests/engine tests/images tests/test_architecture.py $(ARGS)

# Everything but what needs a cluster; what needs an engine or a registry is skipped with the reason where there is none.
test: $(VENV)/installed-dev lint
	$(BIN)/python -m pytest -n auto -m 'not kubernetes' $(ARGS)

# What needs a cluster: that of KUBECONFIG, and never by accident. Skipped with the reason where KUBECONFIG names none.
test-kubernetes: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist worksteal -m kubernetes $(or $(ARGS),$(CLUSTER_TESTS))

# The tests with one mark: make only MARK=docker. What needs a cluster is left out, unless the mark says it.
only: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto -m '$(if $(findstring kubernetes,$(MARK)),$(MARK),($(MARK)) and not kubernetes)' $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# All tests but those of a cluster in random order while every core is busy; SEED=… repeats an order, ARGS=… chooses tests.
shake: $(VENV)/installed-dev
	SEED=$(SEED) $(BIN)/python scripts/shake.py $(ARGS)

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks

# The image of the gateway: make image BASE_IMAGE=python:3.12-slim@sha256:… EXTRAS=kubernetes,s3 IMAGE=registry.example.org/fabric-jobs:1
image:
	docker build --tag $(IMAGE) $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) $(if $(EXTRAS),--build-arg EXTRAS=$(EXTRAS)) .

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
