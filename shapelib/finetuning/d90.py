"""The fine-tuning dimension d90 from a table of runs, and what it would guarantee."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from shapelib.errors import ShapelibError, is_number, nearest
from shapelib.finetuning.best_rate import BestRuns, at_best_rate, best_runs
from shapelib.finetuning.settings import LEVEL, OTHER, RATES, SCORED

DEFINITIONS = ("papers", "chance-corrected")
_KEYS = ["task", "model", "checkpoint", "step"]
# Runs that differ in these are not one curve.
_SAME = ("steps", "batch", "length", "pooling", "dtype")
_NEEDED = [*_KEYS, "init", "method", "d", "seed", "score", "majority", "test", "diverged"]
COLUMNS = {
    "task": "str", "model": "str", "checkpoint": "str", "step": "Int64", "init": "str",
    "method": "str", "definition": "str", "level": "float64", "full": "float64",
    "majority": "float64", "threshold": "float64", "d90": "float64", "low": "float64",
    "high": "float64", "grid": "Int64", "below": "Int64", "above": "Int64", "seeds": "int64",
    "failed": "int64",
}  # fmt: skip
"""The columns of an estimate, in order, with their pandas types."""


def d90(
    table: pd.DataFrame, level: float = LEVEL, *, rates: str = SCORED, resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """The smallest d at which fine-tuning in a subspace reaches `level` of full fine-tuning.

    **d90** is one thing: where the *mean curve* reaches 0.9 × F, with F the score of full
    fine-tuning from the same initialisation. A curve's score at a d is that of the best learning
    rate of each seed, by default chosen on the test set as in the papers (which is optimistic, for
    full fine-tuning as well); the mean curve is averaged over seeds. d90 lies between the smallest
    tested d that reaches the threshold and the one before, where the line between their scores over
    log d crosses it. A d at which all of a seed's runs diverged has no score and reaches nothing.

    What is like it has another name in whatever is printed. The *chance-corrected dimension* is
    where the mean curve reaches M + level × (F − M), with M the test set's majority share, below
    which nothing is learned: the rows whose definition is ``chance-corrected``. A seed's *crossing*
    (`by_seed`) is where its own curve reaches a threshold.

    Where full fine-tuning is not two standard errors, of so many test texts, above always naming
    the largest class, it learned nothing, and there is no threshold.

    :param table: the runs of `dimension_sweep`; the columns needed are ``task``, ``model``,
        ``checkpoint``, ``step``, ``init``, ``method``, ``d``, ``seed``, ``score``, ``majority``,
        ``test`` and ``diverged``.
    :param level: the share of full fine-tuning that is to be reached, up to 1.
    :param rates: on which texts each seed's learning rate is chosen, that of full fine-tuning as
        well: ``scored texts``, the test set as a whole; or ``other texts``, each half of the test
        texts for the other half, which is not optimistic and needs the column ``right``.
    :param resamples: draws of seeds and test texts behind an interval.
    :param seed: of those draws.
    :returns: a row for each task, model, checkpoint, initialisation, method and definition:

        ``task``, ``model``, ``checkpoint``, ``step``, ``init``, ``method``
            Which runs, as in the table given.
        ``definition``, ``level``
            Of the threshold: ``papers`` or ``chance-corrected``, and the level asked for.
        ``full``, ``majority``, ``threshold``
            The score of full fine-tuning; that of always naming the largest class; the score to
            reach. All are accuracies from 0 to 1.
        ``d90``
            The estimate, in trained numbers: d90, or in its rows the chance-corrected dimension.
            Missing where no tested d reaches the threshold.
        ``low``, ``high``
            95 % percentile interval over draws of seeds and, where the table has ``right``, of test
            texts, the same ones for every run; with one seed, of the texts alone. Infinite where
            the draws at that end do not reach the threshold (``high``: more than one in forty),
            missing where there is no threshold.
        ``grid``
            The smallest tested d that reaches the threshold, as the papers read theirs off.
        ``below``, ``above``
            The smallest tested d where it reaches the threshold already, so that the true d90 may
            be smaller; the largest where none does. Else missing.
        ``seeds``, ``failed``
            How many seeds took part, and how many runs diverged.
    :raises ShapelibError: for a table without these columns or without full fine-tuning, for runs
        of one model, task and initialisation that differ in what all runs of a curve must share
        (where the table has it: ``steps``, ``batch``, ``length``, ``pooling`` and ``dtype``), and
        for other `level` and `rates`.

    >>> import pandas as pd
    >>> from shapelib import d90
    >>> runs = pd.DataFrame({
    ...     "method": ["full", "DID", "DID", "DID"], "d": [10_000, 10, 100, 1000],
    ...     "score": [0.90, 0.55, 0.75, 0.87]})
    >>> same = {"task": "mine", "model": "m", "checkpoint": "final", "step": None, "seed": 0}
    >>> same |= {"init": "pre-trained", "majority": 0.5, "test": 500, "diverged": False}
    >>> found = d90(runs.assign(**same))
    >>> found[["definition", "threshold", "d90", "grid"]].round(2).values.tolist()
    [['papers', 0.81, 316.23, 1000], ['chance-corrected', 0.86, 825.4, 1000]]
    """
    if not is_number(level) or not 0 < level <= 1:
        raise ShapelibError(f"level={level!r}; a share of full fine-tuning up to 1 is accepted")
    if rates not in RATES:
        raise ShapelibError(f"rates={rates!r}; {nearest(str(rates), list(RATES))}")
    needed = [*_NEEDED, "right"] if rates == OTHER else _NEEDED
    lacking = [each for each in needed if each not in table]
    if lacking:
        raise ShapelibError(
            f"a table of fine-tuning runs has a column {lacking[0]!r}; this has not"
        )
    rows: list[dict[str, object]] = []
    # Rows are looked up by their label, which joined tables have twice.
    table = table.reset_index(drop=True)
    for where, runs in table.groupby([*_KEYS, "init"], sort=False, dropna=False):
        full = runs[runs["method"] == "full"]
        name = f"{where[1]} on {where[0]}, {where[4]}"
        _check_alike(name, runs)
        if full["score"].isna().all():
            why = "all full fine-tuning diverged" if len(full) else "there is no full fine-tuning"
            raise ShapelibError(f"{name}: {why}, and d90 is a share of its score")
        for method, tried in runs[runs["method"] != "full"].groupby("method", sort=False):
            facts = dict(zip([*_KEYS, "init"], where, strict=True)) | {"method": method}
            draw = np.random.default_rng(seed)
            rows += _estimates(facts, full, tried, level, rates, draw, resamples)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _check_alike(name: str, runs: pd.DataFrame) -> None:
    for each in (column for column in _SAME if column in runs):
        found = runs[each].dropna().unique()
        if len(found) > 1:
            raise ShapelibError(
                f"{name}: runs with {each} = {' and '.join(map(str, found))} are no one curve; "
                "give d90 those of one"
            )


def by_seed(table: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """The crossing of each seed by itself: what the claims about fine-tuning are judged from.

    :param table: as for `d90`, with ``role``, ``D`` and ``train_score`` besides.
    :param level: the share of full fine-tuning that is to be reached.
    :returns: a row for each task, model, checkpoint, initialisation, method, seed, definition and
        way of choosing the learning rate:

        ``task``, ``model``, ``checkpoint``, ``step``, ``role``, ``init``, ``method``, ``seed``
            Which run, as in the table given; so is ``tokens_seen``, missing where it has none.
        ``rates``
            On which texts the best learning rate was chosen, of full fine-tuning as well: those
            that are scored, as in the papers and in `d90` (``scored texts``); or where the table
            has ``right``, on half of the test texts, drawn by their place, while the rest are
            scored, then the other way round (``other texts``), which is not optimistic.
        ``definition``, ``threshold``
            Those of `d90`, from the mean over seeds of full fine-tuning, and a third one that
            matters for randomly initialised models, ``against pre-trained``: level × the score of
            full fine-tuning of the pre-trained model.
        ``D``, ``m``
            How many numbers full fine-tuning trains, and how many training texts there are.
        ``crossing``
            The d at which the seed's own curve reaches the threshold; missing where it does not.
        ``d90``
            That of the mean curve of all seeds, as `d90` has it: one number in all these rows.
        ``largest_tried``
            The largest d.
        ``score``, ``train_score``
            Of the best run at the first tested d past the crossing.
    """
    rows: list[dict[str, object]] = []
    # Rows are looked up by their label, which joined tables have twice.
    table = table.reset_index(drop=True)
    ways = [each for each in RATES if each == SCORED or "right" in table]
    for where, runs in table.groupby(_KEYS, sort=False, dropna=False):
        chance = _chance(runs)
        seen = runs["tokens_seen"].iloc[0] if "tokens_seen" in runs else pd.NA
        own = runs.groupby(["init", "method", "seed"], sort=False)
        whole = runs[runs["method"] == "full"]
        full = {
            each: at_best_rate(whole, ["init", "seed"], each).groupby("init")["score"].mean()
            for each in ways
        }
        pooled = d90(runs, level, resamples=1).query("definition == 'papers'")
        pooled_d90 = pooled.set_index(["init", "method"])["d90"]
        for (init, method, seed), tried, rates in (
            (*each, rates) for rates in ways for each in own if each[0][1] != "full"
        ):
            best = full[rates]
            thresholds = {each: _threshold(each, level, best[init], chance) for each in DEFINITIONS}
            bar = best.get("pre-trained", math.nan)
            thresholds["against pre-trained"] = _threshold("papers", level, bar, chance)
            top = at_best_rate(tried, ["d"], rates)
            for definition, threshold in thresholds.items():
                value, place = crossing(
                    top["d"].to_numpy(float), top["score"].to_numpy(float), threshold
                )
                at = None if place is None else top.iloc[place]
                rows.append(dict(zip(_KEYS, where, strict=True)) | {
                    "role": runs["role"].iloc[0], "init": init, "method": method, "seed": seed,
                    "tokens_seen": seen, "rates": rates,
                    "definition": definition, "threshold": threshold,
                    "D": int(tried["D"].iloc[0]), "m": int(tried["train"].iloc[0]),
                    "crossing": math.nan if at is None else value,
                    "d90": pooled_d90[init, method],
                    "largest_tried": int(tried["d"].max()),
                    "score": math.nan if at is None else at["score"],
                    "train_score": math.nan if at is None else at["train_score"],
                })  # fmt: skip
    # A model that is no checkpoint has no step, and tables are joined by it.
    return pd.DataFrame(rows).astype({"step": "Int64"} if rows else {})


def crossing(
    dimensions: Float[np.ndarray, " d"], scores: Float[np.ndarray, " d"], threshold: float
) -> tuple[float, int | None]:
    """Where a curve over ascending dimensions first reaches a threshold: log-linear between two
    tested ones, and the place of the second. Infinite, and None, where it does not."""
    reached = np.flatnonzero(scores >= threshold)
    if len(reached) == 0:
        return math.inf, None
    place = int(reached[0])
    if place == 0 or not np.isfinite(scores[place - 1]):
        return float(dimensions[place]), place
    before, after = scores[place - 1], scores[place]
    share = (threshold - before) / (after - before)
    ratio = dimensions[place] / dimensions[place - 1]
    return float(dimensions[place - 1] * ratio**share), place


def bisect(
    score: Callable[[int], float], threshold: float, low: int, high: int, ratio: float = 1.0
) -> int | None:
    """The smallest d from `low` to `high` whose score reaches a threshold, for a score that grows
    with d; within a factor `ratio` of it. None where `high` does not reach it.

    About log₂(log(high / low) / log(ratio)) scores are asked for.
    """
    if score(high) < threshold or math.isnan(score(high)):
        return None
    if score(low) >= threshold:
        return low
    while high - low > 1 and high > low * ratio:
        middle = min(max(round(math.sqrt(low * high)), low + 1), high - 1)
        if score(middle) >= threshold:
            high = middle
        else:
            low = middle
    return high


def _estimates(
    facts: dict[str, object],
    full: pd.DataFrame,
    tried: pd.DataFrame,
    level: float,
    rates: str,
    draw: np.random.Generator,
    resamples: int,
) -> list[dict[str, object]]:
    seeds = sorted(set(full.dropna(subset=["score"])["seed"]) & set(tried["seed"]))
    if not seeds:
        raise ShapelibError("full fine-tuning and the subspaces have no seed in common")
    whole, curve = (best_runs(each, seeds, rates) for each in (full.assign(d=1), tried))
    chance = _chance(full)
    drawn = [_drawn(whole, curve, draw) for _ in range(resamples)]
    rows = []
    for definition in DEFINITIONS:
        score = float(whole.scores.mean())
        threshold = _threshold(definition, level, score, chance)
        value, place = crossing(curve.dimensions, _mean(curve.scores), threshold)
        values = [
            crossing(curve.dimensions, each, _threshold(definition, level, total, chance))[0]
            for total, each in drawn
        ]
        # Not interpolated: between a number and infinity there is none.
        low, high = (
            (math.nan, math.nan)
            if math.isnan(threshold)
            else np.quantile(values, (0.025, 0.975), method="inverted_cdf")
        )
        tested = [int(each) for each in curve.dimensions]
        rows.append(facts | {
            "definition": definition, "level": level, "full": score, "majority": chance.majority,
            "threshold": threshold, "d90": math.nan if place is None else value,
            "low": low, "high": high, "grid": pd.NA if place is None else tested[place],
            "below": tested[0] if place == 0 else pd.NA,
            "above": tested[-1] if place is None else pd.NA,
            "seeds": len(seeds), "failed": int(tried["diverged"].sum()),
        })  # fmt: skip
    return rows


class _Chance(NamedTuple):
    """What guessing scores: the share of the largest class, and two standard errors above it."""

    majority: float
    top: float


def _chance(runs: pd.DataFrame) -> _Chance:
    majority = float(runs["majority"].iloc[0])
    return _Chance(
        majority, majority + 2 * math.sqrt(majority * (1 - majority) / runs["test"].iloc[0])
    )


def _threshold(definition: str, level: float, full: float, chance: _Chance) -> float:
    """The score to reach, given that of full fine-tuning; NaN, which nothing reaches, where full
    fine-tuning learned nothing."""
    if full <= chance.top:
        return math.nan
    majority = chance.majority
    floor = majority if definition == "chance-corrected" else 0.0
    return floor + level * (full - floor)


def _drawn(
    whole: BestRuns, curve: BestRuns, draw: np.random.Generator
) -> tuple[float, Float[np.ndarray, " d"]]:
    """The score of full fine-tuning, and the curve, on drawn seeds and drawn test texts."""
    count = curve.scores.shape[1]
    seeds = draw.integers(count, size=count)
    full, scores = whole.scores[:, seeds], curve.scores[:, seeds]
    if whole.right is not None and curve.right is not None:
        size = whole.right.shape[-1]
        weights = draw.multinomial(size, np.full(size, 1 / size)).astype(np.float32)
        full = _weighted(full, whole.right[:, seeds], weights)
        scores = _weighted(scores, curve.right[:, seeds], weights)
    return float(full.mean()), _mean(scores)


def _weighted(
    scores: Float[np.ndarray, "d seeds"],
    right: Float[np.ndarray, "d seeds texts"],
    weights: Float[np.ndarray, " texts"],
) -> Float[np.ndarray, "d seeds"]:
    return np.where(np.isnan(scores), math.nan, right @ weights / weights.sum())


def _mean(scores: Float[np.ndarray, "d seeds"]) -> Float[np.ndarray, " d"]:
    """The mean over seeds; NaN, which reaches nothing, where one of them has no score."""
    return np.asarray(scores.mean(axis=1))
