"""At which of the learning rates tried a run of fine-tuning counts."""

import functools
import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from shapelib.finetuning.settings import SCORED


def at_best_rate(runs: pd.DataFrame, by: list[str], rates: str) -> pd.DataFrame:
    """The score and the training score at the best of the learning rates tried, in order of `by`.

    :param runs: of `dimension_sweep`; those that diverged have no score and are left out.
    :param by: the columns that tell what a rate was chosen for.
    :param rates: `SCORED`: the rate with the best score counts, as in the papers, which is
        optimistic. `OTHER`: the rate is chosen on one half of the test texts (by the column
        ``right``; see `halves`) and scored on the other, then the other way round; the score is
        that of all texts together, and the training score the mean of both.
    :returns: the columns of `by`, ``score`` and ``train_score``.
    """
    rows = []
    for where, tried in runs.dropna(subset=["score"]).groupby(by):
        count = that_count(tried, rates)
        score = score_of(tried, *count)
        rows.append([*where, score, tried["train_score"].iloc[[*count]].mean()])
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
        count = that_count(tried, rates)
        scores[place] = score_of(tried, *count)
        if "right" in tried:
            texts = _right(tried, *count)
            if right is None:
                right = np.zeros((*scores.shape, len(texts)), dtype=np.float32)
            right[place] = texts
    return BestRuns(np.array(dimensions, dtype=float), scores, right)


@functools.cache
def halves(size: int) -> Bool[np.ndarray, " texts"]:
    """Which of so many test texts are in the first of two halves, by their place.

    Drawn by arithmetic alone, as tables are read for years: those with the lower numbers of a
    stream (see `subspace.draws`). Every other text would not do: where labels alternate, each half
    would hold one class.
    """
    from shapelib.subspace import draws

    numbers = np.array([draws.number(np.uint64(0), place) for place in range(size)])
    first = np.zeros(size, dtype=bool)
    first[np.argsort(numbers, kind="stable")[: (size + 1) // 2]] = True
    first.flags.writeable = False
    return first


def best_of_halves(right: Float[np.ndarray, "runs texts"]) -> tuple[int, int]:
    """The run that is right the most often on the first half of the texts, and on the second."""
    first = halves(right.shape[1])
    return int(right[:, first].mean(axis=1).argmax()), int(right[:, ~first].mean(axis=1).argmax())


def that_count(tried: pd.DataFrame, rates: str) -> tuple[int, int]:
    """Which of some runs that differ by their rate counts for the first half of the test texts, and
    which for the second, by their place. Of equals that of the lowest rate, in whatever order they
    stand; of a table without rates the first."""
    order = np.arange(len(tried))
    if "rate" in tried:
        order = np.argsort(tried["rate"].to_numpy(float), kind="stable")
    if rates == SCORED:
        best = int(order[tried["score"].to_numpy(float)[order].argmax()])
        return best, best
    second, first = best_of_halves(np.array([_right(tried, run, run) for run in order.tolist()]))
    return int(order[first]), int(order[second])


def score_of(tried: pd.DataFrame, first: int, second: int) -> float:
    """The score of all test texts, one half by one run and one by another."""
    if first == second:
        return float(tried["score"].iloc[first])
    return float(_right(tried, first, second).mean())


def _right(tried: pd.DataFrame, first: int, second: int) -> Float[np.ndarray, " texts"]:
    """Which test texts were got right, one half by one run and one by another."""
    bits, sizes = tried["right"], tried["test"]
    found = right_texts(bits.iloc[first], sizes.iloc[first])
    if second != first:
        others = ~halves(len(found))
        found[others] = right_texts(bits.iloc[second], sizes.iloc[second])[others]
    return found


def right_texts(bits: str, size: int) -> Float[np.ndarray, " texts"]:
    """Which test texts a run got right, from the bits of a table."""
    found = np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8), count=size)
    return found.astype(np.float32)
