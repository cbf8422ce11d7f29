"""Two representations of the same points: what their neighbourhoods have in common."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapelib import information_imbalance, nearest_neighbors, overlap
from shapelib.errors import ShapelibError
from shapelib.geometry.scale.overlap import Near, compared, near_rows


def ranks(x: np.ndarray) -> np.ndarray:
    """Who is nearest to whom, all of them, itself left out: by force."""
    gaps = np.linalg.norm(x[:, None] - x[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    return np.argsort(gaps, axis=1, kind="stable")[:, :-1]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(30, 120), st.integers(1, 10))
def test_by_force(seed: int, n: int, k: int):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    y = x[:, :2] + 0.3 * rng.standard_normal((n, 2))
    a, b = ranks(x), ranks(y)
    shared = np.mean([len({*a[i, :k]} & {*b[i, :k]}) / k for i in range(n)])
    assert overlap(x, y, k) == pytest.approx(shared, rel=1e-12)
    places = [int(np.flatnonzero(b[i] == a[i, 0])[0]) + 1 for i in range(n)]
    # All ranks but the last two are searched.
    most = n - 2
    known = [place if place <= most else (most + n) / 2 for place in places]
    assert information_imbalance(x, y, most) == pytest.approx(2 / n * np.mean(known), rel=1e-12)


def test_the_same_and_the_unrelated():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1500, 5)), rng.standard_normal((1500, 5))
    assert overlap(x, 5 * x + 1) == 1
    assert information_imbalance(x, 5 * x + 1) == pytest.approx(2 / 1500)
    assert overlap(x, y, 20) == pytest.approx(20 / 1499, rel=0.15)
    assert information_imbalance(x, y) == pytest.approx(1, abs=0.06)


def test_what_one_cloud_knows_and_the_other_does_not():
    x = np.random.default_rng(1).standard_normal((800, 4))
    assert information_imbalance(x, x[:, :2]) < 0.6 * information_imbalance(x[:, :2], x)
    assert overlap(x, x[:, :2]) == overlap(x[:, :2], x)


def test_copies_in_one_cloud_leave_the_neighbours_among_those_distinct_in_both():
    rng = np.random.default_rng(2)
    types, n = 60, 240
    token = np.concatenate([rng.permutation(types), rng.integers(0, types, n - types)])
    embedding = rng.standard_normal((types, 4))[token]
    context = embedding + 0.5 * rng.standard_normal((n, 4))
    first = np.unique(token, return_index=True)[1]
    expected = overlap(embedding[first], context[first], 5)
    assert overlap(embedding, context, 5) == pytest.approx(expected, rel=1e-12)
    # Searched for enough of them, what is left of each list is that of the first occurrences.
    a = near_rows(nearest_neighbors(embedding, types - 2), types - 2)
    b = near_rows(nearest_neighbors(context, n - 2), n - 2)
    found = compared(a, b, 5)
    assert np.nanmean(found.shared) == pytest.approx(expected, rel=1e-12)
    back = compared(b, a, 5)
    assert np.isnan(back.shared).sum() == n - types
    assert np.nanmean(back.shared) == pytest.approx(np.nanmean(found.shared), rel=1e-12)
    assert np.nanmean(back.rank) == pytest.approx(
        information_imbalance(context[first], embedding[first], types - 2), rel=1e-12
    )


def test_by_hand_with_rows_that_only_one_cloud_has():
    a = Near(np.array([3, 5, 7, 9]), np.array([[5, 9, 7], [7, 3, 9], [5, 9, 3], [7, 3, 5]]))
    b = Near(np.array([3, 5, 9, 11]), np.array([[11, 9, 5], [11, 3, 9], [5, 11, 3], [9, 5, 3]]))
    # In both: 3, 5 and 9, whose lists are 5 9 | 9 5, 3 9 | 3 9 and 3 5 | 5 3.
    found = compared(a, b, 1)
    assert found.shared.tolist()[:2] == [0, 1]
    assert np.isnan(found.shared[2])
    assert found.shared[3] == 0
    assert found.rank[[0, 1, 3]] * 3 / 2 == pytest.approx([2, 1, 2])
    assert np.nanmean(compared(a, b, 2).shared) == 1
    # Too few are left of each list.
    assert np.isnan(compared(a, b, 3).shared).all()


def test_bad_input():
    x = np.random.default_rng(0).standard_normal((60, 3))
    with pytest.raises(ShapelibError, match="same points are compared; got 60 and 59 rows"):
        overlap(x, x[:-1])
    copied = np.vstack([x[:30], x[:30]])
    with pytest.raises(ValueError, match="30 neighbours need at least 32 distinct points, got 30"):
        overlap(copied, x, 30)
    with pytest.raises(ValueError, match="100 neighbours need at least 102"):
        information_imbalance(x, x)
