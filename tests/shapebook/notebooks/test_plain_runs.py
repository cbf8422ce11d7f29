"""The pages run by the tools that others have, papermill and nbconvert: without the command of this
book, and from a folder that has nothing to do with it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stress import STRESS

from shapebook.notebooks import notebook as notebooks

ROOT = Path(__file__).parents[3]
PAGES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
# Pages that take seconds; what else is a run of this kind is left to stress.
QUICK = PAGES if STRESS else ["two-dimensions"]


def run(folder: Path, *words: object) -> Any:
    """A program of this environment in a folder of its own; gives the notebook it wrote there."""
    program = Path(sys.executable).with_name(str(words[0]))
    command = [str(program), *map(str, words[1:])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [each.name for each in folder.iterdir()] == ["out.ipynb"]
    return notebooks.read(folder / "out.ipynb")


def verdicts(notebook: Any) -> list[str]:
    """What its verdict cells say."""
    cells = [c for c in notebook.cells if "nbval-check-output" in c.metadata.get("tags", [])]
    return ["".join(output.text for output in cell.outputs) for cell in cells]


def shown_parameters(notebook: Any) -> str:
    """What the page itself says that it was run with."""
    (cell,) = (c for c in notebook.cells if c.source.rstrip().endswith("globals(), names)"))
    return "".join(output["data"]["text/plain"] for output in cell.outputs)


@pytest.mark.parametrize("page", QUICK)
def test_papermill_runs_a_page_from_any_folder(page: str, tmp_path: Path):
    path = ROOT / "notebooks" / f"{page}.ipynb"
    # The default, given: the verdicts are the kept ones, and the page tells of the parameter.
    name, value = next(
        (name, value) for name, value in notebooks.parameters(path).items()
        if isinstance(value, str | int) and value != ""
    )  # fmt: skip
    ran = run(tmp_path, "papermill", path, "out.ipynb", "-p", name, value)
    assert verdicts(ran) == verdicts(notebooks.read(path)) != []
    assert f"{name}: {value}" in shown_parameters(ran)
    injected = [c for c in ran.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert [notebooks.assignments(each.source) for each in injected] == [{name: value}]


@pytest.mark.stress
def test_papermill_runs_a_page_on_a_model_of_its_reader(
    decoder_folder: Path, text_file: Path, tmp_path_factory: pytest.TempPathFactory
):
    path = ROOT / "notebooks" / "profiles.ipynb"
    words = ["-y", f"models: ['{decoder_folder}']", "-p", "corpus", text_file]
    words += ["-p", "tokens", 400, "-p", "batch", 128, "-p", "window", 60]
    folder = tmp_path_factory.mktemp("elsewhere")
    shown = shown_parameters(run(folder, "papermill", path, "out.ipynb", *words))
    assert f"models: ['{decoder_folder}']" in shown
    assert f"corpus: {text_file}" in shown
    assert "tokens: 400" in shown


@pytest.mark.parametrize("page", QUICK)
def test_nbconvert_runs_a_page(page: str, tmp_path: Path):
    path = ROOT / "notebooks" / f"{page}.ipynb"
    words = ("--to", "notebook", "--execute", path, "--output-dir", tmp_path, "--output", "out")
    ran = run(tmp_path, "jupyter", "nbconvert", *words)
    assert verdicts(ran) == verdicts(notebooks.read(path)) != []
