"""The book's pages: run what is stale, gather figures and verdicts, assemble and record.

A page is a file ``params/PAGE.yml``: the notebook it is made from, the parameters it is run with,
and the page, if there is one, ``after`` which it is run since it shows the same measurements. What
is stale is decided by a hash of notebook, parameters and the code that the notebook imports, never
by file times. Two stale pages run at a time, each in a process of its own.
"""

import ast
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from shapebook.figures import shown as drawing
from shapebook.notebooks import kernel
from shapebook.notebooks import notebook as notebooks
from shapebook.pages import kept, models, rendering, side_by_side, status, trials
from shapebook.pages.timings import drawn as speed
from shapebook.pages.timings import records, tables
from shapelib import extras, figures
from shapelib.errors import ShapelibError, nearest
from shapelib.store import assets, cache, keys

RECORDS = Path("benchmarks", "records")
"""Where a checkout keeps what its benchmarks found."""
# What a killed run left where it worked: no page.
UNFINISHED = shutil.ignore_patterns(".run-*")
_PACKAGES = ("shapelib", "shapebook")
# Pages that run at a time; the pages of two chains of measurements are most that can.
_AT_ONCE = 2
# Bytes that the book keeps in an empty cache, weights expanded; and what any run takes for a while.
_CACHE, _WORK = 1_300_000_000, 300_000_000


@dataclass(frozen=True)
class Page:
    """One executed page: its name, its notebook, and the parameters the book runs it with."""

    name: str
    notebook: Path
    parameters: dict[str, Any]
    after: str | None = None

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


def pages(root: Path, defaults: bool = False) -> list[Page]:
    """The pages of a checkout, from ``params/*.yml``; parameters are checked.

    `defaults`: with no parameters given, each notebook at its own.
    """
    found = []
    for run in notebooks.runs_of_book(root):
        notebooks.check(run.notebook, run.parameters)
        found.append(Page(*run))
    if not found:
        raise ShapelibError(f"no pages: {root / 'params'} holds no .yml file")
    names = [page.name for page in found]
    for page in found:
        if page.after is not None and page.after not in names:
            raise ShapelibError(
                f"params/{page.name}.yml: after: {page.after!r} is no page; "
                f"{nearest(page.after, names)}"
            )
    return [replace(page, parameters={}) for page in found] if defaults else found


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


def execute(root: Path, defaults: bool = False) -> Path:
    """Run every stale page into ``_build/executed``, with its figures and verdicts beside it.

    `defaults`: with the notebooks' own parameters, and into ``_build/defaults``. What was finished
    is kept when a page fails.
    """
    executed, wanted = _executed(root, defaults), pages(root, defaults)
    executed.mkdir(parents=True, exist_ok=True)
    stale = []
    for page in wanted:
        if _is_fresh(page, executed):
            print(f"{page.name}: up to date", flush=True)
        else:
            stale.append(page)
    if stale:
        _prepare(stale)
    cores = side_by_side.cores()
    if len(stale) == 1 or cores == 1:
        for page in stale:
            print(f"{page.name}: running {page.notebook.name}", flush=True)
            run_page(page, executed)
    elif stale:
        words = ("--defaults",) if defaults else ()
        jobs = [
            side_by_side.Job(
                page.name, (*_PROGRAM, "page", page.name, *words), page.after, _weight(root, page)
            )
            for page in stale
        ]
        print(f"{len(jobs)} pages to run, {_AT_ONCE} at a time", flush=True)
        with kernel.stoppable():
            side_by_side.run(jobs, _AT_ONCE, partial(print, flush=True))
    for stray in set(executed.glob("*.ipynb")) - {executed / f"{p.name}.ipynb" for p in wanted}:
        stray.unlink()
    gather(executed, root)
    return executed


def execute_page(root: Path, name: str, defaults: bool = False) -> None:
    """Run one page by its name, as `execute` runs all that are stale."""
    named = {page.name: page for page in pages(root, defaults)}
    if name not in named:
        raise ShapelibError(f"no such page: {name!r}; {nearest(name, [*named])}")
    run_page(named[name], _executed(root, defaults))


def _executed(root: Path, defaults: bool) -> Path:
    return root / "_build" / ("defaults" if defaults else "executed")


def run_page(page: Page, executed: Path) -> None:
    """Run one page into a folder of executed ones, and say what each cell took."""
    target = executed / f"{page.name}.ipynb"
    notebooks.run(page.notebook, target, page.parameters, told=_say, key=page.key)
    print(f"done in {notebooks.cost(notebooks.read(target))['seconds']:.0f} s", flush=True)


# How a page is run in a process of its own.
_PROGRAM = (sys.executable, "-m", "shapebook")


def _is_fresh(page: Page, executed: Path) -> bool:
    target = executed / f"{page.name}.ipynb"
    return target.is_file() and _told(target).get("key") == page.key


def _prepare(stale: list[Page]) -> None:
    """See to all that pages need before the first of them runs, so that none fails for it later:
    packages, a cache that can be written, and the weights and texts that parameters name."""
    extras.require("running the pages", "models", "book")
    cache.check(room=max(_CACHE - cache.size(), 0) + _WORK)
    given = [notebooks.check(page.notebook, page.parameters) for page in stale]
    named = {text for each in given for text in _texts(each)}
    for name in assets.ASSETS:
        if name in named:
            if assets.known(name).terms and not assets.is_here(name):
                raise ShapelibError(
                    f"a page's parameters name {name}, which has terms of use: making the book "
                    f"does not fetch it; run: shapelib cache fetch {name}"
                )
            print(f"{name}: looked for in the cache, fetched if it is not there", flush=True)
            assets.fetch(name)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a plain value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value:
            yield from _texts(each)
        if isinstance(value, dict):
            for each in value.values():
                yield from _texts(each)


def _weight(root: Path, page: Page) -> float:
    """The seconds that the page took when the whole book was last timed, from an empty cache; else
    those of its recorded run, which may have found its measurements kept; 0 without either."""
    timed = records.of_processors(root / RECORDS, "commands").values()
    for record in sorted(timed, key=lambda each: str(each["measured"]), reverse=True):
        for run in record["runs"]:
            if page.name in run["pages"]:
                return float(run["pages"][page.name])
    recorded = root / "book" / "executed" / f"{page.name}.ipynb"
    return float(notebooks.cost(notebooks.read(recorded))["seconds"]) if recorded.is_file() else 0.0


def gather(executed: Path, root: Path) -> None:
    """Write the figures, the data and the claim records of executed pages, and as tables what their
    runs cost, their parameters, the recorded benchmarks, what printed errors are worth, and the
    catalogue of models.

    A figure is the SVG of a cell whose ``mystnb`` metadata names it; ``fig-PAGE-NAME`` goes to
    ``figures/PAGE-NAME.svg``, and the rows it shows to ``figures/PAGE-NAME.csv``. A page's table
    (`shown.Numbers`) goes to ``data/PAGE.csv``. The recorded benchmarks give
    ``figures/growth.svg``, ``figures/speed.svg`` and the files of `timings.tables` and
    `trials.tables`.
    """
    for old in executed.glob("*.md"):
        old.unlink()
    drawn = executed / "figures"
    for folder in (drawn, executed / "data"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    verdicts: list[dict[str, Any]] = []
    for file in sorted(executed.glob("*.ipynb")):
        verdicts += [
            {**each, "page": file.stem}
            for each in notebooks.records(rendering.draw(file, executed))
        ]
    verdicts.sort(key=lambda each: each["number"])
    text = json.dumps(verdicts, indent=1, ensure_ascii=False)
    (executed / "claims.json").write_text(text + "\n", encoding="utf-8")
    told = {**tables.tables(root / RECORDS), **trials.tables(root / RECORDS)}
    told |= kept.tables(root / "results")
    for table, markdown in told.items():
        (executed / f"{table}.md").write_text(markdown, encoding="utf-8")
    for name, figure in speed.figures(root / RECORDS).items():
        rendering.write(drawn / name, drawing.show(figure).data, figures.data(figure))
    models.write(executed)
    status.write(executed)


def assemble(root: Path, executed: Path) -> Path:
    """The book's source with these executed pages in it, under ``_build/source``."""
    target = root / "_build" / "source"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "book", target, ignore=shutil.ignore_patterns("executed"))
    shutil.copytree(executed, target / "executed", ignore=UNFINISHED)
    return target


def record(root: Path) -> None:
    """Keep a finished run: executed pages to ``book/executed``, verdict outputs to notebooks."""
    executed, defaults = execute(root), execute(root, defaults=True)
    kept = root / "book" / "executed"
    fresh = kept.with_name(".executed")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(executed, fresh, ignore=UNFINISHED)
    shutil.rmtree(kept, ignore_errors=True)
    fresh.replace(kept)
    for page in {page.notebook: page for page in pages(root)}.values():
        record_verdicts(page.notebook, defaults / f"{page.name}.ipynb")
    print("recorded: book/executed and the verdict cells of notebooks/")


def record_verdicts(notebook: Path, at_defaults: Path) -> None:
    """Keep what a notebook's verdict cells gave in its run at its defaults, and no other output."""
    # papermill adds a cell of parameters only where some are given: cells correspond one to one.
    template, done = notebooks.read(notebook), notebooks.read(at_defaults)
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
