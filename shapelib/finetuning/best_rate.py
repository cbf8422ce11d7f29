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
    rows = []
    for where, tried in runs.dropna(subset=["score"]).groupby(by):
        even, odd = that_count(tried, rates)
        score = score_of(tried, even, odd)
        rows.append([*where, score, tried["train_score"].iloc[[even, odd]].mean()])
    return pd.DataFrame(rows, columns=[*by, "score", "train_score"])


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
        even, odd = that_count(tried, rates)
        scores[place] = score_of(tried, even, odd)
        if "right" in tried:
            texts = _right(tried, even, odd)
            if right is None:
                right = np.zeros((*scores.shape, len(texts)), dtype=np.float32)
            right[place] = texts
    return BestRuns(np.array(dimensions, dtype=float), scores, right)


def that_count(tried: pd.DataFrame, rates: str) -> tuple[int, int]:
    """Which of some runs that differ by their rate counts for the even test texts, and which for
    the odd ones, by their place."""
    if rates == SCORED:
        best = int(tried["score"].to_numpy(float).argmax())
        return best, best
    right = np.array([_right(tried, run, run) for run in range(len(tried))])
    even, odd = (int(right[:, other::2].mean(axis=1).argmax()) for other in (1, 0))
    return even, odd


def score_of(tried: pd.DataFrame, even: int, odd: int) -> float:
    """The score of all test texts, the even ones by one run and the odd ones by another."""
    if even == odd:
        return float(tried["score"].iloc[even])
    return float(_right(tried, even, odd).mean())


def _right(tried: pd.DataFrame, even: int, odd: int) -> Float[np.ndarray, " texts"]:
    """Which test texts were got right, the even ones by one run and the odd ones by another."""
    bits, sizes = tried["right"], tried["test"]
    found = right_texts(bits.iloc[even], sizes.iloc[even])
    found[1::2] = right_texts(bits.iloc[odd], sizes.iloc[odd])[1::2]
    return found


def right_texts(bits: str, size: int) -> Float[np.ndarray, " texts"]:
    """Which test texts a run got right, from the bits of a table."""
    found = np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8), count=size)
    return found.astype(np.float32)
