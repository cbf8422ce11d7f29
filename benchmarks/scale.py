"""The dimension along scale and what goes with it, in multiples of one float32 product X·Xᵀ.

One thread, 4096 points of 768 features, all in one run; each time is divided by the mean of the
yardsticks just before and after it. What the further metrics cost a table is measured on a pool of
two layers with Zipf's tokens, in multiples of what the default metrics take there. DADApy is asked
in an environment of its own (`apart` says how to make it).
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import record
import torch
from apart import dadapy
from estimators import between, clouds, processor_seconds
from threadpoolctl import threadpool_limits

from shapelib import decimated, nearest_in_other_windows, nearest_neighbors
from shapelib.geometry.scale.curves import gride_from_distances
from shapelib.states.choices import CHOICES, DEFAULT, SCALES
from shapelib.states.further import between as compare_layers
from shapelib.states.layer import measure_layer
from shapelib.states.pool import Pool
from shapelib.states.settings import Measuring
from shapelib.states.spill import Memory

POINTS, FEATURES, LAYERS, TURNS = 4096, 768, 30, 7
WINDOW, VOCABULARY = 110, 8000
THIRTY = "overlap and imbalance of thirty layers"
LIMITS = {"GRIDE, seven scales, given the search": 0.1, "search, k = 128": 1.3, THIRTY: 0.02}


def made_pool() -> Pool:
    """Two layers of twice as many vectors, the second the first turned and disturbed."""
    rng = np.random.default_rng(0)
    n = 2 * POINTS
    first = clouds(FEATURES)["ordinary"].numpy()
    first = np.concatenate([first, first[::-1] + 0.3 * first.std(0) * _noise(rng)])
    second = first + 0.5 * first.std(0) * np.concatenate([_noise(rng), _noise(rng)])
    token = np.minimum(rng.zipf(1.2, n), VOCABULARY)
    window, position = np.divmod(np.arange(n), WINDOW)
    return Pool(
        states={0: first.astype(np.float32), 1: second.astype(np.float32)}, layers=1,
        window=window, article=window // 2, position=position, token=token,
        special=np.zeros(n, bool), order=rng.permutation(n), bos=False, after_norm=True,
        _place=Memory(range(0), 0, 1),
    )  # fmt: skip


def _noise(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((POINTS, FEATURES))


def layers(pooled: Pool, chosen: tuple[str, ...], kept: dict[Any, Any]) -> None:
    asked = Measuring(tokens=2 * POINTS, batch=POINTS, sets=("all",), metrics=chosen)
    for layer in (0, 1):
        measure_layer(pooled, layer, "made", asked, kept)


def table(pooled: Pool, chosen: tuple[str, ...]) -> None:
    """What a table of two layers takes; both comparisons of the first layer."""
    kept: dict[Any, Any] = {}
    layers(pooled, chosen, kept)
    list(compare_layers(kept, pooled.window, 8, chosen))


def estimators() -> dict[str, Callable[[], object]]:
    x = clouds(FEATURES)["ordinary"]
    found = nearest_neighbors(x, 128).distances
    window = np.arange(POINTS) // WINDOW
    return {
        "GRIDE, seven scales, given the search": lambda: gride_from_distances(found, SCALES),
        "search, k = 20": lambda: nearest_neighbors(x, 20),
        "search, k = 100": lambda: nearest_neighbors(x, 100),
        "search, k = 128": lambda: nearest_neighbors(x, 128),
        "search in other windows, k = 20": lambda: nearest_in_other_windows(x, window, 20),
        "decimation to 1/2, 1/4, 1/8": lambda: decimated(x, (1 / 2, 1 / 4, 1 / 8)),
    }


def thirty_layers(pooled: Pool) -> dict[str, list[float]]:
    """Comparing thirty layers with the next and the last, by the time to measure thirty."""
    kept: dict[Any, Any] = {}
    asked = (*DEFAULT, "overlap", "imbalance")
    layers(pooled, asked, kept)
    thirty = {("all", layer): kept["all", layer % 2] for layer in range(LAYERS)}
    work = {THIRTY: lambda: list(compare_layers(thirty, pooled.window, 8, asked))}
    timed = {name: partial(processor_seconds, each) for name, each in work.items()}
    default = partial(processor_seconds, lambda: layers(pooled, DEFAULT, {}))
    return between(timed, lambda: default() * LAYERS / 2, 2)


def part(title: str, yardstick: str, found: dict[str, list[float]], note: str = "") -> Any:
    """One section of the record, printed as well."""
    rows = [record.row(name, each, limit=LIMITS.get(name)) for name, each in found.items()]
    return record.section(title, yardstick, rows, note)


def main() -> None:
    torch.set_num_threads(1)
    x = clouds(FEATURES)["ordinary"]
    product = partial(processor_seconds, lambda: x @ x.T)
    of = f"{POINTS} points of {FEATURES} features, one thread, processor time, same turn"
    note = ""
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "points.npy"
        np.save(file, x.numpy())
        timed = {name: partial(processor_seconds, each) for name, each in estimators().items()}
        peer = dadapy()
        if peer is not None:
            versions = ", ".join(f"{name} {each}" for name, each in peer.versions.items())
            note = f"DADApy in an environment of its own: {versions}."
            timed["DADApy GRIDE, with its search"] = lambda: peer.gride(file, 1)["seconds"]
        found = between(timed, product, TURNS)
        if peer is not None:
            peer.close()
        sections = [part("Neighbours and scale", f"one float32 product X·Xᵀ of {of}", found, note)]
        pooled = made_pool()
        default = partial(processor_seconds, partial(table, pooled, DEFAULT))
        more = {
            name: partial(processor_seconds, partial(table, pooled, (*DEFAULT, name)))
            for name in CHOICES if name not in DEFAULT
        }  # fmt: skip
        measuring = f"of vectors already read, {of}"
        sections += [
            part("A table with one metric more", f"the default metrics of two layers {measuring}",
                 between(more, default, 1)),
            part("Layers compared", f"the default metrics of thirty layers {measuring}",
                 thirty_layers(pooled)),
        ]  # fmt: skip
    record.write("scale", sections)


if __name__ == "__main__":
    main()
