"""The statistics of claims about training: functions of curves, a column a run.

An interval is the mean over the training runs plus and minus two standard errors, of at least
three runs; with fewer there is none, and the claim is not testable. Of three runs it covers about
82 %; Student's of 95 % is more than twice as wide, and each claim is judged by that as well.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from shapebook.claims.course import curve
from shapebook.claims.layers import Claim, Statistic, spearman
from shapelib.store.tables import chosen

RUNS = 3
NOTHING = Statistic(math.nan, math.nan, math.nan, False, {})


def two_phases(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """The smaller of a rise and the fall that follows it.

    A rise leads from a step to a later one, the peak; the fall leads from the peak to the last
    step. For each run both are read off at the two steps at which the mean curve of the *other*
    runs rises most, so that no run chooses where it is judged. Met where both intervals lie above
    the margin.
    """
    curves = curve(chosen(rows, claim.series[0]))
    found = [_rise_and_fall(curves, run) for run in curves.columns]
    if len(found) < RUNS:
        return NOTHING
    rises, falls, _, peaks = zip(*found, strict=True)
    rise, fall = over_runs(rises, claim), over_runs(falls, claim)
    value, low, high = min(rise, fall)
    details = {
        "rise": rise[0],
        "rise_low": rise[1],
        "fall": fall[0],
        "fall_low": fall[1],
        "peak_step": float(np.median(peaks)),
    }
    return Statistic(value, low, high, min(rise[1], fall[1]) > claim.margin, details)


def grows_and_settles(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """Mean over the last quarter of the checkpoints minus the value at the first.

    Met where the interval lies above the margin, and the mean curve changes by no more than half
    the margin over that last quarter.
    """
    curves = curve(chosen(rows, claim.series[0]))
    if curves.shape[1] < RUNS or len(curves) < 4:
        return NOTHING
    late = curves.iloc[-max(2, len(curves) // 4) :]
    value, low, high = over_runs(late.mean() - curves.iloc[0], claim)
    mean = late.mean(axis=1)
    change = float(mean.max() - mean.min())
    details = {
        "first": float(curves.iloc[0].mean()),
        "last": float(curves.iloc[-1].mean()),
        "highest": float(curves.mean(axis=1).max()),
        "highest_at_step": float(curves.mean(axis=1).idxmax()),
        "change_over_the_last_quarter": change,
    }
    met = low > claim.margin and change <= claim.margin / 2
    return Statistic(value, low, high, met, details)


def agree_in_training(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """The smallest rank correlation (Spearman) over the steps between two of the series."""
    curves = [curve(chosen(rows, one)) for one in claim.series]
    if curves[0].shape[1] < RUNS:
        return NOTHING
    names = [one["metric"] for one in claim.series]
    details: dict[str, float] = {}
    intervals = []
    for a, b in itertools.combinations(range(len(curves)), 2):
        each = [
            spearman(curves[a][run].to_numpy(), curves[b][run].to_numpy())
            for run in curves[a].columns
        ]
        intervals.append(over_runs(each, claim))
        details[f"{names[a]}_and_{names[b]}"] = intervals[-1][0]
    value, low, high = min(intervals)
    return Statistic(value, low, high, min(each[1] for each in intervals) > claim.margin, details)


def peak_stays(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """By how many doublings of the step the peak moves from the shortest warm-up to the longest.

    Runs of one seed are compared. There is nothing to judge where the shortest warm-up's curve has
    not two phases. Met where the interval lies within plus and minus the margin.
    """
    wanted = chosen(rows, claim.series[0])
    warmups = sorted(wanted["warmup"].dropna().unique())
    if len(warmups) < 2:
        return NOTHING
    short, long = (curve(wanted[wanted["warmup"] == each]) for each in (warmups[0], warmups[-1]))
    both = [run for run in short.columns if run in long.columns]
    if len(both) < RUNS:
        return NOTHING
    any_size = replace(claim, margin=0.0)
    if not two_phases(any_size, wanted[wanted["warmup"] == warmups[0]]).met:
        return NOTHING
    moved = [math.log2(_peak(long[run]) / _peak(short[run])) for run in both]
    value, low, high = over_runs(moved, claim)
    details = {
        "shortest_warmup": float(warmups[0]),
        "longest_warmup": float(warmups[-1]),
        "peak_at_shortest": float(np.median([_peak(short[run]) for run in both])),
        "peak_at_longest": float(np.median([_peak(long[run]) for run in both])),
    }
    return Statistic(value, low, high, -claim.margin < low and high < claim.margin, details)


def lies_above(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """First series minus second, at each one's peak and at its end: the smaller difference.

    Of one run each, so the interval is of the windows measured: two standard errors, added.
    """
    first, second = (chosen(rows, one).sort_values("step") for one in claim.series)
    if first.empty or second.empty:
        return NOTHING
    found = []
    for at_the_peak in (True, False):
        a, b = (
            one.loc[one["value"].idxmax()] if at_the_peak else one.iloc[-1]
            for one in (first, second)
        )
        found.append((a["value"] - b["value"], 2 * (a["stderr"] + b["stderr"])))
    value, half = min(found, key=lambda pair: pair[0] - pair[1])
    details = {"at_the_peak": float(found[0][0]), "at_the_end": float(found[1][0])}
    low, high = float(value - half), float(value + half)
    return Statistic(float(value), low, high, low > claim.margin, details)


RULES: dict[str, Callable[[Claim, pd.DataFrame], Statistic]] = {
    "two_phases": two_phases,
    "grows_and_settles": grows_and_settles,
    "agree_in_training": agree_in_training,
    "peak_stays": peak_stays,
    "lies_above": lies_above,
}


def _rise_and_fall(curves: pd.DataFrame, run: int) -> tuple[float, float, int, int]:
    """A run's rise and fall at the steps that the other runs choose (itself, if it is alone)."""
    others = curves.drop(columns=run) if curves.shape[1] > 1 else curves
    mean = others.mean(axis=1).to_numpy()
    pairs = itertools.combinations(range(len(mean)), 2)
    start, peak = max(pairs, key=lambda pair: mean[pair[1]] - mean[pair[0]])
    own = curves[run].to_numpy()
    steps = curves.index
    return own[peak] - own[start], own[peak] - own[-1], int(steps[start]), int(steps[peak])


def _peak(values: pd.Series) -> float:
    """The step at the top of the largest rise; at least 1, for its logarithm is taken."""
    _, _, _, peak = _rise_and_fall(values.to_frame(0), 0)
    return float(max(peak, 1))


def over_runs(values: object, claim: Claim) -> tuple[float, float, float]:
    """Mean over runs with its interval: two standard errors, or Student's where `claim` says so."""
    from scipy import stats

    array = np.asarray(values, dtype=float)
    errors = float(stats.t.ppf(0.975, len(array) - 1)) if claim.student else 2.0
    half = errors * float(array.std(ddof=1)) / len(array) ** 0.5
    return float(array.mean()), float(array.mean()) - half, float(array.mean()) + half
