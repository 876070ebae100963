# Two commands on a fresh machine: `make demo` and `make test`. A second call reuses what the first installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.docs-installed

# Without compiled files every process that a test starts would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

# Whole files to each worker, so that what a file's tests share is made once, in the order of tests/conftest.py.
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test tests check lint types coverage docs notebooks release-check audit sbom format clean install

demo: $(INSTALLED)
	$(BIN)/recdistill demo

# mypy takes a minute of one processor, beside which the tests can begin.
test: lint
	$(MAKE) -j 2 types tests

tests: $(INSTALLED)
	$(BIN)/python -m pytest $(WORKERS)

check: lint types

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

coverage: $(INSTALLED)
	$(BIN)/python -m pytest $(WORKERS) --cov=recdistill --cov-branch --cov-report=term --cov-report=html

docs: $(DOCS_INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	$(BIN)/python docs/check_site.py build/site

notebooks: $(DOCS_INSTALLED)
	$(BIN)/python docs/run_notebooks.py

release-check: $(INSTALLED)
	BIN=$(BIN) tools/release-check.sh

# Licences by what the installed packages say; known vulnerabilities where pip-audit and a network are there.
audit: $(INSTALLED)
	$(BIN)/python tools/supply_chain.py audit

sbom: $(INSTALLED)
	mkdir -p dist
	$(BIN)/python tools/supply_chain.py sbom dist/recdistill.cdx.json

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(INSTALLED)

# pip compiles one file after another, for minutes; so what is imported is compiled at once by all processors afterwards.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-deps --no-compile
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests?/|/transformers/models/' $(VENV)/lib

# torch comes first and by its exact version, so that nothing below can pull another build of it. HASHES=no is for systems
# and Pythons whose files the lock does not know (CONTRIBUTING.md): the same versions, their files not compared.
$(INSTALLED): requirements-torch.lock requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -r requirements-torch.lock
ifeq ($(HASHES),no)
	grep -o '^[A-Za-z0-9_.-]*==[^ ]*' requirements.lock > $(VENV)/requirements.txt
	$(PIP_INSTALL) -r $(VENV)/requirements.txt
else
	$(PIP_INSTALL) --require-hashes -r requirements.lock
endif
	$(PIP_INSTALL) --no-build-isolation --editable .
	$(COMPILE) || true  # templates that are no Python; what is left is compiled when it is imported
	touch $@

# What only the site and the notebooks need; the tests do without.
$(DOCS_INSTALLED): $(INSTALLED) requirements-docs.lock
ifeq ($(HASHES),no)
	grep -o '^[A-Za-z0-9_.-]*==[^ ]*' requirements-docs.lock > $(VENV)/requirements-docs.txt
	$(PIP_INSTALL) -r $(VENV)/requirements-docs.txt
else
	$(PIP_INSTALL) --require-hashes -r requirements-docs.lock
endif
	touch $@

clean:
	rm -rf $(VENV) runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* htmlcov src/*.egg-info
