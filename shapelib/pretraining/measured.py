"""What a run gives: its training table, and the shape of its checkpoints on held-out text."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from shapelib.models.suites import sources
from shapelib.pretraining import checkpoints
from shapelib.pretraining.recipe import CONFIG, recipe_of
from shapelib.states.profile import profile
from shapelib.store import tables
from shapelib.text import corpus
from shapelib.text.held_out import held_out


def table(output: str | Path) -> pd.DataFrame:
    """The training table of a run: a row for each step from 0 to the last kept checkpoint.

    :param output: the folder of `pretraining.train`.
    :returns: these columns:

        ``model``, ``kind``, ``mask``, ``objective``, ``block``, ``layers``, ``width``
            Of the recipe, see `Recipe`; so are ``warmup``, ``schedule`` and ``seed``.
        ``step``, ``tokens_seen``
            Optimizer steps made, and tokens read by them.
        ``loss``, ``loss_tokens``
            Mean over the loss-bearing positions of the step's windows before its update, in nats;
            how many such positions were seen up to it.
        ``learning_rate``
            Of the step.
        ``perplexity``
            exp of the mean loss on held-out text by the model's own objective; at kept checkpoints,
            else missing.
    :raises ShapelibError: for a folder that is not that of a run.
    """
    output = Path(output)
    made, kept = recipe_of(output), checkpoints.whole(output)
    exam = {step: checkpoints.record(folder)["perplexity"] for step, folder in kept.items()}
    known = [checkpoints.losses(folder) for folder in kept.values()]
    losses = max([[], *known], key=len)
    steps = range(len(losses) + 1)
    rows = pd.DataFrame(
        {
            "model": made.name,
            "kind": made.kind,
            "mask": made.mask,
            "objective": made.objective,
            "block": made.block,
            "layers": made.layers,
            "width": made.width,
            "warmup": made.warmup,
            "schedule": made.schedule,
            "seed": made.seed,
            "step": steps,
            "tokens_seen": [step * made.tokens_per_step for step in steps],
            "loss_tokens": np.cumsum([0, *(int(bearing) for _, bearing in losses)]),
            "loss": [math.nan, *(loss for loss, _ in losses)],
            "learning_rate": [math.nan, *(made.rate(step) for step in steps[1:])],
            "perplexity": [exam.get(step, math.nan) for step in steps],
        }
    )
    config = json.loads((output / CONFIG).read_text("utf-8"))
    rows.attrs["provenance"] = [tables.provenance(**config)]
    return rows


def measure(
    output: str | Path,
    *,
    tokens: int = 4096,
    batch: int = 4096,
    seeds: Sequence[int] = (0, 1, 2, 3),
    metrics: Sequence[str] = ("default",),
    window: int | None = None,
    sets: Sequence[str] = ("all",),
    steps: Sequence[int] | None = None,
    until: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """The shape table of a run: every whole checkpoint on text that was held out of training.

    With one batch it holds all vectors of its windows; with more, the vectors of more windows are
    shuffled into them, and a batch holds fewer neighbours of one window: the dimensions differ.
    Measurements that are in the user's cache are taken from it.

    :param output: the folder of `pretraining.train`.
    :param tokens: how many vectors of each layer are measured for each seed.
    :param batch: how many vectors a batch has.
    :param seeds: which draw the windows.
    :param metrics: what is measured, as in `profile`.
    :param window: tokens of a window; None takes windows as long as in training.
    :param sets: the token sets, as in `profile`.
    :param steps: of the checkpoints that are measured, where they are whole; None measures all.
    :param until: the last checkpoint that is measured, by its step; None measures all.
    :param progress: whether bars are shown.
    :returns: the rows of `profile`, for each checkpoint and seed.
    :raises ShapelibError: as `profile` does, and where there is no checkpoint.
    """
    made = recipe_of(output)
    text = held_out(corpus.load_corpus(made.corpus))
    how: dict[str, Any] = {
        "tokens": tokens, "batch": batch, "window": made.window if window is None else window,
        "unit": "tokens", "sets": sets, "metrics": metrics, "progress": progress,
    }  # fmt: skip
    whole = sorted(checkpoints.whole(Path(output), say=True))
    asked = [
        step for step in whole
        if (until is None or step <= until) and (steps is None or step in steps)
    ]  # fmt: skip
    # Of a folder without any, `sources` says what is wrong.
    found = sources(output, asked if whole else "all")
    named = [dataclasses.replace(each, name=made.name) for each in found]
    return tables.combine(
        [profile(each, text, seed=seed, **how) for each in named for seed in seeds]
    )
