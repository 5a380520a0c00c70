# quickthaw: the one list of commands; CI calls only these.
#   make demo        what it is about, in five minutes
#   make help        all targets
# PYTHON=/path/to/python3 chooses the interpreter, CRIU=/path/to/criu another CRIU than the bundle's.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
CRIU ?=
VENV := .venv
BIN := $(VENV)/bin
BUILD := $(CURDIR)/build
STAMPS := build/.stamps
RUNTIMES := 3.11 3.12 3.13

# The developer's interpreters that bytecode is made for, when there are any besides PYTHON.
PYTHONS := $(PYTHON) python3.11 python3.12 python3.13 $(wildcard $(HOME)/.pyenv/versions/3.1[123].*/bin/python3)
LAYER_SOURCES = $(shell find layer -type f -not -path '*/__pycache__/*' -not -path 'layer/python/*' -not -name '*.o') \
	$(wildcard layer/python/quickthaw/*.py layer/python/quickthaw/snapshot/*.py layer/python/quickthaw/runtime/*.py)

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore

.PHONY: help setup check format test demo bench soak layer lock clean distclean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: $(STAMPS)/venv $(STAMPS)/layer $(RUNTIMES:%=build/runtime/%/.done) ## Install everything: .venv with quickthaw, the CRIU bundle, Lambda's runtime

check: setup ## Lint, formatting, types, and that the README and --help tell the truth
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/unit/docs

format: setup ## Format the code and apply safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: setup ## Run the tests; PYTEST_ARGS="-k name" picks some
	$(BIN)/pytest $(PYTEST_ARGS)

demo: setup ## Checkpoint the demo function, cold-start and thaw it in every mode, show what was won
	@$(BIN)/python -m quickthaw.bench.demo --out build/demo

bench: setup ## The demo's benchmark with more runs of each arm
	@$(BIN)/python -m quickthaw.bench.demo --out build/bench --runs 15

soak: setup ## Thaw the demo 100 times in each mode; every one must succeed
	@$(BIN)/python -m quickthaw.bench.demo --out build/soak --runs 100

layer: setup ## The Lambda layer in build/layer, and zipped as build/quickthaw-layer.zip
	@$(BIN)/python .ci/zip.py build/layer build/quickthaw-layer.zip

lock: $(STAMPS)/system ## Renew the locks: Python packages (requirements/), CRIU's packages (layer/criu)
	@[ -x build/lock/bin/uv ] || { $(PYTHON) -m venv build/lock && build/lock/bin/pip install -q uv; }
	@for pair in "--group dev pyproject.toml|dev.txt" "requirements/runtime.in|runtime.txt"; do \
	  build/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-annotate --no-header $${pair%|*} -o requirements/$${pair#*|}; done
	@PYTHONPATH=layer/criu $(PYTHON) -m bundle --renew --cache build/cache

clean: ## Remove what was built, but not what was downloaded
	find build -mindepth 1 -maxdepth 1 -not -name cache -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## Remove everything that is not in git's hands, downloads too
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- what setup is made of; each step leaves a stamp, so that a second call costs nothing -----------

$(STAMPS)/system: .ci/system
	@mkdir -p $(STAMPS)
	@.ci/system $(PYTHON)
	@touch $@

$(STAMPS)/venv: requirements/dev.txt pyproject.toml | $(STAMPS)/system
	@echo "setup: .venv with $$($(PYTHON) --version), locked packages"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --no-input --require-hashes --only-binary :all: -r requirements/dev.txt
	@$(BIN)/python -m pip install -qq --no-input --no-deps --no-build-isolation --no-index -e .
	@touch $@

build/runtime/%/.done: requirements/runtime.txt | $(STAMPS)/venv
	@echo "setup: Lambda's runtime interface client for Python $*"
	@rm -rf build/runtime/$*
	@$(BIN)/python -m pip install -qq --no-input --require-hashes --only-binary :all: --python-version $* \
	  --target build/runtime/$* -r requirements/runtime.txt
	@touch $@

$(STAMPS)/layer: $(LAYER_SOURCES) | $(STAMPS)/system
	@echo "setup: the layer in build/layer"
	@$(MAKE) -C layer build-QuickthawLayer ARTIFACTS_DIR=$(BUILD)/layer CACHE=$(BUILD)/cache \
	  PYTHON="$(PYTHON)" PYTHONS="$(PYTHONS)" CRIU="$(CRIU)"
	@touch $@
