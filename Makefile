# Everything a newcomer needs: `make help`. All of it runs in .venv, which `make setup` creates once.

PYTHON ?= python3
ARGS ?=
WORKERS ?= auto
BIN := .venv/bin
INSTALLED := .venv/.installed
BEAM := .venv-beam
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq

CHECK_PYTHON := import sys; (3, 11) <= sys.version_info < (3, 14) or \
	sys.exit("gmsdi_jax needs Python 3.11 to 3.13, this one is %d.%d: \
	name another, as in make setup PYTHON=python3.12" % sys.version_info[:2])

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-beam oracles reliability lint format clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(INSTALLED)  ## create .venv with everything in it (once)

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { \
		echo "$(PYTHON) is not on this machine: install Python 3.11 to 3.13," \
			"or name it, as in make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c '$(CHECK_PYTHON)'
	@echo "installing into .venv: a few minutes and 1.5 GB, once" >&2
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(PIP) install -c constraints.txt -e ".[demo,dev]"
	@touch $@

demo: setup  ## separate the example song and listen to the result
	@$(BIN)/python examples/demo.py $(ARGS)

test: setup  ## the fast tests, on the CPU; ARGS="-k name" picks some
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile $(ARGS)

test-slow: setup  ## the tests that take minutes
	@$(BIN)/python -m pytest -q --slow -m slow $(ARGS)

test-beam: $(BEAM)/.installed  ## preparation as a Beam job, in .venv-beam (created once)
	@$(BEAM)/bin/python -m pytest -q tests/data_pipelines/test_beam.py $(ARGS)

# Without constraints.txt: apache-beam needs older protobuf and pyarrow than it pins.
$(BEAM)/.installed: pyproject.toml
	@$(PYTHON) -c '$(CHECK_PYTHON)'
	@echo "installing into $(BEAM): a few minutes, once" >&2
	@test -x $(BEAM)/bin/pip || $(PYTHON) -m venv $(BEAM)
	@$(BEAM)/bin/python -m pip --disable-pip-version-check --no-input -qq \
		install -e ".[beam]" pytest pytest-timeout
	@touch $@

oracles: setup  ## every separator against closed forms, on the CPU; writes docs/oracles.md
	@JAX_PLATFORMS=cpu PYTHONPATH=tests $(BIN)/python -m oracles

reliability: setup  ## real trainings through what breaks them; writes docs/reliability.md
	@JAX_PLATFORMS=cpu PYTHONPATH=tests $(BIN)/python -m reliability $(ARGS)

lint: setup  ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

format: setup  ## mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:  ## remove environments, caches and build artefacts; results stay
	@rm -rf .venv $(BEAM) build dist .pytest_cache .ruff_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
