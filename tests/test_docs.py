"""The library's own pages: examples run, the tour does what it says, the reference is whole."""

import contextlib
import doctest
import importlib
import inspect
import io
import re
import sys
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import shapelib
from shapebook import judge

ROOT = Path(__file__).parent.parent
API = ROOT / "book" / "api.rst"
TOUR = (ROOT / "book" / "tour.md").read_text()
sys.path.insert(0, str(ROOT / "book" / "_extensions"))
reference: ModuleType = importlib.import_module("public_names")
NAMES = [name for names in reference.tasks(API.read_text()).values() for name in names]
FUNCTIONS = [name for name in NAMES if inspect.isfunction(reference.value(name))]
RESULTS = [name for name in NAMES if reference.is_result(name)]
TASKS = [
    "Measure a model", "Measure any matrix", "The dimension along scale", "Who the neighbours are",
    "Which vectors carry it", "Many models", "Training", "Fine-tuning dimension", "Claims",
    "Figures", "Data and files",
]  # fmt: skip
# Where a name is defined, whatever face it is imported from.
HOMES = {getattr(reference.value(name), "__module__", "shapelib") for name in NAMES}
KEPT = ("training/shape.parquet", "training/training.parquet", "tuning/tuning.parquet")


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("home", sorted(HOMES))
def test_examples_run(home: str):
    assert doctest.testmod(importlib.import_module(home)).failed == 0


def test_examples_of_the_reference_run():
    found = doctest.testfile(str(API), module_relative=False)
    assert found.failed == 0
    assert found.attempted > 0


def test_every_public_name_has_an_example():
    """One that runs; or, for what needs a model, lines to copy."""
    page = API.read_text()
    for name in set(shapelib.__all__) - {"__version__"}:
        words = getattr(shapelib, name).__doc__ or ""
        assert ">>>" in words or re.search(r"::\n\n +.*", words) or f"{name}(" in page, name


def test_examples_hold_no_markup():
    """A word in backticks becomes a link, which code would show as it is written."""
    for name in NAMES:
        words = reference.documented(name)
        examples = re.findall(r"^(?:>>>|\.\.\.) .+", words, re.M)
        for code in [*examples, *re.findall(r"::\n\n((?:(?: {4}.*)?\n)+)", words)]:
            assert "`" not in code, f"{name}: {code}"


# ---- the reference


def test_the_reference_lists_every_public_name():
    assert set(shapelib.__all__) - set(NAMES) == set()
    assert len(NAMES) == len(set(NAMES))
    page = reference.reference(API.read_text())
    shown = re.findall(r"^\.\. auto(\w+):: (shape(?:lib|book)[\w.]*)::(\w+)$", page, re.M)
    assert {f"{module}.{name}" for _, module, name in shown} == {*map(reference.full, NAMES)}
    kinds = {name: kind for kind, _, name in shown}
    assert kinds["ShapelibError"] == "exception"
    assert kinds["ShapeCallback"] == kinds["Pool"] == "class"
    assert kinds["__version__"] == "data"
    assert "{names" not in page


def test_the_table_by_task_links_every_name_with_its_first_sentence():
    listed = reference.tasks(API.read_text())
    table = reference.by_task(listed)
    rows = re.findall(r"^   \* - :py:obj:`(\S+) <(\S+)>`\n     - (.+)$", table, re.M)
    assert {name for name, _, _ in rows} == set(NAMES) - set(RESULTS) >= set(shapelib.__all__)
    for name, target, sentence in rows:
        assert target == reference.full(name)
        plain = re.sub(r":py:obj:`(\S+) <\S+>`", r"`\1`", sentence)
        assert plain == " ".join(reference.documented(name).split("\n\n")[0].split())
        assert len(plain) < 130, f"{name}: the first sentence is a long one"
    assert re.findall(r"^`(.+)`_$", table, re.M) == [*listed] == TASKS


def test_every_figure_of_a_table_is_listed():
    from shapelib import figures

    drawn = {
        name for name, found in vars(figures).items()
        if inspect.isfunction(found) and found.__module__ == figures.__name__
        and name[0] != "_" and [*inspect.signature(found).parameters][:2] in
        (["table"], ["table", "tokens"])
    }  # fmt: skip
    listed = {n for n in NAMES if n.startswith("figures.") and n.endswith("_profile")}
    assert {f"figures.{name}" for name in drawn} == listed


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_told(name: str):
    found = reference.value(name)
    asked = [*inspect.signature(found).parameters]
    told = re.findall(r"^:param (\w+):", inspect.getdoc(found), re.M)
    assert told == asked


def test_the_callback_tells_its_parameters():
    told = re.findall(r"^:param (\w+):", inspect.getdoc(shapelib.ShapeCallback), re.M)
    assert told == [*inspect.signature(shapelib.ShapeCallback).parameters]


def ours(hint: Any) -> set[type]:
    """The classes of this package that a type is made of."""
    inside = {each for part in typing.get_args(hint) for each in ours(part)}
    if isinstance(hint, type) and hint.__module__.startswith(("shapelib.", "shapebook.")):
        inside.add(hint)
    return inside


def types(found: Any) -> dict[str, Any]:
    """Annotations, evaluated where they can be here."""
    with contextlib.suppress(NameError):
        return typing.get_type_hints(found)
    return {}


def test_what_a_function_gives_is_documented():
    """And what the fields of that hold."""
    from shapelib.models.catalogue import Entry

    known = {reference.value(name) for name in RESULTS} | {Entry}
    for name in FUNCTIONS:
        assert ours(types(reference.value(name)).get("return")) <= known, name
    for name in RESULTS:
        for field, hint in types(reference.value(name)).items():
            assert field[0] == "_" or ours(hint) <= known, (name, field)


def test_no_field_begins_a_list():
    """As one letter and a stop would."""
    for name in NAMES:
        assert not re.search(r"^:\w+ \w+: \w\.$", reference.documented(name), re.M), name


@pytest.mark.parametrize("name", RESULTS)
def test_every_field_is_told(name: str):
    from sphinx.pycode import ModuleAnalyzer

    found = reference.value(name)
    told = ModuleAnalyzer.for_module(found.__module__).find_attr_docs()
    words = inspect.getdoc(found)
    for field in inspect.get_annotations(found):
        if field[0] != "_":
            assert (found.__name__, field) in told or f":ivar {field}:" in words, field
    for member, value in vars(found).items():
        if member[0] != "_" and isinstance(value, property) | inspect.isfunction(value):
            assert inspect.getdoc(value), member
    assert "Alias for field" not in str(told)


def told(name: str) -> set[str]:
    """What a docstring has in double backticks."""
    return set(re.findall(r"``([^`]+)``", inspect.getdoc(reference.value(name))))


def test_values_are_told():

    words = {
        "profile": {metric.name for metric in reference.value("geometry.metrics.METRICS")},
        "pool": reference.value("states.settings.TOKEN_SETS"),
        "recipe": {
            *reference.value("pretraining.recipe.KINDS"),
            *reference.value("pretraining.recipe.SIZES"),
        },
        "load_task": {
            *reference.value("finetuning.tasks.LOCAL"),
            *reference.value("finetuning.tasks.HUB"),
        },
        "dimension_sweep": reference.value("finetuning.settings.METHODS")
        + reference.value("finetuning.settings.INITS")
        + reference.value("finetuning.settings.POOLINGS")
        + reference.value("finetuning.settings.DTYPES"),
        "d90": reference.value("finetuning.d90.DEFINITIONS"),
    }
    for name, each in words.items():
        assert set(each) - told(name) == set(), name


def test_columns_are_told():
    tables = {name: shapelib.read_table(ROOT / "results" / name) for name in KEPT}
    shape, training, tuning = tables.values()
    search = tuning[tuning["part"].str.startswith("minilm-questions-")]
    columns = {
        "profile": reference.value("states.profile.COLUMNS"),
        "dimension_sweep": reference.value("finetuning.plan.COLUMNS"),
        "d90": reference.value("finetuning.d90.COLUMNS"),
        "finetuning.by_seed": reference.value("finetuning.by_seed")(search),
        "pretraining.table": training,
        "shapebook.claims.course.course": reference.value("shapebook.claims.course.course")(
            shape, training
        ),
    }
    for name, each in columns.items():
        assert set(each) - told(name) == set(), name


def test_the_sizes_of_a_recipe_are_told_rightly():
    words = " ".join(inspect.getdoc(shapelib.recipe).replace(" 000", "000").split())
    for size in ("nano", "small", "base"):
        made = shapelib.recipe(size=size)
        for part in (
            f"{made.layers} layers, width {made.width}, {made.heads} heads",
            f"{made.vocabulary} tokens in the vocabulary",
            f"{made.steps} steps of {made.batch} windows of {made.window} tokens",
            f"learning rate {made.learning_rate} after {made.warmup} steps of warm-up",
        ):
            assert part in words
    assert [shapelib.recipe(size=f"nano-{width}").heads for width in (48, 192)] == [2, 8]


def test_the_fields_of_a_verdict_are_told():
    table = pd.DataFrame({"layer": range(8), "value": 0.2, "model": "mine", "role": "decoder"})
    same = {"tokens": "all", "metric": "anisotropy", "centered": True, "after_norm": False}
    same |= {"window": "512 characters"}
    record = judge("decoder-bell", table.assign(stderr=0.1, groups=8, depth=0.5, **same))
    words = set(re.findall(r"``([^`]+)``", API.read_text()))
    for fields in (record, record["models"][0], record["readings"][0]):
        assert set(fields) - words == set()


def test_no_docstring_names_what_the_reference_does_not_tell():
    packages = [ROOT / "shapelib", ROOT / "shapebook"]
    modules = {file.stem for each in packages for file in each.rglob("*.py")}
    modules |= {file.parent.name for each in packages for file in each.rglob("__init__.py")}
    for name in NAMES:
        found = reference.value(name)
        members = vars(found).values() if isinstance(found, type) else ()
        for each in [found, *members]:
            words = inspect.getdoc(each) or ""
            for word in re.findall(r"(?<![`:])`([\w.]+)`(?!`)", words):
                first = word.split(".")[0]
                if "." in word and first in modules:
                    assert word in reference.targets(), f"{name} names {word}"


def test_words_become_links():
    linked = reference.linked
    assert linked("see `profile`.") == "see :py:obj:`profile <shapelib.profile>`."
    assert linked("`Pool.close`") == ":py:obj:`Pool.close <shapelib.states.Pool.close>`"
    assert linked("`Pool`") == ":py:obj:`Pool <shapelib.states.Pool>`"
    assert linked("`windows` of ``windows``", {"windows"}) == "`windows` of ``windows``"
    other = "``profile``, :ref:`profile`, `nobody`"
    assert linked(other) == other


def test_signatures_are_bare_and_results_have_none():
    def shown(what: str, name: str) -> Any:
        found = reference.value(name)
        return reference.shorten(None, what, f"shapelib.{name}", found, None, "", "G")

    assert shown("function", "leave_out") == ("(x, largest=0.05, steps=20)", "G")
    assert shown("class", "geometry.LeaveOut") == (None, None)
    assert shown("class", "ShapeCallback")[0].startswith("(text, output, *, every=None")


# ---- the tour


def test_the_tour_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = "\n".join(re.findall(r"```python\n(.*?)```", TOUR, re.S))
    blocks = re.findall(r"```python\n(.*?)```", TOUR, re.S)
    lines = [line for block in blocks for line in block.strip().splitlines()]
    assert len(lines) == 20
    monkeypatch.chdir(tmp_path)
    Path("results").symlink_to(ROOT / "results")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "tour.md", "exec"), {})
    promised = [re.search(r"# ([\d.]+)", line) for line in lines if line.startswith("print")]
    assert printed.getvalue().split() == [each[1] for each in promised if each]
    assert "<svg" in (tmp_path / "mine.svg").read_text()
    the_tour_shows_what_it_measures(shapelib.read_table("mine.parquet"))


def the_tour_shows_what_it_measures(table: pd.DataFrame) -> None:
    """The kept table, which the page shows rows and a figure of, is that of the tour's lines.

    Kept by: ``write_table(profile("minilm-l6", tokens=2048, batch=512), "book/tour.csv")``.
    """
    kept = shapelib.read_table(ROOT / "book" / "tour.csv")
    keys = ["layer", "tokens", "metric", "centered"]
    assert kept[keys].astype(str).equals(table[keys].astype(str))
    assert np.allclose(kept["value"], table["value"], rtol=0.02, atol=1e-3)
    assert f"gives {len(table)} rows" in TOUR
    assert kept.attrs["provenance"][0]["model"] == table.attrs["provenance"][0]["model"]
    drawn = re.search(r"\{kept-figure\} tour\.csv (\w+)", TOUR)
    assert drawn is not None
    assert f"figures.{drawn[1]}(read_table" in TOUR


def test_the_tour_links_every_name_it_uses():
    code = "\n".join(re.findall(r"```python\n(.*?)```", TOUR, re.S))
    used = re.findall(r"^from shapelib import (.+)$", code, re.M)
    names = {name for line in used for name in line.split(", ")} - {"figures"}
    linked = set(re.findall(r"\{py:obj\}`[\w.]+ <shapelib\.([\w.]+)>`", TOUR))
    assert names - linked == {"read_table", "write_table"}
    assert linked <= set(NAMES)
    assert {"d90", "dimension_sweep", "figures.anisotropy_profile"} <= linked
