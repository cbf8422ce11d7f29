"""Many models, checkpoints, texts and seeds → one table, from a store that any run can go on with.

A cell of the grid is one call of `profile`. Its key is made of everything its numbers depend on, so
a cell in the store is never computed again, and one that would come out otherwise always is.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shapelib.errors import ShapelibError
from shapelib.models import halves, loading, resident, suites
from shapelib.models.resident import device_there
from shapelib.states.profile import COLUMNS, key, profile
from shapelib.states.settings import MEMORY, Measuring
from shapelib.store import grid as grids
from shapelib.store.cells import Cells, look, open_store
from shapelib.store.grid import missing as missing
from shapelib.store.held import Held
from shapelib.store.workers import GIB, check
from shapelib.text import corpus

KIND = "shape"
"""What its stores hold, of `cells.KINDS`."""
# What a measurement imports when it needs it, and takes its time.
_SLOW = ("shapelib.geometry.search.pairs", "transformers.modeling_utils")
_TEXT: Held[corpus.Corpus] = Held()


@dataclass(frozen=True)
class Cell:
    """One measurement of a grid."""

    key: str
    source: loading.Source
    text: str
    """A corpus by the name or path that `load_corpus` takes."""
    sha256: str
    """Of the cleaned text: a worker that reads another one does not go on."""
    asked: Measuring
    dtype: str
    device: str
    where: str
    """The device that `device` is on the machine that measures."""
    memory: float
    part: str | None = None
    """Which half of an encoder-decoder."""

    @property
    def name(self) -> str:
        """The cell as messages name it."""
        checkpoint = f"@{self.source.checkpoint}" if self.source.checkpoint else ""
        half = f" ({self.part})" if self.part else ""
        return f"{self.source.name}{checkpoint}{half}, {self.text}, seed {self.asked.seed}"


def sweep(
    names: suites.Names,
    texts: str | Path | Sequence[str | Path] = "enwiki-sample",
    seeds: Sequence[int] = (0,),
    checkpoints: suites.Steps = "all",
    *,
    output: str | Path,
    workers: int = 1,
    dask: str | None = None,
    progress: bool = True,
    **parameters: Any,
) -> pd.DataFrame:
    """Measure every model (and every checkpoint of a suite) on every text with every seed.

    ::

        table = sweep(["smollm2-135m", "runs/mine"], seeds=[0, 1], output="measured", workers=2)

    A suite is the checkpoints of one training run: a model of the catalogue that has some, or a
    folder of them, see `models.in_folder`. A cell of the grid is one `profile`; each is one file of
    the store, and one that is there is not computed again, so that the same call goes on after a
    crash. Several runs may write one store: a cell is computed by one of them, and the others wait
    for it.

    :param names: models, as `load` takes them or as they were found, and suites.
    :param texts: as `load_corpus` takes them.
    :param seeds: of windows and shuffling.
    :param checkpoints: of each suite: ``all`` or a list of steps.
    :param output: the store's folder, made where it is missing.
    :param workers: processes on this machine, fewer where memory would not do; or
    :param dask: the address of a running cluster, whose workers see the store, the models and the
        texts by the same paths.
    :param progress: whether a bar is shown.
    :param parameters: those of `profile`, and ``allow_pickle`` as in `load`.
    :returns: the rows of `profile` in the order of the grid (models, steps, texts, seeds), whoever
        computed them; they are written to ``OUTPUT/table.parquet`` as well. Cells that failed are
        missing and listed in ``table.attrs["failures"]`` as pairs of cell and message; the next run
        tries them again.
    :raises ShapelibError: before anything is computed, for whatever `profile` refuses among models,
        texts and parameters, for an unknown step, and for a store of another format or
        kind.
    """
    check(workers, dask)
    look(output, KIND)
    grid = plan(names, texts, seeds, checkpoints, dask=dask, **parameters)
    # Only now: what the plan refuses leaves no empty store behind.
    return fill(grid, open_store(output, KIND), workers=workers, dask=dask, progress=progress)


def plan(
    names: suites.Names,
    texts: str | Path | Sequence[str | Path],
    seeds: Sequence[int],
    checkpoints: suites.Steps,
    *,
    dask: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    memory: float = MEMORY,
    allow_pickle: bool = False,
    part: str | None = None,
    **parameters: Any,
) -> list[Cell]:
    """The cells of a grid, in order, each once; their inputs are found and checked."""
    asked = [Measuring(**parameters, seed=seed) for seed in seeds]
    where = device_there(device, dask)
    read = [(_place(each), corpus.load_corpus(each)) for each in suites.several(texts)]
    for (_, text), each in itertools.product(read, asked):
        if each.unit != "tokens":
            corpus.windows(text, each.window, each.unit, seed=each.seed)
    found = suites.models_and_suites(names, checkpoints, allow_pickle=allow_pickle)
    for source in found:
        halves.check(part, source)
    grid: dict[str, Cell] = {}
    for source, (place, text), each in itertools.product(found, read, asked):
        name = key(source, text, each, device=where, dtype=dtype, part=part)
        cell = Cell(name, source, place, text.sha256, each, dtype, device, where, memory, part)
        grid.setdefault(name, cell)
    if not grid:
        raise ShapelibError("nothing to measure: give at least one model, one text and one seed")
    return list(grid.values())


def fill(
    grid: Sequence[Cell],
    kept: Cells,
    *,
    workers: int = 1,
    dask: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Compute what is missing of a grid, and give the table of all of it."""
    table = grids.fill(
        grid, kept, _measured, need=_need, columns=COLUMNS, label="sweep", preload=_SLOW,
        workers=workers, dask=dask, progress=progress,
    )  # fmt: skip
    resident.release()
    return table


def _place(text: str | Path) -> str:
    return str(text) if corpus.is_known(text) else str(Path(text).expanduser().resolve())


def _need(cell: Cell) -> int:
    """Bytes that a worker may take for a cell: the model's weights, and the budget for states."""
    return resident.weights(cell.source, cell.dtype, cell.where) + int(cell.memory * GIB)


def _measured(cell: Cell) -> pd.DataFrame:
    # Texts of one place are told apart by what they hold.
    text = _TEXT.of((cell.text, cell.sha256), lambda: corpus.load_corpus(cell.text))
    resident.check_device(cell.device, cell.where)
    found = key(cell.source, text, cell.asked, device=cell.where, dtype=cell.dtype, part=cell.part)
    if found != cell.key:
        raise ShapelibError(
            "this worker runs another version of shapelib or of a package that it computes with, "
            "or sees another text"
        )
    model = resident.loaded(cell.source, cell.device, cell.dtype, cell.part)
    return profile(model, text, **cell.asked.as_dict(), memory=cell.memory, progress=False)
