# One command each. Everything needs Python >= 3.11 and make, nothing else installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo test lint docs pictures questions bench bench-full soak lock release clean
.DEFAULT_GOAL := help

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## virtual environment with the locked dependencies and streamer itself

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("streamer needs Python >= 3.11; run: make setup PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	@echo "setup: fetching the locked packages into $(VENV) (once, about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: setup ## watch sample events leave a real Kafka and arrive, each once, in a local Segment
	@$(BIN)/streamer demo

test: setup lint ## everything: linters, types, tests (under 10 minutes on 2 cores); JOBS=1: one test file at a time
	@$(BIN)/pytest --numprocesses $(or $(JOBS),3) --dist loadfile --no-loadscope-reorder

lint: setup ## ruff and mypy
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

docs: setup ## write the pages in docs/ and the dashboard, which are made from the code
	@$(BIN)/python -m streamer.devkit.docs
	@$(BIN)/python -m tools.dashboard

pictures: setup ## take the docs' pictures of the pages, with the system's Chromium
	@STREAMER_PICTURES=1 $(BIN)/pytest -q tests/browser

questions: setup ## ask the ten questions of docs/questions.md with RECORDS (1000000) on the topic, and write its outputs
	@STREAMER_QUESTIONS_RECORDS=$(or $(RECORDS),1000000) STREAMER_TRANSCRIPTS=1 $(BIN)/pytest -q tests/questions --durations=10 --timeout 1800

bench: setup ## what an event costs and how long it takes, in 4 minutes; options go into ARGS (ARGS=--help)
	@$(BIN)/python -m bench $(ARGS)

bench-full: setup ## the same for each dialect, backlog, partitions, integrations, receipts, a group, and over time: half an hour
	@$(BIN)/python -m bench --full $(ARGS)

soak: setup ## faults of all kinds for MINUTES (10), drawn with SEED, then KILLS (50): was every promise kept?
	@$(BIN)/python -m tests.faults.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))
	@STREAMER_TEST_KILLS=$(or $(KILLS),50) $(if $(SEED),STREAMER_TEST_SEED=$(SEED)) \
		$(BIN)/pytest -q -s tests/faults/test_kills.py tests/faults/inbound/test_kills.py

COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q

lock: setup ## compile the lock files again: Python packages from pyproject.toml, Kafka's jars
	@$(BIN)/python -m pip install --quiet uv
	@$(COMPILE) pyproject.toml --extra inbound --extra otel -o requirements.lock
	@$(COMPILE) pyproject.toml --extra demo --extra inbound --extra otel --group dev -o requirements-dev.lock
	@echo 'setuptools>=80' | $(COMPILE) - -o requirements-build.lock
	@$(BIN)/python -m streamer.devkit.broker.jars > jars.toml && mv jars.toml streamer/devkit/broker/

release: setup ## check, build, commit and tag VERSION=x.y.z; pushes and uploads nothing
	@$(BIN)/python -m tools.release "$(VERSION)"

clean: ## remove what the commands above made
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
