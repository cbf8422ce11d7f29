"""The maximum-likelihood dimension: by hand, against scikit-dimension, and without a bias."""

import warnings

import numpy as np
import pytest
import torch

from shapelib import mada, mle, nearest_neighbors
from shapelib.geometry.dimension import mada_from_distances
from shapelib.geometry.scale.robust import mle_from_distances


def poisson(n: int, d: float, seed: int, k: int = 20) -> np.ndarray:
    times = np.random.default_rng(seed).exponential(size=(n, k)).cumsum(axis=1)
    return times ** (1 / d)


def test_by_hand():
    distances = np.array([[1.0, 2, 4], [1, 1, 8]])
    total = np.log([4 / 1, 4 / 2, 8, 8]).sum()
    found = mle_from_distances(distances)
    assert found.value == pytest.approx(2 * 2 / total)
    assert found.stderr == pytest.approx(found.value / 2)


@pytest.mark.parametrize("k", [5, 20])
def test_equals_scikit_dimension(k: int):
    with warnings.catch_warnings():
        import skdim

        x = np.random.default_rng(3).uniform(size=(300, 4))
        theirs = skdim.id.MLE().fit(x, n_neighbors=k, comb="mle").dimension_
    assert mle(x, k).value == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("d", [2.0, 12.0, 30.0])
def test_exact_neighbourhoods_give_their_dimension_and_its_error(d: float):
    draws = [mle_from_distances(poisson(200, d, seed)) for seed in range(150)]
    off = np.array([(each.value - d) / each.stderr for each in draws])
    assert abs(off.mean()) < 0.35
    assert np.abs(off.std() - 1) < 0.2
    assert abs((np.abs(off) < 2).mean() - 0.954) < 0.052


def test_the_median_of_mada_has_no_bias_where_its_mean_has():
    distances = poisson(40_000, 10, 0)
    assert mada_from_distances(distances, "median") == pytest.approx(10, rel=0.01)
    assert mada_from_distances(distances, "mean") > 10.5


def test_a_few_points_in_odd_places_move_the_mean_alone():
    x = np.random.default_rng(0).uniform(size=(1000, 3))
    odd = x.copy()
    odd[:10, 0] = 100 * np.arange(1, 11)
    assert mada(odd) > 10 * mada(x)
    assert mada(odd, average="median") == pytest.approx(mada(x, average="median"), rel=0.03)


def test_copies_unit_and_type_do_not_matter():
    x = np.random.default_rng(1).standard_normal((300, 5)).astype(np.float32)
    expected = mle(x)
    assert mle(torch.from_numpy(x)) == expected
    assert mle(np.vstack([x, x[:20]])).value == pytest.approx(expected.value)
    assert mle(x.astype(float) * 1e3).value == pytest.approx(expected.value)
    assert mle_from_distances(nearest_neighbors(x, 20).distances) == expected


def test_bad_input():
    with pytest.raises(ValueError, match="whole k of at least 2, got 1"):
        mle(np.eye(5), 1)
    with pytest.raises(ValueError, match=r"each of 50 points are equally far.*grid"):
        mle(np.eye(50), 5)
    with pytest.raises(ValueError, match=r"20 neighbours need at least 22 .*got 1"):
        mle(np.full((50, 3), 2.0))
