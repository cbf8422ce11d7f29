"""Known answers for measures of the spectrum, and which of them a few points can move."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapelib.geometry.anisotropy import anisotropy
from shapelib.geometry.spectrum import (
    Spectrum,
    effective_rank,
    eigenvalue_shares,
    isoscore,
    participation_ratio,
    spectrum,
)


def cloud(n: int = 2000, width: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, width))


@pytest.mark.parametrize(("n", "width"), [(200, 10), (30, 80)])
def test_shares_are_those_of_the_covariance(n: int, width: int):
    x = cloud(n, width) * np.arange(1, width + 1)
    shares = eigenvalue_shares(x)
    expected = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    assert len(shares) == width
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=1e-12)
    assert shares[0] == pytest.approx(anisotropy(x), abs=1e-9)


@given(used=st.integers(1, 12), width=st.integers(12, 30))
@settings(deadline=None, max_examples=20)
def test_so_many_equal_directions_are_counted(used: int, width: int):
    shares = np.zeros(width)
    shares[:used] = 1 / used
    assert effective_rank(shares) == pytest.approx(used)
    assert participation_ratio(shares) == pytest.approx(used)
    assert isoscore(shares) == pytest.approx((used - 1) / (width - 1))


def test_effective_rank_by_hand():
    """σ = 3, 1: p = 3/4, 1/4."""
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert effective_rank(np.array([0.9, 0.1])) == pytest.approx(expected)


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=40))
@settings(deadline=None)
def test_isoscore_is_its_published_algorithm(eigenvalues: list[float]):
    """Steps 3 to 6 of Algorithm 1 of Rudman et al. (2022), as printed there."""
    values = np.sort(eigenvalues)[::-1]
    d = len(values)
    scaled = np.sqrt(d) * values / np.linalg.norm(values)
    defect = np.linalg.norm(scaled - 1) / np.sqrt(2 * (d - np.sqrt(d)))
    used = (d - defect**2 * (d - np.sqrt(d))) ** 2 / d**2
    expected = (d * used - 1) / (d - 1)
    assert isoscore(values / values.sum()) == pytest.approx(expected, abs=1e-9)


def test_an_isotropic_cloud():
    found = spectrum(cloud(20_000, 10))
    assert found.anisotropy == pytest.approx(0.1, abs=0.01)
    assert found.anisotropy_directions == pytest.approx(0.1, abs=0.01)
    # The median of a squared cosine in ten dimensions, from Beta(1/2, 9/2).
    assert found.anisotropy_median == pytest.approx(0.0506, abs=0.01)
    assert found.effective_rank == pytest.approx(10, abs=0.1)
    assert found.isoscore == pytest.approx(1, abs=0.01)


def test_what_one_percent_of_long_points_moves():
    x = cloud()
    before = spectrum(x)
    x[:20, 0] += 1000
    after = spectrum(x)
    robust = ("anisotropy_trimmed", "anisotropy_directions", "anisotropy_median")
    for name in robust:
        assert getattr(after, name) == pytest.approx(getattr(before, name), abs=0.02)
    moved = set(Spectrum._fields) - set(robust)
    for name in moved:
        ratio = getattr(after, name) / getattr(before, name)
        assert max(ratio, 1 / ratio) > 2, name
    assert after.anisotropy > 0.99
    assert after.participation_ratio < 1.02


def test_a_direction_that_all_points_share_moves_them_all():
    x = cloud()
    x[:, 3] *= 60
    found = spectrum(x)
    assert min(found.anisotropy, found.anisotropy_trimmed, found.anisotropy_directions) > 0.8
    assert found.anisotropy_median > 0.8


def test_points_on_the_median_have_no_direction_and_do_no_harm():
    x = cloud(101, 5)
    x[:60] = 0
    found = spectrum(x)
    assert np.isfinite(found).all()


def test_equal_points():
    with pytest.raises(ValueError, match="all 7 points are equal"):
        spectrum(np.ones((7, 3)))
