"""Many models, checkpoints, texts and seeds → one table, from a store that any run can go on with.

A cell of the grid is one call of `profile`. Its key is made of everything its numbers depend on, so
a cell in the store is never computed again, and one that would come out otherwise always is.
"""

import functools
import itertools
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from shapelib import corpus, models, placement, store, suites
from shapelib.cells import Cells, open_store
from shapelib.errors import ShapelibError
from shapelib.profile import COLUMNS, checked, key, profile
from shapelib.workers import GIB, Engine, check, device_of, here, local, remote

_log = logging.getLogger("shapelib")
# Seconds between looks at cells that another run is computing.
_POLL = 1.0
# What becomes of a cell that was missing, where nothing goes wrong.
COMPUTED, MEANWHILE, BUSY = "computed", "computed meanwhile by another run", "busy in another run"


@dataclass(frozen=True)
class Cell:
    """One measurement of a grid."""

    key: str
    source: models.Source
    text: str
    """A corpus by the name or path that `load_corpus` takes."""
    sha256: str
    """Of the cleaned text: a worker that reads another one does not go on."""
    asked: Mapping[str, Any]
    """The parameters of `profile` that its key is made of, the seed among them."""
    dtype: str
    device: str
    where: str
    """The device that `device` is on the machine that measures."""
    memory: float

    @property
    def name(self) -> str:
        """The cell as messages name it."""
        checkpoint = f"@{self.source.checkpoint}" if self.source.checkpoint else ""
        return f"{self.source.name}{checkpoint}, {self.text}, seed {self.asked['seed']}"


class Failure(NamedTuple):
    """A cell that could not be computed, and why."""

    cell: str
    error: str


def sweep(
    names: str | Path | Sequence[str | Path],
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

    `names`: models as `load` takes them, and suites: of the catalogue, or folders of checkpoints
    (see `suites.sources`). `checkpoints` of each suite: ``all`` or a list of steps. `parameters`
    are those of `profile`, and `allow_pickle` (see `load`).
    `output`: the store's folder, made where it is missing; a cell that it holds is not computed
    again, so that the same call goes on after a crash. `workers`: processes on this machine, fewer
    where memory would not do; or `dask`: the address of a running cluster, whose workers see the
    store, the models and the texts by the same paths.

    Several runs may write one store: a cell is computed by one of them, and the others wait for it.
    Rows come in the order of the grid (models, steps, texts, seeds), whoever computed them, and are
    written to ``OUTPUT/table.parquet`` as well. Cells that failed are missing from the table and
    listed in ``table.attrs["failures"]`` as pairs of cell and message; the next run tries them
    again.

    Raises `ShapelibError`, before anything is computed, for whatever `profile` refuses among
    models, texts and parameters, for an unknown step, and for a store of another format.
    """
    check(workers, dask)
    kept = open_store(output)
    grid = plan(names, texts, seeds, checkpoints, dask=dask, **parameters)
    return run(grid, kept, workers=workers, dask=dask, progress=progress)


def plan(
    names: str | Path | Sequence[str | Path],
    texts: str | Path | Sequence[str | Path],
    seeds: Sequence[int],
    checkpoints: suites.Steps,
    *,
    dask: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    memory: float = 4.0,
    allow_pickle: bool = False,
    **parameters: Any,
) -> list[Cell]:
    """The cells of a grid, in order, each once; their inputs are found and checked."""
    asked = [checked(**parameters, seed=seed) for seed in seeds]
    if dask is None:
        where = str(models.pick_device(device))
    else:
        where = device_of(dask) if device in ("auto", "spread") else device
    read = [(_place(each), corpus.load_corpus(each)) for each in _several(texts)]
    for (_, text), each in itertools.product(read, asked):
        if each["unit"] != "tokens":
            corpus.windows(text, each["window"], each["unit"], seed=each["seed"])
    found = itertools.chain.from_iterable(
        _sources(each, checkpoints, allow_pickle) for each in _several(names)
    )
    grid: dict[str, Cell] = {}
    for source, (place, text), each in itertools.product(found, read, asked):
        name = key(source, text, device=where, dtype=dtype, **each)
        cell = Cell(name, source, place, text.sha256, each, dtype, device, where, memory)
        grid.setdefault(name, cell)
    if not grid:
        raise ShapelibError("nothing to measure: give at least one model, one text and one seed")
    return list(grid.values())


def missing(grid: Sequence[Cell], kept: Cells) -> list[Cell]:
    """The cells that the store does not hold, or holds damaged."""
    return [cell for cell in grid if kept.read(cell.key) is None]


def run(
    grid: Sequence[Cell],
    kept: Cells,
    *,
    workers: int = 1,
    dask: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Compute what is missing of a grid, and give the table of all of it."""
    from tqdm import tqdm

    waiting = missing(grid, kept)
    outcomes: Counter[str] = Counter(there=len(grid) - len(waiting))
    failures: list[Failure] = []
    bar = tqdm(
        total=len(grid),
        initial=outcomes["there"],
        unit="cell",
        desc="sweep",
        disable=None if progress else True,
    )
    work = functools.partial(_compute, folder=kept.folder)
    with bar, _engine(waiting, workers, dask) as compute:
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
    table = _gathered(grid, kept, failures)
    _log.info(
        "%d cells: %d were in the store, %d computed, %d computed meanwhile by another run, "
        "%d failed", len(grid), outcomes["there"], outcomes[COMPUTED], outcomes[MEANWHILE],
        len(failures),
    )  # fmt: skip
    return table


def _several(given: str | Path | Sequence[str | Path]) -> list[str | Path]:
    return [given] if isinstance(given, str | Path) else list(given)


def _sources(
    name: str | Path, checkpoints: suites.Steps, allow_pickle: bool
) -> list[models.Source]:
    if suites.is_suite(name):
        found = suites.sources(name, checkpoints, allow_pickle=allow_pickle)
    else:
        found = [models.find(name, allow_pickle=allow_pickle)]
    # Workers of a cluster may stand in another folder.
    return [replace(each, folder=each.folder.resolve()) for each in found]


def _place(text: str | Path) -> str:
    return str(text) if text in corpus.KNOWN else str(Path(text).expanduser().resolve())


def _engine(
    waiting: Sequence[Cell], workers: int, dask: str | None
) -> AbstractContextManager[Engine[Cell, Any]]:
    check(workers, dask)
    workers = min(workers, len(waiting))
    if dask is not None and waiting:
        return remote(dask, waiting[0].where)
    if workers > 1:
        return local(workers, max(_need(cell) for cell in waiting), waiting[0].where)
    return nullcontext(here)


def _need(cell: Cell) -> int:
    """Bytes that a worker may take for a cell: the model's weights, and the budget for states."""
    import torch

    source = cell.source
    if source.known:
        numbers = source.known.parameters
    elif source.folder.is_dir():
        try:
            numbers = placement.count(source.folder, source.name)
        except ShapelibError:  # it fails in its own turn
            numbers = 0
    else:
        # A GGUF file takes about half a byte for each.
        numbers = 2 * source.folder.stat().st_size
    whole = placement.choose_dtype(cell.dtype, numbers, torch.device(cell.where)) == "float32"
    return int(numbers * (4 if whole else 2) + cell.memory * GIB)


def _compute(cell: Cell, folder: Path) -> str:
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
            kept.write(cell.key, _measured(cell))
            return COMPUTED
    except Exception as error:  # one cell's failure, whatever it is, must not end the others
        return _why(error)


def _measured(cell: Cell) -> pd.DataFrame:
    text = _text(cell.text, cell.sha256)
    mine = str(models.pick_device(cell.device))
    if mine != cell.where:
        raise ShapelibError(
            f"this worker would measure on {mine}, the sweep was planned for "
            f"{cell.where}: name a device that all workers have"
        )
    found = key(cell.source, text, device=cell.where, dtype=cell.dtype, **cell.asked)
    if found != cell.key:
        raise ShapelibError("this worker runs another version of shapelib, or sees another text")
    model = _loaded(cell.source, cell.device, cell.dtype)
    return profile(model, text, **cell.asked, memory=cell.memory, progress=False)


@functools.lru_cache(maxsize=1)
def _text(place: str, sha256: str) -> corpus.Corpus:
    """A corpus, kept for the next cell; `sha256` tells texts of one place apart."""
    return corpus.load_corpus(place)


_held: dict[str, models.Model] = {}


def _loaded(source: models.Source, device: str, dtype: str) -> models.Model:
    """A model, kept for the next cell, and never two at once."""
    name = repr((source, device, dtype))
    if name not in _held:
        _held.clear()
        _held[name] = models.load(source, device=device, dtype=dtype)
    return _held[name]


def _why(outcome: str | BaseException) -> str:
    if isinstance(outcome, str | ShapelibError):
        return str(outcome)
    if type(outcome).__name__ == "KilledWorker":
        return "the worker that computed it was killed again and again; it may need more memory"
    return f"{type(outcome).__name__}: {outcome}"


def _gathered(grid: Sequence[Cell], kept: Cells, failures: list[Failure]) -> pd.DataFrame:
    """The table of all cells that are there, in the order of the grid."""
    _held.clear()
    failed = {each.cell for each in failures}
    tables = []
    for cell in grid:
        table = kept.read(cell.key)
        if table is not None:
            tables.append(table)
        elif cell.name not in failed:
            why = f"a worker has computed it, but it is not in {kept.folder} as it is seen here"
            failures.append(Failure(cell.name, why))
    for each in failures:
        _log.warning("%s failed: %s", *each)
    if not tables:
        joined = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
        joined.attrs["provenance"] = []
    else:
        joined = store.combine(tables)
        store.write_table(joined, kept.folder / "table.parquet")
    joined.attrs["failures"] = [tuple(each) for each in failures]
    return joined
