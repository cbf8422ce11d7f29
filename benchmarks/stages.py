"""The search, stage by stage, each beside the limit that its own work has, in float32 products.

Where there are units for bfloat16 the stages are those of a search by rows, called one at a time on
the blocks that it makes: the product, one pass over its result that makes the bounds, the choice of
candidates, their exact distances. Elsewhere they are those of a search by pairs, each with a clock
around it while the search runs: half the product, one pass over it that lists who may be near, the
exact distances of who is left. What is left of the whole is the rest. All times of one turn are
divided by the product X·Xᵀ of the same turn, in float32 and on one thread.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import record
import torch
from estimators import POINTS, clouds, seconds

from shapelib import nearest_neighbors
from shapelib.geometry.loops import compiled
from shapelib.geometry.search import on_cpu, pairs, rounded
from shapelib.geometry.search import rows as by_rows
from shapelib.processor import path

FEATURES, NEIGHBOURS, TURNS = (384, 768, 2560), (20, 100), 5
PRODUCT, PASS, CHOICE, EXACT, REST = (
    "the product, in blocks of rows", "one pass over it", "the choice of candidates",
    "exact distances of who is left", "what is left",
)  # fmt: skip
STAGES = (PRODUCT, PASS, CHOICE, EXACT)
AT_ONCE, COPY, LEAST, BOTH = (
    "limit: the same product at once", "limit: reading and writing as much",
    "limit: reading the bounds once", "limit: the product, one thread ÷ two",
)  # fmt: skip
WHOLE, TWO = "the whole search", "the whole search, one thread ÷ two"
# On one thread, by neighbours and features; meant where there are units for 16-bit products.
LIMITS = {(20, 768): 0.45, (20, 2560): 0.35, (100, 768): 0.7, (100, 2560): 0.7}
TWICE = 1.8
UNITS = "bfloat16"


@compiled
def bound_rows(bounds, products, start, about, screen, summed, stored, tiny):  # type: ignore[no-untyped-def]
    for r in range(len(products)):
        by_rows._bound(
            bounds[r], products[r], start + r, about, screen, summed, stored, tiny
        )  # fmt: skip
        bounds[r, start + r] = np.inf


@compiled
def choose_rows(bounds, least, k, most, chosen, ends):  # type: ignore[no-untyped-def]
    for r in range(len(bounds)):
        here = ends[r]
        ends[r + 1] = here + by_rows._choose(bounds[r], least, k, chosen[here : here + most])


class Rounded(NamedTuple):
    """The points as the search's product takes them, and what its bounds are made of."""

    values: torch.Tensor
    about: np.ndarray
    screen: np.ndarray
    stored: float


def as_taken(x: torch.Tensor, narrow: bool) -> Rounded:
    values, known = rounded.rounded(x, *rounded.frame(x), narrow)
    about = torch.stack(list(known)).numpy()
    screen = by_rows.screened(about, np.dtype(np.float32))
    return Rounded(values, about, screen, rounded.STORED_BFLOAT16 * narrow)


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


def staged_by_rows(x: torch.Tensor, k: int, made: Rounded, clock: Clock) -> None:
    """The stages of a search by rows, block by block, with a clock around each."""
    n, features = x.shape
    summed, tiny = (features + 1) * rounded.SUMMED_FLOAT32, on_cpu._tiny(x)
    most = min(n, max(64, 4 * k, n // on_cpu._MOST))
    bounds = np.empty((rounded.BLOCK, n), np.float32)
    least = np.empty(min(n, max(256, 8 * k)), np.float32)
    # Of all rows of a block, where `rows.search` takes as many as it has room for.
    chosen, gaps = np.empty(most * rounded.BLOCK, np.int64), np.empty(most * rounded.BLOCK)
    ends = np.zeros(rounded.BLOCK + 1, np.int64)
    for start in range(0, n, rounded.BLOCK):
        rows = np.arange(start, min(n, start + rounded.BLOCK))
        with clock.of(PRODUCT):
            block = (made.values[rows] @ made.values.T).float().numpy()
        of_block = bounds[: len(rows)]
        with clock.of(PASS):
            bound_rows(
                of_block, block, start, made.about, made.screen, summed, made.stored, tiny
            )  # fmt: skip
        with clock.of(COPY):
            np.copyto(block, of_block)
        with clock.of(LEAST):
            of_block.min(axis=1)
        with clock.of(CHOICE):
            choose_rows(of_block, least, k, most, chosen, ends)
        with clock.of(EXACT):
            by_rows._measure(x.numpy(), rows, ends[: len(rows) + 1], chosen, gaps)
    with clock.of(AT_ONCE):
        made.values @ made.values.T


def staged_by_pairs(x: torch.Tensor, k: int, made: Rounded, clock: Clock) -> None:
    """A search by pairs with a clock around each of its stages, on one thread."""
    names = {"first_bars": PASS, "sift": PASS, "settle": EXACT}
    clocked = {name: clock.around(each, getattr(pairs, name)) for name, each in names.items()}
    product = clock.around(PRODUCT, torch.matmul)
    with mock.patch.multiple(pairs, **clocked), mock.patch.object(torch, "matmul", product):
        nearest_neighbors(x, k)
    half = made.values[: len(x) // 2]
    with clock.of(AT_ONCE):
        product = half @ made.values.T
    with clock.of(COPY):
        product.clone()


def measured(features: int, k: int, turns: int) -> dict[str, list[float]]:
    """Ratios to the float32 product by stage, one a turn; and how much faster two threads are."""
    x = clouds(features)["ordinary"]
    narrow = on_cpu.bfloat16_units()
    made, staged = as_taken(x, narrow), staged_by_rows if narrow else staged_by_pairs
    staged(x, k, made, Clock())
    nearest_neighbors(x, k)
    found: dict[str, list[float]] = {}
    for _ in range(turns):
        clock = Clock()
        yard = seconds(lambda: x @ x.T)
        staged(x, k, made, clock)
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


ORDER = (PRODUCT, AT_ONCE, PASS, COPY, CHOICE, LEAST, EXACT, REST, WHOLE, TWO, BOTH)


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
    kind = "bfloat16, by rows" if on_cpu.bfloat16_units() else "float32, each pair once"
    return record.section(
        f"The search, stage by stage, k = {k}",
        f"one float32 product X·Xᵀ of {POINTS} points, one thread, same turn", rows,
        f"The search's own product is made in {kind} ({path()}). *÷ two* is the time on one thread "
        "over the time on two, and no multiple of the product.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
