# `make run` and `make test` need Python >= 3.11, make and the package registries: nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STORE ?= sqlite:///data/fhir.db
PATIENTS ?= 200
HOST ?= 127.0.0.1
PORT ?= 8080
JOBS ?= 2
AUTH ?= smart
SERVER := $(BIN)/fhir-server

.PHONY: run test test-deep lint types format bench clean

run: data/.loaded
	@$(BIN)/python -m examples.welcome --host $(HOST) --port $(PORT) --store $(STORE) --auth $(AUTH)
	@$(SERVER) serve --host $(HOST) --port $(PORT) --store $(STORE) --auth $(AUTH)

test: lint types $(VENV)/.test
	$(BIN)/pytest -n $(JOBS)

test-deep: $(VENV)/.test
	FHIR_SERVER_DEEP_TESTS=1 $(BIN)/python -m pytest -p tests.resume -n $(JOBS) --dist worksteal --timeout 1800 -v

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.test
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test
	$(BIN)/python -m bench.run $(BENCH)

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache

# The stamps depend on pyproject.toml: a changed dependency is installed by the next make.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "This needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: pyproject.toml | $(VENV)/.made
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/.made
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.runtime

# The first run: a synthetic cohort and the example trials, matched. Remove data/ to start over. The cohort's genomic
# reports are of the past: nobody is asked to review them before the participants see them (docs/genomics.md).
data/.loaded: | $(VENV)/.runtime
	@mkdir -p data
	$(BIN)/python -m examples.cohort --patients $(PATIENTS) --out data/cohort
	FHIR_SERVER_RELEASE_DAYS=0 $(SERVER) load examples/trials data/cohort --store $(STORE)
	$(SERVER) match --store $(STORE)
	@touch $@
