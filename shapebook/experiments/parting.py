"""Why TwoNN's two fits part: one layer's neighbours, who they are and what is left without them."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from shapelib.errors import ShapelibError
from shapelib.geometry.dimension import AUTHORS_DISCARD, FACCO_DISCARD, two_nn_from_distances
from shapelib.geometry.metrics import neighbors_at_most
from shapelib.geometry.neighbors import Neighbors
from shapelib.geometry.relatives import first_relatives, nearest_in_other_windows, one_per_token
from shapelib.geometry.scale.curves import SCALES, gride_from_distances
from shapelib.models import loading
from shapelib.states import pool
from shapelib.states.reading import run_facts
from shapelib.store import cache, keys, tables
from shapelib.text import corpus

EVERYONE = "all vectors"
REST = "without massive vectors"
OTHERS = "… neighbours of other windows only"
TYPES = "… one vector a token only"
BOTH = "… both"
KINDS = ("same token", "same window", "neither")
PARTS = 10
"""Parts of the points by their ratio r₂/r₁, the smallest first."""
_POINTS = 200
_FAR = 2 * SCALES[-1]


def parting(
    model: str | Path, layer: int, text: str = "enwiki-sample", *, tokens: int, batch: int,
    window: int = 512, seed: int = 0, device: str = "auto",
) -> pd.DataFrame:  # fmt: skip
    """One layer's ratios of second to first neighbour, whose they are, and dimensions by scale.

    The vectors are those that the first batch of `profile` has with the same parameters.

    :returns: rows with `model`, `role`, `layer`, `cloud`, `what`, `x` and `value`, for all of these
        vectors, and for those that are not massive with less and less left in:

        ``line``
            TwoNN's plot: `value` is −ln(1 − F) at x = ln(r₂/r₁), of some of the points.
        ``fit``
            TwoNN's dimension by the lowest `x` per cent of the ratios.
        ``gride``
            GRIDE at scale `x`, of those for which there are neighbours.
        ``same token``, ``same window``, ``neither``
            Shares of the points by their first neighbour, in tenths by ratio of which `x` is the
            middle, in per cent; ``same window`` is of another token.
    :raises ShapelibError: for a layer that the model does not have, and for what `load`,
        `load_corpus`, `pool` and `nearest_in_other_windows` refuse.
    """
    source, read = loading.find(model), corpus.load_corpus(text)
    asked = {"layer": layer, "tokens": tokens, "batch": batch, "window": window, "seed": seed}

    def measure() -> pd.DataFrame:
        started = time.perf_counter()
        loaded = loading.load(source, device=device)
        if not 0 <= layer <= loaded.layers:
            raise ShapelibError(f"{loaded.name} has layers 0 to {loaded.layers}, got {layer}")
        cut = corpus.windows(read, window, tokenizer=loaded.tokenizer, seed=seed)
        with pool.pool(loaded, cut, tokens, seed=seed, progress=False) as pooled:
            counts = {"windows": pooled.windows, "all": len(pooled.order)}
            table = pd.DataFrame(rows(pooled, layer, pooled.order[:batch]))
        run = run_facts(loaded, read, {**counts, "dropped_all": counts["all"] - batch}, started,
                        **asked)  # fmt: skip
        table.insert(0, "model", loaded.name)
        table.insert(1, "role", loaded.role)
        table.insert(2, "layer", layer)
        table.attrs["provenance"] = [run]
        return table

    where = str(loading.pick_device(device))
    key = keys.key_of(source.name, source.fingerprint, read.name, read.sha256, where, asked,
                      keys.code_of(parting))  # fmt: skip
    return tables.cached(cache.named(f"parting-{source.name}", key), measure)


def rows(pooled: pool.Pool, layer: int, members: np.ndarray) -> Iterator[dict[str, object]]:
    """The rows of `parting` from a pool that holds the layer, of these of its vectors."""
    rest = members[~pooled.massive(layer)[members]]
    types = rest[one_per_token(pooled.token[rest])]
    clouds = {EVERYONE: members, REST: rest, OTHERS: rest, TYPES: types, BOTH: types}
    for cloud, some in clouds.items():
        vectors, window = pooled.taken(layer, some), pooled.window[some]
        if cloud in (OTHERS, BOTH):
            # As many as the fullest window leaves.
            fewest = len(some) - int(np.bincount(window).max())
            found = nearest_in_other_windows(vectors, window, max(2, min(_FAR, fewest)))
        else:
            found = neighbors_at_most(vectors, _FAR)
        yield from ({"cloud": cloud, **each} for each in _dimensions(found))
        if cloud == EVERYONE:
            labels = pooled.token[some], pooled.window[some], pooled.position[some]
            same_token, same_window, _ = first_relatives(found, *labels)
            yield from ({"cloud": cloud, **each} for each in _line(found))
            yield from (
                {"cloud": cloud, **each} for each in _relatives(found, same_token, same_window)
            )


def _dimensions(found: Neighbors) -> Iterator[dict[str, object]]:
    near = found.distances
    for discard in (FACCO_DISCARD, AUTHORS_DISCARD):
        value = two_nn_from_distances(near[:, :2], discard)
        yield {"what": "fit", "x": 100 * (1 - discard), "value": value}
    scales = [n for n in SCALES if 2 * n <= near.shape[1]]
    for n, each in zip(scales, gride_from_distances(near, scales).estimates, strict=True):
        yield {"what": "gride", "x": float(n), "value": each.value}


def _logs(found: Neighbors) -> np.ndarray:
    near = found.distances.cpu().numpy()
    logs: np.ndarray = np.log(near[:, 1] / near[:, 0])
    return logs


def _line(found: Neighbors) -> Iterator[dict[str, object]]:
    logs = np.sort(_logs(found))
    # Half a point below i/N, so that the last one has a place.
    height = -np.log1p(-(np.arange(len(logs)) + 0.5) / len(logs))
    for place in np.unique(np.linspace(0, len(logs) - 1, _POINTS).astype(int)):
        yield {"what": "line", "x": float(logs[place]), "value": float(height[place])}


def _relatives(
    found: Neighbors, same_token: np.ndarray, same_window: np.ndarray
) -> Iterator[dict[str, object]]:
    flags = (same_token, same_window & ~same_token, ~same_window & ~same_token)
    order = np.array_split(np.argsort(_logs(found), kind="stable"), PARTS)
    for part, members in enumerate(order):
        middle = 100 * (part + 0.5) / PARTS
        for kind, flag in zip(KINDS, flags, strict=True):
            yield {"what": kind, "x": middle, "value": float(flag[members].mean())}
