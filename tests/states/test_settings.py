"""What a measurement is asked for has one place: Python, commands and notebooks take it there."""

import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shapelib
from shapebook.notebooks import notebook
from shapelib.cli import app
from shapelib.errors import ShapelibError
from shapelib.finetuning.settings import LEVEL, Tuning
from shapelib.states.settings import MEMORY, Measuring

ROOT = Path(__file__).parents[2]
PAGES = [*notebook.runs_of_book(ROOT)]
# What a command line calls otherwise.
CALLED = {"metrics": "metric"}


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    given = inspect.signature(function).parameters.items()
    known = {name: each.default for name, each in given if each.default is not each.empty}
    return {name: tuple(each) if isinstance(each, list) else each for name, each in known.items()}


@pytest.mark.parametrize("taken", [shapelib.profile, app.profile, app.sweep])
def test_a_measurement_has_the_same_defaults_everywhere(taken: Callable[..., Any]):
    found = defaults(taken)
    # A sweep takes several seeds.
    names = {each.name for each in dataclasses.fields(Measuring)} - ({"seed"} - {*found})
    for name in names:
        called = name if name in found else CALLED[name]
        assert found[called] == getattr(Measuring, name), name
    assert found["memory"] == MEMORY


def test_a_callback_measures_one_batch_and_else_the_same():
    found = defaults(shapelib.ShapeCallback)
    assert found["tokens"] == Measuring.batch
    for name in {"window", "unit", "batch", "seed", "metrics"}:
        assert found[name] == getattr(Measuring, name), name


def test_fine_tuning_has_the_same_defaults_everywhere():
    python, command = defaults(shapelib.dimension_sweep), defaults(app.d90)
    for each in dataclasses.fields(Tuning):
        value = getattr(Tuning, each.name)
        assert python[each.name] == value, each.name
        # A command makes fewer runs where nobody asks for more.
        if each.name not in ("methods", "inits"):
            text = ",".join(map(str, value)) if isinstance(value, tuple) else value
            assert command[each.name] == text, each.name
    assert {defaults(each)["level"] for each in (shapelib.d90, shapelib.d90_search, app.d90)} == {
        LEVEL
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_notebook_asks_for_can_be_asked_for(page: notebook.Run):
    """A parameter with the name of a setting is one: in a notebook, and in the book."""
    known = notebook.parameters(page.notebook)
    tuned = "dimensions" in known
    kind: Any = Tuning if tuned else Measuring
    names = {each.name for each in dataclasses.fields(kind)} & {*known}
    for given in (known, notebook.check(page.notebook, page.parameters)):
        asked = {name: given[name] for name in names}
        if not tuned:
            # Without a parameter for it all vectors are one batch.
            asked = {"batch": given.get("tokens", Measuring.batch), **asked}
        made = kind(**asked)
        for name, value in asked.items():
            there = getattr(made, name)
            assert there == (tuple(value) if isinstance(there, tuple) else value), name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"beginning": "yes"}, "beginning is 'yes'; None, True and False are accepted"),
        ({"tokens": 8192.0}, "tokens must be a whole number, got 8192.0"),
        ({"batch": True}, "batch must be a whole number, got True"),
        ({"batch": 3}, "batch must be at least 4 vectors, got 3"),
        ({"tokens": 100}, "one batch needs 4096 tokens, got tokens=100"),
        ({"sets": "all"}, r"sets must be different token sets, such as \('all', 'content'\)"),
        ({"sets": ["all", "most"]}, "no such token set: 'most'"),
        ({"metrics": "two_nn"}, "metrics must be a list of names"),
    ],
)
def test_what_cannot_be_measured_is_said_at_once(given: dict[str, Any], said: str):
    with pytest.raises(ShapelibError, match=said):
        Measuring(**given)


def test_settings_bring_nothing_heavy():
    code = (
        "import sys, shapelib.states.settings, shapelib.finetuning.settings\n"
        "print({'torch', 'numpy', 'pandas', 'transformers'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
