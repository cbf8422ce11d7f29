"""What every rule gives, a number with its interval, and the two ways in which intervals are made.

All are of 95 %. Over training runs an interval is Student's. Over windows of text it is Student's
too where errors are known and add, and else comes from deleting half of the groups of windows.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

CONFIDENCE = 0.95
# More ways than this of deleting half of the groups are drawn, not listed.
_WAYS = 1000


class Statistic(NamedTuple):
    """One model's statistic with its interval of 95 %."""

    value: float
    low: float
    high: float
    details: dict[str, float]
    """What it is made of."""
    censored: str = ""
    """``at least`` or ``at most`` where a run counts by more or less than what it would reach."""
    over: str = ""
    """What the interval is over, such as ``3 runs``."""
    why: str = ""
    """Why there is nothing, or no interval."""

    @property
    def testable(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def nothing(why: str) -> Statistic:
    """No number, and why."""
    return Statistic(math.nan, math.nan, math.nan, {}, why=why)


def student(freedom: float) -> float:
    """So many standard errors are half of an interval of 95 %; NaN without any freedom."""
    from scipy import stats

    if not freedom >= 1:
        return math.nan
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def over(values: Any) -> tuple[float, float, float]:
    """Mean of independent values with Student's interval."""
    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, math.nan, math.nan
    half = student(len(array) - 1) * float(array.std(ddof=1)) / math.sqrt(len(array))
    return mean, mean - half, mean + half


def halved(
    value: float, groups: int, left: Callable[[Float[np.ndarray, " groups"]], float]
) -> tuple[float, float, float]:
    """A statistic of groups with the interval that deleting half of them gives.

    With r of g groups kept the variance is r ÷ (g − r) times the mean square of what the statistic
    changes by, over all ways (or 1000 drawn ones) of choosing which to keep. Deleting one group at
    a time would not do for a rank correlation, which jumps (Shao and Wu 1989): intervals were too
    narrow on made-up layers. Half of the interval is Student's quantile with g − 1 degrees of
    freedom times the error.

    :param value: of all groups.
    :param groups: g.
    :param left: the statistic of the groups that have a weight; the weights add up to 1.
    """
    if groups < 3:
        return value, math.nan, math.nan
    kept = groups // 2
    changes = [left(weights) - value for weights in _ways(groups, kept)]
    error = math.sqrt(kept / (groups - kept) * float(np.mean(np.square(changes))))
    half = student(groups - 1) * error
    return value, value - half, value + half


def _ways(groups: int, kept: int) -> list[Float[np.ndarray, " groups"]]:
    if math.comb(groups, kept) <= _WAYS:
        chosen = [list(each) for each in itertools.combinations(range(groups), kept)]
    else:
        draw = np.random.default_rng(0)
        chosen = [list(draw.permutation(groups)[:kept]) for _ in range(_WAYS)]
    ways = np.zeros((len(chosen), groups))
    for weights, each in zip(ways, chosen, strict=True):
        weights[each] = 1 / kept
    return list(ways)


def by_group(rows: pd.DataFrame) -> Float[np.ndarray, "rows groups"]:
    """The values of a shape table's groups of windows, about the rows' own values.

    A value is the mean over batches, and that of the groups may differ a little; only how groups
    differ from their mean is taken from them. No columns where a row has no groups.
    """
    found = group_values(rows)
    if not found.shape[1]:
        return found
    about = rows["value"].to_numpy(float) - found.mean(axis=1)
    moved: Float[np.ndarray, "rows groups"] = found + about[:, None]
    return moved


def group_values(rows: pd.DataFrame) -> Float[np.ndarray, "rows groups"]:
    """The values of a shape table's groups of windows as they are; no columns where a row has no
    groups."""
    texts = [str(each).split() for each in rows["by_group"]]
    counts = {len(each) for each in texts}
    if len(counts) != 1:
        return np.empty((len(rows), 0))
    return np.array(texts, dtype=float).reshape(len(rows), counts.pop())


def two_decimals(value: float) -> str:
    """A number for a sentence, with the minus sign that print has."""
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def three_digits(value: float) -> str:
    """A large number for a sentence or a table: three digits, thousands apart."""
    digits = 3 - len(str(int(value)))
    return f"{round(value, min(digits, 0)):,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def spearman(a: np.ndarray, b: np.ndarray) -> Any:
    """Rank correlation along the last axis; NaN where a series is constant or has a gap."""
    from scipy import stats

    ranks = [stats.rankdata(each, axis=-1, nan_policy="propagate") for each in (a, b)]
    x, y = (each - each.mean(axis=-1, keepdims=True) for each in ranks)
    with np.errstate(invalid="ignore"):
        found = (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return float(found) if found.ndim == 0 else found


def smallest_agreement(series: Float[np.ndarray, "series points"]) -> float:
    """The smallest rank correlation between two of several series."""
    pairs = itertools.combinations(series, 2)
    return float(np.min([spearman(a, b) for a, b in pairs]))


def within(
    bounds: tuple[float, float, float], least: float, most: float
) -> tuple[float, float, float]:
    """A value and its interval, cut where the statistic itself ends; NaN stays."""
    value, low, high = (float(np.clip(each, least, most)) for each in bounds)
    return value, low, high
