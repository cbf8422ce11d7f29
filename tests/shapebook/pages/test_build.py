"""Pages: what is stale, what is gathered, and that the recorded ones belong to their sources."""

import contextlib
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from shapebook.claims.judge import WORDS, claims
from shapebook.notebooks import notebook
from shapebook.pages import build, rendering
from shapebook.pages.timings import records
from shapelib.errors import ShapelibError

ROOT = Path(__file__).parents[3]
RECORDED = ROOT / "book" / "executed"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with one page that takes a moment, and has run."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    parameters = new_code_cell("size = 2")
    parameters.metadata["tags"] = ["parameters"]
    drawn = f"SVG({SVG!r}, metadata={{'shapelib_data': 'x,y\\n0,1\\n'}})"
    figure = new_code_cell(f"from IPython.display import SVG\n{drawn}")
    figure.metadata["mystnb"] = {"figure": {"name": "fig-quick-curve", "caption": "A curve."}}
    whole = "import pandas as pd\nfrom shapebook import Numbers\n"
    whole += "Numbers(pd.DataFrame({'size': [size]}))"
    verdict = new_code_cell("print('claim: holds')")
    verdict.metadata["tags"] = ["nbval-check-output"]
    notebook = new_notebook(cells=[parameters, figure, new_code_cell(whole), verdict])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    root = tmp_path_factory.mktemp("checkout")
    (root / "notebooks").mkdir()
    (root / "params").mkdir()
    (root / "book").mkdir()
    (root / "book" / "intro.md").write_text("# Intro\n")
    nbformat.write(notebook, root / "notebooks" / "quick.ipynb")
    params(root, 3)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        build.execute(root)
    assert "quick: running" in said.getvalue()
    return root


@pytest.fixture(scope="module")
def recorded(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, recorded; a run of it was killed in between."""
    root = shutil.copytree(ran, tmp_path_factory.mktemp("recorded") / "checkout")
    executed = root / "_build" / "executed"
    left = executed / ".run-killed" / "quick.ipynb"
    left.parent.mkdir()
    shutil.copy(executed / "quick.ipynb", left)
    build.record(root)
    return root


@pytest.fixture
def checkout(ran: Path, tmp_path: Path) -> Path:
    """A copy of the one that has run, to change at will."""
    return shutil.copytree(ran, tmp_path / "checkout")


def params(root: Path, size: int) -> None:
    text = f"notebook: quick.ipynb\nparameters: {{size: {size}}}\n"
    (root / "params" / "quick.yml").write_text(text)


def test_only_what_is_stale_is_run(checkout: Path, capsys: pytest.CaptureFixture[str]):
    build.execute(checkout)
    assert capsys.readouterr().out == "quick: up to date\n"
    params(checkout, 4)
    build.execute(checkout)
    assert "quick: running" in capsys.readouterr().out


def test_touching_a_file_makes_nothing_stale(checkout: Path, capsys: pytest.CaptureFixture[str]):
    (checkout / "notebooks" / "quick.ipynb").touch()
    build.execute(checkout)
    assert capsys.readouterr().out == "quick: up to date\n"


def test_the_key_of_a_page_follows_what_it_imports_and_nothing_else(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
):
    """In rooms of any depth, and the files that they read; in a copy of the packages."""
    for name in ("shapelib", "shapebook"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
    monkeypatch.setattr(build.keys, "_ROOT", checkout)
    import nbformat

    template = nbformat.read(checkout / "notebooks" / "quick.ipynb", as_version=4)
    imports = "from shapebook import judge\nfrom shapelib import figures, profile\n"
    template.cells[2].source = f"{imports}%time judge"
    nbformat.write(template, checkout / "notebooks" / "quick.ipynb")
    page = build.pages(checkout)[0]
    before = page.key
    inside = (
        *("shapelib/states/profile.py", "shapelib/geometry/loops.py", "shapelib/text/dump.py"),
        *("shapelib/figures.py", "shapebook/claims/judge.py", "shapebook/claims/layers.py"),
        *("shapebook/claims/claims.yml", "shapelib/models/catalogue.yml"),
    )
    outside = (
        *("shapelib/cli/app.py", "shapelib/cli/options.py", "shapelib/subspace/projection.py"),
        *("shapebook/run.py", "shapebook/pages/build.py", "shapebook/experiments/published.csv"),
        "shapelib/__init__.py",
    )
    for name in (*inside, *outside):
        file = checkout / name
        source = file.read_text()
        file.write_text(f"{source}\nCHANGED = 1\n" if file.suffix == ".py" else f"{source}\n#\n")
        assert (page.key != before) == (name in inside), name
        file.write_text(source)
    assert page.key == before


def test_what_a_killed_run_left_is_no_page(recorded: Path):
    """Its folder, hidden beside the pages, would be rendered, and its labels found twice."""
    executed = recorded / "_build" / "executed"
    assert list(executed.glob(".run-*"))
    assert not list((build.assemble(recorded, executed) / "executed").glob(".run-*"))
    assert not list((recorded / "book" / "executed").glob(".run-*"))
    assert (recorded / "book" / "executed" / "quick.ipynb").is_file()


def test_figures_data_and_sources_are_gathered(checkout: Path):
    executed = build.execute(checkout)
    assert (executed / "figures" / "quick-curve.svg").read_text() == SVG
    assert (executed / "figures" / "quick-curve.csv").read_text() == "x,y\n0,1\n"
    assert (executed / "data" / "quick.csv").read_text() == "size\n3\n"
    source = build.assemble(checkout, executed)
    assert (source / "intro.md").is_file()
    assert (source / "executed" / "quick.ipynb").is_file()


def test_a_recorded_benchmark_becomes_tables(checkout: Path):
    row = {"name": "ours", "features": 384, "threads": 1, "median": 0.5, "least": 0.4,
           "greatest": 123.456, "turns": 5}  # fmt: skip
    section = {"title": "A layer", "yardstick": "one product", "note": "Memory: 9 MB.",
               "ratios": [row]}  # fmt: skip
    processor = {"name": "a CPU", "path": "AMX"}
    folder = checkout / build.RECORDS / records.place(processor)

    def table(name: str) -> str:
        return (build.execute(checkout) / f"{name}.md").read_text()

    def keep(benchmark: str, *sections: dict[str, Any]) -> None:
        record = {
            "format": records.FORMAT, "benchmark": benchmark, "command": "python it.py",
            "versions": {"torch": "2"}, "processor": processor, "sections": sections,
        }  # fmt: skip
        (folder / f"{benchmark}.json").write_text(json.dumps(record))

    assert table("timings-layer") == table("timings-profiles") == ""
    folder.mkdir(parents=True)
    keep("estimators", section)
    text = table("timings-layer")
    assert "| ours | 0.5 (wide: 0.4 to 123 in 5 turns) |" in text
    assert "*A layer, on one thread*" in text
    assert "Memory: 9 MB. Versions: torch 2." in text
    assert table("timings-profiles") == ""
    small = {**section, "title": "Leverage", "ratios": [{**row, "name": "curve"}]}
    keep("leverage", small)
    text = table("timings-leverage")
    assert "Leverage" not in text, "a table by itself stands under the page's own heading"
    assert "| curve | 0.5 (wide: 0.4 to 123 in 5 turns) |" in text
    assert "Multiples of one product: median" in text
    keep("subspace", {**small, "title": "Steps"}, {**small, "title": "Copies", "note": "In turns."})
    text = table("timings-subspace")
    assert text.index("*Steps*") < text.index("*Copies*")
    assert text.rstrip().endswith("says little. In turns.")


def test_tables_that_are_no_longer_written_do_not_stay(checkout: Path):
    executed = build.execute(checkout)
    (executed / "timings.md").write_text("of an older version")
    build.gather(executed, checkout)
    assert not (executed / "timings.md").exists()
    assert (executed / "status.md").is_file()


def test_the_recorded_speed_is_drawn_with_its_rows(checkout: Path):
    shutil.copytree(ROOT / "benchmarks", checkout / "benchmarks")
    drawn = build.execute(checkout) / "figures"
    assert "<svg" in (drawn / "speed.svg").read_text()
    rows = pd.read_csv(drawn / "speed.csv")
    assert [*rows][-6:] == ["measure", "package", "value", "least", "greatest", "turns"]
    # One for each processor, which are named where there are several.
    named = rows["processor"].nunique() if "processor" in rows else 1
    first = rows[(rows["measure"] == "TwoNN") & (rows["package"] == "shapelib")]
    assert len(first) == named == len(list((ROOT / "benchmarks").glob("records/*/estimators.json")))


def test_recording_keeps_the_run_and_the_verdict_cells_only(recorded: Path):
    kept = notebook.read(recorded / "book" / "executed" / "quick.ipynb")
    assert kept.metadata["shapelib"]["parameters"] == {"size": 3}
    template = notebook.read(recorded / "notebooks" / "quick.ipynb")
    outputs = [[o.text for o in c.outputs] for c in template.cells]
    assert outputs == [[], [], [], ["claim: holds\n"]]
    assert [c.execution_count for c in template.cells[:3]] == [None] * 3
    assert template.cells[3].execution_count is not None


def test_a_failing_page_leaves_the_recorded_one(recorded: Path, tmp_path: Path):
    checkout = shutil.copytree(recorded, tmp_path / "checkout")
    template = checkout / "notebooks" / "quick.ipynb"
    template.write_text(template.read_text().replace("Numbers(pd", "1 / 0, (pd"))
    with pytest.raises(ShapelibError, match="ZeroDivisionError"):
        build.record(checkout)
    assert (checkout / "book" / "executed" / "quick.ipynb").is_file()


def second(root: Path, **words: str) -> None:
    """Another page of the same notebook; neither has run."""
    shutil.rmtree(root / "_build")
    said = "".join(f"{name}: {value}\n" for name, value in words.items())
    text = f"notebook: quick.ipynb\n{said}parameters: {{size: 5}}\n"
    (root / "params" / "second.yml").write_text(text)


def test_several_pages_run_each_in_a_process_of_its_own(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    second(checkout, after="quick")
    monkeypatch.setattr(build.side_by_side, "cores", lambda: 2)
    monkeypatch.chdir(checkout)
    executed = build.execute(checkout)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "2 pages to run, 2 at a time"
    assert [re.sub(r"\d+ s$", "", each) for each in said if "done" in each] == [
        "quick: done in ", "second: done in "
    ]  # fmt: skip
    kept = {each: notebook.read(executed / f"{each}.ipynb") for each in ("quick", "second")}
    sizes = {name: page.metadata["shapelib"]["parameters"] for name, page in kept.items()}
    assert sizes == {"quick": {"size": 3}, "second": {"size": 5}}
    build.execute(checkout)
    assert capsys.readouterr().out == "quick: up to date\nsecond: up to date\n"


def test_a_failing_page_is_named_and_the_others_are_kept(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
):
    second(checkout)
    bad = (checkout / "notebooks" / "quick.ipynb").read_text()
    bad = bad.replace("Numbers(pd", "size == 5 or 1 / 0; Numbers(pd")
    (checkout / "notebooks" / "quick.ipynb").write_text(bad)
    monkeypatch.setattr(build.side_by_side, "cores", lambda: 2)
    monkeypatch.chdir(checkout)
    with pytest.raises(ShapelibError, match=r"^quick: quick\.ipynb failed in cell 4: ZeroDivision"):
        build.execute(checkout)
    assert (checkout / "_build" / "executed" / "second.ipynb").is_file()


def test_pages_at_their_notebooks_defaults_are_others(checkout: Path):
    executed = build.execute(checkout)
    defaults = build.execute(checkout, defaults=True)
    assert (defaults / "data" / "quick.csv").read_text() == "size\n2\n"
    assert (executed / "data" / "quick.csv").read_text() == "size\n3\n"


def test_what_is_missing_is_said_before_any_page_runs(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    shutil.rmtree(checkout / "_build")

    def lacking(*extras: str) -> list[str]:
        assert extras == ("models", "book")
        return ["distributed"]

    with monkeypatch.context() as patched:
        patched.setattr(build.extras, "missing", lacking)
        with pytest.raises(ShapelibError, match="running the pages needs distributed; run: pip"):
            build.execute(checkout)
    with monkeypatch.context() as patched:
        patched.setattr(build, "_CACHE", 10**18)
        with pytest.raises(ShapelibError, match=r"GB left and [0-9.]+ GB are needed"):
            build.execute(checkout)
    assert "running" not in capsys.readouterr().out


def test_weights_and_texts_that_parameters_name_are_fetched_first(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []
    monkeypatch.setattr(build.assets, "fetch", asked.append)
    template = checkout / "notebooks" / "quick.ipynb"
    given = 'size = 2\\nlayers = {\\"minilm-l6\\": [3]}\\ncorpus = \\"enwiki-sample\\"'
    template.write_text(template.read_text().replace("size = 2", given))
    build.execute(checkout)
    assert asked == ["minilm-l6", "enwiki-sample"]


def test_what_has_terms_of_use_is_never_fetched_by_the_book(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
):
    asked: list[str] = []
    monkeypatch.setattr(build.assets, "fetch", asked.append)
    monkeypatch.setenv(build.assets.ACCEPTED, "gemma-3-270m")
    template = checkout / "notebooks" / "quick.ipynb"
    given = 'size = 2\\nmodel = \\"gemma-3-270m\\"'
    template.write_text(template.read_text().replace("size = 2", given))
    with pytest.raises(
        ShapelibError, match=r"gemma-3-270m, which has terms .*: shapelib cache fetc"
    ):
        build.execute(checkout)
    assert asked == []


def test_a_book_is_rendered_where_anything_of_it_changed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """By a program that stands for Jupyter Book, whose own errors leave no book for whole."""
    asked: list[list[str]] = []
    fails = False

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        # Jupyter Book's own way: a folder of its name for pages in the one it is given.
        path = Path(command[command.index("--path-output") + 1])
        html = checkout / path / "_build" / "html"
        html.mkdir(parents=True)
        (html / "intro.html").write_text("rendered")
        return subprocess.CompletedProcess(command, int(fails))

    monkeypatch.setattr(rendering.subprocess, "run", run)
    (checkout / "_config.yml").write_text("title: one\n")
    book = checkout / "book"

    def rendered() -> bool:
        before = len(asked)
        rendering.render(checkout, book)
        return len(asked) > before

    assert rendered()
    assert not rendered()
    assert "up to date" in capsys.readouterr().out
    for file, text in {"book/intro.md": "# Other\n", "_config.yml": "title: two\n"}.items():
        (checkout / file).write_text(text)
        assert rendered()
        assert not rendered()
    (checkout / rendering.HTML / "intro.html").unlink()
    assert rendered()
    fails = True
    (book / "intro.md").write_text("# Wrong\n")
    for _ in range(2):
        with pytest.raises(ShapelibError, match="the book was not rendered"):
            rendering.render(checkout, book)


def test_bad_params(checkout: Path):
    file = checkout / "params" / "quick.yml"
    file.write_text("notebook: quick.ipynb\nparameters: {sise: 3}\n")
    with pytest.raises(ShapelibError, match=r"quick\.ipynb has no parameter 'sise'"):
        build.pages(checkout)
    file.write_text("notebook: quick.ipynb\nparameter: {size: 3}\n")
    with pytest.raises(ShapelibError, match="did you mean 'parameters'"):
        build.pages(checkout)
    file.write_text("notebook: quick.ipynb\nafter: quik\nparameters: {}\n")
    with pytest.raises(ShapelibError, match=r"after: 'quik' is no page; did you mean 'quick'"):
        build.pages(checkout)
    file.unlink()
    with pytest.raises(ShapelibError, match="no pages"):
        build.pages(checkout)


def test_outside_a_checkout(tmp_path: Path):
    with pytest.raises(ShapelibError, match="no pages"):
        build.execute(tmp_path)


@pytest.mark.parametrize("page", build.pages(ROOT), ids=lambda page: page.name)
def test_recorded_pages_belong_to_their_template_and_parameters(page: build.Page):
    recorded = notebook.read(RECORDED / f"{page.name}.ipynb")
    assert recorded.metadata["shapelib"]["parameters"] == page.parameters
    template = build.source(notebook.read(page.notebook))
    ran = [
        [cell.cell_type, cell.source]
        for cell in recorded.cells
        if "injected-parameters" not in cell.metadata.get("tags", [])
    ]
    assert ran == template, "run: make record"
    injected = [c for c in recorded.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert notebook.assignments(injected[0].source) == page.parameters
    errors = [o for c in recorded.cells for o in c.get("outputs", []) if o.output_type == "error"]
    assert errors == []


def test_recorded_figures_and_verdicts_are_those_of_the_recorded_pages(tmp_path: Path):
    again = shutil.copytree(RECORDED, tmp_path / "executed")
    build.gather(again, ROOT)
    kept = {file.relative_to(RECORDED): file for file in RECORDED.rglob("*") if file.is_file()}
    assert {file.relative_to(again) for file in again.rglob("*") if file.is_file()} == set(kept)
    for name, file in kept.items():
        assert (again / name).read_bytes() == file.read_bytes(), f"{name}: run make record"


def test_every_claim_has_a_record():
    records = json.loads((RECORDED / "claims.json").read_text())
    assert {record["id"] for record in records} == set(claims())
    for record in records:
        assert record["verdict"] in WORDS
        fixed = claims()[record["id"]]
        for name in ("margin", "direction", "asks"):
            assert record[name] == getattr(fixed, name)


def test_recorded_pages_hold_no_progress_and_no_warning():
    for file in RECORDED.glob("*.ipynb"):
        for cell in notebook.read(file).cells:
            for output in cell.get("outputs", []):
                assert output.get("name") != "stderr", f"{file.name}: {output.text[:200]}"


def test_recorded_pages_name_no_machine():
    for file in RECORDED.rglob("*"):
        if file.is_file():
            text = file.read_text()
            assert str(ROOT) not in text
            assert str(Path.home()) + "/" not in text
