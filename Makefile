# Everything a contributor runs; CI runs the same targets. `make help` lists them.
PYTHON ?= python3
SPEC ?= openapi.yaml
BASE ?=
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
UV := .venv-uv/bin/uv
INSTALL := $(UV) pip install --quiet --require-hashes

.DEFAULT_GOAL := help
.PHONY: help setup demo test checks lint types validate generate check-generated spec-diff api-check unit coverage lowest successor newest slow busy recipes warehouse schedule spark bench-warehouse bench-spark notebook docs-drift docs-drift-accept bench bench-ids bench-stress docs build release-check lock clean

help: ## Show this list (times: on two cores, once the packages have been downloaded)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Environments. Every target sets up what it needs. Packages are pinned with hashes; uv itself comes with pip.

# Trust the certificate authorities of this machine, as pip does. By itself, uv would refuse a proxy that inspects TLS.
ifndef UV_SYSTEM_CERTS
export UV_SYSTEM_CERTS := $(shell $(PYTHON) -c 'import os, ssl; p = ssl.get_default_verify_paths(); \
	print(int(bool(p.cafile or p.capath and os.listdir(p.capath))))' 2>/dev/null)
endif

setup: $(VENV)/.ready ## Make .venv with all development tools (10 s; every other target does what it needs by itself)

$(UV): requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up uv, which makes the environments…"
	@$(PYTHON) -m venv --clear .venv-uv
	@.venv-uv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# $(call environment,folder,requirements): make an environment with the Python that made uv's.
define environment
	@echo "Setting up $(1)…"
	@$(UV) venv --quiet --clear --python .venv-uv/bin/python $(1)
	@$(INSTALL) --python $(1) -r $(2)
endef

$(VENV)/.ready: $(UV) requirements/dev.txt pyproject.toml
	$(call environment,$(VENV),requirements/dev.txt)
	@$(UV) pip install --quiet --python $(VENV) --no-deps --no-build-isolation --editable .
	@touch $@

.venv-unit/.ready: $(UV) requirements/dev.txt
	$(call environment,.venv-unit,requirements/dev.txt)
	@touch $@

.venv-%/.ready: requirements/%.txt $(UV)
	$(call environment,.venv-$*,$<)
	@touch $@

# $(call install-wheel,folder): tests see the wheel that users get, not what happens to lie in the checkout.
define install-wheel
	@rm -rf .cache/wheel
	@$(BIN)/python -m build --no-isolation --wheel --outdir .cache/wheel . > /dev/null
	@$(UV) pip install --quiet --python $(1) --no-deps --reinstall .cache/wheel/*.whl
endef

# What people run

demo: .venv-demo/.ready ## Read prompts and reviewed traces from the bundled sandbox (10 s; LIVE=1: from Artanis, with your credentials)
	@PYTHONPATH=generated:overlay .venv-demo/bin/python examples/demo.py $(if $(LIVE),--live)

test: ## Run every check (7 min)
	@$(MAKE) --no-print-directory --jobs=2 checks
	@$(MAKE) --no-print-directory unit PYTEST_ARGS=
	@$(MAKE) --no-print-directory lowest PYTEST_ARGS=
	@$(MAKE) --no-print-directory successor PYTEST_ARGS=
	@$(MAKE) --no-print-directory warehouse SLOW= PYTEST_ARGS=

checks: types lint validate check-generated api-check docs ## Run every check that is not a test (30 s)

lint: setup ## Check style, formatting, spelling and sizes of the hand-written code (2 s)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/codespell
	@$(BIN)/python scripts/check_prose.py
	@$(BIN)/python scripts/check_sizes.py

types: setup ## Check types: mypy --strict on everything, pyright's strict mode on the overlay (20 s)
	@$(BIN)/basedpyright & pyright=$$!; $(BIN)/mypy; mypy=$$?; wait $$pyright && exit $$mypy

validate: setup ## Check the contract, and the code made of it (5 s; SPEC=path for another one than openapi.yaml)
	@$(BIN)/python scripts/validate.py $(if $(GITHUB_ACTIONS),--format github) '$(SPEC)'

generate: setup ## Generate generated/ from openapi.yaml (3 s)
	@$(BIN)/python scripts/generate.py

check-generated: setup ## Fail if generated/ differs from what openapi.yaml generates (3 s)
	@$(BIN)/python scripts/generate.py --check

unit: setup .venv-unit/.ready ## Run the tests against the built wheel (3 min; PYTEST_ARGS="-k retries": some of them)
	$(call install-wheel,.venv-unit)
	@$(UV) pip check --quiet --python .venv-unit
	.venv-unit/bin/python -m pytest -q -n auto $(PYTEST_ARGS)

coverage: ## Run the tests with coverage, which must be at least 95 % (5 min; CI does weekly)
	@$(MAKE) --no-print-directory unit PYTEST_ARGS='--cov --cov-fail-under=95'

lowest: setup .venv-lowest/.ready ## Run the client's tests with the lowest dependencies that pyproject.toml allows (2 min)
	$(call install-wheel,.venv-lowest)
	@$(UV) pip check --quiet --python .venv-lowest
	.venv-lowest/bin/python -m pytest -q -n auto $(OF_THE_CLIENT) $(PYTEST_ARGS)

newest: setup ## Run the client's tests with the newest dependencies, unpinned (1 min; CI does weekly)
	@$(UV) venv --quiet --clear --python .venv-uv/bin/python .venv-newest
	@$(UV) pip install --quiet --python .venv-newest --upgrade --all-extras --group test -r pyproject.toml
	$(call install-wheel,.venv-newest)
	@$(UV) pip check --quiet --python .venv-newest
	.venv-newest/bin/python -m pytest -q -n auto $(OF_THE_CLIENT) $(PYTEST_ARGS)

successor: setup .venv-successor/.ready ## Run the tests of the core with httpx2 in the place of httpx (1 min)
	$(call install-wheel,.venv-successor)
	@echo 'import httpx2; httpx2.alias_httpx()' > $$(echo .venv-successor/lib/python3*/site-packages)/alias.pth
	.venv-successor/bin/python -m pytest -q -n auto -W 'ignore:Module already imported' -m 'not tooling and not once' $(CORE) $(PYTEST_ARGS)
CORE := $(patsubst %,tests/test_%.py,call client credentials errors http pace periods retries secrecy tls)
OF_THE_CLIENT := --ignore tests/contract --ignore tests/compat -m 'not tooling and not once'

slow: setup ## Run the tests that take minutes: 50,000 traces, 10,000 odd responses, all recipes, some of them killed (25 min; needs Java 17)
	ARTANIS_SLOW=1 $(BIN)/python -m pytest -q -n auto tests/test_slow.py tests/test_any_response.py tests/test_evaluation.py tests/test_report.py tests/contract/test_regeneration.py $(PYTEST_ARGS)
	@$(MAKE) --no-print-directory notebook
	@$(MAKE) --no-print-directory recipes PYTEST_ARGS=
	@$(MAKE) --no-print-directory warehouse SLOW=1
	@$(MAKE) --no-print-directory schedule
	@$(MAKE) --no-print-directory spark SLOW=1

busy: setup .venv-unit/.ready ## Run the tests three times, in random order, while two busy loops per core run (30 min)
	$(call install-wheel,.venv-unit)
	@$(UV) pip check --quiet --python .venv-unit
	@$(BIN)/python scripts/busy.py 3 .venv-unit/bin/python -m pytest -q -n auto $(PYTEST_ARGS)

warehouse: setup .venv-warehouse/.ready ## Check and test examples/warehouse, in an environment with dlt (1 min; SLOW=1: kills, 20,000 traces)
	@$(BIN)/mypy --python-executable .venv-warehouse/bin/python --follow-imports silent $(filter-out %schedule.py,$(wildcard examples/warehouse/*.py))
	PYTHONPATH=generated:overlay:examples/warehouse $(if $(SLOW),ARTANIS_SLOW=1) .venv-warehouse/bin/python -m pytest -q -n auto examples/warehouse $(PYTEST_ARGS)

recipes: setup .venv-recipes/.ready ## Check and test examples/evaluation, in an environment with datasets, Inspect and others (30 s)
	@$(BIN)/mypy --python-executable .venv-recipes/bin/python --follow-imports silent examples/evaluation/*.py
	PYTHONPATH=generated:overlay:examples/evaluation .venv-recipes/bin/python -m pytest -q examples/evaluation $(PYTEST_ARGS)

notebook: .venv-notebook/.ready ## Run examples/reviews.ipynb, in an environment with Jupyter and pandas (20 s)
	@cd examples && env -u ARTANIS_API_KEY PYTHONPATH=$(CURDIR)/generated:$(CURDIR)/overlay $(CURDIR)/.venv-notebook/bin/jupyter-execute --kernel_name=python3 reviews.ipynb

schedule: setup .venv-scheduler/.ready ## Test examples/warehouse under a real scheduler, Dagster (1 min)
	@$(BIN)/mypy --python-executable .venv-scheduler/bin/python --follow-imports silent examples/warehouse/*schedule.py
	PYTHONPATH=generated:overlay:examples/warehouse .venv-scheduler/bin/python -m pytest -q -W ignore examples/warehouse/test_schedule.py

spark: setup .venv-spark/.ready ## Check and test examples/spark, in an environment with PySpark; needs Java 17 (1 min; SLOW=1: a cluster, 20,000 traces)
	@command -v "$${JAVA_HOME:+$$JAVA_HOME/bin/}java" > /dev/null || { echo "make spark needs Java 17 or newer, and finds none in JAVA_HOME or PATH."; exit 1; }
	@$(BIN)/mypy --python-executable .venv-spark/bin/python --follow-imports silent examples/spark/*.py
	PYTHONPATH=generated:overlay:examples/spark:examples/warehouse $(if $(SLOW),ARTANIS_SLOW=1) .venv-spark/bin/python -m pytest -q examples/spark $(PYTEST_ARGS)
	$(if $(SLOW),@$(MAKE) --no-print-directory bench-spark)

bench-spark: .venv-spark/.ready ## Measure two Spark workers against one process (3 min; LATENCY=0.3 TRACES=4000: on a busy machine)
	@SPARK_LOCAL_IP=127.0.0.1 PYTHONPATH=$(CURDIR)/generated:$(CURDIR)/overlay:$(CURDIR)/examples/spark .venv-spark/bin/python examples/spark/bench.py

bench-warehouse: .venv-warehouse/.ready ## Measure the load into DuckDB against traces.iter (2 min)
	@PYTHONPATH=$(CURDIR)/generated:$(CURDIR)/overlay .venv-warehouse/bin/python examples/warehouse/bench.py

api-check: setup ## List what the public Python API lost since the last release (3 s)
	@tag=$$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null) || { echo "api-check: no release to compare with yet"; exit 0; }; \
	"$(BIN)/griffe" check artanis_client --search overlay --search generated --against "$$tag"

# Not part of `make test`: they need network. After a failure the script's own exit status is in make's "Error" line.
docs-drift: setup ## List which pages of Artanis's documentation changed since docs-drift-accept (5 s)
	@$(BIN)/python scripts/docs_drift.py

docs-drift-accept: setup ## Record that openapi.yaml agrees with Artanis's documentation of today (5 s)
	@$(BIN)/python scripts/docs_drift.py --accept

spec-diff: setup ## List what changed in openapi.yaml, breaking changes first (5 s; BASE=tag, branch or commit; else the last release)
	@$(BIN)/python scripts/spec_diff.py '$(BASE)'

bench: setup ## Measure speed, as ratios to plain tools (5 min)
	@$(BIN)/python benchmarks/bench.py

bench-ids: setup ## Measure the memory of traces.ids and traces.list (1 min)
	@$(BIN)/python benchmarks/ids.py

bench-stress: setup ## Measure reading under rate limits and faults, as shares of what is possible (10 min)
	@$(BIN)/python benchmarks/stress.py

docs: .venv-docs/.ready ## Build the documentation into .cache/docs (10 s)
	@PYTHONPATH=generated:overlay .venv-docs/bin/python -m sphinx --builder html --fresh-env --fail-on-warning --keep-going --quiet --doctree-dir .cache/doctrees docs .cache/docs

build: setup ## Build wheel and sdist into dist/, and check them (5 s)
	@rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*
	@$(BIN)/python scripts/check_dist.py

release-check: setup ## Check whether this commit can be released, and list what is missing (5 min)
	@$(BIN)/python scripts/release_check.py

lock: $(UV) ## Pin all requirements anew, as pyproject.toml allows (10 s)
	$(LOCK) --group uv -o requirements/uv.txt
	$(LOCK) pyproject.toml --group test --all-extras -o requirements/test.txt
	$(LOCK) pyproject.toml --group dev --all-extras -c requirements/test.txt -o requirements/dev.txt
	$(LOCK) pyproject.toml --group demo --extra sandbox -c requirements/test.txt -o requirements/demo.txt
	$(LOCK) pyproject.toml --group test --all-extras --resolution lowest-direct -o requirements/lowest.txt
	$(LOCK) --group successor -o requirements/successor.txt
	$(LOCK) pyproject.toml --group docs --extra cli --extra contract --extra fast --extra parquet --extra sandbox --extra stream -c requirements/test.txt -o requirements/docs.txt
	$(LOCK) pyproject.toml --group notebook --extra sandbox -o requirements/notebook.txt
	$(LOCK) pyproject.toml --group warehouse --extra sandbox -o requirements/warehouse.txt
	$(LOCK) pyproject.toml --group recipes --extra sandbox --extra parquet -o requirements/recipes.txt
	$(LOCK) pyproject.toml --group scheduler --extra sandbox -c requirements/warehouse.txt -o requirements/scheduler.txt
	$(LOCK) pyproject.toml --group spark --extra sandbox --extra stream -o requirements/spark.txt
LOCK := $(UV) pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade

clean: ## Return to a fresh clone
	rm -rf .venv* dist build .coverage* .cache .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
