"""Leverage against the SVD, and the leave-out curve against measuring each remainder anew."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shapebook.experiments.dissect import smallest_share
from shapelib.geometry.leverage import leave_out, leverage


def by_svd(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Anisotropy and leverage of the centered points from a full decomposition."""
    u, s, _ = np.linalg.svd(x.astype(float) - x.mean(axis=0, dtype=float), full_matrices=False)
    return s[0] ** 2 / np.square(s).sum(), u[:, 0] ** 2


def planted(n: int, width: int, massive: int, ratio: float, seed: int) -> np.ndarray:
    """Isotropic points, of which some are long along one direction; shuffled."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, width)) + 3 * generator.standard_normal(width)
    direction = generator.standard_normal(width)
    x[generator.permutation(n)[:massive]] += ratio * direction
    return x.astype(np.float32)


@pytest.mark.parametrize(("n", "width"), [(300, 20), (300, 100), (60, 200)])
def test_leverage_is_the_first_left_singular_vector_squared(n: int, width: int):
    x = planted(n, width, 3, 5, seed=1)
    shares = leverage(x)
    np.testing.assert_allclose(shares, by_svd(x)[1], atol=1e-10)
    assert shares.sum() == pytest.approx(1, abs=1e-12)


def test_leverage_points_at_exactly_the_planted_rows():
    x = planted(1000, 64, 7, 300, seed=2)
    lengths = np.linalg.norm(x, axis=1)
    heaviest = np.argsort(-leverage(x))[:7]
    assert set(heaviest) == set(np.argsort(-lengths)[:7])
    assert smallest_share(leverage(x)) <= 7 / 1000
    found = leave_out(x)
    np.testing.assert_array_equal(np.sort(found.order[:7]), np.sort(heaviest))
    along = (x - x.mean(axis=0, dtype=float)) @ found.direction
    np.testing.assert_allclose(found.leverage, along**2 / (along**2).sum(), atol=1e-10)


@given(
    n=st.integers(40, 200),
    width=st.integers(2, 80),
    massive=st.integers(0, 6),
    ratio=st.sampled_from([1.0, 30.0, 1e3, 1e6]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=40, deadline=None)
def test_every_step_equals_measuring_what_is_left(
    n: int, width: int, massive: int, ratio: float, seed: int
):
    """To 1e-8, even where what is left out is a million times longer than what stays."""
    x = planted(n, width, massive, ratio, seed)
    found = leave_out(x, largest=0.2, steps=7)
    assert found.removed[0] == 0
    assert found.removed[-1] == int(0.2 * n)
    np.testing.assert_allclose(found.leverage, by_svd(x)[1], atol=1e-7)
    for removed, value in zip(found.removed, found.anisotropy, strict=True):
        left = np.delete(x, found.order[:removed], axis=0)
        assert value == pytest.approx(by_svd(left)[0], abs=1e-8)


def test_a_wide_matrix_and_a_torch_tensor():
    x = planted(80, 300, 2, 50, seed=3)
    found = leave_out(torch.from_numpy(x), largest=0.1, steps=4)
    for removed, value in zip(found.removed, found.anisotropy, strict=True):
        left = np.delete(x, found.order[:removed], axis=0)
        assert value == pytest.approx(by_svd(left)[0], abs=1e-8)


def test_a_plateau_falls_at_once_and_a_direction_of_all_stays():
    sink = planted(2000, 50, 20, 200, seed=4)
    curve = leave_out(sink).anisotropy
    assert curve[0] > 0.95
    # The first twenty are left out after four steps of 0.25 %.
    assert (curve[4:] < 0.05).all()
    shared = planted(2000, 50, 0, 0, seed=5)
    shared[:, 0] *= 30
    curve = leave_out(shared).anisotropy
    assert (curve > 0.9).all()


def test_few_points_have_few_steps():
    found = leave_out(planted(8, 3, 1, 50, seed=6), largest=0.3, steps=20)
    assert found.removed.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"largest": 0}, "largest must be a share"),
        ({"largest": 1.0}, "largest must be a share"),
        ({"steps": 0}, "steps must be at least 1"),
    ],
)
def test_settings_that_mean_nothing(wrong: dict, message: str):
    with pytest.raises(ValueError, match=message):
        leave_out(planted(50, 4, 1, 10, seed=0), **wrong)


def test_points_without_a_direction():
    with pytest.raises(ValueError, match="all 10 points are equal"):
        leverage(np.ones((10, 3)))
    one = np.ones((40, 3))
    one[7] = 5
    with pytest.raises(ValueError, match="those that are left, are all equal"):
        leave_out(one)
    with pytest.raises(ValueError, match="NaN"):
        leave_out(np.array([[1.0, 2], [np.nan, 3], [4, 5]]))
