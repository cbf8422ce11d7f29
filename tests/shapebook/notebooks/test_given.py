"""A parameter on a command line is what papermill would make of it, and of its default's type."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stress import often

from shapebook.notebooks import notebook as notebooks
from shapebook.notebooks.given import finite, plain, value_of
from shapebook.run import assignments
from shapelib.errors import ShapelibError


def papermills(text: str) -> Any:
    from papermill.cli import _resolve_type

    return _resolve_type(text)


WORDS = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"[-+]?[0-9_]{1,6}([.:][0-9]{1,3})?(e[-+]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(["True", "False", "None", "NO", "yes", "on", "~", "null", "1e-3", "010", "0x1F",
                     "1:30", "2020-01-01", "nan", "inf", "1_000", "٣", " 7", "0o10"]),
)  # fmt: skip


@settings(max_examples=often(100, 10_000))
@given(WORDS)
@example("010")
@example("1:30")
def test_a_word_is_what_papermill_makes_of_it(text: str):
    ours, theirs = plain(text), papermills(text)
    assert type(ours) is type(theirs)
    assert ours == theirs or ours != ours
    if text.lstrip()[:1] not in ("[", "{"):
        assert repr(value_of(text)) == repr(theirs)


@pytest.mark.parametrize(
    ("text", "default", "expected"),
    [
        ("010", 2, 10), ("1e-3", 0.5, 0.001), ("3", 0.5, 3), ("True", False, True),
        ("true", False, True), ("false", True, False),
        ("NO", "x", "NO"), ("1:30", "x", "1:30"), ("010", "x", "010"), ("", "x", ""),
        ("None", "x", "None"), ("None", None, None), ("010", None, 10),
        ("[010, NO, 1e-3]", [1], [10, "NO", 0.001]),
        ("[true, null, '010']", [1], [True, None, "010"]),
        ("[010, NO, null]", ["a"], ["010", "NO", "null"]), ('["a", "b"]', ["c"], ["a", "b"]),
        ('["a\x85b", "\x7f"]', ["a"], ["a\x85b", "\x7f"]), ('["1", 1, 1e-3, true]', ["a"],
         ["1", "1", "1e-3", "true"]), ('{"a": [null]}', {"a": "b"}, {"a": ["null"]}),
        ("{a: 010}", {"a": 1}, {"a": 10}), ("[1, 2]", None, [1, 2]), ("a", ["b"], "a"),
    ],
)  # fmt: skip
def test_the_type_of_the_default_decides(text: str, default: Any, expected: Any):
    found = value_of(text, default)
    assert found == expected
    assert type(found) is type(expected)


@settings(max_examples=often(100, 10_000))
@given(st.text(max_size=30), st.sampled_from([[1], ["a"], {"a": 1}, None, 1, 0.5, "x", True]))
def test_no_text_ends_in_another_error(text: str, default: Any):
    said = repr(text)
    try:
        value_of(text, default)
    except ShapelibError as error:
        said = str(error)
    assert repr(text) in said


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inside: st.lists(inside, max_size=3)
    | st.dictionaries(st.text(min_size=1, max_size=5), inside, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=often(100, 10_000))
@given(st.lists(VALUES, max_size=3) | st.dictionaries(st.text(max_size=5), VALUES, max_size=3))
def test_a_value_written_as_json_is_that_value(value: Any):
    """By any default that is no text, and as one word of the command line."""
    text = json.dumps(value, ensure_ascii=False)
    for default in (None, [1], {"a": 1}):
        found = value_of(text, default)
        assert repr(found) == repr(value)
    assert repr(assignments([f"x={text}"], {"x": [1]})["x"]) == repr(value)


def test_no_object_is_made_of_a_list():
    """YAML can name Python objects to call; nothing here does."""
    for text in ("[!!python/object/apply:os.getcwd []]", "!!python/name:os.getcwd"):
        with pytest.raises(ShapelibError, match="is not a list or mapping in YAML"):
            value_of(text, [1])


def test_what_is_not_finite_is_refused(tmp_path: Path):
    import nbformat

    notebook = nbformat.v4.new_notebook()
    cell = nbformat.v4.new_code_cell("rate = 0.5\nrates = [0.5]", metadata={"tags": ["parameters"]})
    notebook.cells = [cell]
    path = tmp_path / "n.ipynb"
    nbformat.write(notebook, path)
    known = notebooks.parameters(path)
    given = assignments(["rate=1e-3", "rates=[1e-3, 010]"], known)
    assert notebooks.check(path, given) == {"rate": 0.001, "rates": [0.001, 10]}
    for wrong in ("rate=nan", "rate=inf", "rates=[1.0, inf]"):
        with pytest.raises(ShapelibError, match="is not finite; accepted"):
            notebooks.check(path, assignments([wrong], known))
    assert finite({"a": [1, 2.5, "x"]})
    assert not finite({"a": [float("nan")]})


def test_the_same_as_papermill_runs_it(tmp_path: Path):
    """Both commands on one notebook, which prints what it got."""
    import nbformat

    notebook = nbformat.v4.new_notebook()
    source = "layer = 1\nrate = 0.5\nname = 'x'\nat = None"
    notebook.cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("layer, rate, name, at"),
    ]
    path = tmp_path / "n.ipynb"
    nbformat.write(notebook, path)
    asked = {"layer": "010", "rate": "1e-3", "name": "NO", "at": "1:30"}
    given = assignments(
        [f"{name}={text}" for name, text in asked.items()], notebooks.parameters(path)
    )
    words = [word for name, text in asked.items() for word in ("-p", name, text)]
    command = [sys.executable, "-m", "papermill", str(path), str(tmp_path / "out.ipynb"), *words]
    command += ["--prepare-only", "-k", "python3", "-l", "python"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    injected = next(
        each for each in theirs.cells if "injected-parameters" in each.metadata.get("tags", [])
    )
    assert notebooks.assignments(injected.source) == given
    assert given == {"layer": 10, "rate": 0.001, "name": "NO", "at": "1:30"}
