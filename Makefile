# Tillgate. `make run` plays the tour and serves; `make test` runs the whole suite; `make check` is "may I commit?".
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-cache-dir --quiet
LOCKS := requirements/build.lock requirements/all.lock
# Most tests wait for servers and schedules: more of them than cores. A file, or what -k names, runs in
# one process: each of four would collect every test first.
JOBS ?= $(if $(findstring .py,$(ARGS))$(filter -k%,$(ARGS)),0,4)
READY := $(VENV)/.ready
SOURCES := $(wildcard gateway adapters security reconciliation sandbox loadtests tests)
.DEFAULT_GOAL := help
# Images set it; each of the hundreds of processes of a test run would compile the tree anew.
unexport PYTHONDONTWRITEBYTECODE

$(READY): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tillgate needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "could not make a virtual environment: on Debian, install the package python3-venv"; exit 1; }
	@echo "installing the pinned packages into $(VENV) (about a minute the first time) ..."
	@$(PIP) install --require-hashes -r requirements/build.lock
	@$(PIP) install --require-hashes --no-build-isolation -r requirements/all.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(READY)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## the virtual environment with the pinned packages

.PHONY: run
run: $(READY) ## embedded servers, sandbox, gateway and the tour; then serves. ONCE=1 ends after the tour
	@$(VENV)/bin/tillgate dev $(if $(ONCE),--once) $(ARGS)

.PHONY: test
test: $(READY) ## all tests, or those named: make test ARGS="tests/unit/test_money.py". None may skip unlisted
	@$(PY) -m pytest -p tests.skips -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: format
format: $(READY) ## rewrite the files as the formatter wants them
	@$(VENV)/bin/ruff check --fix --quiet .
	@$(VENV)/bin/ruff format --quiet .

.PHONY: lint
lint: $(READY) ## format, lint, types, import direction, tidiness; changes nothing
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy $(SOURCES)
	@$(VENV)/bin/lint-imports
	@$(PY) -m pytest tests/tidy

.PHONY: check
check: ## lint and test: may I commit?
	@.ci/run

.PHONY: proof
proof: $(READY) ## the promises under fire: killed processes, lying channels, simulated worlds
	@PROOF_SCALE=$${PROOF_SCALE:-5} TILLGATE_SEEDS=$${TILLGATE_SEEDS:-2000} $(PY) -m pytest tests/conformance tests/adversity tests/simulation $(ARGS)

.PHONY: load
load: $(READY) ## lunch rush with locust, ended by the money audit. Its page: make load ARGS=--web
	@$(PY) -m loadtests.rush $(ARGS)

.PHONY: drill
drill: $(READY) ## one of three accounts goes dark for a minute under load: make drill ARGS="--how hang --redis killed"
	@$(PY) -m loadtests.failover --check $(ARGS)

.PHONY: bench
bench: $(READY) ## payments a second and CPU a payment, beside the floor measured in the same run
	@$(PY) -m loadtests.bench $(ARGS)

.PHONY: new-channel
new-channel: $(READY) ## the two folders of a new channel: make new-channel NAME=somepay
	@test -n "$(NAME)" || { echo 'name the channel: make new-channel NAME=somepay'; exit 1; }
	@$(PY) -m adapters.new_channel $(NAME)

COMPILE := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11

.PHONY: lock
lock: ## resolve the pinned packages anew, with uv in a throwaway environment
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(PYTHON) -m venv "$$folder"; \
	"$$folder/bin/python" -m pip --disable-pip-version-check --quiet install uv; \
	PATH="$$folder/bin:$$PATH"; export PATH; \
	$(COMPILE) requirements/build.in -o requirements/build.lock; \
	$(COMPILE) --all-extras -c requirements/build.lock pyproject.toml -o requirements/all.lock; \
	$(COMPILE) -c requirements/all.lock pyproject.toml -o requirements/runtime.lock

.PHONY: supply-chain
supply-chain: ## the image's packages as build/sbom.json, and the advisories against them
	@PYTHON=$(PYTHON) .ci/supply_chain

.PHONY: clean
clean: ## data of `make run` and caches; refused while it runs. The virtual environment stays
	@[ ! -x $(VENV)/bin/tillgate ] || $(VENV)/bin/tillgate stop >/dev/null
	@if [ -f .tillgate-where ]; then \
	  folder=$$(cat .tillgate-where); \
	  case "$$folder" in /*/tillgate-*) rm -rf -- "$$folder" ;; esac; \
	fi
	@rm -rf .tillgate .tillgate-where .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
