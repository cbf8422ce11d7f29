"""A grid of cells computed into a store: by one process or many, and gone on with after any kill.

A cell is one table under a key of everything that its numbers depend on. What is in the store is
never computed again; a cell is computed by one run at a time; one that fails ends no other.
"""

import functools
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import pandas as pd

from shapelib.errors import ShapelibError
from shapelib.store import tables
from shapelib.store.cells import Cells
from shapelib.store.workers import Engine, check, here, local, remote

_log = logging.getLogger("shapelib")
# Seconds between looks at cells that another run is computing.
_POLL = 1.0
# What becomes of a cell that was missing, where nothing goes wrong.
COMPUTED, MEANWHILE, BUSY = "computed", "computed meanwhile by another run", "busy in another run"


class Cell(Protocol):
    """One measurement of a grid."""

    @property
    def key(self) -> str: ...

    @property
    def name(self) -> str:
        """The cell as messages name it."""

    @property
    def where(self) -> str:
        """The device to measure on, on the machine that measures."""


C = TypeVar("C", bound=Cell)


class Failure(NamedTuple):
    """A cell that could not be computed, and why."""

    cell: str
    error: str


def missing(grid: Sequence[C], kept: Cells) -> list[C]:
    """The cells that the store does not hold, or holds damaged."""
    return [cell for cell in grid if kept.read(cell.key) is None]


def fill(
    grid: Sequence[C],
    kept: Cells,
    measure: Callable[[C], pd.DataFrame],
    *,
    need: Callable[[C], int],
    columns: Mapping[str, str],
    label: str,
    preload: Sequence[str] = (),
    workers: int = 1,
    dask: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Compute what is missing of a grid by `measure`, and give the table of all of it.

    Rows come in the order of the grid, and are written to ``table.parquet`` of the store as well.
    ``table.attrs["failures"]`` lists cells that failed, with their messages. `need`: bytes of
    memory that a cell may take; `columns`: those of the table, for one without rows; `label`: of
    the progress bar; `preload`: modules that workers on this machine are to start with, besides
    that of `measure`. `measure` and cells must be picklable for `workers` and `dask`.
    """
    from tqdm import tqdm

    waiting = missing(grid, kept)
    outcomes: Counter[str] = Counter(there=len(grid) - len(waiting))
    failures: list[Failure] = []
    bar = tqdm(
        total=len(grid),
        initial=outcomes["there"],
        unit="cell",
        desc=label,
        disable=None if progress else True,
    )
    work = functools.partial(_compute, measure=measure, folder=kept.folder)
    with bar, _engine(waiting, need, workers, dask, (measure.__module__, *preload)) as compute:
        while waiting:
            busy = []
            for cell, outcome in compute(work, waiting):
                if outcome == BUSY:
                    busy.append(cell)
                    continue
                bar.update()
                if outcome in (COMPUTED, MEANWHILE):
                    outcomes[str(outcome)] += 1
                else:
                    failures.append(Failure(cell.name, _why(outcome)))
            if len(busy) == len(waiting):
                time.sleep(_POLL)
            waiting = busy
    table = _gathered(grid, kept, failures, columns)
    _log.info(
        "%d cells: %d were in the store, %d computed, %d computed meanwhile by another run, "
        "%d failed", len(grid), outcomes["there"], outcomes[COMPUTED], outcomes[MEANWHILE],
        len(failures),
    )  # fmt: skip
    return table


def _engine(
    waiting: Sequence[C],
    need: Callable[[C], int],
    workers: int,
    dask: str | None,
    preload: Sequence[str],
) -> AbstractContextManager[Engine[C, Any]]:
    check(workers, dask)
    workers = min(workers, len(waiting))
    if dask is not None and waiting:
        return remote(dask, waiting[0].where)
    if workers > 1:
        return local(workers, max(need(cell) for cell in waiting), waiting[0].where, preload)
    return nullcontext(here)


def _compute(cell: C, measure: Callable[[C], pd.DataFrame], folder: Path) -> str:
    """Compute a cell into the store of `folder`; say what became of it, or what went wrong."""
    kept = Cells(folder)
    try:
        if not kept.path(cell.key).parent.is_dir():
            raise ShapelibError(f"this worker does not see the store {folder}")
        with kept.lock(cell.key) as mine:
            if not mine:
                return BUSY
            if kept.read(cell.key) is not None:
                return MEANWHILE
            kept.write(cell.key, measure(cell))
            return COMPUTED
    except Exception as error:  # one cell's failure, whatever it is, must not end the others
        return _why(error)


def _why(outcome: str | BaseException) -> str:
    if isinstance(outcome, str | ShapelibError):
        return str(outcome)
    if type(outcome).__name__ == "KilledWorker":
        return "the worker that computed it was killed again and again; it may need more memory"
    if isinstance(outcome, ModuleNotFoundError) and outcome.name == "shapelib":
        return "the worker that it was given to does not have shapelib"
    return f"{type(outcome).__name__}: {outcome}"


def _gathered(
    grid: Sequence[C], kept: Cells, failures: list[Failure], columns: Mapping[str, str]
) -> pd.DataFrame:
    """The table of all cells that are there, in the order of the grid."""
    failed = {each.cell for each in failures}
    found = []
    for cell in grid:
        table = kept.read(cell.key)
        if table is not None:
            found.append(table)
        elif cell.name not in failed:
            why = f"a worker has computed it, but it is not in {kept.folder} as it is seen here"
            failures.append(Failure(cell.name, why))
    for each in failures:
        _log.warning("%s failed: %s", *each)
    if not found:
        joined = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
        joined.attrs["provenance"] = []
    else:
        joined = tables.combine(found)
        tables.write_table(joined, kept.folder / "table.parquet")
    joined.attrs["failures"] = [tuple(each) for each in failures]
    return joined
