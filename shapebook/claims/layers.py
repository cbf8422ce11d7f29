"""The statistic of each rule about layers: a function of the rows of a shape table."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from shapebook.claims.rulebook import LEAST as LEAST
from shapebook.claims.rulebook import Claim
from shapebook.claims.statistic import (
    Statistic,
    by_group,
    halved,
    nothing,
    smallest_agreement,
    student,
    within,
)
from shapelib.store.tables import chosen


def bell(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """Mean of the middle third minus the mean of the higher outer third of the layers.

    Layers of one run share their windows, so their standard errors are added up, not averaged
    away: the interval is wider than it would be for independent layers.
    """
    first, middle, last = thirds(layers)
    means = Means.of(layers)
    outer = last if means.last > means.first else first
    top = layers.loc[layers["value"].idxmax()]
    details = {
        **{f"{name}_third": mean for name, mean in means._asdict().items()},
        "highest_layer": int(top["layer"]),
        "highest_depth": float(top["depth"]),
    }
    errors = middle["stderr"].mean() + outer["stderr"].mean()
    return _interval(means.bell, errors, layers, details)


def ends_low(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """Mean of the middle third minus the higher of the first and the last layer; errors add."""
    ordered = layers.sort_values("layer")
    middle = thirds(layers)[1]
    end = max((ordered.iloc[0], ordered.iloc[-1]), key=lambda row: float(row["value"]))
    value = float(middle["value"].mean() - end["value"])
    details = {
        "first_layer": float(ordered["value"].iloc[0]),
        "middle_third": float(middle["value"].mean()),
        "last_layer": float(ordered["value"].iloc[-1]),
    }
    return _interval(value, middle["stderr"].mean() + end["stderr"], layers, details)


def top_depth(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """The depth of the highest layer, see `top`."""
    return top(layers)


def top(layers: pd.DataFrame) -> Statistic:
    """The depth of the highest layer, and the least and the greatest depth of a layer that differs
    from it by no more than both errors together: where the top may lie."""
    highest = layers.loc[layers["value"].idxmax()]
    factor = student(int(layers["groups"].min()) - 1)
    reach = factor * (layers["stderr"] + highest["stderr"])
    near = layers[highest["value"] - layers["value"] <= reach]
    if near.empty or not math.isfinite(factor):
        return Statistic(float(highest["depth"]), math.nan, math.nan, {}, why=_FEW)
    details = {"highest": float(highest["value"]), "highest_layer": int(highest["layer"])}
    ends = float(near["depth"].min()), float(near["depth"].max())
    return Statistic(float(highest["depth"]), *ends, details, over=_groups(layers))


def uniform(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """Highest minus lowest value over the layers; their two standard errors are added."""
    top, bottom = layers.loc[layers["value"].idxmax()], layers.loc[layers["value"].idxmin()]
    value = float(top["value"] - bottom["value"])
    return _interval(value, top["stderr"] + bottom["stderr"], layers, _ends(top, bottom))


def ratio(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """Doublings from the lowest to the highest value; their relative errors are added."""
    top, bottom = layers.loc[layers["value"].idxmax()], layers.loc[layers["value"].idxmin()]
    if not bottom["value"] > 0:
        return nothing("a layer's value is not above 0, so there is no ratio")
    value = math.log2(top["value"] / bottom["value"])
    errors = sum(each["stderr"] / each["value"] for each in (top, bottom)) / math.log(2)
    return _interval(value, errors, layers, _ends(top, bottom))


def agree(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """The smallest rank correlation (Spearman) over the layers between two of the series."""
    names = [one["metric"] for one in claim.series]

    def made_of(values: _Series) -> dict[str, float]:
        return {
            f"{names[a]}_and_{names[b]}": smallest_agreement(values[[a, b]])
            for a in range(len(values)) for b in range(a)
        }  # fmt: skip

    return _over_series(claim, layers, smallest_agreement, (-1, 1), made_of)


def span(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """Doublings from the lowest to the highest of the claim's series in a layer, mean over the
    layers: 0 where all series say the same of each layer."""
    numbers = chosen(layers, claim.series[0]).sort_values("layer")["layer"].to_list()

    def spans(values: _Series) -> Float[np.ndarray, " layers"]:
        found: Float[np.ndarray, " layers"] = np.ptp(_doublings(values), axis=0)
        return found

    def made_of(values: _Series) -> dict[str, float]:
        each = spans(values)
        least, most = int(each.argmin()), int(each.argmax())
        return {
            "least": float(each[least]), "least_layer": int(numbers[least]),
            "most": float(each[most]), "most_layer": int(numbers[most]),
        }  # fmt: skip

    return _over_series(
        claim, layers, lambda values: float(spans(values).mean()), (0, math.inf), made_of
    )


def gaps_agree(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """Rank correlation (Spearman) over the layers of two gaps, in doublings: from the claim's first
    series to its second, and from its third to its fourth."""

    def gaps(values: _Series) -> Float[np.ndarray, "gaps layers"]:
        return np.diff(_doublings(values), axis=0)[[0, 2]]

    def made_of(values: _Series) -> dict[str, float]:
        first, second = gaps(values).mean(axis=1)
        return {"first_gap": float(first), "second_gap": float(second)}

    return _over_series(
        claim, layers, lambda values: smallest_agreement(gaps(values)), (-1, 1), made_of
    )


def carried(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """The share of the middle third's mean value that is gone in the claim's second series.

    1 − second ÷ first, of means over the middle third of the layers. The relative standard errors
    of both means are added, for the two series share their windows.
    """
    parts = [chosen(layers, one) for one in claim.series]
    if any(one["layer"].nunique() < LEAST for one in parts):
        return nothing("one of the two sets of tokens is not there")
    first, second = (thirds(one) for one in parts)
    if [list(part["layer"]) for part in first] != [list(part["layer"]) for part in second]:
        return nothing("the two sets of tokens have not the same layers")
    whole, left = first[1], second[1]
    ratio = float(left["value"].mean() / whole["value"].mean())
    errors = [part["stderr"].mean() / part["value"].mean() for part in (whole, left)]
    details = {"middle_third": float(whole["value"].mean()), "left": float(left["value"].mean())}
    return _interval(1 - ratio, ratio * sum(errors), layers, details)


RULES: dict[str, Callable[[Claim, pd.DataFrame], Statistic]] = {
    "bell": bell,
    "ends_low": ends_low,
    "top_depth": top_depth,
    "uniform": uniform,
    "ratio": ratio,
    "agree": agree,
    "carried": carried,
    "span": span,
    "gaps_agree": gaps_agree,
}
_FEW = "too few groups of windows for an interval"


def thirds(layers: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of the first, the middle and the last third of the layers."""
    ordered = layers.sort_values("layer")
    return [ordered.iloc[rows] for rows in np.array_split(range(len(ordered)), 3)]


class Means(NamedTuple):
    """The mean value in each third of the layers."""

    first: float
    middle: float
    last: float

    @classmethod
    def of(cls, layers: pd.DataFrame) -> "Means":
        return cls(*(float(third["value"].mean()) for third in thirds(layers)))

    @property
    def bell(self) -> float:
        """What claim 1 speaks of: the middle third minus the higher outer third."""
        return self.middle - max(self.first, self.last)


_Series = Float[np.ndarray, "series layers"]


def _over_series(
    claim: Claim,
    layers: pd.DataFrame,
    of: Callable[[_Series], float],
    bounds: tuple[float, float],
    made_of: Callable[[_Series], dict[str, float]],
) -> Statistic:
    """A statistic of all the claim's series over the layers.

    Its interval deletes groups of windows in all layers and series at once (`halved`): what other
    windows of the text would change. It says nothing about other models.
    """
    wide = [chosen(layers, one).sort_values("layer") for one in claim.series]
    if len({tuple(one["layer"]) for one in wide}) != 1 or wide[0].empty:
        return nothing("not every measurement has every layer")
    values = np.array([one["value"].to_numpy(float) for one in wide])
    value = of(values)
    if not math.isfinite(value):
        return nothing("a measurement is missing in a layer, or the same in all")
    details = made_of(values)
    groups = [by_group(one) for one in wide]
    count = {each.shape[1] for each in groups}
    if len(count) != 1 or (found := count.pop()) < 3:
        return Statistic(value, math.nan, math.nan, details, why=_FEW)
    series = np.array(groups)
    ends = halved(value, found, lambda weights: of(series @ weights))
    return Statistic(*within(ends, *bounds), details, over=f"{found} groups of windows")


def _doublings(values: _Series) -> _Series:
    """Logarithms to base 2; NaN of what is not above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: _Series = np.where(values > 0, np.log2(values), np.nan)
    return found


def _ends(top: "pd.Series[float]", bottom: "pd.Series[float]") -> dict[str, float]:
    return {
        "highest": float(top["value"]),
        "highest_layer": int(top["layer"]),
        "lowest": float(bottom["value"]),
        "lowest_layer": int(bottom["layer"]),
    }


def _interval(
    value: float, error: float, layers: pd.DataFrame, details: dict[str, float]
) -> Statistic:
    """With Student's interval, of the degrees of freedom of the groups of windows."""
    half = student(int(layers["groups"].min()) - 1) * float(error)
    why = "" if math.isfinite(half) else _FEW
    return Statistic(value, value - half, value + half, details, over=_groups(layers), why=why)


def _groups(layers: pd.DataFrame) -> str:
    return f"{int(layers['groups'].min())} groups of windows"
