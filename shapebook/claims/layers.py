"""The statistic of each rule of ``claims.yml``: a function of the rows of a shape table."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from shapelib.store.tables import chosen


@dataclass(frozen=True)
class Claim:
    """One entry of ``claims.yml``."""

    id: str
    number: int
    title: str
    paper: str
    claim: str
    effect: str
    role: str
    select: dict[str, Any]
    rule: str
    states: str
    margin: float
    confidence: float
    series: tuple[dict[str, Any], ...] = ()
    asked: str = ""
    table: str = "shape"
    """What is judged: a ``shape`` table, the ``course`` of a training, or the ``d90`` of runs."""
    along: str = ""
    """What a statistic is taken over, where that is not one model: of a training the runs of a
    ``recipe``, the recipes of a ``family``, or ``all`` rows; of d90 all models of a ``task``."""
    otherwise: tuple[dict[str, Any], ...] = ()
    """Of a claim about no shape table: what else it is judged on, and `what` that is."""
    at_most: str = ""
    because: str = ""
    student: bool = False
    """Whether an interval over runs is Student's of 95 %, in place of two standard errors."""


class Statistic(NamedTuple):
    """One model's statistic with its interval, and whether the whole interval meets the rule."""

    value: float
    low: float
    high: float
    met: bool
    details: dict[str, float]
    censored: str = ""
    """``at least`` or ``at most`` where a run counts by more or less than what it would reach."""

    @property
    def testable(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


def bell(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """Mean of the middle third minus the mean of the higher outer third of the layers.

    Layers of one run share their windows, so their standard errors are added up, not averaged
    away: the interval is wider than it would be for independent layers.
    """
    first, middle, last = thirds(layers)
    outer = max((first, last), key=lambda third: float(third["value"].mean()))
    value = float(middle["value"].mean() - outer["value"].mean())
    low, high = _interval(value, middle["stderr"].mean() + outer["stderr"].mean(), claim, layers)
    top = layers.loc[layers["value"].idxmax()]
    details = {
        "first_third": float(first["value"].mean()),
        "middle_third": float(middle["value"].mean()),
        "last_third": float(last["value"].mean()),
        "highest_layer": int(top["layer"]),
        "highest_depth": float(top["depth"]),
    }
    return Statistic(value, low, high, low > claim.margin, details)


def uniform(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """Highest minus lowest value over the layers; their two standard errors are added."""
    top, bottom = layers.loc[layers["value"].idxmax()], layers.loc[layers["value"].idxmin()]
    value = float(top["value"] - bottom["value"])
    low, high = _interval(value, top["stderr"] + bottom["stderr"], claim, layers)
    details = {
        "highest": float(top["value"]),
        "highest_layer": int(top["layer"]),
        "lowest": float(bottom["value"]),
        "lowest_layer": int(bottom["layer"]),
    }
    return Statistic(value, low, high, high <= claim.margin, details)


def agree(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """The smallest rank correlation (Spearman) over the layers between two of the claim's series.

    Its interval holds the quantiles of 2000 redraws (seed 0) of every value from a normal
    distribution with its standard error: what other windows of the text would change. It says
    nothing about other models.
    """
    wide = [chosen(layers, one).sort_values("layer") for one in claim.series]
    names = [one["metric"] for one in claim.series]
    values = np.array([one["value"].to_numpy() for one in wide], dtype=float)
    errors = np.array([one["stderr"].to_numpy() for one in wide], dtype=float)
    pairs = list(itertools.combinations(range(len(values)), 2))
    details = {f"{names[a]}_and_{names[b]}": spearman(values[a], values[b]) for a, b in pairs}
    value = float(np.min(list(details.values())))
    redrawn = values + errors * np.random.default_rng(0).standard_normal((2000, *values.shape))
    lowest = np.min([spearman(redrawn[:, a], redrawn[:, b]) for a, b in pairs], axis=0)
    tail = (1 - claim.confidence) / 2
    low, high = (float(each) for each in np.quantile(lowest, [tail, 1 - tail]))
    return Statistic(value, low, high, low > claim.margin, details)


def carried(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """The share of the middle third's mean value that is gone in the claim's second series.

    1 − second ÷ first, of means over the middle third of the layers. The relative standard errors
    of both means are added, for the two series share their windows.
    """
    first, second = (thirds(chosen(layers, one)) for one in claim.series)
    if [list(part["layer"]) for part in first] != [list(part["layer"]) for part in second]:
        return Statistic(math.nan, math.nan, math.nan, False, {})
    whole, left = first[1], second[1]
    ratio = float(left["value"].mean() / whole["value"].mean())
    errors = [part["stderr"].mean() / part["value"].mean() for part in (whole, left)]
    low, high = _interval(1 - ratio, ratio * sum(errors), claim, layers)
    details = {"middle_third": float(whole["value"].mean()), "left": float(left["value"].mean())}
    return Statistic(1 - ratio, low, high, low > claim.margin, details)


RULES: dict[str, Callable[[Claim, pd.DataFrame], Statistic]] = {
    "bell": bell,
    "uniform": uniform,
    "agree": agree,
    "carried": carried,
}


def spearman(a: np.ndarray, b: np.ndarray) -> Any:
    """Rank correlation along the last axis; NaN where a series is constant or has a gap."""
    from scipy import stats

    ranks = [stats.rankdata(each, axis=-1, nan_policy="propagate") for each in (a, b)]
    x, y = (each - each.mean(axis=-1, keepdims=True) for each in ranks)
    with np.errstate(invalid="ignore"):
        found = (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return float(found) if found.ndim == 0 else found


def thirds(layers: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of the first, the middle and the last third of the layers."""
    ordered = layers.sort_values("layer")
    return [ordered.iloc[rows] for rows in np.array_split(range(len(ordered)), 3)]


def _interval(
    value: float, error: float, claim: Claim, layers: pd.DataFrame
) -> tuple[float, float]:
    """Student's interval with the degrees of freedom of the groups of windows."""
    from scipy import stats

    freedom = int(layers["groups"].min()) - 1
    half = (
        float(stats.t.ppf((1 + claim.confidence) / 2, freedom) * error)
        if freedom > 0
        else (math.nan)
    )
    return value - half, value + half
