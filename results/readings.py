"""What the parts of `searches.py` read off a table of fine-tuning runs to decide what is next."""

import math
from typing import Any

import numpy as np
import pandas as pd

from shapelib import d90
from shapelib.errors import ShapelibError
from shapelib.finetuning import by_seed
from shapelib.finetuning.best_rate import best_of_halves, right_texts
from shapelib.finetuning.settings import OTHER
from shapelib.store import tables

# Two standard errors of an accuracy of 0.85 over the 1076 test texts of `questions`.
ALIKE = 0.022
# Of training accuracy, by twice the updates; its standard error is 0.01 where it is 0.9.
GAIN = 0.01


def as_one(made: list[tables.Provenance], part: str, command: str, runs: int) -> tables.Provenance:
    """What the runs of a part say of themselves, in one entry: where they are alike, and sums."""
    alike = [key for key in made[0] if all(each.get(key) == made[0][key] for each in made)]
    run = {key: made[0][key] for key in (*alike, "created")}
    run["commit"] = ", ".join(sorted({str(each["commit"]) for each in made}))
    seconds = round(sum(each["seconds"] for each in made), 1)
    return run | {"part": part, "command": command, "runs": runs, "seconds": seconds}


def counted(runs: pd.DataFrame) -> list[float]:
    """Of one seed's runs at several rates: those that are best on either half of the test texts.

    Where all of them diverged, the lowest.
    """
    known = runs.dropna(subset=["score"]).sort_values("rate")
    if known.empty:
        return [float(runs["rate"].min())]
    right = np.array([right_texts(*each) for each in zip(known["right"], known["test"])])  # noqa: B905
    best = {*best_of_halves(right)}
    return [float(known["rate"].iloc[place]) for place in sorted(best)]


def crossings(full: pd.DataFrame, tried: pd.DataFrame) -> pd.DataFrame:
    """Each seed's crossing of nine tenths of full fine-tuning, rates chosen on other texts."""
    own = by_seed(tables.combine([full, tried]))
    return own[(own["definition"] == "papers") & (own["rates"] == OTHER)]


def learned_nothing(full: pd.DataFrame, tried: pd.DataFrame) -> bool:
    """Whether full fine-tuning is no better than guessing, so that there is no bar."""
    return bool(crossings(full, tried)["threshold"].isna().all())


def reached(full: pd.DataFrame, tried: pd.DataFrame) -> bool:
    """Whether every seed tried reaches its bar."""
    return bool(crossings(full, tried)["crossing"].notna().all())


def estimated(full: pd.DataFrame, tried: pd.DataFrame) -> "pd.Series[Any]":
    """d90 with its interval, by the papers' bar, rates chosen on other texts."""
    return d90(tables.combine([full, tried]), rates=OTHER).iloc[0]


def beyond(full: pd.DataFrame, tried: pd.DataFrame, least: int, most: int) -> int | None:
    """The next dimension, by doubling or halving, while some seed crosses its bar outside of those
    that were tried, or the interval of d90 ends there; None where neither is so, or where `least`
    and `most` are passed."""
    found, dimensions = crossings(full, tried)["crossing"], tried["d"]
    papers = estimated(full, tried)
    if (found.isna().any() or math.isinf(papers["high"])) and 2 * dimensions.max() <= most:
        return int(2 * dimensions.max())
    lowest = dimensions.min()
    if ((found <= lowest).any() or papers["low"] <= lowest) and lowest // 2 >= least:
        return int(lowest // 2)
    return None


def said(full: pd.DataFrame, tried: pd.DataFrame) -> str:
    """d90 with its interval, in words."""
    found = estimated(full, tried)
    name = f"{found['model']} on {found['task']}, {found['init']}, {found['method']}"
    if pd.isna(found["threshold"]):
        return f"{name}: full fine-tuning learns nothing, so there is no bar, and no d90"
    steps = tried["steps"].max()
    bar = f"the bar of {found['threshold']:.3f}, by {steps} updates"
    if pd.isna(found["d90"]):
        return f"{name}: no d up to {found['above']} reaches {bar}"
    at_most = "at most " if pd.notna(found["below"]) else ""
    ends = f"{found['low']:.0f} to {found['high']:.0f}"
    return f"{name}: d90 is {at_most}{found['d90']:.0f} ({ends}; {found['seeds']} seeds), at {bar}"


def plateau(runs: pd.DataFrame) -> tuple[int, bool]:
    """From which budget of updates on the training score gains no more than `GAIN`, and whether it
    has come to that; else the largest budget.

    Of each budget the run with the best score counts. A budget that leaves the training score at
    guessing is none to stop at: what has not begun to learn gains nothing either.
    """
    # Rows are looked up by their label, which joined tables have twice.
    known = runs.dropna(subset=["score"]).reset_index(drop=True)
    best = known.loc[known.groupby("steps")["score"].idxmax()].set_index("steps")["train_score"]
    chance = float(runs["majority"].iloc[0])
    chance += 2 * math.sqrt(chance * (1 - chance) / min(1024, int(runs["train"].iloc[0])))
    for fewer, more in zip(best.index[:-1], best.index[1:], strict=True):
        if chance < best[fewer] >= best[more] - GAIN:
            return int(fewer), True
    return int(runs["steps"].max()), False


def budget(runs: pd.DataFrame) -> int:
    """The updates that are enough for each way of tuning."""
    return max(plateau(own)[0] for _, own in runs.groupby("method"))


def agreement(runs: pd.DataFrame) -> pd.DataFrame:
    """The same runs in float32 and bfloat16: a row for each model and method, with the mean score
    in both, their difference, and how many times as long float32 takes."""
    # A run that diverged is right about nothing.
    wide = runs.fillna({"score": 0.0}).pivot_table(
        index=["model", "method"], columns="dtype", values=["score", "seconds"]
    )
    return pd.DataFrame({
        "float32": wide["score", "float32"], "bfloat16": wide["score", "bfloat16"],
        "difference": wide["score", "bfloat16"] - wide["score", "float32"],
        "times": wide["seconds", "float32"] / wide["seconds", "bfloat16"],
    }).reset_index()  # fmt: skip


def check_precision(runs: pd.DataFrame, dtype: str) -> None:
    """Raise `ShapelibError` unless `dtype` is the one to take: bfloat16 where it agrees with
    float32 and is faster, else float32."""
    found = agreement(runs)
    apart = found[~(found["difference"].abs() <= ALIKE)]
    faster = bool((found["times"] > 1).all())
    if dtype == ("bfloat16" if apart.empty and faster else "float32"):
        return
    why = "it is no faster here" if apart.empty else "; ".join(
        f"{row.model}, {row.method}: {row.float32:.3f} in float32 and {row.bfloat16:.3f} in "
        "bfloat16" for row in apart.itertuples()
    )  # fmt: skip
    if apart.empty and faster:
        why = "bfloat16 agrees with float32 and is faster"
    raise ShapelibError(f"DTYPE is {dtype}, and that is not the one to take: {why}")
