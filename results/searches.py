"""Parts of the table of fine-tuning that look for something: a learning rate, a budget, a d90.

How few runs are enough, and which:

- **Rates** stand on one ladder, three steps a power of ten apart twice. From a first guess it is
  climbed, by one seed, until both neighbours of the best one do worse: three runs mostly. All test
  texts say which rates are tried. Which of them counts is said, of each text, by the other half of
  the texts (``d90(rates="other texts")``), and other seeds run at those rates alone: one, or two
  where the halves differ.
- **Dimensions** are doublings, or steps of four. One seed bisects them; all seeds are run at the
  two between which its d90 lies, and at the next ones beyond while some seed's own curve crosses
  its bar outside of them, or the interval of d90 ends there: what is not seen cannot be judged.
- **Budgets** of updates are doubled until the training score gains no more than a hundredth.

Full fine-tuning is a part of its own, which the searches by DID and SAID read from the kept table.
"""

import functools
import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
from readings import (
    beyond,
    budget,
    counted,
    learned_nothing,
    plateau,
    reached,
    said,
)

from shapelib import dimension_sweep
from shapelib.errors import ShapelibError
from shapelib.finetuning.settings import Setting
from shapelib.models import suites
from shapelib.store import cache, tables

RATES = (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
# What the network's products are in. The part `bfloat16` runs both ways; no other part begins
# where its rows say that another choice is the one to take.
DTYPE = "bfloat16"
FIRST_BUDGET = 60
LEAST, MOST = 25, 102_400
BATCH, LENGTH = 32, 64
Kept = Callable[[str], pd.DataFrame]
"""The kept rows of a part by its name."""


@dataclass(frozen=True)
class Takes:
    """Some runs alike, for an estimate."""

    model: suites.Names
    task: str
    setting: Setting
    runs: int
    checkpoints: suites.Steps = "all"


@dataclass(frozen=True)
class Tuned:
    """What is tuned on what: the beginning of each part."""

    model: str
    task: str = "questions"
    init: str = "pre-trained"
    steps: int = FIRST_BUDGET
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    pooling: str = "mean"
    dtype: str = DTYPE
    full_rate: float = 0.0003
    """Where its ladder is begun."""
    rate: float = 0.003
    """Likewise in a subspace."""
    budgets: str = ""
    """The part that says how many updates a run has, in place of `steps`."""
    limit: float = math.inf
    """Seconds of a step beyond which nothing is begun."""
    needs: tuple[str, ...] = ("bfloat16",)
    """Parts that must be kept before."""

    def runs(
        self, method: str, d: int | None, rates: Sequence[float], seeds: Sequence[int],
        steps: int, dtype: str | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Runs at one dimension, made or taken from the cache."""
        inside = d is not None
        table = dimension_sweep(
            self.model, self.task, dimensions=(d,) if inside else (),
            methods=(method,) if inside else (), learning_rates=rates if inside else (),
            full_rates=() if inside else rates, seeds=seeds, inits=(self.init,), steps=steps,
            batch=BATCH, length=LENGTH, pooling=self.pooling, dtype=dtype or self.dtype,
            output=cache.folder("tuning"), progress=False,
        )  # fmt: skip
        if failures := table.attrs["failures"]:
            raise ShapelibError("; ".join(f"{cell}: {why}" for cell, why in failures))
        for row in table.itertuples():
            where = "full" if d is None else f"{method}, d = {d}"
            print(
                f"  {where}, {row.steps} updates, rate {row.rate:g}, seed {row.seed}: "
                f"{row.score:.3f}", flush=True,
            )  # fmt: skip
        return table

    def climbed(
        self, method: str, d: int | None, start: float, steps: int
    ) -> tuple[pd.DataFrame, float]:
        """The first seed's runs along the ladder of rates, and the best rate.

        Where all runs diverge it goes down to the lowest rate.
        """
        seed = self.seeds[0]

        @functools.cache
        def run(place: int) -> pd.DataFrame:
            return self.runs(method, d, (RATES[place],), (seed,), steps)

        def score(place: int) -> float:
            found = float(run(place)["score"].iloc[0])
            return -math.inf if math.isnan(found) else found

        best = RATES.index(start)
        tried = {best}
        for step in (-1, 1):
            while 0 <= best + step < len(RATES):
                here = score(best)
                if here == -math.inf and step > 0:
                    break
                tried.add(best + step)
                if score(best + step) <= here > -math.inf:
                    break
                best += step
        return tables.combine([run(place) for place in sorted(tried)]), RATES[best]

    def by_more_seeds(
        self, first: pd.DataFrame, method: str, d: int | None, steps: int
    ) -> pd.DataFrame:
        """The first seed's runs along the ladder, and those of all other seeds."""
        rest = self.seeds[1:]
        more = [self.runs(method, d, counted(first), rest, steps)] if rest else []
        return tables.combine([first, *more])

    def updates(self, kept: Kept) -> int:
        return budget(kept(self.budgets)) if self.budgets else self.steps

    def alike(self, runs: int, method: str, d: int | None, steps: int, dtype: str = "") -> Takes:
        """So many runs, for an estimate."""
        rate = self.full_rate if d is None else self.rate
        return Takes(self.model, self.task, self.setting(method, d, rate, steps, dtype), runs)

    def setting(
        self, method: str, d: int | None, rate: float, steps: int, dtype: str = "", seed: int = 0
    ) -> Setting:
        given: dict[str, Any] = {
            "init": self.init, "method": method, "d": d, "rate": rate, "seed": seed, "steps": steps,
            "batch": BATCH, "length": LENGTH, "pooling": self.pooling, "dtype": dtype or self.dtype,
        }  # fmt: skip
        return Setting(**given)


@dataclass(frozen=True)
class Full(Tuned):
    """Full fine-tuning: three rates by one seed, and those that count by the others."""

    def takes(self, kept: Kept) -> list[Takes]:
        return [self.alike(2 + len(self.seeds), "full", None, self.updates(kept))]

    def made(self, kept: Kept) -> pd.DataFrame:
        steps = self.updates(kept)
        first, _ = self.climbed("full", None, self.full_rate, steps)
        if first["score"].isna().all():
            raise ShapelibError(
                f"{self.model} on {self.task}: full fine-tuning diverges at every rate, down to "
                f"{first['rate'].min():g}"
            )
        return self.by_more_seeds(first, "full", None, steps)


@dataclass(frozen=True)
class Search(Tuned):
    """d90 by one method, held against the full fine-tuning that another part has kept.

    Three dimensions of seven by three rates each, then two by the other seeds, and one beyond by
    all: some 24 runs. It may be as many as 50, where the seeds lie far apart.
    """

    method: str = "DID"
    full: str = ""
    """The part that has full fine-tuning."""
    grid: tuple[int, ...] = tuple(200 * 2**k for k in range(7))
    """What is bisected, in equal steps; beyond its ends the search goes on in doublings."""
    also: tuple[int, ...] = ()
    """Dimensions that all seeds are run at in any case."""
    FURTHER: ClassVar[int] = 3
    """Dimensions beyond the two of the bisection, at most."""

    def takes(self, kept: Kept) -> list[Takes]:
        bisected = 3 * math.ceil(math.log2(len(self.grid) + 1))
        # A dimension by all seeds: three rates by the first, one by each other.
        others = len(self.seeds) - 1
        by_all = 2 * others + (3 + others) * (len(self.also) + (others > 0))
        return [self.alike(bisected + by_all, self.method, self.grid[-1], self.updates(kept))]

    def made(self, kept: Kept) -> pd.DataFrame:
        full, steps = kept(self.full), self.updates(kept)
        rates: dict[int, float] = {}

        @functools.cache
        def first(d: int) -> pd.DataFrame:
            near = min(rates, key=lambda other: abs(math.log(other / d)), default=None)
            start = self.rate if near is None else rates[near]
            table, rates[d] = self.climbed(self.method, d, start, steps)
            return table

        @functools.cache
        def whole(d: int) -> pd.DataFrame:
            return self.by_more_seeds(first(d), self.method, d, steps)

        middle = self.grid[len(self.grid) // 2]
        if learned_nothing(full, first(middle)):
            print(f"  {said(full, first(middle))}", flush=True)
            return first(middle)
        place = bisect_left(self.grid, True, key=lambda d: reached(full, first(d)))
        around = self.grid[max(place - 1, 0) : place + 1]
        last = {d: whole(d) for d in (*around, *self.also)}
        for _ in range(self.FURTHER):
            further = beyond(full, tables.combine([*last.values()]), LEAST, MOST)
            if further is None:
                break
            last[further] = whole(further)
        print(f"  {said(full, tables.combine([*last.values()]))}", flush=True)
        made = {d: first(d) for d in rates} | last
        return tables.combine([made[d] for d in sorted(made)])


@dataclass(frozen=True)
class Costly(Search):
    """A search whose runs take ten minutes: what its dimensions do not show is left open."""

    FURTHER: ClassVar[int] = 0


@dataclass(frozen=True)
class Budgets(Tuned):
    """Updates doubled until the training score improves no more: full fine-tuning, and one d.

    By one seed. At each budget the ladder of rates is climbed from the best of the one before.
    """

    d: int = MOST
    most: int = 1920
    """Of updates."""

    def ways(self) -> list[tuple[str, int | None, float]]:
        return [("full", None, self.full_rate), ("DID", self.d, self.rate)]

    def takes(self, kept: Kept) -> list[Takes]:
        doublings = int(math.log2(self.most / FIRST_BUDGET))
        return [
            self.alike(3, method, d, FIRST_BUDGET * 2**k)
            for method, d, _ in self.ways()
            for k in range(doublings + 1)
        ]

    def made(self, kept: Kept) -> pd.DataFrame:
        found = []
        for method, d, rate in self.ways():
            steps, own = FIRST_BUDGET, pd.DataFrame()
            while steps <= self.most and not (steps > FIRST_BUDGET and plateau(own)[1]):
                table, rate = self.climbed(method, d, rate, steps)
                found.append(table)
                own = pd.concat([own, table])
                steps *= 2
            enough, over = plateau(own)
            end = "improves no more" if over else "still improves at the last budget"
            print(f"  {method}: from {enough} updates on the training score {end}", flush=True)
        return tables.combine(found)


@dataclass(frozen=True)
class Precision(Tuned):
    """The same runs in float32 and in bfloat16: full fine-tuning, and one d of DID."""

    d: int = 3200
    others: tuple[Tuned, ...] = ()
    """Further models at the same setting."""
    needs: tuple[str, ...] = ()
    DTYPES: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")

    def ways(self) -> list[tuple[Tuned, str, int | None, float]]:
        return [
            (each, method, d, rate)
            for each in (self, *self.others)
            for method, d, rate in (("full", None, each.full_rate), ("DID", self.d, each.rate))
        ]

    def takes(self, kept: Kept) -> list[Takes]:
        return [
            each.alike(len(each.seeds), method, d, each.steps, dtype)
            for each, method, d, _ in self.ways()
            for dtype in self.DTYPES
        ]

    def made(self, kept: Kept) -> pd.DataFrame:
        return tables.combine(
            [
                each.runs(method, d, (rate,), each.seeds, each.steps, dtype)
                for each, method, d, rate in self.ways()
                for dtype in self.DTYPES
            ]
        )
