"""The d90 experiment: fine-tuning at many dimensions, learning rates and seeds → one table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from shapelib import store, suites, tasks, tuning
from shapelib.cells import look, open_store
from shapelib.d90 import DEFINITIONS, bisect, d90
from shapelib.errors import ShapelibError, nearest
from shapelib.runs import plan, run
from shapelib.tuning import INITS, METHODS, Setting
from shapelib.workers import check

DIMENSIONS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000)
RATES = (0.003, 0.01, 0.03)
FULL_RATES = (0.0003, 0.001, 0.003)
SEEDS = (0, 1, 2)
STEPS = 150
KIND = "tuning"
"""What its stores hold, of `cells.KINDS`."""


def dimension_sweep(
    model: str | Path | Sequence[str | Path],
    task: str | Path | tasks.Task | Sequence[str | Path | tasks.Task],
    *,
    dimensions: Sequence[int] = DIMENSIONS,
    methods: Sequence[str] = ("DID", "SAID"),
    inits: Sequence[str] = INITS,
    learning_rates: Sequence[float] = RATES,
    full_rates: Sequence[float] = FULL_RATES,
    seeds: Sequence[int] = SEEDS,
    checkpoints: suites.Steps = "all",
    steps: int = STEPS,
    batch: int = 32,
    length: int = 64,
    block: int | None = None,
    output: str | Path,
    workers: int = 1,
    dask: str | None = None,
    device: str = "auto",
    allow_pickle: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Fine-tune in random subspaces of many dimensions, and fully, and keep every run's score.

    `model`: one or several, and suites with their `checkpoints`, as `sweep` takes them. `task`: one
    or several, by name, path, or from `load_task`. A run for each of `dimensions` × `methods`
    (``DID``, or ``SAID`` with a scale for each layer) × `learning_rates` × `seeds` × `inits`
    (``pre-trained`` weights, or ``random`` ones for the same config), and of full fine-tuning for
    each of `full_rates` × `seeds` × `inits`. `learning_rates` are multiplied by √(D / d), so that
    a step moves all parameters together as far as it would in full fine-tuning at that rate. What
    a run does is told by `tuning.tune`; `block` is that of `projection.fastfood`.

    `output`, `workers`, `dask` as in `sweep`: a store that the same call goes on with after a
    crash, and the processes to spread over. Rows come in the order of the grid: models, tasks,
    initialisations, full before subspaces, dimensions, rates, seeds. A run that diverged is a row
    without a score; one that failed otherwise is listed in ``table.attrs["failures"]``.

    Raises `ShapelibError`, before anything is computed, for what `models.find`, `load_task` or
    `encoding.encode` refuse, for unknown methods and initialisations, for d beyond D, and for a
    store of another format or kind.
    """
    check(workers, dask)
    runs = settings(
        dimensions, methods, inits, learning_rates, full_rates, seeds,
        steps=steps, batch=batch, length=length, block=block,
    )  # fmt: skip
    look(output, KIND)
    cells = plan(
        model, task, runs, checkpoints, device=device, dask=dask, allow_pickle=allow_pickle
    )
    # Only now: what the plan refuses leaves no empty store behind.
    return run(cells, open_store(output, KIND), workers=workers, dask=dask, progress=progress)


def settings(
    dimensions: Sequence[int],
    methods: Sequence[str],
    inits: Sequence[str],
    learning_rates: Sequence[float],
    full_rates: Sequence[float],
    seeds: Sequence[int],
    *,
    steps: int,
    batch: int,
    length: int,
    block: int | None = None,
) -> list[Setting]:
    """The runs of a grid for one model and task, in order; `ShapelibError` for what none can be."""
    for name, given, known in (("methods", methods, METHODS[1:]), ("inits", inits, INITS)):
        for each in given:
            if each not in known:
                raise ShapelibError(f"{name}: {each!r} is none; {nearest(str(each), list(known))}")
    whole = {"dimensions": (dimensions, 1), "seeds": (seeds, 0), "steps": ([steps], 2)}
    whole |= {"batch": ([batch], 1)}
    for name, (numbers, least) in whole.items():
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise ShapelibError(
                    f"{name}: {number!r}; whole numbers of at least {least} are accepted"
                )
    for name, rates in (("learning_rates", learning_rates), ("full_rates", full_rates)):
        for rate in rates:
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < np.inf:
                raise ShapelibError(f"{name}: {rate!r}; positive numbers are accepted")
    tried: list[tuple[str, int | None, float]] = [("full", None, rate) for rate in full_rates]
    tried += [
        (method, d, rate)
        for method in methods
        for d in sorted(set(dimensions))
        for rate in learning_rates
    ]
    return [
        Setting(
            cast(tuning.Init, init), cast(tuning.Method, method), d, float(rate), seed, steps,
            batch, length, block,
        )
        for init in inits
        for method, d, rate in tried
        for seed in seeds
    ]  # fmt: skip


def d90_search(
    model: str | Path,
    task: str | Path | tasks.Task,
    *,
    level: float = 0.9,
    definition: str = "papers",
    method: str = "DID",
    init: str = "pre-trained",
    low: int = 10,
    high: int = 100_000,
    ratio: float = 1.3,
    output: str | Path,
    **parameters: Any,
) -> pd.DataFrame:
    """One d90 by bisection over log d: about log₂(log(high / low) / log(ratio)) dimensions.

    The estimate of `d90` from the dimensions that were tried, the last two of them within `ratio`;
    `definition` decides where the threshold lies. Its assumption is that the score grows with d.
    `parameters` are those of `dimension_sweep`. Every run is kept in `output`, from which a grid,
    or another search, takes what it shares with this one.

    Raises `ShapelibError` for what `dimension_sweep` refuses, for more than one model, checkpoint
    or task, and where a run fails.
    """
    if definition not in DEFINITIONS:
        raise ShapelibError(f"definition={definition!r}; {nearest(definition, list(DEFINITIONS))}")
    if not 1 <= low < high or ratio < 1:
        raise ShapelibError(
            f"low={low}, high={high}, ratio={ratio}; 1 ≤ low < high and ratio ≥ 1 are accepted"
        )
    whole: dict[str, Any] = {
        **parameters, "methods": (method,), "inits": (init,), "output": output,
    }  # fmt: skip
    tables: dict[int, pd.DataFrame] = {}

    def estimate(d: int) -> pd.Series:
        tables[d] = dimension_sweep(model, task, dimensions=(d,), **whole)
        if failures := tables[d].attrs["failures"]:
            raise ShapelibError(f"{failures[0].cell}: {failures[0].error}")
        found = d90(tables[d], level, resamples=1)
        found = found[found["definition"] == definition]
        if len(found) > 1:
            raise ShapelibError("a search is for one model, checkpoint and task at a time")
        return found.iloc[0]

    # Reached or not is all that the search asks; the threshold is in the same table.
    bisect(lambda d: 0.0 if pd.isna(estimate(d)["d90"]) else 1.0, 1.0, low, high, ratio)
    joined = store.combine([tables[d] for d in sorted(tables)])
    return d90(joined.drop_duplicates(["method", "d", "rate", "seed"]), level)
