"""At which of the learning rates tried a run of fine-tuning counts."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from shapelib.finetuning.settings import SCORED


def at_best_rate(runs: pd.DataFrame, by: list[str], rates: str) -> pd.DataFrame:
    """The score and the training score at the best of the learning rates tried, in order of `by`.

    :param runs: of `dimension_sweep`; those that diverged have no score and are left out.
    :param by: the columns that tell what a rate was chosen for.
    :param rates: `SCORED`: the rate with the best score counts, as in the papers, which is
        optimistic. `OTHER`: the rate is chosen on every other test text (by the column ``right``)
        and scored on the rest, then the other way round; the score is that of all texts together,
        and the training score the mean of both.
    :returns: the columns of `by`, ``score`` and ``train_score``.
    """
    known = runs.dropna(subset=["score"])
    if rates == SCORED or known.empty:
        best = known.loc[known.groupby(by)["score"].idxmax()]
        return best[[*by, "score", "train_score"]].sort_values(by)
    right = _right(known)
    halves = {"even": right[:, 0::2], "odd": right[:, 1::2]}
    sizes = {name: each.shape[1] for name, each in halves.items()}
    known = known.assign(**{name: each.mean(axis=1) for name, each in halves.items()})
    on = {half: known.loc[known.groupby(by)[half].idxmax()].set_index(by) for half in halves}
    score = on["even"]["odd"] * sizes["odd"] + on["odd"]["even"] * sizes["even"]
    found = pd.DataFrame(
        {
            "score": score / right.shape[1],
            "train_score": (on["even"]["train_score"] + on["odd"]["train_score"]) / 2,
        }
    )
    return found.reset_index().sort_values(by)


class BestRuns(NamedTuple):
    """What each seed scores at each of some dimensions, at the rate that counts."""

    dimensions: Float[np.ndarray, " d"]
    scores: Float[np.ndarray, "d seeds"]
    """NaN where all of a seed's runs diverged."""
    right: Float[np.ndarray, "d seeds texts"] | None
    """Which test texts were classified rightly; None of a table that does not say."""


def best_runs(runs: pd.DataFrame, seeds: list[int], rates: str) -> BestRuns:
    """The curve of each of some seeds, as `at_best_rate` chooses rates.

    Where a rate is chosen on other texts, a text is right if the run is whose rate its half of the
    texts had no say in.
    """
    dimensions = sorted(set(runs["d"]))
    scores = np.full((len(dimensions), len(seeds)), math.nan)
    right = None
    for (d, seed), tried in runs.dropna(subset=["score"]).groupby(["d", "seed"]):
        if seed not in seeds:
            continue
        place = dimensions.index(d), seeds.index(seed)
        best = tried["score"].to_numpy(float).argmax()
        scores[place] = tried["score"].iloc[best]
        if "right" not in tried:
            continue
        texts = _right(tried)
        chosen = texts[best] if rates == SCORED else _on_other_halves(texts)
        scores[place] = scores[place] if rates == SCORED else chosen.mean()
        if right is None:
            right = np.zeros((*scores.shape, len(chosen)), dtype=np.float32)
        right[place] = chosen
    return BestRuns(np.array(dimensions, dtype=float), scores, right)


def _right(runs: pd.DataFrame) -> Float[np.ndarray, "runs texts"]:
    """Which test texts each run got right."""
    return np.array(
        [right_texts(each, size) for each, size in zip(runs["right"], runs["test"], strict=True)]
    )


def _on_other_halves(right: Float[np.ndarray, "runs texts"]) -> Float[np.ndarray, " texts"]:
    """Of each half of the texts, those of the run that does best on the other half."""
    chosen = np.empty(right.shape[1], dtype=np.float32)
    for scored, judges in ((0, 1), (1, 0)):
        best = right[:, judges::2].mean(axis=1).argmax()
        chosen[scored::2] = right[best, scored::2]
    return chosen


def right_texts(bits: str, size: int) -> Float[np.ndarray, " texts"]:
    """Which test texts a run got right, from the bits of a table."""
    found = np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8), count=size)
    return found.astype(np.float32)
