"""The neighbour search against float64 brute force, on ordinary and on adversarial points."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from shapelib import nearest_neighbors
from shapelib.neighbors import Neighbors

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def brute_force(x: np.ndarray, k: int) -> np.ndarray:
    """Distances of each distinct point (in lexical order) to its k nearest, in float64."""
    x = np.unique(np.asarray(x, dtype=np.float64), axis=0)
    rows = []
    for i, point in enumerate(x):
        gaps = np.sqrt(((x - point) ** 2).sum(axis=1))
        rows.append(np.sort(np.delete(gaps, i))[:k])
    return np.array(rows)


def check(x: np.ndarray, k: int) -> Neighbors:
    """`nearest_neighbors(x, k)`, after everything it says was compared with brute force."""
    found = nearest_neighbors(x, k)
    distinct = found.distinct.double().numpy()
    assert np.array_equal(sorted(map(tuple, distinct)), np.unique(x.astype(np.float64), axis=0))
    order = np.lexsort(distinct.T[::-1])
    np.testing.assert_allclose(found.distances.numpy()[order], brute_force(x, k), rtol=1e-9)
    # The indices are those of the distances: other points, none twice, nearest first.
    indices = found.indices.numpy()
    np.testing.assert_allclose(
        np.linalg.norm(distinct[indices] - distinct[:, None], axis=2), found.distances, rtol=1e-9
    )
    assert (indices != np.arange(len(distinct))[:, None]).all()
    assert all(len(set(row)) == k for row in indices)
    assert (np.diff(found.distances.numpy(), axis=1) >= 0).all()
    assert found.distances.dtype == torch.float64
    assert int(found.multiplicity.sum()) == len(x)
    return found


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


# Known answers


def test_four_points_by_hand() -> None:
    found = check(np.array([[0.0, 0], [3, 0], [0, 4], [30, 40]]), 2)
    nearest = {
        tuple(point): row.tolist()
        for point, row in zip(found.distinct.numpy(), found.distances, strict=True)
    }
    assert nearest[(0.0, 0.0)] == [3.0, 4.0]
    assert nearest[(3.0, 0.0)] == [3.0, 5.0]
    assert found.duplicates == 0


@pytest.mark.parametrize(("n", "d", "k"), [(4, 2, 2), (37, 3, 5), (515, 24, 20), (1025, 40, 20)])
def test_ordinary_points(n: int, d: int, k: int) -> None:
    check(normal(n, d), k)


def test_a_large_common_offset() -> None:
    check(normal(700, 32) + np.float32(3000), 20)


def test_massive_rows() -> None:
    x = normal(700, 32)
    x[::100] *= 200
    check(x, 20)
    x[::100] += 3000
    check(x, 20)


def test_one_massive_coordinate() -> None:
    x = normal(600, 48)
    x[:, 5] *= 1000
    check(x, 10)


def test_near_duplicates_are_neighbours_not_copies() -> None:
    x = normal(300, 16)
    twins = np.nextafter(x, np.float32(np.inf))
    found = check(np.vstack([x, twins]), 3)
    assert found.duplicates == 0
    assert float(found.distances[:, 0].max()) < 1e-5


def test_copies_are_removed_and_counted() -> None:
    x = normal(50, 8)
    found = check(np.vstack([x, x[:10], x[:10], x[3:4]]), 4)
    assert found.duplicates == 21
    assert len(found.distinct) == 50
    assert sorted(found.multiplicity.tolist()) == [1] * 40 + [3] * 9 + [4]
    assert float(found.distances.min()) > 0


def test_minus_zero_is_zero() -> None:
    found = check(np.array([[0.0, 1], [-0.0, 1], [2, 2], [5, 5], [9, 1]]), 2)
    assert found.duplicates == 1


def test_ties_on_a_grid() -> None:
    side = np.arange(12, dtype=np.float32)
    found = check(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2), 8)
    assert set(found.distances[:, 0].tolist()) == {1.0}


def test_collinear_points() -> None:
    steps = np.random.default_rng(5).uniform(-1, 1, (400, 1))
    check((steps * np.arange(1.0, 21.0)).astype(np.float32), 6)


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_tiny_and_huge_scales(scale: float) -> None:
    check(normal(200, 12) * np.float32(scale), 5)


# Properties

coordinates = st.one_of(
    st.floats(-10, 10, width=32, allow_subnormal=False),
    st.sampled_from([0.0, 1.0, -1.0, 3000.0, 3000.001, -1e6, 1e-4]),
)


@settings(max_examples=60, deadline=None)
@given(
    npst.arrays(np.float32, st.tuples(st.integers(5, 24), st.integers(2, 6)), elements=coordinates),
    st.integers(1, 3),
    st.sampled_from([0.0, 3000.0, -1e5]),
)
def test_any_points_equal_brute_force(x: np.ndarray, k: int, offset: float) -> None:
    x = x + np.float32(offset)
    if len(np.unique(x, axis=0)) <= k + 1:
        return
    check(x, k)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(60, 200),
    st.sampled_from([0.0, 3000.0]),
    st.sampled_from([1.0, 200.0, 1e5]),
    st.integers(0, 20),
)
def test_random_adversaries(seed: int, n: int, offset: float, massive: float, copies: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 8)).astype(np.float32)
    x[rng.integers(0, n, 2)] *= np.float32(massive)
    x = np.vstack([x, x[:copies], x[:5] * np.float32(1 + 1e-6)]) + np.float32(offset)
    check(x, 7)


# What comes in


def test_tensor_and_array_alike() -> None:
    x = normal(90, 7)
    for one in (torch.from_numpy(x), torch.from_numpy(x).requires_grad_(), x.astype(np.float64)):
        assert torch.equal(nearest_neighbors(one, 3).distances, nearest_neighbors(x, 3).distances)
    wide = np.asfortranarray(normal(90, 14))
    found = nearest_neighbors(wide[:, ::2], 3).distances
    assert torch.equal(found, nearest_neighbors(wide[:, ::2].copy(), 3).distances)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int16, torch.int64])
def test_narrow_types_are_promoted_not_computed_in(dtype: torch.dtype) -> None:
    x = torch.from_numpy(normal(150, 12) * 300).to(dtype)
    found = nearest_neighbors(x, 4)
    expected = np.sort(brute_force(x.double().numpy(), 4), axis=0)
    np.testing.assert_allclose(np.sort(found.distances.numpy(), axis=0), expected, rtol=1e-9)


def test_what_comes_in_stays_as_it_was() -> None:
    x = torch.from_numpy(normal(60, 5) + 100)
    before = x.clone()
    nearest_neighbors(x, 3)
    assert torch.equal(x, before)


@cuda
def test_cuda_agrees() -> None:
    x = torch.from_numpy(normal(700, 32))
    x[::100] *= 200
    here, there = nearest_neighbors(x, 20), nearest_neighbors(x.cuda(), 20)
    assert there.distances.is_cuda
    torch.testing.assert_close(
        here.distances.sort(dim=0).values,
        there.distances.cpu().sort(dim=0).values,
        rtol=1e-6,
        atol=0,
    )


# Bad input


def test_k_below_one() -> None:
    with pytest.raises(ValueError, match=r"k.*at least 1.*got 0"):
        nearest_neighbors(normal(9, 3), 0)
    with pytest.raises(ValueError, match=r"k.*at least 1.*got -2"):
        nearest_neighbors(normal(9, 3), -2)


def test_too_few_points_for_k() -> None:
    with pytest.raises(ValueError, match=r"9 neighbours.*got 9"):
        nearest_neighbors(normal(9, 3), 9)
    with pytest.raises(ValueError, match=r"5 neighbours.*got 4.*16 of 20.*copies"):
        nearest_neighbors(np.tile(normal(4, 3), (5, 1)), 5)
    with pytest.raises(ValueError, match=r"got 1 .*19 of 20"):
        nearest_neighbors(np.full((20, 3), 0.1), 2)


def test_points_that_are_no_points() -> None:
    x = normal(30, 6)
    x[4, 2] = np.nan
    x[9] = np.inf
    with pytest.raises(ValueError, match=r"2 points.*row 4"):
        nearest_neighbors(x, 2)
    with pytest.raises(ValueError, match=r"matrix.*\(30,\)"):
        nearest_neighbors(x[:, 0], 2)
    with pytest.raises(ValueError, match="complex"):
        nearest_neighbors(x.astype(complex), 2)
    with pytest.raises(ValueError, match="bool"):
        nearest_neighbors(torch.ones(9, 3, dtype=torch.bool), 2)
