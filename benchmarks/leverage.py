"""Who carries a layer's anisotropy, in multiples of the layer's neighbour search.

The contestants take turns, and each time is divided by the search's of the same turn. The points
are of the size of a layer of the 30-layer decoder: a spectrum that falls, and one row in a hundred
two hundred times as long.
"""

import time
from collections.abc import Callable

import numpy as np
import record
import torch

from shapelib import leave_out, massive_rows, nearest_neighbors, spectrum
from shapelib.geometry.metrics import NEIGHBORS

POINTS, FEATURES = 4096, 576
TURNS = 7
LIMIT = 1.0


def cloud() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(POINTS, FEATURES, generator=generator)
    x *= torch.arange(1, FEATURES + 1) ** -0.7
    x[::100] += (
        200 * x.norm(dim=1).median() * torch.nn.functional.one_hot(torch.tensor(7), FEATURES)
    )
    return x


def anew(x: torch.Tensor) -> list[float]:
    """The leave-out curve with a full decomposition at every step, as one would without update."""
    found = leave_out(x)
    curve = []
    for removed in found.removed:
        left = np.delete(x.numpy(), found.order[:removed], axis=0)
        values = np.linalg.svd(left - left.mean(axis=0), compute_uv=False) ** 2
        curve.append(float(values[0] / values.sum()))
    return curve


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    x = cloud()
    most = max(k for k, _ in NEIGHBORS.values())
    contestants: dict[str, Callable[[], object]] = {
        "leverage and leave-out curve": lambda: leave_out(x),
        "massive rows": lambda: massive_rows(x.numpy()),
        "six measures of the spectrum": lambda: spectrum(x),
    }
    ratios: dict[str, list[float]] = {name: [] for name in contestants}
    for work in contestants.values():
        work()
    for _ in range(TURNS):
        for name, work in contestants.items():
            search = seconds(lambda: nearest_neighbors(x, most))
            ratios[name].append(seconds(work) / search)
    name = "leave-out curve, a NumPy SVD at each step"
    ratios[name] = [seconds(lambda: anew(x)) / seconds(lambda: nearest_neighbors(x, most))]
    rows = [
        record.row(name, each, limit=LIMIT if name.startswith("leverage") else None)
        for name, each in ratios.items()
    ]
    yardstick = (
        f"one exact search for the {most} nearest neighbours of {POINTS} points with {FEATURES} "
        "features, one thread, same turn"
    )
    record.write("leverage", [record.section("Leverage", yardstick, rows)])


if __name__ == "__main__":
    main()
