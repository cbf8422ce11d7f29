"""Intervals: Student's, and those of deleting half of the groups, held against made-up draws."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from shapebook.claims.statistic import by_group, halved, over, smallest_agreement, spearman, within


def test_over_runs_the_interval_is_students_of_95_percent():
    values = [1.0, 2.0, 4.0, 3.5]
    found = over(values)
    wanted = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert found == pytest.approx((np.mean(values), *wanted))
    assert math.isnan(over([1.0])[1])


def test_of_a_mean_deleting_half_of_the_groups_is_students_too():
    values = np.random.default_rng(1).standard_normal(8)
    found = halved(float(values.mean()), 8, lambda weights: float(values @ weights))
    assert found == pytest.approx(over(values))
    odd = values[:7]
    found = halved(float(odd.mean()), 7, lambda weights: float(odd @ weights))
    assert found == pytest.approx(over(odd))


def test_many_groups_are_drawn_and_agree():
    values = np.random.default_rng(2).standard_normal(32)
    found = halved(float(values.mean()), 32, lambda weights: float(values @ weights))
    assert found == pytest.approx(over(values), rel=0.1)


def test_two_groups_give_no_interval():
    assert math.isnan(halved(0.5, 2, lambda weights: 0.5)[1])


@pytest.mark.parametrize("layers", [6, 30])
def test_a_rank_correlations_interval_holds_the_truth_about_as_often_as_it_says(layers: int):
    """Layers share what their windows do to them; the correlation of the true values is known."""
    draw = np.random.default_rng(layers)
    held = []
    for _ in range(120):
        a = draw.standard_normal(layers)
        true = np.array([a, 0.6 * a + 0.8 * draw.standard_normal(layers)])
        shared = draw.standard_normal((2, 1, 8))
        own = draw.standard_normal((2, layers, 8))
        groups = true[..., None] + 0.1 * math.sqrt(8) * (shared + own) / math.sqrt(2)
        value = smallest_agreement(groups.mean(axis=-1))
        _, low, high = halved(value, 8, lambda kept, g=groups: smallest_agreement(g @ kept))
        held.append(low - 1e-9 <= smallest_agreement(true) <= high + 1e-9)
    assert 0.88 <= np.mean(held) <= 1


def test_rank_correlation_is_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, (2, 40)).astype(float)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert np.isnan(spearman(a, np.full(40, 2.0)))


def test_the_smallest_of_all_pairs_counts():
    up, down = np.arange(5.0), -np.arange(5.0)
    assert smallest_agreement(np.array([up, up, up])) == 1
    assert smallest_agreement(np.array([up, up, down])) == -1


def test_groups_stand_about_their_rows_value():
    rows = pd.DataFrame({"value": [1.0, 5.0], "by_group": ["0 1 2", "7 8 9"]})
    np.testing.assert_allclose(by_group(rows), [[0, 1, 2], [4, 5, 6]])
    assert by_group(rows.assign(by_group=["", ""])).shape == (2, 0)
    assert by_group(rows.assign(by_group=["0 1 2", "1 2"])).shape == (2, 0)


def test_an_interval_ends_where_its_statistic_does():
    assert within((0.9, 0.5, 1.3), -1, 1) == (0.9, 0.5, 1.0)
    assert math.isnan(within((0.9, math.nan, math.nan), -1, 1)[1])
