# Everything runs in .venv, which the first call of any target makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Bytecode is kept whatever the environment says: else each process compiles everything, and each worker of pytest rewrites every assertion.
export PYTHONDONTWRITEBYTECODE :=
# One more than there are processors: many tests wait for something.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PICTURES := chat-conversation-light-wide.png chat-conversation-dark-narrow.png admin-overview-light-wide.png admin-turn-failed-dark-wide.png
COMPILE = $(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11

.PHONY: run chat test pytest long slow lint conformance faults soak attack bench screenshots settings languages clean lock

run: $(VENV)/.run
	@$(BIN)/python -m gateway serve

chat: $(VENV)/.run
	@$(BIN)/python -m gateway chat

# Side by side, as mypy takes long and uses one processor.
test: $(VENV)/.dev
	@$(MAKE) --no-print-directory -j 2 pytest lint

pytest: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# What needs a browser or processes, but for one of each kind: tests/long.py.
long: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "long and not conformance and not slow"

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "slow or hypothesis" --hypothesis-profile thorough --timeout 600

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

conformance: $(VENV)/.dev
	$(BIN)/python -m pytest -m conformance tests/conformance

faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults.matrix

soak: $(VENV)/.dev
	$(BIN)/python -m tests.soak

attack: $(VENV)/.dev
	$(BIN)/python -m tests.attack

screenshots: $(VENV)/.dev
	$(BIN)/python -m tests.browser.screenshots .screenshots
	cp $(addprefix .screenshots/,$(PICTURES)) tests/browser/pictures/

settings: $(VENV)/.run
	$(BIN)/python -m gateway settings --write gateway/README.md

# Brings the sentences of the code into the catalogues; what is new there is to be translated.
languages: $(VENV)/.dev
	@$(BIN)/python -m tests.languages

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench

lock: $(VENV)/.dev
	$(BIN)/python -m pip install -q uv
	$(COMPILE) pyproject.toml --extra all -o requirements.txt
	$(COMPILE) pyproject.toml --extra all --group dev -c requirements.txt -o tests/requirements.txt

clean:
	rm -rf $(VENV) .screenshots .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Some systems ship Python without ensurepip: then the system's pip installs into the new environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making $(VENV) …"
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install -q pip; }

$(VENV)/.run: requirements.txt | $(BIN)/python
	@echo "Installing what the gateway needs …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: tests/requirements.txt | $(BIN)/python
	@echo "Installing what the gateway and its tests need …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r tests/requirements.txt
	@touch $@ $(VENV)/.run
