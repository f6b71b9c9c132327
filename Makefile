# make quickstart   a phantom X-ray study with a planted harm; ends by saying whether it was found
# make quickstart-brain   the same for the outlines of tumours in phantom brains
# make test         lint, types, tests and an install-only import
# make slow         tests of whole studies, notebooks, kills and the page in a browser, minutes more
# make docs         the site of docs/ and notebooks/ into site/; fails at every warning. Runs the notebooks
#                   that changed, a minute on 2 cores for all of them; NOTEBOOKS=0 leaves them without outputs
# All make their own environment in .venv from a bare Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder --durations=15

.PHONY: quickstart quickstart-brain test slow lint docs clean

$(VENV)/.installed: setup.py
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'fairrecon_jax needs Python 3.11 or newer: make PYTHON=python3.12 ...')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e .[test]
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e .[docs]
	touch $@

quickstart: $(VENV)/.installed
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m experiments.quickstart

quickstart-brain: $(VENV)/.installed
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m experiments.quickstart --study=brain

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(PYTEST) --programs=as_users -m "not slow"
	$(PYTEST) --programs=quick -m "not slow"
	$(PYTHON) .ci/import_check.py

slow: $(VENV)/.installed-test
	$(PYTEST) --programs=quick -m slow

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

clean:
	rm -rf $(VENV) build site *.egg-info
