"""The dimension at every scale: python results/scale.py [manifolds] [RUN …], all without any.

`scale/training.parquet` is the matched pair along training: TwoNN's two fits and GRIDE at seven
scales of every layer of every checkpoint, on held-out text, 16384 vectors of 256 windows in batches
of 4096 as in training/, of which GRIDE takes the first. RUN is one of training.py's, whose
table says how each went; a run that is made again replaces its rows.

`scale/manifolds.parquet` is of known dimension: sphere, Gaussian, cube and flat torus of 2 to 30
dimensions, 1000 to 16 000 points, seven scales, a row for each, none left out. `bias` is
value ÷ dimension − 1. Up to 4000 points there are several draws, and `spread` is the standard
deviation over them: beside `stderr`, the mean of what was stated, it says how far neighbours in
common make estimates depend on each other. Of 16 000 points there is one draw.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from training import RUNS, replace

from shapelib import gride, plateau, pretraining
from shapelib.geometry.scale.curves import SCALES
from shapelib.store import tables

FOLDER = Path(__file__).parent / "scale"
PAIR = [
    name
    for name in RUNS
    if name.split("-seed")[0] in ("decoder-96-warmup50", "encoder-96-warmup50")
]
DIMENSIONS = (2, 3, 5, 10, 20, 30)
DRAWS = {1000: 20, 4000: 4, 16_000: 1}


def _sphere(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    x = rng.standard_normal((n, d + 1))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _torus(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    angles = rng.uniform(0, 2 * np.pi, (n, d))
    return np.hstack([np.cos(angles), np.sin(angles)])


MANIFOLDS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "sphere": _sphere,
    "Gaussian": lambda rng, n, d: rng.standard_normal((n, d)),
    "cube": lambda rng, n, d: rng.uniform(size=(n, d)),
    "flat torus": _torus,
}


def rows(manifold: str, d: int, n: int) -> list[dict[str, object]]:
    """A row for each scale."""
    curves = [
        gride(MANIFOLDS[manifold](np.random.default_rng([d, n, draw]), n, d))
        for draw in range(DRAWS[n])
    ]
    values = np.array([[each.value for each in curve.estimates] for curve in curves])
    stated = np.array([[each.stderr for each in curve.estimates] for curve in curves])
    spread = values.std(axis=0, ddof=1) if len(curves) > 1 else np.full(len(SCALES), np.nan)
    found = plateau(curves[0])
    return [
        {
            "manifold": manifold, "dimension": d, "points": n, "draws": len(curves), "scale": scale,
            "value": values[:, place].mean(), "bias": values[:, place].mean() / d - 1,
            "stderr": stated[:, place].mean(), "spread": spread[place],
            "plateau": found is not None and found.first <= scale <= found.last,
        }
        for place, scale in enumerate(SCALES)
    ]  # fmt: skip


def manifolds() -> None:
    started = time.perf_counter()
    table = pd.DataFrame(
        [
            row
            for manifold in MANIFOLDS
            for d in DIMENSIONS
            for n in DRAWS
            for row in rows(manifold, d, n)
        ]
    )
    seconds = round(time.perf_counter() - started, 1)
    command = "python results/scale.py manifolds"
    table.attrs["provenance"] = [tables.provenance(command=command, seconds=seconds)]
    tables.write_table(table, FOLDER / "manifolds.parquet")
    shown = table.assign(bias=(100 * table["bias"]).round(1).astype(str) + " %")
    wide = shown.pivot(index=["manifold", "dimension", "points"], columns="scale", values="bias")
    print(wide.to_string())
    several = table.dropna()
    print((several["spread"] / several["stderr"]).groupby(several["scale"]).describe().round(2))


def run(name: str) -> None:
    """Train a run, if it is not in the cache, and put it into the tables."""
    made = RUNS[name]
    (folder,) = pretraining.suites([made])
    shape = pretraining.measure(
        folder, tokens=16_384, seeds=(0,), metrics=("two_nn", "two_nn_lowest20", "gride")
    )
    replace(FOLDER / "training.parquet", made, shape, f"python results/scale.py {name}")
    print(f"{name}: kept", flush=True)


def main() -> None:
    names = sys.argv[1:] or ["manifolds", *PAIR]
    if unknown := [name for name in names if name not in ("manifolds", *RUNS)]:
        sys.exit(f"no such part: {', '.join(unknown)}; known: manifolds, {', '.join(RUNS)}")
    for name in names:
        if name == "manifolds":
            manifolds()
        else:
            run(name)


if __name__ == "__main__":
    main()
