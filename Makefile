# Everything a contributor runs; CI runs the same targets. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WAREHOUSE := .venv-warehouse
SPEC ?= openapi.yaml
BASE ?=
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types validate generate check-generated spec-diff api-check unit slow wheel-test warehouse bench-warehouse docs-drift docs-drift-accept bench build lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## Make .venv with the pinned tools (every other target does it by itself)

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Read prompts and reviewed traces from the bundled sandbox (LIVE=1: from Artanis, with your credentials)
	@$(BIN)/python examples/demo.py $(if $(LIVE),--live)

test: lint types validate check-generated api-check unit wheel-test warehouse ## Run every check

lint: setup ## Check style and formatting of what is written by hand
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .

types: setup ## Check types: mypy --strict on everything, pyright's strict mode on the overlay
	$(BIN)/mypy
	$(BIN)/basedpyright

validate: setup ## Check the contract (SPEC=path for another one than openapi.yaml)
	@$(BIN)/python scripts/validate.py '$(SPEC)'

generate: setup ## Make generated/ from openapi.yaml
	@$(BIN)/python scripts/generate.py

check-generated: setup ## Fail when generated/ is not what openapi.yaml gives
	@$(BIN)/python scripts/generate.py --check

slow: setup ## Run what takes minutes: 50,000 traces, read and exported
	ARTANIS_SLOW=1 $(BIN)/python -m pytest -q tests/test_slow.py $(PYTEST_ARGS)

unit: setup ## Run the tests, with coverage of the overlay
	$(BIN)/python -m pytest -q -n auto --cov $(PYTEST_ARGS)

wheel-test: setup ## Run the client's tests against the built wheel, with pinned and with the lowest dependencies
	@$(BIN)/python scripts/wheel_test.py
	@$(BIN)/python scripts/wheel_test.py --lowest

warehouse: setup $(WAREHOUSE)/.ready ## Check and test examples/warehouse, in an environment with dlt (SLOW=1: 20,000 traces)
	$(BIN)/mypy --python-executable $(WAREHOUSE)/bin/python --follow-imports silent examples/warehouse/*.py
	PYTHONPATH=generated:overlay:examples/warehouse $(if $(SLOW),ARTANIS_SLOW=1) $(WAREHOUSE)/bin/python -m pytest -q -n auto examples/warehouse $(PYTEST_ARGS)

bench-warehouse: $(WAREHOUSE)/.ready ## Measure the load into DuckDB against traces.iter
	@PYTHONPATH=$(CURDIR)/generated:$(CURDIR)/overlay $(WAREHOUSE)/bin/python examples/warehouse/bench.py

$(WAREHOUSE)/.ready: requirements/warehouse.txt
	$(PYTHON) -m venv --clear $(WAREHOUSE)
	$(WAREHOUSE)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/warehouse.txt
	@touch $@

api-check: setup ## Say what the public Python API lost since the last release
	@tag=$$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null) || { echo "api-check: no release to compare with yet"; exit 0; }; \
	"$(BIN)/griffe" check artanis_client --search overlay --search generated --against "$$tag"

# Not part of `make test`: they need network. After a failure the script's own exit status is in make's "Error" line.
docs-drift: setup ## Say where Artanis's documentation moved since docs-drift-accept
	@$(BIN)/python scripts/docs_drift.py

docs-drift-accept: setup ## Record Artanis's documentation as what openapi.yaml is in step with
	@$(BIN)/python scripts/docs_drift.py --accept

spec-diff: setup ## Say what changed in openapi.yaml, what breaks first (BASE=tag, branch or commit; else the last release)
	@$(BIN)/python scripts/spec_diff.py '$(BASE)'

bench: setup ## Measure, as ratios against plain tools
	@$(BIN)/python benchmarks/bench.py

build: setup ## Build wheel and sdist into dist/, and check them
	@rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*

lock: setup ## Pin the development requirements anew, as pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml --group test --all-extras $(LOCK_ARGS) -o requirements/test.txt
	$(BIN)/uv pip compile pyproject.toml --group dev --all-extras $(LOCK_ARGS) -c requirements/test.txt -o requirements/dev.txt
	$(BIN)/uv pip compile pyproject.toml --group warehouse --extra sandbox $(LOCK_ARGS) -o requirements/warehouse.txt
LOCK_ARGS := --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade

clean: ## Return to a fresh clone
	rm -rf $(VENV) $(WAREHOUSE) dist build .coverage* .cache .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
