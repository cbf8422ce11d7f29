"""What is left of a layer's anisotropy where the first vectors of windows are rarer: the same
vectors, weighted as if windows were longer or shorter."""

import itertools
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from shapelib.errors import ShapelibError
from shapelib.geometry.anisotropy import anisotropy
from shapelib.models.loading import Model
from shapelib.states.pool import pool
from shapelib.states.reading import encode, run_facts
from shapelib.text.corpus import Corpus, windows

# Windows that are tokenized to find how many tokens one has.
COUNTED = 256


def reweighted(
    x: Float[np.ndarray, "n features"], marked: Bool[np.ndarray, " n"], share: float
) -> float:
    """Anisotropy of points of which the marked ones weigh as if they were `share` of all.

    With weights wᵢ that add up to n, `share` × n of it on the marked points: σ₁² / Σᵢ σᵢ² of the
    rows √wᵢ (xᵢ − μ), μ the weighted mean. At the share that the marked points have it is
    `shapelib.anisotropy`.

    :param x: points × features.
    :param marked: which points are weighted otherwise than the rest.
    :param share: from 0 (they are not there) to below 1.
    :raises ValueError: for a share that is none, and where all points are marked, or no point is.
    """
    if not 0 <= share < 1:
        raise ValueError(f"a share is from 0 to below 1, got {share!r}")
    count = int(marked.sum())
    if not 0 < count < len(x):
        raise ValueError(f"some points must be marked and some not, got {count} of {len(x)}")
    x = np.asarray(x, dtype=np.float64)
    weight = np.where(marked, share / count, (1 - share) / (len(x) - count))
    return anisotropy((x - weight @ x) * np.sqrt(len(x) * weight)[:, None], centered=False)


def as_in_windows(
    model: Model,
    text: Corpus,
    lengths: Sequence[int],
    *,
    window: int = 512,
    tokens: int = 4096,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Each layer's anisotropy in windows of `window` characters, its first positions weighted as
    often as windows of other lengths have them: how much of what the length of a window changes
    comes from that alone, and not from what more context does to vectors.

    :param model: a loaded model.
    :param text: a corpus.
    :param lengths: of those other windows, in characters.
    :param window: the length that is read.
    :param tokens: vectors pooled, at least.
    :returns: a row for each length and layer: ``model, role, layer, depth, after_norm, characters,
        share`` (of first positions), ``value``.
    :raises ShapelibError: for a length below 1, and for what `pool` and `windows` refuse.
    """
    if wrong := [each for each in lengths if each < 1]:
        raise ShapelibError(f"a window has at least one character, got {wrong[0]}")
    started = time.perf_counter()
    shares = {each: 1 / _tokens_in(model, text, each, seed) for each in lengths}
    read = windows(text, window, seed=seed)
    with pool(model, read, tokens, seed=seed, progress=progress) as pooled:
        first = pooled.position == 0
        rows = [
            {
                "model": model.name, "role": model.role, "layer": layer,
                "depth": layer / model.layers,
                "after_norm": layer == model.layers and model.after_norm,
                "characters": length, "share": share,
                "value": reweighted(pooled.states[layer], first, share),
            }
            for layer in range(pooled.layers + 1)
            for length, share in shares.items()
        ]  # fmt: skip
        counts = {"windows": pooled.windows, "all": len(pooled.order), "dropped_all": 0}
    table = pd.DataFrame(rows)
    asked = {"tokens": tokens, "window": window, "seed": seed}
    table.attrs["provenance"] = [run_facts(model, text, counts, started, **asked)]
    return table


def _tokens_in(model: Model, text: Corpus, length: int, seed: int) -> float:
    """Mean tokens of a window, special ones included."""
    some: Iterator[int] = (
        len(encode(model, each).ids)
        for each in itertools.islice(windows(text, length, seed=seed), COUNTED)
    )
    return float(np.mean(list(some)))
