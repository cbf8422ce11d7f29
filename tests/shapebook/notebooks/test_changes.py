"""Whose run a page is of, and what a verdict's line says of the models behind it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_output

from shapebook.notebooks import changes, notebook
from shapelib.errors import advice

ROOT = Path(__file__).parents[3]
PROFILES = ROOT / "notebooks" / "profiles.ipynb"
LONG = "a window has 261 tokens, but mine reads at most 128; use a shorter window"


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


def record(*models: dict[str, Any], verdict: str = "holds in part") -> dict[str, Any]:
    return {"title": "a bell", "verdict": verdict, "models": list(models)}


def test_a_verdict_names_the_models_that_were_judged():
    met, failed = ({"model": name, "statistic": 1.0, "met": name == "a"} for name in "ab")
    untested = {"model": "c", "statistic": None, "met": False}
    assert changes.judged(record(met, failed)) == "a bell: holds in part (judged: a, b)"
    alone = changes.judged(record(met, untested))
    assert alone.startswith("a bell: holds in part (judged: a, c); one model is no class")
    assert changes.judged(record(verdict="not testable here")) == "a bell: not testable here"


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
    advised = advice(LONG, given)
    assert said in advised
    assert advice(LONG + advised) == "", "nothing is advised twice"


def test_a_missing_tokenizer_is_told_from_what_it_gives():
    for ids in ("[]", "[1, 1]"):
        message = f"m: its tokenizer gives {ids} for 'The quick fox.'"
        assert "tokenizer.save_pretrained(FOLDER)" in advice(message)
        assert advice(message + advice(message)) == ""
    assert advice("something else") == ""
