"""d90 from made-up tables whose answer is known."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapelib import d90, generalization_bound
from shapelib.cli.tables import estimate
from shapelib.errors import ShapelibError
from shapelib.finetuning.d90 import COLUMNS, bisect, by_seed, crossing

DIMENSIONS = (10, 100, 1000)


def row(**given: Any) -> dict[str, Any]:
    return {
        "task": "toy", "model": "tiny", "checkpoint": "final", "step": pd.NA, "role": "encoder",
        "init": "pre-trained", "method": "DID", "d": 10, "D": 5000, "seed": 0, "score": 0.5,
        "train_score": 0.6, "majority": 0.5, "train": 400, "test": 10**6, "diverged": False,
        **given,
    }  # fmt: skip


def grid(score: Callable[[int, int], float], full: float = 0.9, seeds: int = 3) -> pd.DataFrame:
    rows = [row(method="full", d=5000, seed=seed, score=full) for seed in range(seeds)]
    rows += [
        row(d=d, seed=seed, score=score(d, seed), train_score=score(d, seed) + 0.05)
        for d in DIMENSIONS
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def of(table: pd.DataFrame, definition: str = "papers", **select: str) -> pd.Series:
    found = d90(table)
    assert list(found.columns) == list(COLUMNS)
    chosen = found[found["definition"] == definition]
    for name, value in select.items():
        chosen = chosen[chosen[name] == value]
    (only,) = [each for _, each in chosen.iterrows()]
    return only


def test_reached_between_two_dimensions():
    scores = {10: 0.71, 100: 0.79, 1000: 0.85}
    found = of(grid(lambda d, _: scores[d]))
    assert found["threshold"] == pytest.approx(0.81)
    # A third of the way from 0.79 to 0.85, on the logarithmic axis.
    assert found["d90"] == pytest.approx(100 * 10 ** (1 / 3))
    assert (found["grid"], found["full"], found["seeds"], found["failed"]) == (1000, 0.9, 3, 0)
    assert pd.isna(found["below"])
    assert pd.isna(found["above"])
    # Seeds that agree leave no doubt.
    assert found["low"] == found["high"] == pytest.approx(found["d90"])


def test_counted_from_chance():
    scores = {10: 0.71, 100: 0.79, 1000: 0.87}
    found = of(grid(lambda d, _: scores[d]), "chance-corrected")
    assert found["threshold"] == pytest.approx(0.5 + 0.9 * 0.4)
    assert found["d90"] == pytest.approx(100 * 10 ** (7 / 8))
    assert of(grid(lambda d, _: scores[d]))["d90"] < found["d90"]


def test_no_share_of_having_learned_nothing():
    # The largest class is half of the texts, and full fine-tuning does no better.
    for full, texts in ((0.5, 10**6), (0.48, 10**6), (0.54, 500)):
        table = grid(lambda d, _: 0.5, full=full).assign(test=texts)
        for definition in ("papers", "chance-corrected"):
            found = of(table, definition)
            assert found[["threshold", "d90", "grid", "below", "low", "high"]].isna().all()
            assert found["full"] == full
        assert by_seed(table)["crossing"].isna().all()
    assert of(grid(lambda d, _: 0.5, full=0.51))["d90"] == 10
    assert of(grid(lambda d, _: 0.5, full=0.55).assign(test=500))["d90"] == 10


def test_a_terminal_shows_what_there_is():
    shown = {full: estimate(d90(grid(lambda d, _: 0.7, full=full))) for full in (0.5, 0.71, 0.9)}
    value, interval, bar = (
        {
            full: next(next(iter(each.cells)) for each in table.columns if each.header == head)
            for full, table in shown.items()
        }
        for head in ("smallest d", "95 % interval", "threshold")
    )
    assert value == {0.5: "nothing learned", 0.71: "at most 10", 0.9: "not reached at 1000"}
    # Where no draw reaches the threshold there is no interval, infinite ends or not.
    assert interval == {0.5: "none", 0.71: "10 – 10", 0.9: "none"}
    assert bar == {0.5: "none", 0.71: "0.639", 0.9: "0.810"}


@pytest.mark.parametrize("changes", [{}, {"method": "SAID"}, {"model": "another-model-altogether"}])
def test_eighty_columns_hold_an_estimate(changes: dict[str, str]):
    from rich.console import Console

    one = grid(lambda d, _: 0.7)
    changed = (
        {"method": one["method"].replace("DID", changes["method"])}
        if changes.get("method")
        else changes
    )
    table = d90(pd.concat([one, one.assign(**changed)]) if changes else one)
    console = Console(width=80, record=True)
    console.print(estimate(table))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for whole in ("method", "chance-corrected", "0.900", "majority", "pre-trained", "tiny"):
        assert whole in text


def test_not_reached_and_reached_at_once():
    found = of(grid(lambda d, _: 0.7))
    assert math.isnan(found["d90"])
    assert pd.isna(found["grid"])
    assert found["above"] == 1000
    assert found["high"] == math.inf
    found = of(grid(lambda d, _: 0.82))
    assert (found["d90"], found["grid"], found["below"]) == (10, 10, 10)
    assert pd.isna(found["above"])


def test_the_best_rate_counts_and_diverged_runs_do_not():
    table = grid(lambda d, _: {10: 0.6, 100: 0.7, 1000: 0.9}[d])
    better = pd.DataFrame([row(d=100, seed=seed, score=0.85) for seed in range(3)])
    lost = pd.DataFrame(
        [row(d=d, seed=0, score=math.nan, diverged=True) for d in (10, 100)]
        + [row(method="full", d=5000, seed=0, score=math.nan, diverged=True)]
    )
    found = of(pd.concat([table, better, lost], ignore_index=True))
    assert found["grid"] == 100
    assert found["failed"] == 2
    assert found["full"] == 0.9
    # Where a seed diverged at every rate, this d is not reached, whatever the others do.
    gone = table.copy()
    gone.loc[(gone["d"] == 1000) & (gone["seed"] == 1), ["score", "diverged"]] = [math.nan, True]
    assert math.isnan(of(gone)["d90"])
    alone = by_seed(gone).query("definition == 'papers'").set_index("seed")
    assert alone["crossing"].isna().tolist() == [False, True, False]
    everything = table.assign(score=table["score"].where(table["method"] != "full"))
    with pytest.raises(ShapelibError, match="tiny on toy, pre-trained: all full fine-tuning div"):
        d90(everything)


def test_each_row_has_its_own_full_fine_tuning():
    scores = {10: 0.5, 100: 0.7, 1000: 0.82}
    good = grid(lambda d, _: scores[d])
    random = grid(lambda d, _: scores[d] - 0.1, full=0.7).assign(init="random")
    said = good[good["method"] == "DID"].assign(method="SAID", score=0.85)
    other = grid(lambda d, _: scores[d], full=0.5).assign(step=7, checkpoint="step7")
    table = pd.concat([good, random, said, other], ignore_index=True).convert_dtypes()
    found = d90(table)
    assert len(found) == 2 * 4
    assert of(table, init="pre-trained", method="DID", checkpoint="final")["threshold"] == 0.81
    assert of(table, init="random")["threshold"] == pytest.approx(0.63)
    assert of(table, method="SAID")["below"] == 10
    assert of(table, checkpoint="step7")["step"] == 7


def test_every_seed_by_itself():
    good = grid(lambda d, seed: {10: 0.5, 100: 0.7, 1000: 0.82 if seed else 0.8}[d])
    random = grid(lambda d, _: {10: 0.5, 100: 0.6, 1000: 0.64}[d], full=0.7).assign(init="random")
    # Copies of labels, as joined tables have.
    found = by_seed(pd.concat([good, random]))
    papers = found.query("definition == 'papers' and init == 'pre-trained'").set_index("seed")
    assert papers["crossing"].isna().tolist() == [True, False, False]
    # The mean curve reaches it, whatever one seed does.
    pooled = of(good)["d90"]
    assert set(found.query("init == 'pre-trained'")["d90"]) == {pooled}
    assert pooled not in papers["crossing"].tolist()
    assert math.isnan(papers.loc[0, "train_score"])
    assert papers.loc[1, "crossing"] == pytest.approx(100 * 10 ** (0.11 / 0.12))
    shown = ["score", "train_score", "D", "m", "largest_tried"]
    assert papers.loc[1, shown].tolist() == [0.82, pytest.approx(0.87), 5000, 400, 1000]
    own = found.query("init == 'random'").set_index("definition")
    assert own.loc["papers", "crossing"].tolist() == [pytest.approx(100 * 10 ** (0.03 / 0.04))] * 3
    assert own.loc["papers", "threshold"].iloc[0] == pytest.approx(0.63)
    assert own.loc["against pre-trained", "threshold"].iloc[0] == pytest.approx(0.81)
    assert own.loc["against pre-trained", "crossing"].isna().all()
    assert own.loc["chance-corrected", "crossing"].isna().all()


def test_the_interval_is_over_seeds_and_over_texts():
    draw = np.random.default_rng(0)

    def with_texts(seeds: int, texts: int) -> pd.DataFrame:
        table = grid(lambda d, _: {10: 0.6, 100: 0.78, 1000: 0.9}[d], seeds=seeds)
        right = [draw.random(texts) < score for score in table["score"]]
        return table.assign(
            score=[each.mean() for each in right], test=texts,
            right=[np.packbits(each).tobytes().hex() for each in right],
        )  # fmt: skip

    few, many = of(with_texts(1, 203)), of(with_texts(1, 4003))
    for found in (few, many):
        assert found["low"] <= found["d90"] <= found["high"]
    assert few["high"] / few["low"] > 1.5 * many["high"] / many["low"]
    true = 100 * 10 ** (0.03 / 0.12)
    assert many["low"] < true < many["high"]
    # Seeds that differ widen it, with no texts at all.
    spread = grid(lambda d, seed: {10: 0.6, 100: 0.78, 1000: 0.9}[d] + 0.02 * (seed - 1))
    assert of(spread)["low"] < 0.8 * of(spread)["high"]
    pd.testing.assert_frame_equal(d90(spread), d90(spread))


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0, 1), st.floats(1.5, 10)
)  # fmt: skip
def test_the_crossing_lies_at_the_first_dimension_that_reaches(
    scores: list[float], threshold: float, ratio: float
):
    dimensions = 10 * ratio ** np.arange(len(scores))
    value, place = crossing(dimensions, np.array(scores), threshold)
    if max(scores) < threshold:
        assert (value, place) == (math.inf, None)
        return
    assert place is not None
    assert all(each < threshold for each in scores[:place])
    assert scores[place] >= threshold
    assert dimensions[max(place - 1, 0)] <= value * (1 + 1e-9)
    assert value <= dimensions[place] * (1 + 1e-9)


@given(st.integers(1, 3000), st.integers(1, 50), st.integers(51, 3000))
def test_bisection_finds_what_the_grid_of_all_dimensions_does(answer: int, low: int, high: int):
    asked = []

    def score(d: int) -> float:
        asked.append(d)
        return 1.0 if d >= answer else d / 4000

    found = bisect(score, 1.0, low, high)
    reached = [d for d in range(low, high + 1) if d >= answer]
    assert found == (reached[0] if reached else None)
    assert len(asked) <= 4 + 2 * math.log2(high)
    asked.clear()
    rough = bisect(score, 1.0, low, high, 1.5)
    if found is not None:
        assert rough is not None
        assert found <= rough <= max(1.5 * found, found + 1)
        assert len(asked) <= 4 + math.log2(math.log(high / low) / math.log(1.5) + 1) + 1


def test_a_score_that_is_missing_reaches_nothing():
    assert bisect(lambda d: math.nan, 0.5, 1, 100) is None


def test_the_bound():
    bound = generalization_bound(200, 3668, 0.1)
    assert bound.gap == pytest.approx(math.sqrt((200 * 16 * math.log(2) + math.log(20)) / 7336))
    assert bound.value == pytest.approx(0.1 + bound.gap)
    assert not bound.vacuous
    assert generalization_bound(22_700_000, 3668).vacuous
    # As √(d / m): a hundred times the dimension is ten times the gap.
    ratio = generalization_bound(100_000, 10**9).gap / generalization_bound(1000, 10**9).gap
    assert ratio == pytest.approx(10, rel=1e-3)
    assert generalization_bound(200, 3668, 0.1, bits=4).value < bound.value
    assert generalization_bound(200, 3668, 0.1, confidence=0.5).value < bound.value


def test_the_bound_holds_for_a_finite_class():
    """Of 2^8 fixed classifiers the one that is best on m texts, whose true error is known."""
    draw = np.random.default_rng(0)
    broken = 0
    for _ in range(300):
        errors = draw.uniform(0.2, 0.6, 2**8)
        seen = draw.binomial(50, errors) / 50
        best = int(seen.argmin())
        broken += errors[best] > generalization_bound(1, 50, float(seen[best]), bits=8).value
    assert broken <= 0.05 * 300


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"d": 0, "m": 5}, "d=0; a whole number"),
        ({"d": 5, "m": 2.5}, "m=2.5; a whole number"),
        ({"d": 5, "m": 5, "bits": True}, "bits=True"),
        ({"d": 5, "m": 5, "train_error": 1.2}, "train_error=1.2; a share"),
        ({"d": 5, "m": 5, "confidence": 1}, "confidence=1; a number between"),
    ],
)
def test_a_bound_of_nothing(words: dict[str, Any], message: str):
    with pytest.raises(ShapelibError, match=message):
        generalization_bound(**words)


def test_tables_that_are_refused():
    table = grid(lambda d, _: 0.7)
    for level in (0, 1.1, True, "90"):
        with pytest.raises(ShapelibError, match="a share of full fine-tuning up to 1"):
            d90(table, level)
    with pytest.raises(ShapelibError, match="has a column 'majority'; this has not"):
        d90(table.drop(columns="majority"))
    with pytest.raises(ShapelibError, match="pre-trained: there is no full fine-tuning, and d90"):
        d90(table[table["method"] == "DID"])
    full = table["method"] == "full"
    for column, values in (("steps", [60, 120]), ("dtype", ["float32", "bfloat16"])):
        mixed = table.assign(**{column: full.map({True: values[0], False: values[1]})})
        words = " and ".join(map(str, values))
        with pytest.raises(ShapelibError, match=f"with {column} = {words} are no one curve"):
            d90(mixed)
        assert len(d90(table.assign(**{column: values[0]}))) == len(d90(table))
    # Curves of two initialisations are two curves.
    other = table.assign(init="random", steps=120)
    assert len(d90(pd.concat([table.assign(steps=60), other]))) == 2 * len(d90(table))
    apart = table.assign(seed=table["seed"] + 10 * (table["method"] == "full"))
    with pytest.raises(
        ShapelibError, match="full fine-tuning and the subspaces have no seed in common"
    ):
        d90(apart)
