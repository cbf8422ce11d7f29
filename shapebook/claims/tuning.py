"""The statistics of claims about fine-tuning: functions of the d90 of single runs (`d90.runs`).

An interval is one over runs (seeds of the subspace, the head and the order of the data), as in
`claims.training`; with fewer than three there is none, and the claim is not testable. How a
run counts that did not reach its bar at any d is said with each rule.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from shapebook.claims.layers import Claim, Statistic
from shapebook.claims.training import NOTHING, RUNS, over_runs
from shapelib.store.tables import chosen


def share(claim: Claim, runs: pd.DataFrame) -> Statistic:
    """d90 ÷ D, the number of parameters; a run that never reached its bar counts as 1.

    There is nothing to judge where such a run was not tried at as many dimensions as the margin
    allows: it might have reached its bar there.
    """
    needed = runs["d90"].fillna(runs["D"])
    missing = runs[runs["d90"].isna()]
    if len(runs) < RUNS or (missing["largest_tried"] < claim.margin * missing["D"]).any():
        return NOTHING
    value, low, high = over_runs(needed / runs["D"], claim)
    details = {"d90": float(needed.mean()), "D": int(runs["D"].iloc[0]), **_reached(runs)}
    censored = "at most" if len(missing) else ""
    return Statistic(value, low, high, high < claim.margin, details, censored)


def needs_more(claim: Claim, runs: pd.DataFrame) -> Statistic:
    """Doublings by which the d90 of the first series exceeds that of the second, seed by seed.

    Where the first was not reached it counts as the largest d tried, where the second was not, as
    D. There is nothing to judge where neither was, in any run.
    """
    return _doublings(claim, *(chosen(runs, one) for one in claim.series))


def larger_needs_less(claim: Claim, runs: pd.DataFrame) -> Statistic:
    """As `needs_more`, of the smallest model over the largest, of at least three sizes."""
    sizes = sorted(runs["D"].unique())
    if len(sizes) < 3:
        return NOTHING
    return _doublings(claim, *(runs[runs["D"] == size] for size in (sizes[0], sizes[-1])))


def bound(claim: Claim, runs: pd.DataFrame) -> Statistic:
    """Training error at d90 plus √(d90 ÷ m), m training examples, the bound's constant taken as 1.

    A run that never reached its bar is given the largest d tried and no training error: its bound
    can only be higher. There is nothing to judge where that would meet the rule.
    """
    if len(runs) < RUNS:
        return NOTHING
    gap = np.sqrt(runs["d90"].fillna(runs["largest_tried"]) / runs["m"])
    error = 1 - runs["train_score"].fillna(1.0)
    value, low, high = over_runs(gap + error, claim)
    if runs["d90"].isna().any() and high < claim.margin:
        return NOTHING
    details = {
        "square_root_of_d90_over_m": float(gap.mean()),
        "training_error": float(error.mean()),
        "test_error": float(1 - runs["score"].mean()),
        "same_for_all_parameters": float(np.sqrt(runs["D"] / runs["m"]).mean()),
        **_reached(runs),
    }
    censored = "at least" if runs["d90"].isna().any() else ""
    return Statistic(value, low, high, high < claim.margin, details, censored)


RULES: dict[str, Callable[[Claim, pd.DataFrame], Statistic]] = {
    "share": share,
    "needs_more": needs_more,
    "larger_needs_less": larger_needs_less,
    "bound": bound,
}


def _doublings(claim: Claim, first: pd.DataFrame, second: pd.DataFrame) -> Statistic:
    pairs = first.merge(second, on="seed", suffixes=("", "_second"))
    if len(pairs) < RUNS or pairs[["d90", "d90_second"]].isna().all(axis=None):
        return NOTHING
    more = pairs["d90"].fillna(pairs["largest_tried"])
    less = pairs["d90_second"].fillna(pairs["D_second"])
    value, low, high = over_runs(np.log2(more / less), claim)
    details = {
        "first": 2 ** float(np.log2(more).mean()),
        "second": 2 ** float(np.log2(less).mean()),
        "first_not_reached": int(pairs["d90"].isna().sum()),
        "second_not_reached": int(pairs["d90_second"].isna().sum()),
    }
    # The first needs more than the largest d tried, and the second at most D.
    censored = "at least" if pairs[["d90", "d90_second"]].isna().any(axis=None) else ""
    return Statistic(value, low, high, low > claim.margin, details, censored)


def _reached(runs: pd.DataFrame) -> dict[str, float]:
    missing = int(runs["d90"].isna().sum())
    return {"runs_that_did_not_reach_it": missing} if missing else {}
