"""Which learning rate counts: chosen on the texts that are scored, or on the others."""

import numpy as np
import pandas as pd
import pytest
from tuned import tuning

from shapelib.errors import ShapelibError
from shapelib.finetuning.best_rate import at_best_rate, best_runs, halves, right_texts
from shapelib.finetuning.d90 import by_seed, d90
from shapelib.finetuning.settings import OTHER, SCORED


def bits(right: np.ndarray) -> str:
    return np.packbits(right.astype(np.uint8)).tobytes().hex()


def runs(*rights: np.ndarray) -> pd.DataFrame:
    """Runs that differ by their rate alone, and by the texts they get right."""
    return pd.DataFrame(
        {
            "d": 10, "rate": range(len(rights)), "test": len(rights[0]),
            "score": [each.mean() for each in rights], "right": [bits(each) for each in rights],
            "train_score": np.linspace(0.5, 1, len(rights)),
        }
    )  # fmt: skip


def test_texts_come_back_from_their_bits():
    right = np.random.default_rng(0).random(13) < 0.5
    np.testing.assert_array_equal(right_texts(bits(right), 13), right)


@pytest.mark.parametrize("size", [1, 2, 7, 500, 1077])
def test_halves_are_halves_whatever_the_order_of_the_texts(size: int):
    first = halves(size)
    assert first.sum() == (size + 1) // 2
    if size > 100:
        for every in range(2, 8):
            for start in range(every):
                share = first[start::every].mean()
                assert share == pytest.approx(0.5, abs=2.6 / np.sqrt(4 * size / every))


def test_halves_stay_what_they_were():
    """A kept table is read by them."""
    assert np.flatnonzero(halves(12)).tolist() == [2, 4, 5, 6, 8, 10]


def test_labels_that_alternate_do_not_part_the_halves():
    """Runs that call everything one class are right on every other text: guessing, at any rate."""
    yes = np.arange(400) % 2 == 0
    found = at_best_rate(runs(yes, ~yes), ["d"], OTHER)["score"].tolist()
    assert found == [pytest.approx(0.5, abs=0.06)]


def test_a_rate_is_chosen_where_it_is_not_scored():
    first = halves(10)
    # One is right on one half, one on the other: each is chosen where it is worth nothing.
    table = runs(first, ~first, np.zeros(10))
    assert at_best_rate(table, ["d"], SCORED)["score"].tolist() == [0.5]
    found = at_best_rate(table, ["d"], OTHER)
    assert found["score"].tolist() == [0.0]
    assert found["train_score"].tolist() == [(0.5 + 0.75) / 2]


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_equals_the_lowest_rate_counts_in_whatever_order(order: list[int]):
    first, second = np.flatnonzero(halves(10)), np.flatnonzero(~halves(10))
    low, high = np.zeros(10), np.zeros(10)
    low[[*first[:3], second[0]]] = high[[*first[:3], *second]] = 1
    # The first half cannot tell them apart, so the second is scored at the lower rate.
    table = runs(low, high).iloc[order]
    assert at_best_rate(table, ["d"], OTHER)["score"].tolist() == [pytest.approx(0.4)]
    seeds = best_runs(table.assign(seed=0), [0], OTHER)
    assert seeds.scores.tolist() == [[pytest.approx(0.4)]]


def test_one_rate_scores_the_same_either_way():
    right = np.random.default_rng(1).random(11) < 0.6
    for rates in (SCORED, OTHER):
        assert at_best_rate(runs(right), ["d"], rates)["score"].tolist() == pytest.approx(
            [right.mean()]
        )


def test_curves_and_rows_choose_alike():
    """By seed and dimension, and text by text."""
    draw = np.random.default_rng(3)
    table = pd.concat(
        [
            runs(*(draw.random((4, 41)) < share)).assign(seed=seed, d=d)
            for seed in (0, 1)
            for d, share in ((10, 0.5), (100, 0.8))
        ],
        ignore_index=True,
    )
    table.loc[table["rate"] == 3, "score"] = np.nan
    for rates in (SCORED, OTHER):
        found = best_runs(table, [0, 1], rates)
        rows = at_best_rate(table, ["d", "seed"], rates).set_index(["d", "seed"])["score"]
        assert found.dimensions.tolist() == [10, 100]
        np.testing.assert_allclose(found.scores, rows.unstack().to_numpy(), rtol=1e-6)
        assert found.right is not None
        np.testing.assert_allclose(found.right.mean(axis=2), found.scores, rtol=1e-6)
    first = halves(10)
    crossed = best_runs(runs(first, ~first).assign(seed=0), [0], OTHER)
    assert crossed.right is not None
    assert not crossed.right.any()


def test_d90_by_rates_chosen_on_other_texts():
    """Luck of many rates reaches the bar only where it chooses the rate as well."""
    draw, texts = np.random.default_rng(4), 300
    full = runs(*(draw.random((1, texts)) < 0.9)).assign(method="full", d=5000)
    lucky = runs(*(draw.random((400, texts)) < 0.75)).assign(method="DID", d=100)
    good = runs(*(draw.random((1, texts)) < 0.88)).assign(method="DID", d=1000)
    table = pd.concat([full, lucky, good], ignore_index=True).assign(
        task="toy", model="tiny", checkpoint="final", step=pd.NA, init="pre-trained", seed=0,
        majority=0.5, diverged=False,
    )  # fmt: skip
    scored, other = (
        d90(table, rates=rates, resamples=1).query("definition == 'papers'").iloc[0]
        for rates in (SCORED, OTHER)
    )
    assert scored["grid"] == 100
    assert other["grid"] == 1000
    with pytest.raises(ShapelibError, match=r"rates='test texts'; .*scored texts, other texts"):
        d90(table, rates="test texts")
    with pytest.raises(ShapelibError, match="has a column 'right'; this has not"):
        d90(table.drop(columns="right"), rates=OTHER)
    d90(table.drop(columns="right"), resamples=1)


def test_the_best_of_many_alike_is_optimistic_and_the_choice_on_other_texts_is_not():
    draw = np.random.default_rng(2)
    scores = []
    for _ in range(50):
        table = runs(*(draw.random((8, 200)) < 0.5))
        scores.append(
            [at_best_rate(table, ["d"], each)["score"].iloc[0] for each in (SCORED, OTHER)]
        )
    scored, other = np.mean(scores, axis=0)
    assert scored > 0.53
    assert other == pytest.approx(0.5, abs=0.01)


def test_a_table_without_single_texts_has_the_papers_choice_alone():
    assert set(by_seed(tuning())["rates"]) == {SCORED}
    single = tuning().assign(right=bits(np.ones(500)))
    found = by_seed(single)
    assert set(found["rates"]) == {SCORED, OTHER}
    assert len(found) == 2 * len(by_seed(tuning()))
