"""The statistics of claims about training: functions of curves along it.

An interval is over what `course.copies` finds: Student's over three or more training runs, and of
fewer over groups of windows of text, deleted in all layers and checkpoints at once. A published
suite is one run, so its interval says what other text would change, and nothing of another run.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from shapebook.claims.course import Copies, copies
from shapebook.claims.rulebook import Claim
from shapebook.claims.statistic import (
    Statistic,
    halved,
    nothing,
    over,
    smallest_agreement,
    student,
    within,
)
from shapelib.store.tables import chosen

LEAST = 4
"""Checkpoints that a curve needs."""
_ONE = "one run, and no groups of windows in the table"
_SHORT = f"fewer than {LEAST} checkpoints that all runs have"
Curve = Float[np.ndarray, " steps"]


def rise(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """The largest rise: from a step to a later one, the peak.

    Each run (of one run, each group of windows) is read off at the two steps at which the mean
    curve of the *others* rises most, so that nothing chooses where it is judged.
    """
    return _phase(claim, rows, rising=True)


def fall(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """From the peak of the largest rise to the last step, the peak chosen by the others."""
    return _phase(claim, rows, rising=False)


def phases_at_every_scale(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """Rise or fall, of that one of the claim's series whose interval reaches lowest."""
    found = {
        (one["metric"], what): _phase(replace(claim, series=(one,)), rows, what == "rise")
        for one in claim.series
        for what in ("rise", "fall")
    }
    for each in found.values():
        if not each.testable:
            return nothing(each.why)
    least = min(found.values(), key=lambda each: each.low)
    return least._replace(
        details={f"{metric}_{what}": each.value for (metric, what), each in found.items()}
    )


def grows(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """Mean over the last quarter of the checkpoints minus the value at the first."""
    found = copies(chosen(rows, claim.series[0]))
    if len(found.steps) < LEAST:
        return nothing(_SHORT)
    mean = found.curves.mean(axis=1)
    details = {
        "first": float(mean[0]),
        "last": float(mean[-1]),
        "highest": float(mean.max()),
        "highest_at_step": found.steps[int(mean.argmax())],
    }
    return _over_copies(found, _growth, details)


def settles(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """Highest minus lowest value over the last quarter of the checkpoints.

    There is nothing to judge where the curve has not grown at all.
    """
    found = copies(chosen(rows, claim.series[0]))
    if len(found.steps) < LEAST:
        return nothing(_SHORT)
    grown = _over_copies(found, _growth, {})
    if not grown.low > 0:
        return nothing("it has not grown, so there is nothing that could settle")
    late = found.curves.mean(axis=1)[_late(found.curves)]
    details = {"grown_by": grown.value, "first_of_it": float(late[0]), "last": float(late[-1])}
    return _over_copies(found, lambda curve: float(np.ptp(curve[_late(curve)])), details)


def agree_in_training(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """The smallest rank correlation (Spearman) over the steps between two of the series."""
    return _agreement(claim, rows, whole=True)


def agree_after_start(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """As `agree_in_training`, from the step on at which the first series' mean is lowest."""
    return _agreement(claim, rows, whole=False)


def peak_from_warmup(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """By how many doublings of the tokens read the peak lies from the end of the warm-up.

    The interval is that of the peak's place, widened to the checkpoints on either side of it, for a
    peak between two checkpoints is seen at one of them; then its distance from the warm-up's end,
    either way, is taken. There is nothing to judge where a rise or a fall is missing.
    """
    wanted = chosen(rows, claim.series[0])
    ends = wanted["warmup_tokens"].dropna().unique()
    if len(ends) != 1 or not ends[0] > 0:
        return nothing("the end of its warm-up is not known")
    if wanted["tokens_seen"].isna().any():
        return nothing("how many tokens its checkpoints have read is not known")
    found = copies(wanted)
    if len(found.steps) < LEAST:
        return nothing(_SHORT)
    for each, what in ((True, "rises"), (False, "falls")):
        if not _phase(claim, rows, rising=each).low > 0:
            return nothing(f"the dimension never surely {what}, so it has no peak")
    tokens = wanted.drop_duplicates("step").set_index("step")["tokens_seen"].astype(float)
    place = np.log2(np.maximum(tokens[found.steps].to_numpy(), 1) / float(ends[0]))
    middle = _over_copies(found, lambda curve: float(place[_extremes(curve)[1]]), {})
    below, above = place[place < middle.low], place[place > middle.high]
    low = float(below.max()) if len(below) else -math.inf
    high = float(above.min()) if len(above) else math.inf
    least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    peak = int(_extremes(found.curves.mean(axis=1))[1])
    details = {
        "warmup_ends_at_tokens": float(ends[0]),
        "peak_step": found.steps[peak],
        "peak_at_tokens": float(tokens[found.steps[peak]]),
    }
    value, most = abs(middle.value), max(abs(low), abs(high))
    why = middle.why or ("" if math.isfinite(most) else "the peak may lie beyond the checkpoints")
    return Statistic(value, least, most, details, over=middle.over, why=why)


def lies_above(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """First series minus second, at each one's peak and at its end: the smaller difference.

    Of one run each, so the interval is over the windows measured; the two errors are added.
    """
    found = [copies(chosen(rows, one)) for one in claim.series]
    if any(len(one.steps) < LEAST for one in found):
        return nothing(_SHORT)
    if not all(one.of for one in found):
        return nothing(_ONE)
    differences = []
    for at_the_peak in (True, False):
        ends = [_end(one, at_the_peak) for one in found]
        freedom = min(one.curves.shape[1] for one in found) - 1
        half = student(freedom) * sum(error for _, error in ends)
        differences.append((ends[0][0] - ends[1][0], half))
    value, half = min(differences, key=lambda pair: pair[0] - pair[1])
    details = {"at_the_peak": differences[0][0], "at_the_end": differences[1][0]}
    return Statistic(value, value - half, value + half, details, over=found[0].over)


RULES: dict[str, Callable[[Claim, pd.DataFrame], Statistic]] = {
    "rise": rise,
    "fall": fall,
    "phases_at_every_scale": phases_at_every_scale,
    "grows": grows,
    "settles": settles,
    "agree_in_training": agree_in_training,
    "agree_after_start": agree_after_start,
    "peak_from_warmup": peak_from_warmup,
    "lies_above": lies_above,
}


def _phase(claim: Claim, rows: pd.DataFrame, rising: bool) -> Statistic:
    found = copies(chosen(rows, claim.series[0]))
    if len(found.steps) < LEAST:
        return nothing(_SHORT)
    if not found.of:
        return nothing(_ONE)
    values, peaks = [], []
    for copy in range(found.curves.shape[1]):
        own = found.curves[:, copy]
        start, peak = _extremes(np.delete(found.curves, copy, axis=1).mean(axis=1))
        values.append(own[peak] - own[start if rising else -1])
        peaks.append(found.steps[peak])
    mean = found.curves.mean(axis=1)
    start, peak = _extremes(mean)
    details = {
        "lowest": float(mean[start]),
        "peak": float(mean[peak]),
        "last": float(mean[-1]),
        "peak_step": float(np.median(peaks)),
    }
    return Statistic(*over(values), details, over=found.over)


def _agreement(claim: Claim, rows: pd.DataFrame, whole: bool) -> Statistic:
    found = [copies(chosen(rows, one)) for one in claim.series]
    if len({tuple(one.steps) for one in found}) != 1 or len(found[0].steps) < LEAST:
        return nothing(_SHORT)
    if len({one.curves.shape for one in found}) != 1:
        return nothing("not every estimator has the same runs or groups of windows")
    series = np.array([one.curves for one in found])
    mean = series.mean(axis=-1)
    if not whole:
        start = int(mean[0].argmin())
        series, mean = series[:, start:], mean[:, start:]
        if mean.shape[1] < LEAST:
            return nothing(f"fewer than {LEAST} checkpoints after the lowest point")
    names = [one["metric"] for one in claim.series]
    details = {
        f"{names[a]}_and_{names[b]}": smallest_agreement(mean[[a, b]])
        for a in range(len(names)) for b in range(a)
    }  # fmt: skip
    details["from_step"] = found[0].steps[-mean.shape[1]]
    if not found[0].of:
        return Statistic(smallest_agreement(mean), math.nan, math.nan, details, why=_ONE)
    if found[0].of == "runs":
        bounds = over([smallest_agreement(series[..., run]) for run in range(series.shape[-1])])
    else:
        bounds = halved(
            smallest_agreement(mean), series.shape[-1],
            lambda weights: smallest_agreement(series @ weights),
        )  # fmt: skip
    if not math.isfinite(bounds[0]):
        return nothing("an estimate is missing, or the same at all checkpoints")
    return Statistic(*within(bounds, -1, 1), details, over=found[0].over)


def _over_copies(
    found: Copies, statistic: Callable[[Curve], float], details: dict[str, float]
) -> Statistic:
    """A statistic of a curve, over runs, or over groups of windows."""
    if not found.of:
        value = statistic(found.curves[:, 0])
        return Statistic(value, math.nan, math.nan, details, why=_ONE)
    if found.of == "runs":
        bounds = over([statistic(curve) for curve in found.curves.T])
    else:
        value = statistic(found.curves.mean(axis=1))
        groups = found.curves.shape[1]
        bounds = halved(value, groups, lambda weights: statistic(found.curves @ weights))
    return Statistic(*bounds, details, over=found.over)


def _growth(curve: Curve) -> float:
    return float(curve[_late(curve)].mean() - curve[0])


def _late(curve: np.ndarray) -> slice:
    """The last quarter of the checkpoints, two at least."""
    return slice(-max(2, len(curve) // 4), None)


def _extremes(curve: Curve) -> tuple[int, int]:
    """The places between which a curve rises most, the first before the second."""
    rises = np.triu(curve[None, :] - curve[:, None], k=1)
    rises[np.tril_indices(len(curve))] = -math.inf
    start, peak = np.unravel_index(int(rises.argmax()), rises.shape)
    return int(start), int(peak)


def _end(found: Copies, at_the_peak: bool) -> tuple[float, float]:
    """A curve's value at its highest point or at its last, with its standard error."""
    place = int(found.curves.mean(axis=1).argmax()) if at_the_peak else -1
    values = found.curves[place]
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))
