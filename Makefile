# make book    every page run anew where stale, and the book rendered in _build/html
# make test    pytest and nbval, two processes side by side; ends with the slowest ten
# make stress  the same tests with the long lists that make test takes a fixed sample of
# make html    render the recorded pages without running anything
# make pdf     the recorded pages as one PDF, _build/html/shape-of-learning.pdf: needs Chromium or Chrome
# make record  keep a finished run: book/executed, and the verdict cells of notebooks/
# make bench   timings beside peers and physical limits; ends with every limit, and what holds it
# make papers FIG=fig2   a figure of the papers with the papers' own models: needs a model hub;
#              without FIG it lists them, and ARGS=--dry-run says what one takes
# make lint    ruff and mypy
# PYTHON is used only to make VENV; any Python from 3.11 on.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Python compiles what it imports, which is a part of what is installed; pip would compile all. It
# keeps that also where the environment says not to (images of containers do): each process, and a
# page is one, would else compile torch and transformers anew, longer than it imports them.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(PIP) install --no-compile --constraint constraints.txt
# GB that the environment takes, pip's unpacking included.
ROOM := 5

.DELETE_ON_ERROR:
.PHONY: book defaults test stress html pdf record bench papers lint clean

book: $(VENV)/.book
	$(BIN)/shapebook build

# As a reader who opens a notebook runs it: with its own parameters, which are short.
defaults: $(VENV)/.book
	$(BIN)/shapebook build --defaults

html: $(VENV)/.book
	$(BIN)/shapebook html

pdf: $(VENV)/.book
	$(BIN)/shapebook pdf

record: $(VENV)/.book
	$(BIN)/shapebook record

papers: $(VENV)/.book
	$(BIN)/shapebook papers $(FIG) $(ARGS)

# Notebooks are among the tests, and first, since they are the longest. Each of the two processes has
# a core: more threads would only wait for each other.
test stress: export OMP_NUM_THREADS = 1
# A process that a hanging test has ended (pyproject.toml) is not begun anew: it would hang again.
TESTS := $(BIN)/python -m pytest -n 2 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder --durations=10
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=600
test: $(VENV)/.test
	$(TESTS) $(NBVAL) notebooks tests

stress: $(VENV)/.test
	SHAPELIB_STRESS=1 $(TESTS) -o faulthandler_timeout=7200 tests

# commands.py is not among them: it makes the book and runs the tests in a clone of their own. What
# has a limit is told at the end, of this processor.
NOT_TIMED := $(addprefix benchmarks/,commands.py faults.py limits.py record.py)
bench: $(VENV)/.test
	for each in $(filter-out $(NOT_TIMED),$(wildcard benchmarks/*.py)) benchmarks/limits.py; do \
		$(BIN)/python $$each || exit 1; done

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf _build $(VENV)

# The stamps: what is installed is what these files ask for. Each is made only when all before it
# went well, so that a run that was interrupted is gone on with by the next.
OLD := import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] + \
	"; make book PYTHON=python3.11 takes another" if sys.version_info < (3, 11) else 0)
FULL := import shutil, sys; free = shutil.disk_usage(".").free / 1e9; sys.exit(f"the packages \
	take $(ROOM) GB, and {free:.1f} GB are left on this disk: free some" if free < $(ROOM) else 0)
OFFLINE := the package index does not answer, and nothing was installed. With a network, or with \
	PIP_INDEX_URL set to an index in reach, the same command goes on; pip config debug says what is set.
BROKEN := not everything was installed: pip says why above. The same command goes on from there.

# An environment that was half made has no pip that runs, and is made again.
$(VENV)/.made:
	@test -x $(BIN)/python || $(PYTHON) -c '$(OLD)'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -c '$(OLD)'
	@touch $@

# What any installation from here needs first is asked for first, and without patience.
$(VENV)/.book: $(VENV)/.made pyproject.toml constraints.txt
	@test -e $@ || $(BIN)/python -c '$(FULL)'
	@$(PIP) download --no-deps --retries 0 --timeout 10 --dest $(VENV)/.probe 'setuptools>=77' \
		>/dev/null 2>&1 || { echo '$(OFFLINE)' >&2; exit 1; }
	@rm -rf $(VENV)/.probe
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(INSTALL) --editable '.[models,book]' || { echo '$(BROKEN)' >&2; exit 1; }
	@touch $@

$(VENV)/.test: $(VENV)/.book
	@$(INSTALL) --editable '.[models,book,test]' || { echo '$(BROKEN)' >&2; exit 1; }
	@touch $@
