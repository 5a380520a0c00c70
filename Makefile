# quickthaw: the one list of commands; CI calls only these. `make help` shows them.
#
# PYTHON=/path/to/python3 chooses the interpreter, CRIU=/path/to/criu another CRIU than the bundle's.
# What was once given holds until something else is given (CRIU= for the bundle's again), so that
# `make test` after `make setup PYTHON=...` does not set up everything anew with the default.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
BUILD := $(CURDIR)/build
STAMPS := build/.stamps

chosen = $(shell cat $(STAMPS)/choice-$(1) 2>/dev/null)
ifeq ($(origin PYTHON),undefined)
PYTHON := $(or $(call chosen,PYTHON),python3)
endif
ifeq ($(origin CRIU),undefined)
CRIU := $(call chosen,CRIU)
endif

# The emulator runs functions of these versions, when their interpreters are there.
RUNTIMES := 3.11 3.12 3.13
VERSION := $(or $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null),3.11)
PYTHONS := $(PYTHON) $(RUNTIMES:%=python%) $(wildcard $(RUNTIMES:%=$(HOME)/.pyenv/versions/%.*/bin/python3))
# Everything the layer is made of; what a build leaves behind in layer/native is not.
LAYER_SOURCES := $(shell find layer -path layer/python -prune -o -path layer/native/build -prune -o \
	-name __pycache__ -prune -o -type f -not -name '*.o' -print) \
	$(foreach room,. snapshot runtime runtime/renewal probe,$(wildcard layer/python/quickthaw/$(room)/*.py))

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore
PIP_INSTALL := $(BIN)/python -m pip install -qq --no-input

.PHONY: help setup check format test sam demo bench growth soak victims layer lock clean distclean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.done $(STAMPS)/layer $(RUNTIMES:%=build/runtime/%/.done) victims ## Install everything: .venv with quickthaw, the CRIU bundle, Lambda's runtime

check: setup ## Lint, formatting, types, and whether README and --help tell the truth
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/unit/docs

format: setup ## Format the code and apply the safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: setup ## Run the tests; PYTEST_ARGS="-k name" picks some
	$(BIN)/pytest $(PYTEST_ARGS)

sam: setup build/sam/venv/.done ## Build the SAM template for each runtime, freeze and thaw what was built; its sizes go into the README
	@.ci/sam

demo: setup ## Checkpoint the demo function, cold-start and thaw it in every mode, show what was won
	@$(BIN)/quickthaw demo --out build/demo

bench: setup ## The demo's benchmark with more runs, with a warm cache and a slow disk, and what else it costs; its figures go into the README
	@$(BIN)/quickthaw demo --out build/bench/warm -n 15 --publish handler/demo/bench/warm
	@$(BIN)/quickthaw demo --out build/bench/slow -n 7 --disk 60MB/s --publish handler/demo/bench/slow \
	  $(addprefix --arm ,cold criu-grow native-lz4 native-lazy native-hot)
	@$(BIN)/quickthaw costs --out build/bench/costs --publish handler/demo/bench
	@$(BIN)/python -m quickthaw.bench.figures

growth: setup ## Thaw snapshots of 20 to 800 MB in every native layout, and draw how time and memory grow
	@$(BIN)/quickthaw growth --out build/growth --publish handler/demo/bench
	@$(BIN)/python -m quickthaw.bench.figures

soak: setup $(RUNTIMES:%=build/victims/%/.done) ## Thaw the demo 1,000 times natively, 100 times in each mode of CRIU, 8 at once 200 times, every victim in every layout; none may fail
	@$(BIN)/quickthaw demo --out build/soak/native -n 334 --soak $(addprefix --arm native-,lz4 lazy hot)
	@$(BIN)/quickthaw demo --out build/soak/criu -n 100 --soak $(addprefix --arm criu-,plain sync async grow stream)
	@$(BIN)/quickthaw demo --out build/soak/crowd -n 200 --crowd 8 --arm criu-grow $(addprefix --arm native-,lz4 lazy hot)
	@VICTIMS=all $(BIN)/pytest -q tests/integration/victims

victims: build/victims/$(VERSION)/.done ## Install the libraries that tests/victims/functions hold state of

layer: $(STAMPS)/layer ## Make the Lambda layer in build/layer
	@du -sb build/layer | awk '{ printf "build/layer: %.1f MB\n", $$1 / 1e6 }'

lock: $(STAMPS)/system ## Renew the locks: Python packages (requirements/), CRIU's packages (layer/criu)
	@[ -x build/lock/bin/uv ] || { $(PYTHON) -m venv build/lock && build/lock/bin/pip install -qq uv; }
	@for pair in "--group dev pyproject.toml|dev.txt" "requirements/runtime.in|runtime.txt" "requirements/sam.in|sam.txt" \
	  "requirements/victims.in|victims.txt"; do \
	  build/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-annotate --no-header $${pair%|*} -o requirements/$${pair#*|}; done
	@PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=layer/criu $(PYTHON) -m bundle --renew --cache build/cache

clean: ## Remove what was built; .venv and downloads stay
	find build -mindepth 1 -maxdepth 1 -not -name cache -exec rm -rf {} +

distclean: ## Remove everything that git does not hold, downloads too
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- what setup is made of; each step leaves a stamp, so that a second call costs nothing -----------

.PHONY: always
$(STAMPS)/choice-%: always
	@mkdir -p $(STAMPS)
	@[ -e $@ ] && [ "$$(cat $@)" = '$($*)' ] || echo '$($*)' >$@

$(STAMPS)/system: .ci/system $(STAMPS)/choice-PYTHON
	@.ci/system $(PYTHON)
	@touch $@

$(VENV)/.done: requirements/dev.txt pyproject.toml $(STAMPS)/choice-PYTHON | $(STAMPS)/system
	@echo "setup: .venv with $$($(PYTHON) --version) and the locked packages (about a minute)"
	@[ $@ -nt $(STAMPS)/choice-PYTHON ] || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements/dev.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --no-index -e .
	@touch $@

build/runtime/%/.done: requirements/runtime.txt | $(VENV)/.done
	@echo "setup: Lambda's runtime interface client for Python $*"
	@rm -rf build/runtime/$*
	@$(PIP_INSTALL) --no-compile --require-hashes --only-binary :all: --python-version $* --target build/runtime/$* \
	  -r requirements/runtime.txt
	@touch $@

# Without the test suites that some bring. Byte code by the interpreter that will read it: a function's
# directory is read-only, and without each start would compile for seconds.
build/victims/%/.done: requirements/victims.txt | $(VENV)/.done
	@echo "setup: libraries of the tests' functions for Python $* (about a minute, 900 MB)"
	@rm -rf build/victims/$*
	@$(PIP_INSTALL) --no-compile --require-hashes --only-binary :all: --python-version $* --target build/victims/$* \
	  -r requirements/victims.txt
	@find build/victims/$* -type d -name tests -prune -exec rm -rf {} +
	@$(firstword $(if $(filter $*,$(VERSION)),$(PYTHON)) $(wildcard $(HOME)/.pyenv/versions/$*.*/bin/python3) python$*) \
	  -I -m compileall -q -j 2 --invalidation-mode unchecked-hash build/victims/$* >/dev/null || true  # some are templates
	@chmod -R go+rX build/victims/$*
	@touch $@

build/sam/venv/.done: requirements/sam.txt | $(VENV)/.done
	@echo "sam: aws-sam-cli and cfn-lint in build/sam/venv (about a minute, 340 MB)"
	@$(BIN)/python -m venv --clear build/sam/venv
	@build/sam/venv/bin/python -m pip install -qq --no-input --no-deps --only-binary :all: --require-hashes -r requirements/sam.txt
	@touch $@

$(STAMPS)/layer: $(LAYER_SOURCES) $(STAMPS)/choice-CRIU | $(STAMPS)/system
	@echo "setup: the layer in build/layer"
	@flock $(STAMPS) $(MAKE) -C layer build-QuickthawLayer ARTIFACTS_DIR=$(BUILD)/layer CACHE=$(BUILD)/cache NATIVE_OUT=$(BUILD)/native \
	  PYTHON="$(PYTHON)" PYTHONS="$(PYTHONS)" CRIU="$(CRIU)"
	@touch $@
