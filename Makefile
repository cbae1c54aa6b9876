# Works on a fresh Debian or Raspberry Pi OS with python3 and make: tools and libraries go into .venv, by hash.
# JOBS: tests side by side; those with real processes mostly wait, so more than there are cores.
PYTHON ?= python3
JOBS ?= 4
VENV := .venv
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
NODE := tests/grafana/types/node_modules/.package-lock.json
UV_LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock" --quiet

.DEFAULT_GOAL := help
.PHONY: help demo env up down check simulate test faults faults-full lint bench baseline lock

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(RUN) ## the whole system with a simulated house, nothing else installed (ARGS="--speed 60")
	$(VENV)/bin/python -m app demo $(ARGS)

env: ## write .env with fresh secrets, or add what a newer version needs; keeps what is there
	@$(PYTHON) scripts/env.py

up: ## build and start the stack (needs Docker with Compose 2)
	@test -f .env || $(PYTHON) scripts/env.py
	docker compose up -d --build

down: ## stop the stack; all data stays
	docker compose down

check: $(RUN) ## is config.yaml right?
	@$(VENV)/bin/python -m app check $(ARGS)

simulate: $(DEV) ## the control law beside those of others, in simulated houses (ARGS="--short", "--plot steps.png")
	@$(VENV)/bin/python -m app simulate $(ARGS)

test: $(DEV) $(if $(shell command -v npm 2>/dev/null),$(NODE)) ## every test that this machine can run; skipped ones say what is missing (ARGS="tests/control -x")
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

lint: $(DEV) ## style, format, types, dashboards
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python grafana/build.py --check

faults: $(DEV) ## break everything, and write what came of it into docs/reliability.md; minutes
	$(VENV)/bin/python -m scripts.faults $(ARGS)

faults-full: $(DEV) ## the same with what takes long: kills, floods, a month of faults, mutants of the core; over an hour
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-mutation.txt
	$(VENV)/bin/python -m scripts.faults --full $(ARGS)

bench: $(DEV) ## measure the controller (ARGS)
	$(VENV)/bin/python -m bench $(ARGS)

baseline: $(DEV) ## accept what the law does now: its figures, and every decision of the recorded lives
	$(VENV)/bin/python -m scripts.baseline
	$(VENV)/bin/python -m tests.control.lives

lock: ## pin every dependency again after a change in pyproject.toml (needs uv)
	$(UV_LOCK) --extra demo pyproject.toml -o requirements.txt
	$(UV_LOCK) --extra demo --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	$(UV_LOCK) --extra mutation -c requirements-dev.txt pyproject.toml -o requirements-mutation.txt

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Python 3.11 or newer is needed: make PYTHON=python3.13 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); echo "python3 cannot make a virtual environment; install it: sudo apt install python3-venv"; exit 1; }

$(RUN): requirements.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), once ..."
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@printf '#!/bin/sh\nPYTHONPATH="$(CURDIR)" exec "$(CURDIR)/$(VENV)/bin/python" -m app "$$@"\n' >$(VENV)/bin/zero-export
	@chmod +x $(VENV)/bin/zero-export
	@touch $@

$(DEV): requirements-dev.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

$(NODE): tests/grafana/types/package-lock.json # what is not there is skipped by the test, with its reason
	@cd tests/grafana/types && { npm ci --ignore-scripts --no-audit --no-fund --silent && touch node_modules/.package-lock.json; } || \
		echo "npm ci failed: the dashboards' types are not checked"
