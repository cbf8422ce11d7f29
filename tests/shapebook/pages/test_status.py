"""What the book says of its own runs, and that the pages on running again name what exists."""

import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_output

from shapebook.notebooks import notebook as notebooks
from shapebook.notebooks.runs import Run
from shapebook.notebooks.shown import BORROWED, MEASURED, Facts
from shapebook.pages import status
from shapebook.run import assignment

ROOT = Path(__file__).parents[3]
RERUN = (ROOT / "book" / "rerun.md").read_text()
RUN = {
    "seconds": 41.3, "peak_memory": 3 * 2**29, "machine": "Linux x86_64, 2 cores",
    "versions": {"python": "3.11.7", "torch": "2.13.0"}, "commit": "abc", "created": "2026-11-21",
}  # fmt: skip


def page(source: str, given: dict[str, Any], **kept: Any) -> Any:
    cell = new_code_cell(source)
    cell.metadata["tags"] = ["parameters"]
    notebook = new_notebook(cells=[cell])
    notebook.metadata[notebooks.RUN] = {"parameters": given, **kept}
    return notebook


def test_status_says_what_each_run_took():
    ran = page("size = 1", {}, run=RUN)
    runs = [{"model": "a", "seconds": 200.0, "created": "x"}, {"model": "b", "seconds": 3.0}]
    kept = [{"command": "python a.py", "seconds": 7.0}, {"command": "python b.py", "seconds": None}]
    metadata = {MEASURED: runs, BORROWED: kept}
    shown = new_output("execute_result", {"text/plain": ""}, metadata=metadata)
    ran.cells.append(new_code_cell("x", outputs=[shown]))
    without = page("size = 1", {}, run=RUN)
    unknown = new_output("execute_result", {"text/plain": ""}, metadata={BORROWED: kept[1:]})
    unsaid = page("size = 1", {}, run=RUN)
    unsaid.cells.append(new_code_cell("x", outputs=[unknown]))
    old = page("size = 1", {})
    text = status.status({"one": ran, "two": without, "three": unsaid, "old": old})
    assert "| [](executed/one.ipynb) | 41 s | 1.50 GiB | 203 s | 7.0 s and more | 2026" in text
    assert "| [](executed/two.ipynb) | 41 s | 1.50 GiB | – | – | 2026-11-21 |" in text
    assert "| [](executed/three.ipynb) | 41 s | 1.50 GiB | – | not recorded | 2026-11-21 |" in text
    assert f"| [](executed/old.ipynb) {'| not recorded ' * 5}|" in text
    assert "| all runs | 124 s |" in text
    assert "| machine | Linux x86_64, 2 cores |" in text
    assert "python 3.11.7, torch 2.13.0" in text


def test_provenance_keeps_its_runs_where_the_status_finds_them(tmp_path: Path):
    run = Run({"model": "m", "seconds": 2.5, "created": "c", "seed": 0})
    facts = Facts({"a": 1}, [run])
    data, metadata = facts._repr_mimebundle_()
    shown = new_output("execute_result", data, metadata=metadata)
    kept = new_notebook(cells=[new_code_cell("x", outputs=[shown])])
    assert notebooks.measured(kept) == [{"model": "m", "seconds": 2.5, "created": "c"}]


def test_parameters_are_read_from_the_notebooks():
    source = '# What is read,\n# in two lines.\nmodels = ["a"]\n# Two at once.\ntokens = 8\nodd = 1'
    pages = {"one": page(source, {"tokens": 16}), "two": page(source, {"tokens": 16})}
    text = status.parameters({**pages, "other": page("seed = 0", {})})
    assert text.startswith("[](executed/one.ipynb), [](executed/two.ipynb): ")
    assert "| `models = ['a']` | What is read, in two lines. | each model once" in text
    assert "| `tokens = 8`; in the book `16`<br>`odd = 1` | Two at once. | `tokens`: " in text
    assert "<br>`odd`: –" in text
    assert "`notebooks/other.ipynb`\n" in text
    assert "| `seed = 0` |  | none; another seed" in text
    # One directive a table, whose class the pages' styles name.
    assert text.count("```{table}\n:class: parameters\n\n| parameter |") == 2
    assert text.count("```") == 4


def test_a_value_of_the_book_is_told_where_it_is_another():
    pages = {"one": page("a = 1\nb = [1]", {"a": 1, "b": [1, 2]}), "two": page("c = 1", {})}
    text = status.parameters(pages)
    assert "| `a = 1`<br>`b = [1]`; in the book `[1, 2]` |" in text
    assert "| `c = 1` |" in text


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_every_parameter_has_a_cost(path: Path):
    assert set(notebooks.parameters(path)) - set(status.COSTS) == set()


def test_the_three_steps_are_commands_that_work():
    install = re.search(r"pip install (.*)", RERUN)
    assert install is not None
    words = shlex.split(install[1])
    assert (ROOT / words[words.index("--constraint") + 1]).is_file()
    extras = re.fullmatch(r"\.\[(.*)\]", words[words.index("--editable") + 1])
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
    runs = re.findall(r"^shapebook run (.*)", RERUN, re.M)
    assert len(runs) == 3
    for command in runs:
        notebook, *rest = shlex.split(command)
        known = notebooks.parameters(ROOT / notebook)
        given = [assignment(rest[i + 1], known) for i, word in enumerate(rest) if word == "-p"]
        assert given
        notebooks.check(ROOT / notebook, dict(given))
        assert rest[-2] == "--out"
    assert f"`{Path(shlex.split(runs[0])[-1]).with_suffix('.html')}`" in RERUN


def test_binder_finds_what_it_builds_from():
    post = ROOT / "postBuild"
    assert os.access(post, os.X_OK)
    assert subprocess.run(["bash", "-n", str(post)], check=False).returncode == 0
    assert "shapelib cache fetch" in post.read_text()
    # A folder of Binder's own would make it ignore the files at the top.
    assert not (ROOT / "binder").exists()
    assert not (ROOT / ".binder").exists()
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(each["pip"] for each in environment["dependencies"] if isinstance(each, dict))
    named = [word for line in pip for word in line.split() if not word.startswith("--")]
    for word in named:
        assert (ROOT / word.split("[")[0]).exists(), word
