"""Whose run a page is of, and what a verdict's line says of the models behind it."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_output

from shapebook.notebooks import changes, notebook
from shapelib.errors import NoTokenizer, ShapelibError, WindowTooLong, advice, heard

ROOT = Path(__file__).parents[3]
PROFILES = ROOT / "notebooks" / "profiles.ipynb"
LONG = WindowTooLong(261, "mine", 128)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "params").glob("*.yml")), ids=lambda path: path.stem
)
def test_the_books_own_run_has_no_changes(path: Path):
    entry = yaml.safe_load(path.read_text())
    notebook = ROOT / "notebooks" / entry["notebook"]
    assert changes.changes(notebook, entry["parameters"]) == {}


def test_what_a_reader_changed_stands_beside_the_books():
    models = notebook.parameters(PROFILES)["models"]
    changed = changes.changes(PROFILES, {"models": ["mine"], "tokens": 16384, "batch": 4096})
    assert changed == {"models": (["mine"], models)}
    here = {"device": "cpu", "tokens": 16384, "batch": 4096}
    assert changes.changes(PROFILES, here) == {}, "where a page ran is not what it shows"
    assert changes.changes(PROFILES, {})["tokens"] == (4096, 16384)


def record(*models: dict[str, Any], verdict: str = "supported", **given: Any) -> dict[str, Any]:
    kept = {"title": "a bell", "verdict": verdict, "models": list(models), "beside": []}
    return {**kept, "would_test": "a larger model", **given}


def test_a_verdict_names_the_models_that_were_judged():
    first, second = ({"model": name, "word": "supported"} for name in "ab")
    small = {"model": "c", "word": "not testable here", "low": 0.1, "outside": "too small: 1"}
    assert changes.judged(record(first, second)) == "a bell: supported; judged: a, b"
    alone = changes.judged(record(first, small, beside=["one model alone"]))
    assert alone == "a bell: supported (one model alone); judged: a"
    nothing = changes.judged(record(small, verdict="not testable here"))
    assert nothing == "a bell: not testable here (too small); would test it: a larger model"
    none = changes.judged(record(verdict="not testable here"))
    assert none == "a bell: not testable here (no such model); would test it: a larger model"


def test_tables_kept_as_data_are_named_once():
    runs = [{"command": "python a.py", "seconds": None}, {"command": "python a.py", "seconds": 1.0}]
    output = new_output("display_data", {"text/plain": ""}, metadata={notebook.BORROWED: runs})
    page = new_notebook(cells=[new_code_cell("x", outputs=[output])])
    assert changes.commands(page) == ["python a.py"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, ": --window is its length, in what --unit says; about 37% of it would do"),
        ({"window": 512}, "counts characters and is 512; -p window=188 would do"),
        ({"window": 259, "unit": "tokens"}, "counts tokens and is 259; -p window=126 would do"),
        ({"points": 1}, "; this notebook has no parameter for it"),
    ],
)
def test_a_window_that_would_do_is_named(given: dict[str, Any] | None, said: str):
    assert said in advice(LONG, given)


def test_only_errors_of_a_kind_are_advised_on():
    assert "tokenizer.save_pretrained(FOLDER)" in advice(NoTokenizer("m has none"))
    assert advice(ShapelibError(str(LONG))) == advice(None) == ""


@pytest.mark.parametrize("error", [LONG, WindowTooLong(9, "a\nb", 8), NoTokenizer("m has none")])
def test_an_error_of_another_process_is_heard_with_its_fields(error: ShapelibError):
    found = heard(type(error).__name__, str(error))
    assert (type(found), vars(found), str(found)) == (type(error), vars(error), str(error))
    again = pickle.loads(pickle.dumps(error))
    assert (vars(again), str(again)) == (vars(error), str(error)), "and from a worker's pickle"
    assert heard("ValueError", str(error)) is None
