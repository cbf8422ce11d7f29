"""The book's pages: run what is stale, gather figures and verdicts, assemble, record and render.

A page is a file ``params/PAGE.yml``: the notebook it is made from and the parameters it is run
with. What is stale is decided by a hash of notebook, parameters and the code that the notebook
imports, never by file times.
"""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shapebook.figures import shown as drawing
from shapebook.notebooks import notebook as notebooks
from shapebook.notebooks import shown
from shapebook.pages import models, status, timings
from shapelib import figures
from shapelib.errors import ShapelibError
from shapelib.store import cache, keys

# What a killed run left where it worked: no page.
UNFINISHED = shutil.ignore_patterns(".run-*")
_PACKAGES = ("shapelib", "shapebook")


@dataclass(frozen=True)
class Page:
    """One executed page: its name, its notebook, and the parameters the book runs it with."""

    name: str
    notebook: Path
    parameters: dict[str, Any]

    @property
    def key(self) -> str:
        """Changes when anything does that the executed page depends on."""
        notebook = notebooks.read(self.notebook)
        return keys.key_of(
            source(notebook),
            self.parameters,
            keys.hash_of(code(notebook)),
            {file.name: cache.sha256(file) for file in data(code(notebook))},
        )


def pages(root: Path) -> list[Page]:
    """The pages of a checkout, from ``params/*.yml``; parameters are checked."""
    found = []
    for name, notebook, parameters in notebooks.runs_of_book(root):
        notebooks.check(notebook, parameters)
        found.append(Page(name, notebook, parameters))
    if not found:
        raise ShapelibError(f"no pages: {root / 'params'} holds no .yml file")
    return found


def source(notebook: notebooks.Notebook) -> list[list[str]]:
    """What a notebook says, without outputs, counts and metadata of runs."""
    return [[cell.cell_type, cell.source] for cell in notebook.cells]


def code(notebook: notebooks.Notebook) -> keys.Code:
    """What a notebook runs: the modules of both packages that its imports lead to, and others'."""
    from IPython.core.inputtransformer2 import TransformerManager

    plain = TransformerManager().transform_cell
    cells = [plain(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    names = keys.imported("".join(cells).encode(), _PACKAGES)
    return keys.closure(names, _PACKAGES)


def data(code: keys.Code) -> Iterator[Path]:
    """The files beside the modules of some code that a string in them names, as ``claims.yml``."""
    for file in code.modules.values():
        tree = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        named = {str(node.value) for node in tree if isinstance(node, ast.Constant)}
        beside = (each for each in file.parent.iterdir() if each.suffix != ".py")
        yield from sorted(each for each in beside if each.name in named)


def execute(root: Path) -> Path:
    """Run every stale page into ``_build/executed``, with its figures and verdicts beside it."""
    executed = root / "_build" / "executed"
    executed.mkdir(parents=True, exist_ok=True)
    wanted = pages(root)
    for page in wanted:
        target = executed / f"{page.name}.ipynb"
        key = page.key
        if target.is_file() and _told(target).get("key") == key:
            print(f"{page.name}: up to date", flush=True)
            continue
        print(f"{page.name}: running {page.notebook.name}", flush=True)
        notebooks.run(page.notebook, target, page.parameters, told=_say)
        done = notebooks.read(target)
        done.metadata[notebooks.RUN]["key"] = key
        notebooks.write(done, target)
        print(f"{page.name}: {notebooks.cost(done)['seconds']} s", flush=True)
    for stray in set(executed.glob("*.ipynb")) - {executed / f"{p.name}.ipynb" for p in wanted}:
        stray.unlink()
    gather(executed, root / "benchmarks")
    return executed


def gather(executed: Path, benchmarks: Path) -> None:
    """Write the figures, the data and the claim records of executed pages, and as tables what their
    runs cost, their parameters, the recorded benchmarks and the catalogue of models.

    A figure is the SVG of a cell whose ``mystnb`` metadata names it; ``fig-PAGE-NAME`` goes to
    ``figures/PAGE-NAME.svg``, and the rows it shows to ``figures/PAGE-NAME.csv``. A page's table
    (`shown.Numbers`) goes to ``data/PAGE.csv``. The recorded benchmarks give
    ``figures/speed.svg`` and the files of `timings.tables`.
    """
    for old in executed.glob("*.md"):
        old.unlink()
    drawn, data = executed / "figures", executed / "data"
    for folder in (drawn, data):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    records: list[dict[str, Any]] = []
    for file in sorted(executed.glob("*.ipynb")):
        notebook = notebooks.read(file)
        records += [{**each, "page": file.stem} for each in notebooks.records(notebook)]
        for cell in notebook.cells:
            name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
            for output in cell.get("outputs", []):
                if table := output.get("metadata", {}).get(shown.TABLE):
                    (data / f"{file.stem}.csv").write_text(table, encoding="utf-8")
                if name and (svg := output.get("data", {}).get("image/svg+xml")):
                    told = output.metadata.get("image/svg+xml", {})
                    rows = told.get(drawing.ROWS)
                    _draw(drawn / name.removeprefix("fig-"), svg, rows)
    records.sort(key=lambda each: each["number"])
    text = json.dumps(records, indent=1, ensure_ascii=False)
    (executed / "claims.json").write_text(text + "\n", encoding="utf-8")
    for table, markdown in timings.tables(benchmarks).items():
        (executed / f"{table}.md").write_text(markdown, encoding="utf-8")
    recorded = timings.read(benchmarks / "results.json")
    if recorded is not None and len(compared := timings.rows(recorded)):
        figure = timings.speed(compared)
        _draw(drawn / "speed", drawing.show(figure).data, figures.data(figure))
    models.write(executed)
    status.write(executed)


def _draw(base: Path, svg: str, rows: str | None) -> None:
    """A figure and, where it has them, the rows that it shows."""
    base.with_suffix(".svg").write_text(svg, encoding="utf-8")
    if rows:
        base.with_suffix(".csv").write_text(rows, encoding="utf-8")


def assemble(root: Path, executed: Path) -> Path:
    """The book's source with these executed pages in it, under ``_build/source``."""
    target = root / "_build" / "source"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "book", target, ignore=shutil.ignore_patterns("executed"))
    shutil.copytree(executed, target / "executed", ignore=UNFINISHED)
    return target


def render(root: Path, book: Path) -> None:
    """Render a source into ``_build/html``; warnings are errors.

    Raises `ShapelibError` where Jupyter Book is not installed or finds something wrong.
    """
    program = Path(sys.executable).with_name("jupyter-book")
    if not program.exists():
        raise ShapelibError('rendering needs Jupyter Book; run: pip install "shapelib[book]"')
    # Pages of an earlier book that this one no longer has must not stay.
    shutil.rmtree(root / "_build" / "html", ignore_errors=True)
    command = [
        str(program), "build", str(book), "--config", "_config.yml", "--path-output", ".",
        "--all", "-W", "--keep-going", "-n",
    ]  # fmt: skip
    if subprocess.run(command, cwd=root, check=False).returncode != 0:
        raise ShapelibError("the book was not rendered: see Jupyter Book's messages above")
    print("rendered: _build/html/intro.html")


def record(root: Path) -> None:
    """Keep a finished run: executed pages to ``book/executed``, verdict outputs to notebooks."""
    executed = execute(root)
    kept = root / "book" / "executed"
    fresh = kept.with_name(".executed")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(executed, fresh, ignore=UNFINISHED)
    shutil.rmtree(kept, ignore_errors=True)
    fresh.replace(kept)
    for notebook in sorted({page.notebook for page in pages(root)}):
        record_verdicts(notebook, root / "_build" / "defaults" / notebook.name)
    print("recorded: book/executed and the verdict cells of notebooks/")


def record_verdicts(notebook: Path, scratch: Path) -> None:
    """Run a notebook at its defaults and keep the outputs of its verdict cells, and no others."""
    scratch.parent.mkdir(parents=True, exist_ok=True)
    notebooks.run(notebook, scratch)
    # papermill adds a cell of parameters only where some are given: cells correspond one to one.
    template, done = notebooks.read(notebook), notebooks.read(scratch)
    for cell, ran in zip(template.cells, done.cells, strict=True):
        if cell.cell_type != "code":
            continue
        verdict = "nbval-check-output" in cell.metadata.get("tags", [])
        cell.outputs = ran.outputs if verdict else []
        cell.execution_count = ran.execution_count if verdict else None
    notebooks.write(template, notebook)


def _say(text: str) -> None:
    print(text, end="", flush=True)


def _told(path: Path) -> dict[str, Any]:
    kept: dict[str, Any] = notebooks.read(path).metadata.get(notebooks.RUN, {})
    return kept
