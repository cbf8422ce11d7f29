"""The library's own pages: examples run, the tour does what it says, the reference is whole."""

import contextlib
import doctest
import importlib
import io
import re
import sys
from pathlib import Path

import pytest

import shapelib

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "book" / "_extensions"))

# What needs a model, a text or a file is shown by the tour and the pages instead.
UNSHOWN = {
    "ShapeCallback", "ShapelibError", "__version__", "d90", "d90_search", "dimension_sweep",
    "fastfood", "generalization_bound", "judge", "load", "load_task", "load_corpus", "pool",
    "profile", "read_table", "recipe", "reparameterize", "sweep", "windows", "write_table",
}  # fmt: skip


@pytest.mark.parametrize("home", sorted(set(shapelib._HOME.values())))
def test_examples_run(home: str):
    module = importlib.import_module(f"shapelib.{home}")
    assert doctest.testmod(module).failed == 0


def test_every_measure_has_an_example():
    found = {name for name in shapelib.__all__ if ">>>" in (getattr(shapelib, name).__doc__ or "")}
    assert set(shapelib.__all__) - found <= UNSHOWN


def test_the_tour_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = (ROOT / "book" / "tour.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.S)[0]
    lines = code.strip().splitlines()
    assert len(lines) <= 20
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "tour.md", "exec"), {})
    promised = [re.search(r"# ([\d.]+)", line) for line in lines if line.startswith("print")]
    assert printed.getvalue().split() == [each[1] for each in promised if each]
    assert "<svg" in (tmp_path / "mine.svg").read_text()
    assert set(shapelib.read_table("mine.parquet")["tokens"]) == {"all", "rest"}


def test_the_reference_names_every_public_name():
    reference = importlib.import_module("public_names").reference()
    named = set(re.findall(r"^\.\. auto\w+:: shapelib\.(\w+)$", reference, re.M))
    assert named == set(shapelib.__all__) - {"__version__"}
    assert "autoexception:: shapelib.ShapelibError" in reference
    assert "autoclass:: shapelib.ShapeCallback" in reference
    assert importlib.import_module("public_names").PLACE in (ROOT / "book/api.rst").read_text()
