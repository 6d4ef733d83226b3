# `make run` starts the product, `make test` proves it, `make e2e` shows it in a browser, `make faults` harms it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HOST ?= 127.0.0.1
export PORT ?= 5000

.PHONY: run test lint suite e2e nodes faults mutations fuzz audit clean

run: $(VENV)/.run
	@$(BIN)/python manage.py bootstrap && until $(BIN)/python -m anomalyproject.keep Procfile; do sleep 1; done

test: lint suite

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

# On SQLite, or on the database that DATABASE_URL names. TESTS="-m database": what another may answer
# differently.
suite: $(VENV)/.test
	$(BIN)/pytest -n auto --dist worksteal $(TESTS)

# The desk in a real browser: Debian's Chromium, installed when it is missing. On SQLite, or on a new database
# of the server that DATABASE_URL names.
e2e: $(VENV)/.test
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; } >/dev/null
	$(BIN)/pytest e2e -n 0 -rP

# Several machines on this one, some of them killed: needs PostgreSQL and Redis on loopback. NODES=--short: some minutes.
nodes: $(VENV)/.test
	$(BIN)/python -m nodes $(NODES)

# The product through every fault that it must survive, on SQLite, on the PostgreSQL of SERVER, and as a plant runs it
# with Redis and S3: some hours. FAULTS=short: some minutes, figures 1 to 9, 15 and 16. A clock is moved where there is a C
# compiler; as root, real disks are filled.
faults: $(VENV)/.test
	$(BIN)/python -m faults $(if $(filter short,$(FAULTS)),--short) $(if $(SERVER),--server $(SERVER))

# The product broken, one promise at a time: a suite must notice each. MUTATIONS="gate fence": only those.
mutations: $(VENV)/.test
	$(BIN)/python -m tests.mutations $(MUTATIONS)

# 10,000 requests, half of which the API's description calls for and half hostile, sent to gunicorn on SQLite and on
# PostgreSQL; what fails joins tests/corpus/.
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzzing

audit: $(VENV)/.test
	$(BIN)/python .ci/audit.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/.test: requirements-dev.txt requirements.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
