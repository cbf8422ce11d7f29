"""The search, stage by stage, each beside the limit that its own work has, in float32 products.

Each stage has a clock around it while the search runs: half the product X·Xᵀ, of bfloat16 numbers
where there are units for them; one pass over it that lists who may be near; the exact distances of
who is left. What is left of the whole is the rest. All times of one turn are divided by the product
X·Xᵀ of the same turn, in float32 and on one thread.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import record
import torch
from estimators import POINTS, clouds, seconds

from shapelib import nearest_neighbors
from shapelib.geometry.loops import compiled
from shapelib.geometry.search import by_pairs, on_cpu, pairs, rounded
from shapelib.geometry.search.rows import _square_gap
from shapelib.processor import path

FEATURES, NEIGHBOURS, TURNS = (384, 768, 2560), (20, 100), 5
PRODUCT, PASS, EXACT, REST = (
    "half the product, in tiles", "one pass over it", "exact distances of who is left",
    "what is left",
)  # fmt: skip
STAGES = (PRODUCT, PASS, EXACT)
AT_ONCE, COPY, CACHED, BOTH = (
    "limit: half the product at once", "limit: reading and writing as much",
    "limit: as many distances of points in the cache", "limit: the product, one thread ÷ two",
)  # fmt: skip
WHOLE, TWO = "the whole search", "the whole search, one thread ÷ two"
# On one thread, by neighbours and features; meant where there are units for 16-bit products.
LIMITS = {(20, 768): 0.45, (20, 2560): 0.35, (100, 768): 0.7, (100, 2560): 0.7}
TWICE = 1.8
UNITS = "bfloat16"


@compiled
def distances_in_cache(x, many):  # type: ignore[no-untyped-def]
    total = 0.0
    for c in range(many):
        total += _square_gap(x[c % 8], x[8 + c % 7])
    return total


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.taken: dict[str, float] = {}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.taken[stage] = self.taken.get(stage, 0.0) + time.perf_counter() - start

    def around(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def clocked(*given: Any, **more: Any) -> Any:
            with self.of(stage):
                return work(*given, **more)

        return clocked


def staged(x: torch.Tensor, k: int, values: torch.Tensor, clock: Clock) -> None:
    """A search with a clock around each of its stages, on one thread; and their limits.

    values: the points as the search's product takes them.
    """
    names = {"first_bars": PASS, "sift": PASS}
    clocked = {name: clock.around(each, getattr(pairs, name)) for name, each in names.items()}
    measured = 0

    def settle(*given: Any) -> None:
        nonlocal measured
        with clock.of(EXACT):
            pairs_settle(*given)
        first, start, stop, held = *given[1:4], given[9]
        measured += int(held[first + start : first + stop].clip(0).sum())

    pairs_settle, clocked["settle"] = pairs.settle, settle
    product = clock.around(PRODUCT, by_pairs.multiply)
    with mock.patch.multiple(pairs, **clocked), mock.patch.object(by_pairs, "multiply", product):
        nearest_neighbors(x, k)
    half = values[: len(x) // 2]
    with clock.of(AT_ONCE):
        made = half @ values.T
    wide = made.float()
    with clock.of(COPY):
        wide.clone()
    distances_in_cache(x.numpy(), 1)
    with clock.of(CACHED):
        distances_in_cache(x.numpy(), measured)


def measured(features: int, k: int, turns: int) -> dict[str, list[float]]:
    """Ratios to the float32 product by stage, one a turn; and how much faster two threads are."""
    x = clouds(features)["ordinary"]
    values = rounded.rounded(x, *rounded.frame(x), on_cpu.bfloat16_units())[0]
    staged(x, k, values, Clock())
    nearest_neighbors(x, k)
    found: dict[str, list[float]] = {}
    for _ in range(turns):
        clock = Clock()
        yard = seconds(lambda: x @ x.T)
        staged(x, k, values, clock)
        whole = seconds(lambda: nearest_neighbors(x, k))
        yard = (yard + seconds(lambda: x @ x.T)) / 2
        torch.set_num_threads(2)
        both, product = seconds(lambda: nearest_neighbors(x, k)), seconds(lambda: x @ x.T)
        torch.set_num_threads(1)
        stages = sum(clock.taken.get(each, 0.0) for each in STAGES)
        told = {**clock.taken, REST: whole - stages, WHOLE: whole}
        for name, taken in told.items():
            found.setdefault(name, []).append(taken / yard)
        found.setdefault(TWO, []).append(whole / both)
        found.setdefault(BOTH, []).append(yard / product)
    return found


ORDER = (PRODUCT, AT_ONCE, PASS, COPY, EXACT, CACHED, REST, WHOLE, TWO, BOTH)


def as_rows(found: dict[str, list[float]], features: int, k: int) -> list[dict[str, Any]]:
    """The rows of one width, with their limits; the whole one says what bounds it."""
    rows = {
        name: record.row(name, found[name], features=features, k=k)
        for name in ORDER if name in found
    }  # fmt: skip
    whole, two = rows[WHOLE], rows[TWO]
    product = f"the float32 product itself is {rows[BOTH]['median']:g} times as fast on two"
    two |= {"limit": TWICE, "at_least": True, "bound": product}
    if (k, features) in LIMITS:
        stages = ", ".join(
            f"{stage} {rows[stage]['median']:g}" for stage in (*STAGES, REST) if stage in rows
        )
        least = f"{rows[AT_ONCE]['median']:g} at once"
        whole |= {
            "limit": LIMITS[k, features],
            "where": UNITS,
            "bound": f"{stages}; the product {least}",
        }
    return list(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--features", type=int, nargs="+", choices=FEATURES, default=FEATURES,
        help="fewer: nothing is recorded",
    )  # fmt: skip
    widths = parser.parse_args().features
    torch.set_num_threads(1)
    sections = [section(k, widths) for k in NEIGHBOURS]
    if tuple(widths) == FEATURES:
        record.write("stages", sections)


def section(k: int, widths: list[int]) -> dict[str, Any]:
    """The stages of a search for k neighbours, at these numbers of features."""
    rows: list[dict[str, Any]] = []
    for features in widths:
        rows += as_rows(measured(features, k, TURNS), features, k)
    kind = "bfloat16" if on_cpu.bfloat16_units() else "float32"
    return record.section(
        f"The search, stage by stage, k = {k}",
        f"one float32 product X·Xᵀ of {POINTS} points, one thread, same turn", rows,
        f"The search's own product is made in {kind} ({path()}), each pair once. "
        "*÷ two* is the time on one thread over the time on two, and no multiple of the product.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
