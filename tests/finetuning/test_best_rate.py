"""Which learning rate counts: chosen on the texts that are scored, or on the others."""

import numpy as np
import pandas as pd
import pytest
from tuned import tuning

from shapelib.finetuning.best_rate import OTHER, SCORED, at_best_rate, right_texts
from shapelib.finetuning.d90 import by_seed


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


def test_a_rate_is_chosen_where_it_is_not_scored():
    even = np.arange(10) % 2 == 0
    # One is right on every even text, one on every odd: each is chosen where it is worth nothing.
    table = runs(even, ~even, np.zeros(10))
    assert at_best_rate(table, ["d"], SCORED)["score"].tolist() == [0.5]
    found = at_best_rate(table, ["d"], OTHER)
    assert found["score"].tolist() == [0.0]
    assert found["train_score"].tolist() == [(0.5 + 0.75) / 2]


def test_one_rate_scores_the_same_either_way():
    right = np.random.default_rng(1).random(11) < 0.6
    for rates in (SCORED, OTHER):
        assert at_best_rate(runs(right), ["d"], rates)["score"].tolist() == pytest.approx(
            [right.mean()]
        )


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
