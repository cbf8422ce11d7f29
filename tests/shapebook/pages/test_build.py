"""Pages: what is stale, what is gathered, and that the recorded ones belong to their sources."""

import json
import shutil
from pathlib import Path

import pytest

from shapebook.claims.judge import VERDICTS, claims
from shapebook.notebooks import notebook
from shapebook.pages import build
from shapelib.errors import ShapelibError

ROOT = Path(__file__).parents[3]
RECORDED = ROOT / "book" / "executed"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one page that takes a moment."""
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
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "params").mkdir()
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "intro.md").write_text("# Intro\n")
    nbformat.write(notebook, tmp_path / "notebooks" / "quick.ipynb")
    params(tmp_path, 3)
    return tmp_path


def params(root: Path, size: int) -> None:
    text = f"notebook: quick.ipynb\nparameters: {{size: {size}}}\n"
    (root / "params" / "quick.yml").write_text(text)


def test_only_what_is_stale_is_run(checkout: Path, capsys: pytest.CaptureFixture[str]):
    build.execute(checkout)
    assert "quick: running" in capsys.readouterr().out
    build.execute(checkout)
    assert capsys.readouterr().out == "quick: up to date\n"
    params(checkout, 4)
    build.execute(checkout)
    assert "quick: running" in capsys.readouterr().out


def test_touching_a_file_makes_nothing_stale(checkout: Path, capsys: pytest.CaptureFixture[str]):
    build.execute(checkout)
    (checkout / "notebooks" / "quick.ipynb").touch()
    capsys.readouterr()
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


def test_what_a_killed_run_left_is_no_page(checkout: Path):
    """Its folder, hidden beside the pages, would be rendered, and its labels found twice."""
    executed = build.execute(checkout)
    left = executed / ".run-killed" / "quick.ipynb"
    left.parent.mkdir()
    left.write_bytes((executed / "quick.ipynb").read_bytes())
    assert not list((build.assemble(checkout, executed) / "executed").glob(".run-*"))
    build.record(checkout)
    assert not list((checkout / "book" / "executed").glob(".run-*"))
    assert (checkout / "book" / "executed" / "quick.ipynb").is_file()


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
    record = {"yardstick": "one product", "processor": "a CPU", "bfloat16_units": True,
              "versions": {"torch": "2"}, "extra_memory_mb": 9, "ratios": [row]}  # fmt: skip

    def table(name: str) -> str:
        return (build.execute(checkout) / f"{name}.md").read_text()

    assert table("timings-layer") == table("timings-profile") == ""
    (checkout / "benchmarks").mkdir()
    (checkout / "benchmarks" / "results.json").write_text(json.dumps(record))
    text = table("timings-layer")
    assert "| ours | 0.5 (wide: 0.4 to 123 in 5 turns) |" in text
    assert "## A layer on one thread" in text
    assert "with bfloat16 units" in text
    assert table("timings-profile") == ""
    record["profile"] = {
        "model": "smollm2-135m", "tokens": 16384, "batch": 4096, "threads": 2,
        "ratios": [{"sets": ["all", "rest"], "median": 2, "least": 1.5, "greatest": 3, "turns": 2}],
        "memory": [{"budget": 4.0, "anonymous": 1.234, "files": 0.1}],
    }  # fmt: skip
    (checkout / "benchmarks" / "results.json").write_text(json.dumps(record))
    text = table("timings-profile")
    assert "| all, rest | 2 (1.5 to 3) |" in text
    assert "Peak memory above the loaded model: 1.23 GiB under a budget of 4 GiB." in text
    small = {"title": "Leverage", "yardstick": "one search", "ratios": [{**row, "name": "curve"}]}
    (checkout / "benchmarks" / "leverage.json").write_text(json.dumps(small))
    text = table("timings-leverage")
    assert "Leverage" not in text, "a table by itself stands under the page's own heading"
    assert "| curve | 0.5 (wide: 0.4 to 123 in 5 turns) |" in text
    assert "Multiples of one search." in text
    several = [{**small, "title": "Steps"}, {**small, "title": "Copies", "note": "In three turns."}]
    (checkout / "benchmarks" / "subspace.json").write_text(json.dumps(several))
    text = table("timings-subspace")
    assert text.index("## Steps") < text.index("## Copies")
    assert text.endswith("says little. In three turns.\n")


def test_tables_that_are_no_longer_written_do_not_stay(checkout: Path):
    executed = build.execute(checkout)
    (executed / "timings.md").write_text("of an older version")
    build.gather(executed, checkout / "benchmarks")
    assert not (executed / "timings.md").exists()
    assert (executed / "status.md").is_file()


def test_the_recorded_speed_is_drawn_with_its_rows(checkout: Path):
    shutil.copytree(ROOT / "benchmarks", checkout / "benchmarks")
    drawn = build.execute(checkout) / "figures"
    assert "<svg" in (drawn / "speed.svg").read_text()
    rows = (drawn / "speed.csv").read_text().splitlines()
    assert rows[0] == "measure,package,value,least,greatest,turns"
    assert rows[1].startswith("TwoNN,shapelib,")


def test_recording_keeps_the_run_and_the_verdict_cells_only(checkout: Path):
    build.record(checkout)
    kept = notebook.read(checkout / "book" / "executed" / "quick.ipynb")
    assert kept.metadata["shapelib"]["parameters"] == {"size": 3}
    template = notebook.read(checkout / "notebooks" / "quick.ipynb")
    outputs = [[o.text for o in c.outputs] for c in template.cells]
    assert outputs == [[], [], [], ["claim: holds\n"]]
    assert [c.execution_count for c in template.cells[:3]] == [None] * 3
    assert template.cells[3].execution_count is not None


def test_a_failing_page_leaves_the_recorded_one(checkout: Path):
    build.record(checkout)
    template = checkout / "notebooks" / "quick.ipynb"
    template.write_text(template.read_text().replace("Numbers(pd", "1 / 0, (pd"))
    with pytest.raises(ShapelibError, match="ZeroDivisionError"):
        build.record(checkout)
    assert (checkout / "book" / "executed" / "quick.ipynb").is_file()


def test_bad_params(checkout: Path):
    file = checkout / "params" / "quick.yml"
    file.write_text("notebook: quick.ipynb\nparameters: {sise: 3}\n")
    with pytest.raises(ShapelibError, match=r"quick\.ipynb has no parameter 'sise'"):
        build.pages(checkout)
    file.write_text("notebook: quick.ipynb\nparameter: {size: 3}\n")
    with pytest.raises(ShapelibError, match="did you mean 'parameters'"):
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
    build.gather(again, ROOT / "benchmarks")
    kept = {file.relative_to(RECORDED): file for file in RECORDED.rglob("*") if file.is_file()}
    assert {file.relative_to(again) for file in again.rglob("*") if file.is_file()} == set(kept)
    for name, file in kept.items():
        assert (again / name).read_bytes() == file.read_bytes(), f"{name}: run make record"


def test_every_claim_has_a_record():
    records = json.loads((RECORDED / "claims.json").read_text())
    assert {record["id"] for record in records} == set(claims())
    for record in records:
        assert record["verdict"] in VERDICTS
        fixed = claims()[record["id"]]
        assert (record["margin"], record["confidence"]) == (fixed.margin, fixed.confidence)


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
