"""Planted massive rows are found, exactly, wherever the cloud lies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapelib.geometry.massive import massive_rows


def cloud(n: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)


@given(
    n=st.integers(50, 400),
    share=st.floats(0, 0.4),
    ratio=st.floats(15, 1e5),
    offset=st.floats(0, 1e3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_planted_rows_are_found_and_no_others(
    n: int, share: float, ratio: float, offset: float, seed: int
):
    """All in one direction, which drags the mean as a sink does."""
    generator = np.random.default_rng(seed)
    width = 64
    x = generator.standard_normal((n, width))
    planted = np.zeros(n, dtype=bool)
    planted[generator.permutation(n)[: int(share * n)]] = True
    direction = generator.standard_normal(width)
    direction /= np.linalg.norm(direction)
    # The median is over all rows, so the planted share raises it: by well under a half here.
    x[planted] += 1.5 * ratio * np.sqrt(width) * direction
    x += offset * generator.standard_normal(width)
    np.testing.assert_array_equal(massive_rows(x.astype(np.float32)), planted)


def test_isotropic_rows_hold_none():
    assert not massive_rows(cloud(2000, 32)).any()


def test_the_mean_alone_would_miss_them():
    """A tenth of the rows, 30 times as long: the mean moves so far that their ratio drops below."""
    x = cloud(1000, 64)
    x[:100, 0] += 30 * 8
    from_mean = np.linalg.norm(x - x.mean(axis=0), axis=1)
    assert (from_mean[:100] < 10 * np.median(from_mean)).all()
    np.testing.assert_array_equal(massive_rows(x), np.arange(1000) < 100)


def test_the_result_reproduces_itself():
    x = cloud(500, 16) * np.random.default_rng(1).pareto(1.2, (500, 1)).astype(np.float32)
    found = massive_rows(x)
    lengths = np.linalg.norm(x.astype(float) - x[~found].mean(axis=0, dtype=float), axis=1)
    assert 0 < found.sum() < 250
    np.testing.assert_array_equal(found, lengths > 10 * np.median(lengths))


def test_a_smaller_factor_finds_more():
    x = cloud(1000, 64)
    x[:10, 0] += 7 * 8
    x[10:20, 0] += 15 * 8
    x[20:30, 0] += 40 * 8
    assert [int(massive_rows(x, factor).sum()) for factor in (5, 10, 20)] == [30, 20, 10]


def test_equal_rows_are_not_massive():
    assert not massive_rows(np.ones((10, 3), np.float32)).any()


@pytest.mark.parametrize("factor", [1, 0.5, float("nan")])
def test_a_factor_that_means_nothing(factor: float):
    with pytest.raises(ValueError, match="factor must be greater than 1"):
        massive_rows(cloud(10, 4), factor)


def test_too_few_rows_and_rows_that_are_not_finite():
    with pytest.raises(ValueError, match="at least two rows"):
        massive_rows(cloud(1, 4))
    x = cloud(10, 4)
    x[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        massive_rows(x)
