"""What curves along training and tables of fine-tuning show, in sentences computed from them."""

import itertools
import math
from typing import Any

import pandas as pd

from shapebook.claims.course import MIXED, curve
from shapebook.claims.statistic import spearman, three_digits, two_decimals
from shapebook.figures.own_words import Sentences
from shapelib.store.tables import chosen

ESTIMATORS = {
    "two_nn": "TwoNN by its fit to the lowest 90 %",
    "two_nn_lowest20": "TwoNN by its fit to the lowest 20 %",
    "mada_k20": "MADA",
    "mom_k20": "the method of moments",
}
# Checkpoints that a sentence about a curve needs.
_LEAST = 3


def growth(curves: pd.DataFrame) -> Sentences:
    """Where each recipe's anisotropy begins, how high it gets and where, and where it ends.

    :param curves: of `shapebook.claims.course.course`; runs of one recipe are averaged.
    """
    said = []
    for name, rows in _recipes(curves):
        line = _mean(chosen(rows, {"metric": "anisotropy", "centered": True}))
        if len(line) < _LEAST:
            said.append(f"{name}: fewer than {_LEAST} checkpoints.")
            continue
        ended = line.iloc[-1] - line.iloc[0]
        said.append(
            f"{name}: anisotropy begins at {line.iloc[0]:.2f} (step {line.index[0]}), is highest "
            f"at step {line.idxmax()}, with {line.max():.2f}, and ends at {line.iloc[-1]:.2f} "
            f"(step {line.index[-1]}), {abs(ended):.2f} {'above' if ended >= 0 else 'below'} its "
            "beginning."
        )
    return Sentences(said)


def phases(curves: pd.DataFrame) -> Sentences:
    """By each estimator how far a recipe's dimension rises from its lowest point, and falls after
    the peak that follows; and which two estimators go together least."""
    said = []
    for name, rows in _recipes(curves):
        lines = {
            called: line
            for metric, called in ESTIMATORS.items()
            if len(line := _mean(chosen(rows, {"metric": metric}))) >= _LEAST
        }
        if not lines:
            said.append(f"{name}: fewer than {_LEAST} checkpoints.")
        for called, line in lines.items():
            lowest = line.idxmin()
            after = line.loc[lowest:]
            peak = after.idxmax()
            fall = after.max() - after.iloc[-1]
            then = f"and falls by {fall:.1f} to the end" if peak != after.index[-1] else "the last"
            said.append(
                f"{name}: {called} is lowest at step {lowest}, with {line.min():.1f}, rises by "
                f"{after.max() - line.min():.1f} to step {peak}, {then}."
            )
        pairs = {
            pair: spearman(*(lines[each].to_numpy() for each in pair))
            for pair in itertools.combinations(lines, 2)
            if list(lines[pair[0]].index) == list(lines[pair[1]].index)
        }
        pairs = {pair: value for pair, value in pairs.items() if math.isfinite(value)}
        if pairs:
            least = min(pairs, key=lambda pair: pairs[pair])
            said.append(
                f"{name}: over all steps {least[0]} and {least[1]} go together least (rank "
                f"correlation {two_decimals(pairs[least])})."
            )
    return Sentences(said)


def tuning(estimates: pd.DataFrame) -> Sentences:
    """What full fine-tuning reaches, how far above guessing that is, and what d90 is.

    :param estimates: of `shapelib.d90`; those by the papers' definition are told.
    """
    said = []
    for each in estimates[estimates["definition"] == "papers"].itertuples():
        name = f"{each.model}, {each.init}, {each.method}, {each.task}"
        if math.isnan(each.threshold):
            said.append(
                f"{name}: full fine-tuning reaches {each.full:.2f}, no better than the largest "
                f"class ({each.majority:.2f}), so there is no d90."
            )
            continue
        said.append(
            f"{name}: full fine-tuning reaches {each.full:.2f}, and the largest class is "
            f"{each.majority:.2f}; {each.threshold:.2f} is to be reached, and {_reached(each)}."
        )
    return Sentences(said)


def together(curves: pd.DataFrame, estimates: pd.DataFrame) -> Sentences:
    """How d90, anisotropy and the representation dimension move between the first and the last
    checkpoint at which d90 was reached.

    :param curves: of one run. :param estimates: of `shapelib.d90`, of its checkpoints.
    """
    found = (
        estimates[estimates["definition"] == "papers"].dropna(subset=["d90"]).sort_values("step")
    )
    said = []
    missed = sorted(set(estimates["step"].dropna()) - set(found["step"]))
    if missed:
        said.append(f"d90 was not reached at step {', '.join(map(str, missed))}.")
    if len(found) < 2:
        return Sentences([*said, "d90 was reached at fewer than two checkpoints."])
    first, last = found.iloc[0], found.iloc[-1]
    said.append(
        f"From step {first['step']} to {last['step']} d90 goes from "
        f"{three_digits(first['d90'])} to {three_digits(last['d90'])}."
    )
    asked = {"anisotropy": {"metric": "anisotropy", "centered": True}}
    asked |= {called: {"metric": metric} for metric, called in ESTIMATORS.items()}
    rows = curves[(curves["mixing"] == MIXED) & (curves["tokens"] == "all")]
    for called, which in asked.items():
        line = _mean(chosen(rows, which))
        if {first["step"], last["step"]} <= set(line.index):
            ends = (line[first["step"]], line[last["step"]])
            said.append(f"Over the same steps {called} goes from {ends[0]:.2f} to {ends[1]:.2f}.")
    return Sentences(said)


def _recipes(curves: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    rows = curves[(curves["mixing"] == MIXED) & (curves["tokens"] == "all")]
    return [
        (f"{name} ({'1 run' if (runs := own['run'].nunique()) == 1 else f'{runs} runs'})", own)
        for name, own in rows.groupby("recipe", sort=False)
    ]


def _mean(rows: pd.DataFrame) -> pd.Series:
    """The mean over runs at the steps that all of them have."""
    return curve(rows).mean(axis=1)


def _reached(estimate: Any) -> str:
    if pd.isna(estimate.d90):
        return f"no d up to {three_digits(estimate.above)} reaches it"
    if not pd.isna(estimate.below):
        return f"the smallest d tried, {three_digits(estimate.below)}, is enough"
    return f"d90 is {three_digits(estimate.d90)}"
