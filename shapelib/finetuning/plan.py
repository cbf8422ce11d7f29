"""Fine-tuning runs as cells of a grid: planned, checked, made where they are missing."""

import dataclasses
import gc
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shapelib.errors import ShapelibError
from shapelib.finetuning import encoding, one_run, tasks
from shapelib.finetuning.settings import Setting
from shapelib.models import loading, resident, suites
from shapelib.models.placement import warn_if_slow
from shapelib.models.resident import device_there
from shapelib.store import grid, keys, tables
from shapelib.store.cells import Cells
from shapelib.store.held import Held
from shapelib.store.workers import GIB

# What a run imports when it needs it, and takes its time.
_SLOW = ("shapelib.subspace.hadamard", "transformers.modeling_utils")
# Copies of the weights (the model's, θ₀, θ, gradients, Adam's two moments), and what else there is.
_COPIES, _WORK = 6, GIB // 2
# Numbers of a network that is not left to wait for Python's own time.
_LARGE = 10_000_000
_TASK: Held[tasks.Task] = Held()
_TOKENS: Held[encoding.Encoded] = Held()

COLUMNS = {
    "task": "str", "model": "str", "checkpoint": "str", "step": "Int64", "tokens_seen": "Int64",
    "role": "str", "init": "str", "method": "str", "d": "int64", "D": "int64", "groups": "int64",
    "rate": "float64", "learning_rate": "float64", "seed": "int64", "steps": "int64",
    "batch": "int64", "length": "int64", "block": "Int64", "pooling": "str",
    "dtype": "str", "score": "float64",
    "train_score": "float64", "majority": "float64", "train": "int64", "test": "int64",
    "loss": "float64", "diverged": "bool", "stopped": "Int64", "seconds": "float64", "right": "str",
}  # fmt: skip
"""The columns of a tuning table, in order, with their pandas types."""


@dataclass(frozen=True)
class Cell:
    """One fine-tuning run of a grid."""

    key: str
    source: loading.Source
    asked: Mapping[str, Any]
    """The arguments of `load_task` that make the task."""
    sha256: str
    """Of the task: a worker that reads another one does not go on."""
    setting: Setting
    device: str
    where: str
    """The device that `device` is on the machine that measures."""

    @property
    def name(self) -> str:
        """The cell as messages name it."""
        checkpoint = f"@{self.source.checkpoint}" if self.source.checkpoint else ""
        run = self.setting
        method = run.method if run.d is None else f"{run.method} d = {run.d}"
        return (
            f"{self.source.name}{checkpoint}, {self.asked['name']}, {run.init}, {method}, "
            f"rate {run.rate:g}, seed {run.seed}"
        )


def plan(
    model: suites.Names,
    task: str | Path | tasks.Task | Sequence[str | Path | tasks.Task],
    runs: Sequence[Setting],
    checkpoints: suites.Steps = "all",
    *,
    device: str = "auto",
    dask: str | None = None,
    allow_pickle: bool = False,
) -> list[Cell]:
    """The cells of a grid, in order, each once; models and tasks are found."""
    where = device_there(device, dask)
    given = [task] if isinstance(task, str | Path | tasks.Task) else list(task)
    read = [each if isinstance(each, tasks.Task) else tasks.load_task(each) for each in given]
    found = suites.models_and_suites(model, checkpoints, allow_pickle=allow_pickle)
    code = keys.code_of(one_run.tune)
    cells: dict[str, Cell] = {}
    for source, each in itertools.product(found, read):
        for setting in runs:
            name = _key(source, each.name, each.sha256, setting, where, code)
            cell = Cell(name, source, each.asked, each.sha256, setting, device, where)
            cells.setdefault(name, cell)
    if not cells:
        raise ShapelibError("nothing to run: give at least one model, task, rate and seed")
    return list(cells.values())


def check(cells: Sequence[Cell]) -> None:
    """Raise what these runs would, before any begins: a length that the model does not read, a d or
    a block that cannot be.

    One run of each model and task is begun for it, with the least and the greatest d; checkpoints
    of a suite have one size.
    """
    alike: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        alike.setdefault((cell.source.name, cell.sha256), []).append(cell)
    for some in alike.values():
        # Where the runs are made here as well, they take up this model.
        device = some[0].device if some[0].where == "cpu" else "cpu"
        model = resident.loaded(some[0].source, device, "float32")
        if narrow := [cell for cell in some if cell.setting.dtype == "bfloat16"]:
            warn_if_slow(model.name, "bfloat16", narrow[0].where)
        _check(model, _read(some[0]), [each.setting for each in some])


def fill(
    cells: Sequence[Cell],
    kept: Cells,
    *,
    workers: int = 1,
    dask: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Make the runs of a grid that are missing, and give the table of all of them."""
    table = grid.fill(
        cells, kept, _measured, need=_need, columns=COLUMNS, label="fine-tuning", preload=_SLOW,
        workers=workers, dask=dask, progress=progress,
    )  # fmt: skip
    resident.release()
    return table


def _key(
    source: loading.Source, task: str, sha256: str, setting: Setting, where: str, code: str
) -> str:
    return keys.key_of(
        source.name, source.fingerprint, source.checkpoint, source.step, source.tokens_seen,
        task, sha256, dataclasses.asdict(setting), where, code,
    )  # fmt: skip


def _check(model: loading.Model, task: tasks.Task, runs: Sequence[Setting]) -> None:
    read = _encoded(model, task, runs[0].length)
    for method in sorted({each.method for each in runs} - {"full"}):
        tried = {each.d or 0: each for each in runs if each.method == method}
        for d in {min(tried), max(tried)}:
            net = one_run.classifier(model, read.classes, "pre-trained", 0)
            size = one_run.reached(net, read.train, next(encoding.order(read.train, 2, 1, 0)))
            one_run.confine(net, tried[d])
            del net
            _let_go(size)


def _let_go(size: int) -> None:
    """Give back the memory of a network of so many numbers, which nobody uses any more.

    It and its subspace hold each other, and Python lets several wait, with gigabytes each.
    """
    if size >= _LARGE:
        gc.collect()


def _need(cell: Cell) -> int:
    return _COPIES * resident.weights(cell.source, "float32", cell.where) + _WORK


def _measured(cell: Cell) -> pd.DataFrame:
    resident.check_device(cell.device, cell.where)
    task = _read(cell)
    code = keys.code_of(one_run.tune)
    if _key(cell.source, task.name, task.sha256, cell.setting, cell.where, code) != cell.key:
        raise ShapelibError(
            "this worker runs another version of shapelib or of a package that it computes with, "
            "or sees another task"
        )
    model = resident.loaded(cell.source, cell.device, "float32")
    read = _encoded(model, task, cell.setting.length)
    found = one_run.tune(model, read, cell.setting)
    _let_go(found.D)
    return as_row(cell.source, model.role, task, cell.setting, found, cell.where)


def as_row(
    source: loading.Source, role: str, task: tasks.Task, run: Setting, found: one_run.Score,
    where: str,
) -> pd.DataFrame:  # fmt: skip
    """One run as a tuning table."""
    setting = dataclasses.asdict(run)
    row = {
        **setting, **found._asdict(), "task": task.name, "model": source.name,
        "checkpoint": source.checkpoint or source.revision or "final", "step": source.step,
        "tokens_seen": source.tokens_seen, "role": role,
        "d": found.D if run.d is None else run.d,
        "majority": task.majority, "train": len(task.train), "test": len(task.test),
    }  # fmt: skip
    table = pd.DataFrame([row])[list(COLUMNS)].astype(COLUMNS)
    table.attrs["provenance"] = [
        tables.provenance(
            model=source.name, fingerprint=source.fingerprint, revision=source.revision,
            caveat=source.caveat, task=task.name, task_source=task.source,
            task_version=task.version, task_sha256=task.sha256, duplicates=task.duplicates,
            device=where, seconds=round(found.seconds, 1), **setting,
        )
    ]  # fmt: skip
    return table


def _read(cell: Cell) -> tasks.Task:
    # Tasks of one name are told apart by what they hold.
    return _TASK.of((cell.asked, cell.sha256), lambda: tasks.load_task(**cell.asked))


def _encoded(model: loading.Model, task: tasks.Task, length: int) -> encoding.Encoded:
    """A task in a model's tokens."""
    key = (model.source, task.sha256, length)
    return _TOKENS.of(key, lambda: encoding.encode(task, model, length))
