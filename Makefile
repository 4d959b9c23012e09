# make demo | stop | platform | platform-stop | clean | quick | test | test-installation | check | bench | help
# It needs git, GNU make, and Python 3.11 or newer (with venv) or uv. Everything it installs stays in
# .venv/ and .tools/, from the committed uv.lock.

.DEFAULT_GOAL := help
.PHONY: demo platform platform-stop stop clean quick test test-installation check bench help

UV := $(or $(shell command -v uv 2>/dev/null),.tools/uv/bin/uv)
PYTHON := .venv/bin/python
PYTEST_OPTIONS := --dist loadgroup --durations 60 --durations-min 10
# Stores and servers of tests are in memory where it has room (they take half a gigabyte): a disk costs a sixth more.
IN_MEMORY := $(shell [ "$$(df --output=avail --block-size=1G /dev/shm 2>/dev/null | tail -n 1)" -ge 8 ] 2>/dev/null && echo TMPDIR=/dev/shm)
# The environment is here, whatever the caller's shell says.
export UV_PROJECT_ENVIRONMENT := .venv
unexport VIRTUAL_ENV
# Without compiled modules each program here starts twice as slowly.
unexport PYTHONDONTWRITEBYTECODE

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.run ## from nothing to a proven backup in the Prefect UI, on 127.0.0.1
	@$(PYTHON) -m demo.up

stop: ## end what `make demo` started and keep its data
	@if [ -d .demo ]; then $(MAKE) --silent --no-print-directory .venv/.run && $(PYTHON) -m demo.stop; else echo "There is no demo here."; fi

platform: .venv/.dev ## the whole compose platform on this machine: deployed, updated, rolled back in the Prefect UI
	@$(PYTHON) -m demo.platform

platform-stop: ## take away what `make platform` started and keep its data
	@if [ -d .platform ]; then $(PYTHON) -m demo.platform stop; else echo "There is no platform here."; fi

clean: ## end the demo and the platform and remove all they made
	@if [ -d .platform ]; then $(PYTHON) -m demo.platform clean; fi
	@if [ -d .demo ]; then $(MAKE) --silent --no-print-directory .venv/.run && $(PYTHON) -m demo.clean; else echo "There is no demo here."; fi

# Each test is in one of the two halves, and `.ci/run` runs both. Four tests of the first at a time leave two cores 3 % idle;
# a platform's containers leave nothing with two.
test: .venv/.dev ## the tests of databases, stores, hosts and the shell, on real servers
	@$(IN_MEMORY) $(PYTHON) -m pytest -n 4 -m "not installation" $(PYTEST_OPTIONS)

test-installation: .venv/.dev ## the tests that start Prefect, containers, Kubernetes or the demo
	@$(PYTHON) -m pytest -n 2 -m installation $(PYTEST_OPTIONS)

quick: check ## while you change a line: the static gate and the tests that start no server
	@$(IN_MEMORY) PLATFORM_OPS_QUICK_TESTS=1 $(PYTHON) -m pytest -n 3 -m "not installation" --dist loadgroup -r fE -q

check: .venv/.dev ## the static gate: format, lint, types, import arrows
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: .venv/.dev ## measure; writes bench/results.json
	@$(PYTHON) -m bench

# A stamp is written after a whole installation only, so that a killed one is done again.
.venv/.run: pyproject.toml uv.lock | $(UV)
	$(UV) sync --locked --no-dev --inexact
	@touch $@

.venv/.dev: pyproject.toml uv.lock | $(UV)
	$(UV) sync --locked
	@touch $@ .venv/.run

.tools/uv/bin/uv:
	@for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	  if $$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then python=$$each; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "platform-ops needs Python 3.11 or newer on PATH (this machine has: $$(python3 --version 2>/dev/null || echo none)); install one, or install uv." >&2; exit 2; \
	fi; \
	if ! $$python -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	  echo "$$($$python --version) lacks its venv module; install it (Debian and Ubuntu: the package python3-venv), or install uv." >&2; exit 2; \
	fi; \
	echo "Installing uv into .tools/uv/"; \
	$$python -m venv .tools/uv && .tools/uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
