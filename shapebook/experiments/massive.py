"""Massive vectors along a training run: when they come, in which layer, on which token."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from shapelib.models.loading import Model, load
from shapelib.models.suites import sources
from shapelib.pretraining.recipe import recipe_of
from shapelib.states.pool import Pool, pool
from shapelib.states.reading import run_facts
from shapelib.store import tables
from shapelib.text.corpus import Corpus, load_corpus, windows
from shapelib.text.held_out import held_out

FIRST = "first position"


def massive_in_training(
    output: str | Path,
    lengths: Sequence[int],
    *,
    tokens: int = 16_384,
    steps: Sequence[int] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """The massive vectors of every layer of a run's checkpoints, on held-out text.

    :param output: the folder of `shapelib.pretraining.train`.
    :param lengths: tokens of a window; the text is read once for each.
    :param tokens: vectors pooled, at least.
    :param steps: of the checkpoints that are measured; None measures all.
    :param seed: draws the windows.
    :returns: a row for each checkpoint, length and layer:

        ``model``, ``role``, ``step``, ``tokens_seen``, ``window``, ``layer``, ``depth``,
        ``after_norm``
            As in `shapelib.profile`.
        ``vectors``, ``windows``
            How many were pooled, of how many windows.
        ``massive``, ``at_first``
            How many are massive, see `shapelib.massive_rows`; how many of those are the first of
            their window.
        ``position``, ``kinds``, ``token``, ``of_token``
            Of the others, which are elsewhere: their median position in the window, counted from 0;
            how many different tokens they stand on; the commonest of these, decoded; how many stand
            on it. Position and token are missing where there are no others.
        ``squares``
            What the massive vectors have of all squared lengths, from 0 to 1.
        ``longest``, ``longest_on``
            The length of the longest vector divided by the median length, whether massive or not;
            its token, or ``first position``. Lengths are those of `shapelib.massive_rows`.
    :raises ShapelibError: for a folder that is not that of a run, for a step that is not there,
        and for what `pool` refuses.
    """
    made = recipe_of(output)
    text = held_out(load_corpus(made.corpus))
    parts = []
    for source in sources(output, "all" if steps is None else steps):
        model = load(replace(source, name=made.name))
        parts += [_of_checkpoint(model, text, length, tokens, seed) for length in lengths]
    return tables.combine(parts)


def _of_checkpoint(model: Model, text: Corpus, length: int, tokens: int, seed: int) -> pd.DataFrame:
    started = time.perf_counter()
    read = windows(text, length, "tokens", tokenizer=model.tokenizer, seed=seed)
    with pool(model, read, tokens, seed=seed, progress=False) as pooled:
        rows = [
            {
                "model": model.name, "role": model.role, "step": model.source.step,
                "tokens_seen": model.source.tokens_seen, "window": f"{length} tokens",
                "layer": layer, "depth": layer / model.layers,
                "after_norm": layer == model.layers and model.after_norm,
                **massive_of(model, pooled, layer),
            }
            for layer in pooled.states
        ]  # fmt: skip
        counts = {"windows": pooled.windows, "all": len(pooled.order), "dropped_all": 0}
    table = pd.DataFrame(rows).astype({"token": "str", "longest_on": "str"})
    asked = {"tokens": tokens, "window": length, "unit": "tokens", "seed": seed}
    table.attrs["provenance"] = [run_facts(model, text, counts, started, **asked)]
    return table


def massive_of(model: Model, pooled: Pool, layer: int) -> dict[str, object]:
    """The columns of one layer from ``vectors`` on."""
    x, massive, first = pooled.states[layer], pooled.massive(layer), pooled.position == 0
    away = x - x[~massive].mean(axis=0, dtype=np.float64)
    lengths = np.linalg.norm(away, axis=1)
    others = massive & ~first
    kinds, counts = np.unique(pooled.token[others], return_counts=True)
    common = int(counts.argmax()) if len(kinds) else None
    far = int(lengths.argmax())

    def said(token: int) -> str:
        return repr(model.tokenizer.decode([token]))

    return {
        "vectors": len(x), "windows": pooled.windows,
        "massive": int(massive.sum()), "at_first": int((massive & first).sum()),
        "position": float(np.median(pooled.position[others])) if others.any() else math.nan,
        "kinds": len(kinds),
        "token": None if common is None else said(int(kinds[common])),
        "of_token": 0 if common is None else int(counts[common]),
        "squares": float((lengths[massive] ** 2).sum() / (lengths**2).sum()),
        "longest": float(lengths[far] / np.median(lengths)),
        "longest_on": FIRST if first[far] else said(int(pooled.token[far])),
    }  # fmt: skip
