# Needs Python 3.11 to 3.13 and make; everything else is fetched or built the first time.
#
#   make demo    a cluster on this machine, four certificates, two load balancer nodes (ARGS=--exit)
#   make test    unit and integration tests (ARGS="tests/unit -k queue")
#   make faults  breaks things on purpose, by a seed, and looks from outside (ARGS="--minutes 60")
#   make docs    the pages that are made from the source (docs/generate.py)
#   make lint    ruff, mypy and the directions of imports
#   make bench   measures (benchmarks/)
#   make manifests    deploy/, and the copy of crds/ in the chart
#   make build   the wheel and the source archive, in dist/
#   make requirements    pins the dependencies of pyproject.toml again

SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: demo test lint docs faults bench manifests build requirements venv clean

suits := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(or $(firstword $(foreach each,python3 python3.13 python3.12 python3.11,$\
    $(shell $(each) -c '$(suits)' 2>/dev/null && echo $(each)))),python3)
VENV ?= .venv
ARGS ?=
TESTS ?= tests

# The name of the stamp holds the content of what the environment is made from, and which Python.
pinned := requirements/runtime.txt requirements/dev.txt
digest := $(shell { cat $(pinned); $(PYTHON) -VV; } 2>/dev/null | cksum | cut -d ' ' -f 1)
stamp := $(VENV)/.ready-$(digest)
bin := $(VENV)/bin

demo: venv
	@$(bin)/python -m sandbox.demo $(ARGS)

# The tests of a file stay in one of the two processes, where they share a sandbox. (By file and not
# by group: pytest-xdist 3.8 loses its groups with pytest 9.2.)
test: venv
	@$(bin)/python -m sandbox build
	@echo "make test: unit tests, then integration tests on real processes"
	@$(bin)/python -m pytest -n 2 --dist loadfile $(or $(ARGS),$(TESTS))

lint: venv
	@echo "make lint: ruff, mypy, import-linter"
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/lint-imports

docs: venv
	@$(bin)/python docs/generate.py

faults: venv
	@$(bin)/python -m sandbox build
	@$(bin)/python -m tests.faults $(ARGS)

bench: venv
	@$(bin)/python -m sandbox build
	@$(bin)/python -m benchmarks $(if $(N),-n $(N)) $(ARGS)

manifests: venv
	@$(bin)/python charts/render.py

build: venv
	@$(bin)/python -m hatchling build

requirements: venv
	@echo "make requirements: pinning again with pip-tools, some minutes"
	@rm -rf $(VENV)/pip-tools && $(PYTHON) -m venv $(VENV)/pip-tools
	@$(VENV)/pip-tools/bin/python -m pip install --quiet pip-tools==7.6.2
	@$(VENV)/pip-tools/bin/python requirements/compile.py

venv: $(stamp)

$(stamp): $(pinned)
	@$(PYTHON) -c '$(suits)' || { echo "certfront needs Python 3.11, 3.12 or 3.13 (make PYTHON=…)" >&2; exit 1; }
	@echo "make: preparing $(VENV) from requirements/dev.txt (first time, or they changed; one to two minutes)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(bin)/python -m pip install --disable-pip-version-check --progress-bar off --require-hashes -r requirements/dev.txt
	@$(bin)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	@rm -rf $(VENV) dist build
