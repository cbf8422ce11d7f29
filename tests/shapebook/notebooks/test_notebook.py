"""Running notebooks with checked parameters; and that nbval really guards the verdicts."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from shapebook.notebooks import notebook as notebooks
from shapebook.notebooks.shown import BORROWED, MEASURED, TABLE, Numbers, show_provenance
from shapelib.errors import ShapelibError

ROOT = Path(__file__).parents[3]
TEMPLATES = sorted((ROOT / "notebooks").glob("*.ipynb"))


def make(path: Path, *sources: str, verdict: str = "print('claim: holds')") -> Path:
    parameters = new_code_cell("size = 2\nname = 'a'\nrate = 0.5\nmany = ['x']")
    parameters.metadata["tags"] = ["parameters"]
    last = new_code_cell(verdict)
    last.metadata["tags"] = ["nbval-check-output"]
    cells = [new_markdown_cell("# Title"), parameters, *map(new_code_cell, sources), last]
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return make(tmp_path / "small.ipynb", "print(size * 2, name, rate, many)")


def test_parameters_are_read_with_their_defaults(small: Path):
    assert notebooks.parameters(small) == {"size": 2, "name": "a", "rate": 0.5, "many": ["x"]}


RECORD = {"id": "a", "verdict": "holds"}
SHOWN = (
    "from shapebook import Shown\nclass Some(Shown):\n    def _html(self): return ''\n"
    f"    def _text(self): return ''\nSome([{json.dumps(RECORD)}])"
)
LOUD = "import sys\nprint('loading', file=sys.stderr)\nprint('loaded')"


class Ran(NamedTuple):
    """A run in a kernel of its own, which several tests look at."""

    notebook: Path
    before: bytes
    output: Path
    executed: Any
    said: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder, said = tmp_path_factory.mktemp("run"), []
    path = make(folder / "small.ipynb", "print(size * 2, name, rate, many)", LOUD, SHOWN)
    before = path.read_bytes()
    given = {"size": 21, "rate": 1}
    output = notebooks.run(path, folder / "out.ipynb", given, told=said.append)
    return Ran(path, before, output, notebooks.read(output), "".join(said))


def test_a_run_uses_the_parameters_and_leaves_no_trace_of_this_machine(ran: Ran):
    """What a first run says while it loads is not kept either."""
    cells, folder = ran.executed.cells, ran.output.parent
    printed = [o.text for c in cells for o in c.get("outputs", []) if "text" in o]
    assert printed == ["42 a 1 ['x']\n", "loaded\n", "claim: holds\n"]
    assert "papermill" not in ran.executed.metadata
    assert not any("papermill" in c.metadata or "execution" in c.metadata for c in cells)
    tags = [c.metadata.get("tags", []) for c in cells]
    assert ["injected-parameters", "hide-input"] in tags, "code is folded, what papermill adds too"
    assert str(folder) not in ran.output.read_text()
    assert ran.notebook.read_bytes() == ran.before
    assert sorted(each.name for each in folder.iterdir()) == ["out.ipynb", "small.ipynb"]


def test_records_are_found_where_they_are_shown(ran: Ran):
    assert notebooks.records(ran.executed) == [RECORD]


def test_a_run_says_what_it_cost(ran: Ran, tmp_path: Path):
    held = 60_000_000
    hold = f"import time\nblock = b'x' * {held}\ntime.sleep(0.3)"
    path = make(tmp_path / "small.ipynb", SHOWN, hold)
    cost = notebooks.cost(notebooks.read(notebooks.run(path, tmp_path / "out.ipynb")))
    light = notebooks.cost(ran.executed)
    assert cost["seconds"] > 0.3
    assert held * 0.9 < cost["peak_memory"] - light["peak_memory"] < held * 1.5
    assert cost["versions"]["shapelib"]
    assert "cores" in cost["machine"]
    assert notebooks.cost(notebooks.read(path)) == {}


def test_progress_goes_from_cell_to_cell(ran: Ran):
    lines = ran.said.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [
        f"cell {n} of 6, Title" for n in (1, 2, 3, 4, 5, 6)
    ]
    assert all(re.fullmatch(r"\d+\.\d s", line.split(": ")[1]) for line in lines)


def test_a_kernel_has_nothing_to_warn_of(small: Path, tmp_path: Path):
    code = f"from shapebook.notebooks import notebook; notebook.run({str(small)!r}, 'out.ipynb')"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_unknown_parameter_is_refused(small: Path, tmp_path: Path):
    with pytest.raises(ShapelibError) as caught:
        notebooks.run(small, tmp_path / "out.ipynb", {"sise": 3})
    assert "no parameter 'sise'; did you mean 'size'" in str(caught.value)
    assert "size, name, rate, many" in str(caught.value)
    assert not (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size": "3"}, "is text; accepted: a whole number, such as -p size=2"),
        ({"size": 2.5}, "is a number; accepted: a whole number"),
        ({"size": True}, "is true or false; accepted: a whole number"),
        ({"size": None}, "is nothing; accepted: a whole number"),
        ({"size": -3}, "is below zero; accepted: a whole number"),
        ({"many": "x"}, "is text; accepted: a list, such as -p many='[\"x\"]'"),
        ({"many": []}, "is an empty list; accepted: a list, such as -p many='[\"x\"]'"),
    ],
)
def test_another_type_is_refused(small: Path, wrong: dict[str, Any], said: str):
    with pytest.raises(ShapelibError, match=re.escape(said)):
        notebooks.check(small, wrong)


def test_a_failing_cell_leaves_the_old_copy_whole(tmp_path: Path):
    """And the failure says where its cells are, and what to set."""
    out = tmp_path / "out.ipynb"
    out.write_text("the old copy")
    message = "a window has 300 tokens, but mine reads at most 100; use a shorter window"
    error = "WindowTooLong(300, 'mine', 100)"
    bad = make(tmp_path / "bad.ipynb", f"from shapelib.errors import WindowTooLong\nraise {error}")
    notebook = notebooks.read(bad)
    notebook.cells[1].source += "\nwindow = 512"
    nbformat.write(notebook, bad)
    said: list[str] = []
    with pytest.raises(ShapelibError) as caught:
        notebooks.run(bad, out, {"window": 400}, told=said.append)
    told = str(caught.value)
    assert f"bad.ipynb failed in cell 3: WindowTooLong: {message}" in told
    assert "the parameter window counts characters and is 400; -p window=100 would do" in told
    assert str(tmp_path / "out.failed.ipynb") in told
    assert out.read_text() == "the old copy"
    assert not list(tmp_path.glob(".run-*"))
    failed = notebooks.read(tmp_path / "out.failed.ipynb")
    errors = [o.ename for c in failed.cells for o in c.get("outputs", []) if "ename" in o]
    assert errors == ["WindowTooLong"], "what a failed run got to is kept beside the good one"
    assert "".join(said).splitlines()[-1] == "  cell 3 of 4, Title: failed"


def test_without_the_extra_it_is_named(small: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "nbformat", None)
    with pytest.raises(ShapelibError, match=r"reading notebooks needs nbformat; run: pip install "):
        notebooks.parameters(small)


def test_an_output_that_cannot_be(small: Path, tmp_path: Path):
    with pytest.raises(ShapelibError, match="is the notebook itself"):
        notebooks.run(small, small)
    with pytest.raises(ShapelibError, match="does not exist; make it first"):
        notebooks.run(small, tmp_path / "none" / "out.ipynb")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("source", ["x = len([1])", "x = ("])
def test_parameters_that_are_no_plain_values(tmp_path: Path, source: str):
    cell = new_code_cell(source)
    cell.metadata["tags"] = ["parameters"]
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "odd.ipynb")
    with pytest.raises(ShapelibError, match=r"odd\.ipynb' cannot be read .* plain values"):
        notebooks.parameters(tmp_path / "odd.ipynb")


def test_what_is_no_notebook(tmp_path: Path):
    with pytest.raises(ShapelibError, match="no such notebook"):
        notebooks.parameters(tmp_path / "none.ipynb")
    (tmp_path / "text.ipynb").write_text("not json")
    with pytest.raises(ShapelibError, match="is not a notebook"):
        notebooks.parameters(tmp_path / "text.ipynb")
    nbformat.write(new_notebook(cells=[new_code_cell("x = 1")]), tmp_path / "plain.ipynb")
    with pytest.raises(ShapelibError, match="no cell tagged 'parameters'"):
        notebooks.parameters(tmp_path / "plain.ipynb")
    with pytest.raises(ShapelibError, match=r"must end in \.ipynb"):
        notebooks.run(make(tmp_path / "small.ipynb"), tmp_path / "out.html")


def test_numbers_are_offered_whole():
    table = pd.DataFrame({"a": [1, 2], "b": [0.25, 1 / 3]})
    shown, told = Numbers(table)._repr_mimebundle_()
    assert told == {TABLE: "a,b\n1,0.25\n2,0.333333\n"}
    assert shown["text/plain"] == "rows: 2\ncolumns: a, b"


def verdict_cells(notebook: Any) -> list[Any]:
    return [c for c in notebook.cells if "nbval-check-output" in c.metadata.get("tags", [])]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_templates_carry_their_verdicts_and_no_other_output(path: Path):
    notebook = notebooks.read(path)
    assert notebooks.parameters(path)
    cells = verdict_cells(notebook)
    assert cells, "a notebook ends with its verdicts"
    for cell in cells:
        # nbval compares nothing where a cell was never executed.
        assert cell.execution_count is not None, f"run: make record ({path.name})"
        text = "".join(output.text for output in cell.outputs)
        assert text.strip()
        assert not any(letter.isdigit() for letter in text), "words only: digits differ by machine"
    others = [c for c in notebook.cells if c.cell_type == "code" and c not in cells]
    assert all(c.execution_count is None and not c.outputs for c in others)


def test_a_changed_verdict_turns_nbval_red(ran: Ran, tmp_path: Path):
    """With the words of `make test`: several notebooks side by side, each with a kernel."""
    makefile = (ROOT / "Makefile").read_text()
    assert "\n\t$(TESTS) $(NBVAL) notebooks tests\n" in makefile
    words = " ".join(re.findall(r"^(?:TESTS := .* -m pytest|NBVAL :=) (.*)$", makefile, re.M))
    source = ran.output.read_text()
    assert "claim: holds\\n" in source
    (tmp_path / "kept.ipynb").write_text(source)
    changed = source.replace("claim: holds\\n", "claim: does not hold here\\n")
    (tmp_path / "changed.ipynb").write_text(changed)
    command = [sys.executable, "-m", "pytest", *shlex.split(words), "-p", "no:cacheprovider"]
    command += ["--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1, done.stdout
    assert "does not hold here" in done.stdout
    failed = re.findall(r"^FAILED (\S+)", done.stdout, re.M)
    assert failed == ["changed.ipynb::Cell"], done.stdout
    assert re.search(r"\b1 failed, 11 passed\b", done.stdout), done.stdout


def test_kept_parts_say_where_they_come_from_and_are_no_work_of_the_page():
    import pandas as pd

    run = {
        "task": "questions", "task_source": "a wheel", "task_version": "1", "duplicates": 3,
        "task_sha256": "ab" * 32, "seconds": 12.0, "versions": {"torch": "2"}, "commit": "c0ffee",
        "machine": "Linux", "created": "2026",
    }  # fmt: skip
    live = {**run, "model": "m", "revision": None, "fingerprint": "f" * 16, "device": "cpu"}
    kept = {**run, "part": "DID", "runs": 72, "command": "python results/tuning.py DID"}
    other = {**kept, "part": "SAID", "command": "python results/tuning.py SAID"}
    table = pd.DataFrame({"part": ["DID", None]})
    table.attrs["provenance"] = [live, live, kept, other]
    shown, metadata = show_provenance(table)._repr_mimebundle_()
    said = shown["text/plain"]
    assert "model m tuned on questions: files ffffffffffff, cpu, 2 runs, 24 s in all" in said
    assert "part DID: 72 runs, 12 s in all: python results/tuning.py DID" in said
    assert "task questions: a wheel 1, 3 copies removed, sha256 abababababab" in said
    assert "SAID" not in said, "the table has no rows of it"
    assert [each["model"] for each in metadata[MEASURED]] == ["m", "m"]
    assert metadata[BORROWED] == [{"command": kept["command"], "seconds": 12.0}]


def test_kept_measurements_say_whether_their_seconds_are_of_all(tmp_path: Path):
    import pandas as pd

    counts = {"all": 9, "windows": 3, "dropped_all": 1}
    run = {
        "pooled": counts, "caveat": None, "revision": None, "fingerprint": "f" * 16,
        "dtype": "float32", "device": "cpu", "seconds": 6.5, "corpus": "sample",
        "corpus_sha256": "ab" * 32, "versions": {"torch": "2"}, "commit": "c0ffee",
        "machine": "Linux", "created": "2026",
    }  # fmt: skip
    first = {**run, "model": "a", "command": "python results/training.py a"}
    whole = {**run, "model": "b", "command": "python results/training.py b", "runs": 80}
    table = pd.DataFrame({"model": ["a", "b", "c"]})
    table.attrs["provenance"] = [first, whole, {**run, "model": "c"}]
    shown, metadata = show_provenance(table)._repr_mimebundle_()
    lines = dict(line.split(": ", 1) for line in shown["text/plain"].splitlines())
    assert lines["model a"].endswith("6.5 s for the first of its checkpoints")
    assert lines["model b"].endswith("6.5 s for all 80 measurements")
    assert lines["model c"].endswith("(1 left over), 6.5 s")
    assert metadata[MEASURED] == [{"model": "c", "seconds": 6.5, "created": "2026"}]
    page = new_notebook(
        cells=[new_code_cell("x", outputs=[new_output("display_data", shown, metadata=metadata)])]
    )
    assert [each["seconds"] for each in notebooks.borrowed(page)] == [None, 6.5]
    assert show_provenance(table[table["model"] == "c"]).kept == []
    # A table of no model, such as one of known clouds, counts wherever it is shown.
    none = {each: run[each] for each in ("seconds", "versions", "commit", "machine", "created")}
    table.attrs["provenance"].append({**none, "command": "python results/scale.py"})
    assert show_provenance(table[table["model"] == "c"]).kept == [
        {"command": "python results/scale.py", "seconds": None}
    ]


def test_many_runs_are_folded_and_their_times_a_span():
    import pandas as pd

    def provenance(count: int) -> dict[str, str]:
        run = {
            "task": "t", "task_source": "a wheel", "task_version": "1", "duplicates": 0,
            "task_sha256": "ab" * 32, "seconds": 1.0, "versions": {}, "machine": "Linux",
            "revision": None, "fingerprint": "f" * 16, "device": "cpu",
        }  # fmt: skip
        table = pd.DataFrame()
        table.attrs["provenance"] = [
            {**run, "model": f"m{n}", "created": f"202{n}", "commit": ("c0ffee-dirty", None)[n % 2]}
            for n in range(count)
        ]
        return show_provenance(table)._repr_mimebundle_()[0]

    many, few = provenance(7), provenance(6)
    assert "<details><summary>7 models and runs</summary>" in many["text/html"]
    assert "<details>" not in few["text/html"]
    for shown in (many, few):
        assert shown["text/html"].count("<tr>") == len(shown["text/plain"].splitlines())
        assert "commit: c0ffee with changes, not kept" in shown["text/plain"]
    assert "measured: 2020 to 2026" in many["text/plain"]


def test_a_kernel_that_dies_is_said_and_what_was_done_is_kept(tmp_path: Path):
    import nbformat

    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell("size = 2", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print('before')"),
        nbformat.v4.new_code_cell("import os; os._exit(1)"),
    ]
    path, out = tmp_path / "dies.ipynb", tmp_path / "out.ipynb"
    nbformat.write(notebook, path)
    with pytest.raises(
        ShapelibError,
        match=r"dies\.ipynb failed in cell 3: its kernel died, .*; the cells up to there",
    ):
        notebooks.run(path, out)
    assert not out.exists()
    kept = notebooks.read(tmp_path / "out.failed.ipynb")
    assert kept.cells[1].outputs[0]["text"] == "before\n"
