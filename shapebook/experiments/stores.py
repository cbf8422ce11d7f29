"""Models, suites and tuning runs measured into a store, so that a page is drawn from what is there.

What is missing is computed; what fails, or cannot be had from the hub, ends nothing: it is named in
``table.attrs["failures"]``, as pairs of what and why.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from shapelib.errors import ShapelibError
from shapelib.finetuning import plan as tuning
from shapelib.finetuning import sweep as tuning_sweep
from shapelib.finetuning.settings import Tuning
from shapelib.finetuning.tasks import load_task
from shapelib.models import catalogue, suites
from shapelib.models.sources import Source, find
from shapelib.states import sweep
from shapelib.states.profile import profile
from shapelib.store import tables
from shapelib.store.cells import open_store


def shapes(
    names: Sequence[str],
    text: str,
    store: str | Path = "",
    *,
    along: bool = False,
    checkpoints: suites.Steps = "all",
    allow_pickle: bool = False,
    workers: int = 1,
    dask: str | None = None,
    progress: bool = False,
    **parameters: Any,
) -> pd.DataFrame:
    """The shape table of models, or of suites, over a text.

    :param names: models; with `along` suites, of which `checkpoints` are measured.
    :param store: a folder as `shapelib.sweep` fills it; empty: every model is measured by
        `shapelib.profile`, whose tables the user's cache keeps, and one that fails ends the run.
    :param parameters: of `profile`, the seed among them.
    :raises ShapelibError: for wrong parameters and names, for pickles that are not allowed, and
        where nothing at all could be measured.
    """
    found, lost = sources(names, along=along, checkpoints=checkpoints, strict=not store)
    refuse_pickles(found, allow_pickle)
    if not store:
        return tables.combine([profile(each, text, **parameters) for each in found])
    seed = parameters.pop("seed", 0)
    if found:
        grid = sweep.plan(found, text, [seed], "all", dask=dask, **parameters)
        kept = open_store(store, sweep.KIND)
        table = sweep.fill(grid, kept, workers=workers, dask=dask, progress=progress)
        lost = [*lost, *table.attrs["failures"]]
    return _told(table if found else pd.DataFrame(), lost)


def tunings(
    models: Sequence[str],
    tasks: Sequence[str],
    store: str | Path,
    *,
    checkpoints: suites.Steps = "all",
    allow_pickle: bool = False,
    workers: int = 1,
    dask: str | None = None,
    device: str = "auto",
    progress: bool = False,
    **runs: Any,
) -> pd.DataFrame:
    """The tuning table of models and suites on tasks, from a store as `shapelib d90` fills it.

    :param models: models, and suites of which `checkpoints` are tuned.
    :param runs: ``dimensions``, ``methods``, ``inits``, ``learning_rates``, ``full_rates``,
        ``seeds``, ``steps``, ``batch`` and ``length`` of `shapelib.dimension_sweep`.
    :raises ShapelibError: as `shapes`.
    """
    found, lost = sources(models, along=True, checkpoints=checkpoints)
    refuse_pickles(found, allow_pickle)
    wanted = Tuning(**runs).runs()
    read = [load_task(each) for each in tasks]
    cells = []
    for name in dict.fromkeys(each.name for each in found):
        own = [each for each in found if each.name == name]
        try:
            cells += tuning.plan(own, read, wanted, device=device, dask=dask)
        except ShapelibError as error:
            lost.append((name, str(error)))
    table = pd.DataFrame()
    if cells:
        kept = open_store(store, tuning_sweep.KIND)
        table = tuning.fill(cells, kept, workers=workers, dask=dask, progress=progress)
        lost = [*lost, *table.attrs["failures"]]
        table, without = _with_full_runs(table)
        lost += without
    return _told(table, lost)


def _with_full_runs(table: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """The runs of models that full fine-tuning has a score of, d90 being a share of it; and the
    others, named."""
    by = ["task", "model", "checkpoint", "init"]
    full = table[(table["method"] == "full") & table["score"].notna()]
    scored = set(full[by].itertuples(index=False, name=None))
    of = [each in scored for each in table[by].itertuples(index=False, name=None)]
    without = table.loc[[not each for each in of], by].drop_duplicates()
    why = "full fine-tuning, of which d90 is a share, has no score"
    named = [(f"{m}@{c}, {t}, {i}", why) for t, m, c, i in without.itertuples(index=False)]
    return table[of], named


def sources(
    names: Sequence[str],
    *,
    along: bool = False,
    checkpoints: suites.Steps = "all",
    strict: bool = False,
) -> tuple[list[Source], list[tuple[str, str]]]:
    """Where models are, or with `along` the checkpoints of the suites among them; weights on the
    hub are not fetched yet. Beside them what of the catalogue could not be had, and why.

    Pickles are found as well, see `refuse_pickles`. `strict`: whatever cannot be had is raised.
    Raises `ShapelibError` for a name that is wrong.
    """
    found: list[Source] = []
    lost: list[tuple[str, str]] = []
    for name in names:
        if along and suites.is_folder(name):
            found += suites.sources(name, checkpoints, allow_pickle=True)
            continue
        for each in _each(name, along, checkpoints):
            try:
                found.append(find(each, allow_pickle=True, fetch=False))
            except ShapelibError as error:
                # A wrong name is not one that the hub happens not to give.
                if strict or each.partition("@")[0] not in catalogue.models():
                    raise
                lost.append((each, str(error)))
    # Workers of a cluster may stand in another folder.
    return [replace(each, folder=each.folder.resolve()) for each in found], lost


def _each(name: str, along: bool, checkpoints: suites.Steps) -> Iterator[str]:
    """The checkpoints that a suite's name stands for, or the name."""
    before, _, wanted = name.partition("@")
    if wanted and before in catalogue.suites():
        catalogue.suite(before).checkpoint(wanted)
    if not (along and name in catalogue.suites()):
        yield name
        return
    points = catalogue.suite(name).checkpoints
    steps = suites.choose(name, checkpoints, [each.step for each in points])
    yield from (f"{name}@{each.name}" for each in points if each.step in steps)


def refuse_pickles(found: Sequence[Source], allowed: bool) -> None:
    """Raise `ShapelibError` that names every model whose weights are pickles, unless they are
    allowed: once for all of them, before any of their weights is fetched."""
    pickled = dict.fromkeys(each.name for each in found if each.pickled)
    if pickled and not allowed:
        raise ShapelibError(
            f"the weights of {', '.join(pickled)} are pickles, which can run code when they are "
            "read. Where you trust them, allow them with the parameter allow_pickle (True) or "
            "--allow-pickle: they are then read by torch's weights-only reader, which refuses code"
        )


def lost(table: pd.DataFrame) -> list[str]:
    """The names of what a table lacks, because it failed."""
    return [what for what, _ in table.attrs.get("failures", [])]


def _told(table: pd.DataFrame, lost: Sequence[tuple[str, str]]) -> pd.DataFrame:
    if table.empty:
        # What was there is kept: the next call goes on from it.
        why = "; ".join(f"{what}: {why}" for what, why in lost)
        raise ShapelibError(f"nothing could be measured: {why}")
    table.attrs["failures"] = [tuple(each) for each in lost]
    return table
