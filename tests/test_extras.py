"""Each installation that the README names brings what it is for, read from the imports."""

import ast
import re
import sys
from pathlib import Path

import imports
import pytest
from imports import ROOT, brings, closure, lacking, of_file, of_notebook, providers

from shapebook.notebooks import notebook as notebooks
from shapelib import extras
from shapelib.cli.app import app
from shapelib.errors import ShapelibError

MAKEFILE = (ROOT / "Makefile").read_text()
README = (ROOT / "README.md").read_text()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXTENSIONS = sorted((ROOT / "book" / "_extensions").glob("*.py"))
FINE_TUNING = ROOT / "notebooks" / "fine-tuning-dimension.ipynb"


def made_by(stamp: str) -> tuple[str, ...]:
    """The extras that a stamp of the Makefile stands for."""
    rule = re.search(rf"/\.{stamp}:.*\n((?:\t.*\n)+)", MAKEFILE)
    assert rule is not None
    found = re.search(r"'\.\[([\w,]+)\]'", rule[1])
    assert found is not None
    return tuple(found[1].split(","))


def commands(program: str) -> dict[str, set[str]]:
    """What each command of `shapelib` or `shapebook` imports, by its name."""
    home = {"shapelib": r"shapelib\.cli\.\w+", "shapebook": r"shapebook\.run"}[program]
    files = [each for name, each in imports.modules().items() if re.fullmatch(home, name)]
    found: dict[str, set[str]] = {}
    for file in files:
        tree = ast.parse(file.read_text("utf-8"))
        functions = [
            node for node in tree.body
            if isinstance(node, ast.FunctionDef)
            and any("command" in ast.dump(each) for each in node.decorator_list)
        ]  # fmt: skip
        outside = ast.Module([node for node in tree.body if node not in functions], [])
        for node in functions:
            found[node.name] = {*imports.imported(node), *imports.imported(outside)}
    return found


def unasked(names: set[str], *extras: str) -> dict[str, set[str]]:
    """What is lacking, less what a module asks its reader to install by naming the extra."""
    found = {}
    for package, modules in lacking(names, *extras).items():
        silent = {each for each in modules if not names_extra(each, package)}
        if silent:
            found[package] = silent
    return found


def names_extra(module: str, package: str) -> bool:
    text = imports.modules()[module].read_text("utf-8") if module else ""
    named = {
        each for group in re.findall(r"shapelib\[([\w,]+)\]", text) for each in group.split(",")
    }
    return any(providers(package) & (brings(extra) - brings()) for extra in named)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_make_book_installs_what_a_page_may_import(notebook: Path):
    """With any value of its parameters, several workers among them."""
    assert lacking(of_notebook(notebook), *made_by("book")) == {}


def test_make_book_installs_what_makes_the_book():
    programs = set(re.findall(r"\$\(BIN\)/(shape\w+)", MAKEFILE))
    assert programs == {"shapebook"}
    made = {name for names in commands("shapebook").values() for name in names}
    extensions = {name for file in EXTENSIONS for name in of_file(file)}
    extensions -= {file.stem for file in EXTENSIONS}
    assert lacking(made | extensions, *made_by("book")) == {}


def test_make_test_installs_what_tests_and_benchmarks_import():
    folders = [ROOT / each for each in ("tests", "benchmarks", "results")]
    beside = [each for folder in folders for each in folder.rglob("*.py")]
    own = {each.stem for each in (*beside, *EXTENSIONS)} | {each.parent.name for each in beside}
    for folder in folders:
        for file in folder.glob("*.py"):
            names = {each for each in of_file(file) if each.split(".")[0] not in own}
            assert lacking(names, *made_by("test")) == {}, file.name


@pytest.mark.parametrize("command", sorted(commands("shapebook")))
def test_the_books_command_has_what_its_line_of_the_readme_installs(command: str):
    line = re.search(r'`shapebook run` \(`pip install "\.\[([\w,]+)\]"`\)', README)
    assert line is not None
    assert lacking(commands("shapebook")[command], *line[1].split(",")) == {}
    assert made_by("book") == tuple(line[1].split(","))


@pytest.mark.parametrize("command", sorted(commands("shapelib")))
def test_a_command_has_what_the_readme_installs_or_names_what_it_lacks(command: str):
    assert re.search(r'^pip install "\.\[models\]"$', README, re.M)
    assert unasked(commands("shapelib")[command], "models") == {}


def test_the_library_has_what_the_readme_installs_or_names_what_it_lacks():
    import shapelib

    names = {f"shapelib.{each}" for each in shapelib.__all__ if not each.startswith("_")}
    assert unasked(names, "models") == {}


def test_every_import_is_found(tmp_path: Path):
    code = """
import numpy.linalg
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import only_typed
else:
    import typed_not
NAMES = (*("preloaded", "deep.er"), "third")
def late():
    from torch import nn
    context.set_forkserver_preload(list(NAMES))
    importlib.import_module("lazily")
    print("not.imported")
"""
    file = tmp_path / "code.py"
    file.write_text(code)
    tops = set(closure(of_file(file)))
    assert tops == {"numpy", "typed_not", "torch", "preloaded", "deep", "third", "lazily"}


def test_what_an_extra_lacks_is_found(monkeypatch: pytest.MonkeyPatch):
    """Take away what several workers need, and the page that may have them says so."""
    given = imports.PROJECT["optional-dependencies"]
    without = [each for each in given["book"] if each != "distributed"]
    monkeypatch.setitem(imports.PROJECT, "optional-dependencies", {**given, "book": without})
    assert set(lacking(of_notebook(FINE_TUNING), "models", "book")) == {"distributed"}


def test_all_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch):
    real = extras.metadata.distribution

    def without(name: str) -> object:
        if name in ("distributed", "papermill"):
            raise extras.metadata.PackageNotFoundError(name)
        return real(name)

    extras.require("the pages", "models", "cluster")
    monkeypatch.setattr(extras.metadata, "distribution", without)
    asked = ["dask; extra == 'cluster'", "distributed>=2; extra == 'cluster'", "numpy>=2",
             'papermill; python_version > "3" and extra == "book"']  # fmt: skip
    monkeypatch.setattr(extras.metadata, "requires", lambda name: asked)
    assert extras.missing("cluster") == ["distributed"]
    assert extras.missing("models") == []
    message = (
        r'^the pages needs distributed, papermill; run: pip install "shapelib\[cluster,book\]"'
    )
    with pytest.raises(ShapelibError, match=message):
        extras.require("the pages", "cluster", "book")


def test_a_folder_that_is_not_installed_says_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "PROJECT", "no-such-project")
    assert extras.missing("book") == []


@pytest.mark.parametrize("words", [["sweep", "no-model"], ["d90", "no-model", "no-task"]])
@pytest.mark.parametrize("asked", [["--workers", "2"], ["--dask", "tcp://127.0.0.1:9"]])
def test_a_command_names_what_several_workers_lack_first(
    words: list[str], asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Before it looks for a model."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setattr(sys, "argv", ["shapelib", *words, *asked, "--output", str(tmp_path / "o")])
    with pytest.raises(ShapelibError, match=r'several workers need Dask; .*"shapelib\[cluster\]"'):
        app(standalone_mode=False)
    assert not (tmp_path / "o").exists()


def test_the_page_names_what_several_workers_lack_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = notebooks.read(FINE_TUNING)
    # The first cell that runs: nothing is trained before it.
    cell = next(each.source for each in page.cells[2:] if each.cell_type == "code")
    scope: dict[str, object] = {**notebooks.parameters(FINE_TUNING), "workers": 2}
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setenv("SHAPELIB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ShapelibError, match="several workers need Dask"):
        exec(cell, scope)
    assert not (tmp_path / "cache").exists()
