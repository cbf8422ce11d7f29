"""The statistics of claims about fine-tuning: functions of the crossings of single runs
(`finetuning.by_seed`), each the d at which one seed's own curve reaches its bar.

An interval is Student's over runs (seeds of the subspace, the head and the order of the data); with
fewer than three there is none, and the claim is not testable. How a run counts that did not reach
its bar at any d is said with each rule.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from shapebook.claims.course import RUNS
from shapebook.claims.rulebook import Claim
from shapebook.claims.statistic import Statistic, nothing, over
from shapelib.store.tables import chosen

_FEW = f"fewer than {RUNS} runs"


def share(claim: Claim, runs: pd.DataFrame) -> Statistic:
    """Crossing ÷ D, the number of parameters; a run that never reached its bar counts as 1.

    There is nothing to judge where such a run was not tried at as many dimensions as the margin
    allows: it might have reached its bar there.
    """
    needed = runs["crossing"].fillna(runs["D"])
    missing = runs[runs["crossing"].isna()]
    if len(runs) < RUNS:
        return nothing(_FEW)
    if (missing["largest_tried"] < claim.margin * missing["D"]).any():
        return nothing("a run did not reach its bar, and was not tried as far as the margin")
    details = {
        "d90": float(runs["d90"].iloc[0]),
        "mean_crossing": float(needed.mean()),
        "D": int(runs["D"].iloc[0]),
        **_reached(runs),
    }
    censored = "at most" if len(missing) else ""
    return Statistic(*over(needed / runs["D"]), details, censored, over=_runs(runs))


def needs_more(claim: Claim, runs: pd.DataFrame) -> Statistic:
    """Doublings by which a crossing of the first series exceeds that of the second, seed by seed.

    Where the first was not reached it counts as the largest d tried, where the second was not, as
    D. There is nothing to judge where neither was, in any run.
    """
    return _doublings(*(chosen(runs, one) for one in claim.series))


def larger_needs_less(claim: Claim, runs: pd.DataFrame) -> Statistic:
    """As `needs_more`, of the smallest model over the largest, of at least three sizes."""
    sizes = sorted(runs["D"].unique())
    if len(sizes) < 3:
        return nothing(f"{len(sizes)} sizes, and three are needed")
    if "step" in runs and runs["step"].nunique(dropna=False) > 1:
        return nothing("the models were not trained for equally many updates")
    return _doublings(*(runs[runs["D"] == size] for size in (sizes[0], sizes[-1])))


def bound(claim: Claim, runs: pd.DataFrame) -> Statistic:
    """Training error at the crossing plus √(crossing ÷ m), the bound's constant taken as 1.

    There are m training examples.

    A run that never reached its bar is given the largest d tried and no training error: its bound
    can only be higher. There is nothing to judge where that would meet the rule.
    """
    if len(runs) < RUNS:
        return nothing(_FEW)
    gap = np.sqrt(runs["crossing"].fillna(runs["largest_tried"]) / runs["m"])
    error = 1 - runs["train_score"].fillna(1.0)
    bounds = over(gap + error)
    if runs["crossing"].isna().any() and bounds[2] < claim.margin:
        return nothing("a run did not reach its bar, so its bound may be higher")
    details = {
        "square_root_of_crossing_over_m": float(gap.mean()),
        "training_error": float(error.mean()),
        "test_error": float(1 - runs["score"].mean()),
        "same_for_all_parameters": float(np.sqrt(runs["D"] / runs["m"]).mean()),
        **_reached(runs),
    }
    censored = "at least" if runs["crossing"].isna().any() else ""
    return Statistic(*bounds, details, censored, over=_runs(runs))


RULES: dict[str, Callable[[Claim, pd.DataFrame], Statistic]] = {
    "share": share,
    "needs_more": needs_more,
    "larger_needs_less": larger_needs_less,
    "bound": bound,
}


def _doublings(first: pd.DataFrame, second: pd.DataFrame) -> Statistic:
    pairs = first.merge(second, on="seed", suffixes=("", "_second"))
    if len(pairs) < RUNS:
        return nothing(f"{_FEW} of both")
    if pairs[["crossing", "crossing_second"]].isna().all(axis=None):
        return nothing("neither reached its bar in any run")
    more = pairs["crossing"].fillna(pairs["largest_tried"])
    less = pairs["crossing_second"].fillna(pairs["D_second"])
    details = {
        "first": 2 ** float(np.log2(more).mean()),
        "second": 2 ** float(np.log2(less).mean()),
        "first_not_reached": int(pairs["crossing"].isna().sum()),
        "second_not_reached": int(pairs["crossing_second"].isna().sum()),
    }
    # The first needs more than the largest d tried, and the second at most D.
    censored = "at least" if pairs[["crossing", "crossing_second"]].isna().any(axis=None) else ""
    return Statistic(*over(np.log2(more / less)), details, censored, over=_runs(pairs))


def _runs(runs: pd.DataFrame) -> str:
    return f"{len(runs)} runs"


def _reached(runs: pd.DataFrame) -> dict[str, float]:
    missing = int(runs["crossing"].isna().sum())
    return {"runs_that_did_not_reach_it": missing} if missing else {}
