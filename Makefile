# The commands of a working day; `make` alone lists them. Everything runs from .venv, made on first use.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
CODE := csms charge_points_sim tests
ISSUER := tests/oidc
# The first Python that is new enough and can make environments.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help install lint format test demo bench docs lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## .venv with the locked dependencies and the project itself

# Made again only when the lock or the project's own table changes. The hashes in the lock are
# checked; the project is linked into .venv by the hatchling of the lock, so nothing unlocked is fetched.
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt install python3-venv)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

lint: install ## ruff and mypy --strict
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy --strict csms charge_points_sim

format: install ## let ruff write the layout
	$(BIN)/ruff check --fix -q $(CODE) || true
	$(BIN)/ruff format $(CODE)

# An issuer made by others, for tests of access; they are left out where there is no Node.js.
$(ISSUER)/node_modules: $(ISSUER)/package-lock.json
	@if command -v npm >/dev/null; then \
		cd $(ISSUER) && { npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch node_modules; } \
		|| { rm -rf node_modules; echo "oidc-provider cannot be fetched: its tests are left out"; }; \
	else echo "no npm here: the tests with oidc-provider are left out"; fi

test: install $(ISSUER)/node_modules ## the whole test suite (ARGS="-k name" for a part)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

demo: install ## real arrivals charged, paid, split and reported (KEEP=1 stays up, WHOLE=1 replays the whole file)
	@$(BIN)/python -m charge_points_sim.demo $(if $(KEEP),--keep) $(if $(WHOLE),--whole)

bench: install ## figures beside a stock server and the raw limit
	$(BIN)/python -m tests.benchmarks $(ARGS)

docs: install ## check the links of the documentation
	$(BIN)/python -m pytest tests/test_docs.py

lock: ## resolve the dependencies anew (needs pip-tools)
	pip-compile -q --extra test --generate-hashes --strip-extras --allow-unsafe --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-options -o requirements.lock pyproject.toml

clean: ## remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
