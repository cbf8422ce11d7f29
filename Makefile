# make book    every page run anew where stale, and the book rendered in _build/html
# make test    pytest and nbval
# make html    render the recorded pages without running anything
# make record  keep a finished run: book/executed, and the verdict cells of notebooks/
# make bench   timings beside peers and physical limits
# make lint    ruff and mypy
# PYTHON is used only to make .venv; any Python from 3.11 on.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DELETE_ON_ERROR:
.PHONY: book test html record bench lint clean

book: .venv/.book
	$(BIN)/shapebook build

html: .venv/.book
	$(BIN)/shapebook html

record: .venv/.book
	$(BIN)/shapebook record

test: .venv/.test
	$(BIN)/python -m pytest
	$(BIN)/python -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=600 notebooks

bench: .venv/.test
	for each in benchmarks/*.py; do $(BIN)/python $$each || exit 1; done

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf _build .venv

# The stamps: what is installed is what these files ask for.
.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/.book: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing into .venv (a few minutes the first time)"
	$(PIP) --editable '.[models,book]'
	@touch $@

.venv/.test: .venv/.book
	$(PIP) --editable '.[models,book,test]'
	@touch $@
