"""The d90 experiment: fine-tuning at many dimensions, learning rates and seeds → one table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from shapelib.errors import ShapelibError, nearest
from shapelib.finetuning import tasks
from shapelib.finetuning.d90 import DEFINITIONS, bisect, d90
from shapelib.finetuning.plan import check as check_runs
from shapelib.finetuning.plan import fill, plan
from shapelib.finetuning.settings import LEVEL, SCORED, Tuning
from shapelib.models import suites
from shapelib.store import tables
from shapelib.store.cells import look, open_store
from shapelib.store.workers import check

KIND = "tuning"
"""What its stores hold, of `cells.KINDS`."""


def dimension_sweep(
    model: suites.Names,
    task: str | Path | tasks.Task | Sequence[str | Path | tasks.Task],
    *,
    dimensions: Sequence[int] = Tuning.dimensions,
    methods: Sequence[str] = Tuning.methods,
    inits: Sequence[str] = Tuning.inits,
    learning_rates: Sequence[float] = Tuning.learning_rates,
    full_rates: Sequence[float] = Tuning.full_rates,
    seeds: Sequence[int] = Tuning.seeds,
    checkpoints: suites.Steps = "all",
    steps: int = Tuning.steps,
    batch: int = Tuning.batch,
    length: int = Tuning.length,
    block: int | None = Tuning.block,
    pooling: str = Tuning.pooling,
    dtype: str = Tuning.dtype,
    output: str | Path,
    workers: int = 1,
    dask: str | None = None,
    device: str = "auto",
    allow_pickle: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Fine-tune in random subspaces of many dimensions, and fully, and keep every run's score.

    ::

        runs = dimension_sweep(
            "minilm-l6", "questions", dimensions=[100, 1000, 10_000], seeds=[0], output="runs"
        )
        d90(runs)

    There is a run for each of `dimensions` × `methods` × `learning_rates` × `seeds` × `inits`, and
    one of full fine-tuning for each of `full_rates` × `seeds` × `inits`. A run trains a classifier:
    the model, the mean of its last states over tokens (or the last token's), and a random linear
    head, which is part of what trains. It uses AdamW without weight decay or dropout, a linear
    warm-up over a tenth of the steps and a linear decay to zero. One that has learned nothing after
    half of the steps is stopped there.

    `output` is a store that the same call goes on with after a crash. Rows come in the order of the
    grid: models, tasks, initialisations, full before subspaces, dimensions, rates, seeds. A run
    that diverged is a row without a score; one that failed otherwise is listed in
    ``table.attrs["failures"]`` with its message.

    :param model: one or several, and suites, as `sweep` takes them.
    :param task: one or several, by name or path, or from `load_task`.
    :param dimensions: d, the counts of trained numbers.
    :param methods: ``DID``, and ``SAID`` with a learned scale for each layer; see `reparameterize`.
    :param inits: ``pre-trained`` weights, or ``random`` ones for the same config.
    :param learning_rates: of subspaces; multiplied by √(D / d), so that a step moves all parameters
        together as far as it would in full fine-tuning at that rate.
    :param full_rates: of full fine-tuning.
    :param seeds: of the projection, the head, random weights and the order of training texts.
    :param checkpoints: of suites, as in `sweep`.
    :param steps: of a run.
    :param batch: texts of a step.
    :param length: tokens of a text at most; what is longer is cut.
    :param block: that of `fastfood`.
    :param pooling: what of a text's last states the head reads: their ``mean`` over tokens, or that
        of the ``last`` token, which alone has seen the whole text in a decoder.
    :param dtype: ``float32``; or ``bfloat16`` for the network's products, forward and backward, by
        autocast, which is faster where there are units for it. Weights, P z, head and AdamW are
        float32 in both.
    :param output: the store's folder.
    :param workers: processes on this machine; or
    :param dask: the address of a running cluster, both as in `sweep`.
    :param device: as in `load`.
    :param allow_pickle: as in `load`.
    :param progress: whether a bar is shown.
    :returns: a row for each run, with the provenance of each in ``table.attrs["provenance"]``:

        ``task``, ``model``, ``checkpoint``, ``step``, ``tokens_seen``, ``role``
            What was fine-tuned, on what; the last five as in `profile`.
        ``init``, ``method``
            ``pre-trained`` or ``random``; ``full``, ``DID`` or ``SAID``.
        ``d``, ``D``, ``groups``
            Numbers that train (all D in full fine-tuning); those of full fine-tuning, the head's
            among them; groups with a scale of their own (0 but for SAID).
        ``rate``, ``learning_rate``
            As asked for; and with its factor √(D / d).
        ``seed``, ``steps``, ``batch``, ``length``, ``block``, ``pooling``, ``dtype``
            As asked for.
        ``score``, ``train_score``
            Accuracy from 0 to 1 on the test set, and on at most 1024 training texts.
        ``majority``, ``train``, ``test``
            The share of the test set's largest class; texts on either side of the split.
        ``loss``
            Mean training loss over the last tenth of the steps made, in nats.
        ``diverged``, ``stopped``
            Whether a loss was not finite; the step at which a hopeless run was given up, else
            missing.
        ``seconds``, ``right``
            What the run took; which test texts it got right (bits of ``numpy.packbits`` in
            hexadecimal).
    :raises ShapelibError: before anything is computed, for what `load`, `load_task` and `fastfood`
        refuse, for a `length` that the model does not read, for unknown methods and
        initialisations, for d beyond D, and for a store of another format or kind.
    """
    check(workers, dask)
    asked = Tuning(
        dimensions=dimensions, methods=methods, inits=inits, learning_rates=learning_rates,
        full_rates=full_rates, seeds=seeds, steps=steps, batch=batch, length=length, block=block,
        pooling=pooling, dtype=dtype,
    )  # fmt: skip
    kept = look(output, KIND)
    cells = plan(
        model, task, asked.runs(), checkpoints, device=device, dask=dask, allow_pickle=allow_pickle
    )
    check_runs([cell for cell in cells if not kept.path(cell.key).is_file()])
    # Only now: what is refused leaves no empty store behind.
    return fill(cells, open_store(output, KIND), workers=workers, dask=dask, progress=progress)


def d90_search(
    model: str | Path,
    task: str | Path | tasks.Task,
    *,
    level: float = LEVEL,
    definition: str = "papers",
    method: str = "DID",
    init: str = "pre-trained",
    rates: str = SCORED,
    low: int = 10,
    high: int = 100_000,
    ratio: float = 1.3,
    seeds: Sequence[int] = Tuning.seeds,
    last_seeds: Sequence[int] = (),
    output: str | Path,
    **parameters: Any,
) -> pd.DataFrame:
    """One d90 by bisection over log d: about log₂(log(high / low) / log(ratio)) dimensions.

    ::

        d90_search("minilm-l6", "questions", low=30, high=30_000, seeds=[0],
                   last_seeds=range(5), output="runs")

    Its assumption is that the score grows with d. Few seeds find the two dimensions between which
    d90 lies; with `last_seeds` these two and full fine-tuning are run by more, and the estimate
    rests on those runs alone. Every run is kept in `output`, from which a grid, or another search,
    takes what it shares with this one.

    :param model: one model or checkpoint, as `load` takes it.
    :param task: by name or path, or from `load_task`.
    :param level: the share of full fine-tuning that is to be reached.
    :param definition: of the threshold, as in `d90`: ``papers`` or ``chance-corrected``.
    :param method: ``DID`` or ``SAID``.
    :param init: ``pre-trained`` or ``random``.
    :param rates: on which texts a learning rate is chosen, as in `d90`.
    :param low: the smallest d that is tried.
    :param high: the largest.
    :param ratio: how near to each other the last two are, as a factor.
    :param seeds: of the search.
    :param last_seeds: of full fine-tuning and of the last two; without any, those of the search.
    :param output: the store's folder.
    :param parameters: any others of `dimension_sweep`.
    :returns: the estimate of `d90` from the dimensions that were tried, or with `last_seeds` from
        the last two (from the one tried, where it is beyond `low` or `high`): a row for each
        definition. ``attrs["runs"]`` has every run that was made or taken.
    :raises ShapelibError: for what `dimension_sweep` refuses, for more than one model, checkpoint
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
    runs: dict[int, pd.DataFrame] = {}
    reached: dict[int, bool] = {}

    def made(tried: Sequence[int], seeds: Sequence[int]) -> pd.DataFrame:
        table = dimension_sweep(model, task, dimensions=tried, seeds=seeds, **whole)
        if failures := table.attrs["failures"]:
            raise ShapelibError(f"{failures[0].cell}: {failures[0].error}")
        return table

    def score(d: int) -> float:
        runs[d] = made((d,), seeds)
        found = d90(runs[d], level, rates=rates, resamples=1)
        found = found[found["definition"] == definition]
        if len(found) > 1:
            raise ShapelibError("a search is for one model, checkpoint and task at a time")
        # Reached or not is all that the search asks; the threshold is in the same table.
        reached[d] = bool(pd.notna(found.iloc[0]["d90"]))
        return float(reached[d])

    bisect(score, 1.0, low, high, ratio)
    searched = [runs[d] for d in sorted(runs)]
    last = searched
    if last_seeds:
        above = [min(d for d in reached if reached[d])] if any(reached.values()) else []
        below = [max(d for d in reached if not reached[d])] if not all(reached.values()) else []
        last = [made([*below, *above], last_seeds)]
    estimate = d90(_once(last), level, rates=rates)
    estimate.attrs["runs"] = _once([*searched, *last])
    return estimate


def _once(runs: list[pd.DataFrame]) -> pd.DataFrame:
    """The tables of a search as one; full fine-tuning stands in each."""
    return tables.combine(runs).drop_duplicates(["method", "d", "rate", "seed"])
