"""A figure of a paper made: measured into a store, then its notebook run on it, then its page."""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shapebook.notebooks import changes, html
from shapebook.notebooks import notebook as notebooks
from shapebook.pages.models import in_bytes
from shapebook.papers import page as pages
from shapebook.papers.listed import Figure
from shapebook.papers.plan import Plan
from shapebook.papers.told import ALLOW, by_model, free, hub_cache
from shapelib import extras
from shapelib.errors import ShapelibError
from shapelib.models.sources import Source
from shapelib.store import cells, tables

NOTE = "papers.json"
"""In a store: which figure's measurements it holds."""
_KINDS = {"profile": "shape", "suites": "shape", "tuning": "tuning"}
# What says which models and texts are measured; all else is of one measurement or run.
_WHICH = ("models", "suites", "checkpoints", "corpus", "tasks")


@dataclass(frozen=True)
class Where:
    """Where a figure is measured, and where what comes of it goes."""

    store: Path
    page: Path
    """The HTML page; the executed notebook lies beside it, as .ipynb."""
    allow_pickle: bool = False
    workers: int = 1
    dask: str | None = None


@dataclass(frozen=True)
class Made:
    """What came of it."""

    notebook: Path
    records: list[dict[str, Any]]
    """The verdicts."""
    failures: list[tuple[str, str]]
    """What the figure lacks, and why."""


def make(plan: Plan, where: Where, told: Callable[[str], None]) -> Made:
    """Measure what a figure's store lacks, run its notebook on it and write the page.

    A run that was killed is gone on with by the same call.

    :param told: gets what is said on the way, a line at a time.
    :raises ShapelibError: before anything is fetched, for pickles that are not allowed and for a
        store that is another figure's or of another kind; before any weights are, for a disk that
        has no room for them; and where nothing at all could be measured.
    """
    figure = plan.figure
    page, notebook = tables.check_file(_folder(where.page)), where.page.with_suffix(".ipynb")
    if page.suffix != ".html":
        raise ShapelibError(f"--out {str(page)!r} must end in .html")
    if plan.pickled and not where.allow_pickle:
        raise ShapelibError(
            f"{figure.name} needs {by_model(plan.pickled)}, whose weights are pickles, which can "
            f"run code when they are read. Where you trust them, give --allow-pickle or set {ALLOW}"
            "=1, once for the whole figure: they are then read by torch's weights-only reader, "
            "which refuses code. Nothing was fetched"
        )
    # Before hours of measuring, not after them.
    extras.require("making a figure", "models", "book")
    failures: list[tuple[str, str]] = []
    table, whole = where.store / "table.parquet", None
    if figure.kind in _KINDS:
        _claim(figure, where.store)
        failures = _fill(figure, where, told)
        for what, why in failures:
            told(f"missing: {what}: {why}")
        whole = table.read_bytes()
    told(f"running {figure.notebook.name}")
    given = _given(figure, where)
    notebooks.run(figure.notebook, notebook, given, told=functools.partial(_line, told))
    if whole:
        # A page may look at a part of the store last, whose table this then is.
        tables.write_atomically(table, lambda file: file.write_bytes(whole))
    done = notebooks.read(notebook)
    page.write_text(html.html(pages.page(figure, done)), encoding="utf-8")
    if changes.changes(figure.notebook, given):
        notebooks.write(html.without_the_books_readings(done), notebook)
    return Made(notebook, notebooks.records(done), failures)


def _line(told: Callable[[str], None], text: str) -> None:
    if text.strip():
        told(text.rstrip())


def _folder(page: Path) -> Path:
    page.parent.mkdir(parents=True, exist_ok=True)
    return page


def _fill(figure: Figure, where: Where, told: Callable[[str], None]) -> list[tuple[str, str]]:
    """Measure what the store lacks; gives what failed."""
    from shapebook.experiments import stores

    asked = figure.parameters
    along = figure.kind != "profile"
    found, lost = stores.sources(figure.names, along=along, checkpoints=figure.checkpoints)
    stores.refuse_pickles(found, where.allow_pickle)
    check_room(found)
    shared: dict[str, Any] = {
        "checkpoints": figure.checkpoints, "allow_pickle": where.allow_pickle,
        "workers": where.workers, "dask": where.dask, "progress": True,
    }  # fmt: skip
    of_one = {name: value for name, value in asked.items() if name not in _WHICH}
    told(f"{len(found)} to measure, {len(lost)} that cannot be had, into {where.store}")
    if figure.kind == "tuning":
        table = stores.tunings(figure.names, asked["tasks"], where.store, **shared, **of_one)
    else:
        of_one = {"sets": ["all"], **of_one}
        table = stores.shapes(
            figure.names, asked["corpus"], where.store, along=along, **shared, **of_one
        )
    failures: list[tuple[str, str]] = table.attrs["failures"]
    return failures


def _given(figure: Figure, where: Where) -> dict[str, Any]:
    """The parameters of the notebook's run."""
    if figure.kind not in _KINDS:
        return {**figure.parameters, "fetch": True}
    store = str(where.store.resolve())
    return {**figure.parameters, "store": store, "allow_pickle": where.allow_pickle}


def check_room(found: list[Source]) -> None:
    """Raise `ShapelibError` where the disk of the hub's cache has no room for the weights that are
    still to be fetched, as the hub itself lists their sizes."""
    from huggingface_hub import errors, get_cached_repo_tree

    needed = 0
    for each in found:
        if each.pending is None:
            continue
        try:
            files = get_cached_repo_tree(each.pending, revision=each.revision)
        except errors.CachedRepoTreeNotFoundError:  # offline, and an older client filled the cache
            continue
        sizes = dict(weights_of(each, files))
        needed += sum(size for name, size in sizes.items() if not (each.folder / name).is_file())
    place = hub_cache()
    if needed > free(place):
        raise ShapelibError(
            f"the weights still to be fetched take {in_bytes(needed)}, and {in_bytes(free(place))} "
            f"are free in {place}: ask for fewer --checkpoints or models, or set HF_HOME to a "
            "larger disk. No weights were fetched"
        )


def weights_of(source: Source, files: list[Any]) -> list[tuple[str, int]]:
    """The files of a source's weights in its repository, and their sizes."""
    ending = ".bin" if source.pickled else ".safetensors"
    return [(file.path, int(file.size)) for file in files
            if file.path.endswith(ending) and "/" not in file.path]  # fmt: skip


def _claim(figure: Figure, store: Path) -> None:
    """Note in a store whose measurements it holds. Raises `ShapelibError` for one of another figure
    or another kind."""
    kept = cells.look(store, _KINDS[figure.kind])
    note = kept.folder / NOTE
    if note.is_file():
        told: Mapping[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        if told.get("store") != figure.store:
            raise ShapelibError(
                f"{str(store)!r} is the store of {told.get('store')}, and {figure.name} keeps its "
                f"measurements in {figure.store}'s: give another folder with --store"
            )
        return
    made = cells.open_store(store, _KINDS[figure.kind])
    text = json.dumps({"store": figure.store}) + "\n"
    tables.write_atomically(made.folder / NOTE, lambda file: file.write_text(text))
