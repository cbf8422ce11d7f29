"""The dimension along scale: exact neighbourhoods, DADApy's values, manifolds that are known."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar

from shapelib import decimated, gride, nearest_neighbors, plateau, two_nn
from shapelib.errors import ShapelibError
from shapelib.geometry.dimension import Estimate, dimensions, two_nn_from_distances
from shapelib.geometry.scale import likelihood
from shapelib.geometry.scale.curves import SCALES, Curve, gride_from_distances, subset


def poisson(n: int, d: float, seed: int, k: int = 128) -> np.ndarray:
    """Distances of n independent neighbourhoods: the volumes within r₁, r₂ … are Poisson times."""
    times = np.random.default_rng(seed).exponential(size=(n, k)).cumsum(axis=1)
    return times ** (1 / d)


def values(curve: Curve) -> np.ndarray:
    return np.array([each.value for each in curve.estimates])


def errors(curve: Curve) -> np.ndarray:
    return np.array([each.stderr for each in curve.estimates])


# Exact neighbourhoods


@pytest.mark.parametrize("d", [2.0, 7.5, 30.0])
def test_exact_neighbourhoods_give_their_dimension_within_two_standard_errors(d: float):
    draws = 150
    found = [gride_from_distances(poisson(400, d, seed)) for seed in range(draws)]
    off = np.array([(values(each) - d) / errors(each) for each in found])
    inside = (np.abs(off) <= 2).mean(axis=0)
    # 95.4 % of draws, and what 150 of them can miss it by: three times √(0.954 · 0.046 / 150).
    assert (np.abs(inside - 0.954) < 0.052).all(), inside
    # The errors are neither too small nor too large, and the middle is where it should be.
    assert (np.abs(off.std(axis=0) - 1) < 0.25).all()
    assert (np.abs(off.mean(axis=0)) < 4 / np.sqrt(draws) + 0.1).all()


def test_the_finest_scale_in_closed_form():
    distances = poisson(300, 5, 0, 2)
    logs = np.log(distances[:, 1] / distances[:, 0])
    (found,) = gride_from_distances(distances, [1]).estimates
    assert found.value == pytest.approx(300 / logs.sum(), rel=1e-12)
    assert found.stderr == pytest.approx(found.value / np.sqrt(300), rel=1e-12)
    # TwoNN's likelihood is without bias: one point fewer.
    unbiased = two_nn_from_distances(distances, 0, "mle")
    assert found.value * 299 / 300 == pytest.approx(unbiased, rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 8, 64])
def test_it_is_the_maximum_of_the_density_as_it_is_printed(n: int):
    """By scipy, from the density of μ itself and second differences."""
    distances = poisson(200, 6, n)
    mu = distances[:, 2 * n - 1] / distances[:, n - 1]

    def loss(d: float) -> float:
        return -float(
            len(mu) * np.log(d)
            + (n - 1) * np.log(mu**d - 1).sum()
            - ((2 * n - 1) * d + 1) * np.log(mu).sum()
        )

    best = minimize_scalar(loss, bounds=(1, 30), method="bounded", options={"xatol": 1e-9}).x
    (found,) = gride_from_distances(distances, [n]).estimates
    assert found.value == pytest.approx(best, rel=1e-6)
    step = 1e-3
    curvature = (loss(best + step) - 2 * loss(best) + loss(best - step)) / step**2
    assert found.stderr == pytest.approx(curvature**-0.5, rel=1e-3)


def test_slopes_are_the_derivatives_and_survive_the_ends():
    logs = np.array([0.0, 1e-300, 1e-9, 0.2, 3.0, 1e3])
    for d in (1e-3, 1.0, 50.0, 1e4):
        first, second = likelihood._slopes(logs, d)
        assert np.isfinite([first, second]).all()
        h = 1e-5 * d
        numeric = (likelihood._slopes(logs, d + h)[0] - likelihood._slopes(logs, d - h)[0]) / (
            2 * h
        )
        assert -second == pytest.approx(numeric, rel=1e-5)


# DADApy 0.3.4 (NumPy 1.26.4, SciPy 1.17.1), Data(x, maxk=200).return_id_scaling_gride(
# range_max=128, eps=1e-12): value and error at each of seven scales, of `clouds`.
DADAPY = {
    "gaussian": (
        [4.96328705421176, 4.924030625867173, 4.839089002287746, 4.932537175024214,
         4.800010837767564, 4.670133371494472, 4.402243922252206],
        [0.15695291772536774, 0.11222780363476605, 0.07818447866263194, 0.05633554614955238,
         0.03874493203194459, 0.02664905329658393, 0.017758166236944862],
    ),
    "cube": (
        [2.9452826481803642, 2.816676991192777, 2.884336902705039, 2.78278809887067,
         2.7096868721407885, 2.606315975177149, 2.5675938995398626],
        [0.0931380152122233, 0.06420618061631031, 0.04660347419803682, 0.03178597321396265,
         0.021871069686132203, 0.014871524378876013, 0.010357510132882403],
    ),
    "noisy torus": (
        [3.398098115054596, 2.5066561803206096, 2.2907512867202975, 2.1712462425850063,
         2.107841191028176, 2.133258696520878, 2.1659534099863205],
        [0.10745729756297429, 0.05708651458218537, 0.037005363028089364, 0.02478715569892243,
         0.017009213748908163, 0.01216924598625544, 0.008735355551288546],
    ),
}  # fmt: skip


def clouds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(18)
    gaussian = rng.standard_normal((1000, 5))
    cube = np.hstack([rng.uniform(size=(1000, 3)), np.zeros((1000, 7))])
    angles = rng.uniform(0, 2 * np.pi, (1000, 2))
    torus = np.hstack([np.cos(angles), np.sin(angles), np.zeros((1000, 6))])
    return {
        "gaussian": gaussian, "cube": cube,
        "noisy torus": torus + 0.02 * rng.standard_normal((1000, 10)),
    }  # fmt: skip


def test_the_values_of_dadapy():
    """DADApy counts one point fewer in N/d, as one would for TwoNN: so are ours compared, and the
    rest of the formula is the same."""
    sums = {"gaussian": -79.34046930798638, "cube": 1521.5168669978557,
            "noisy torus": -11.163913508393877}  # fmt: skip
    for name, x in clouds().items():
        assert x.sum() == pytest.approx(sums[name], rel=1e-9), (
            "not the points that DADApy was given"
        )
        distances = nearest_neighbors(x, 128).distances.numpy()
        curve = gride_from_distances(distances)
        theirs = zip(SCALES, *DADAPY[name], strict=True)
        for (n, value, error), ours in zip(theirs, curve.estimates, strict=True):
            logs = np.log(distances[:, 2 * n - 1] / distances[:, n - 1])

            def slope(d: float, n: int = n, logs: np.ndarray = logs) -> float:
                return 999 / d - n * logs.sum() + (n - 1) * likelihood._slopes(logs, d)[0]

            assert brentq(slope, 1, 20, xtol=1e-12) == pytest.approx(value, rel=1e-6)
            seen = 1000 / value**2 + (n - 1) * likelihood._slopes(logs, value)[1]
            assert seen**-0.5 == pytest.approx(error, rel=1e-6)
            # One point of a thousand: as they are, the two lie within 1/N.
            assert ours.value == pytest.approx(value, rel=1.1e-3)
            assert ours.stderr == pytest.approx(error, rel=1.1e-3)


# Manifolds


def test_noise_below_its_scale_and_the_manifold_above():
    rng = np.random.default_rng(0)
    sheet = 0.004 * rng.standard_normal((4000, 10))
    sheet[:, :2] += rng.uniform(size=(4000, 2))
    by_scale = values(gride(sheet))
    assert by_scale[0] > 5
    assert 1.8 < by_scale[-1] < 2.2
    assert (np.diff(by_scale) < 0).all()
    assert plateau(gride(sheet, (1, 2, 4))) is None
    # Fewer points, farther neighbours: the noise is seen less.
    along = values(decimated(sheet, (1, 0.5, 0.25, 0.1))["two_nn"])
    assert (np.diff(along) < 0).all()
    assert along[0] > 1.5 * along[-1]


def test_a_flat_torus_has_a_plateau_and_its_edges_none():
    angles = np.random.default_rng(1).uniform(0, 2 * np.pi, (3000, 3))
    found = plateau(gride(np.hstack([np.cos(angles), np.sin(angles)]), (1, 2, 4, 8)))
    assert found is not None
    assert (found.first, found.last) == (1, 8)
    assert found.value == pytest.approx(3, abs=0.1)
    # A ball of twenty dimensions is all edge.
    x = np.random.default_rng(1).standard_normal((3000, 20))
    assert plateau(gride(x, (4, 8, 16, 32, 64))) is None


def test_decimation_is_twonn_of_nested_subsets_that_depend_on_the_number_of_points_alone():
    x = np.random.default_rng(2).standard_normal((1200, 4))
    half, quarter = subset(1200, 0.5, seed=3), subset(1200, 0.25, seed=3)
    assert set(quarter) < set(half)
    assert len(half) == 600
    assert not np.array_equal(half, subset(1200, 0.5, seed=4))
    found = decimated(x, (1, 0.5, 0.25), seed=3)
    for place, rows in enumerate((np.arange(1200), half, quarter)):
        expected = dimensions(x[rows]).estimates
        assert found["two_nn"].estimates[place] == expected["two_nn"]
        assert found["mada_k20"].estimates[place] == expected["mada_k20"]
        assert found["two_nn"].points[place] == len(rows)
    assert (np.diff(found["two_nn"].radii) > 0).all()
    # What is in the rows does not matter to which are drawn: another layer, the same tokens.
    other = decimated(x @ np.diag([1, 2, 3, 4]), (0.25,), seed=3)["two_nn"]
    assert other.estimates[0].value == two_nn((x @ np.diag([1, 2, 3, 4]))[quarter])


# Plateaus by hand


def curve(*pairs: tuple[float, float]) -> Curve:
    scales = tuple(2.0**i for i in range(len(pairs)))
    estimates = tuple(Estimate(*pair) for pair in pairs)
    return Curve("gride", scales, estimates, scales, (1000,) * len(pairs))


def test_the_widest_range_without_a_change():
    falling = curve((9, 0.1), (7, 0.1), (5, 0.1), (5.1, 0.1), (4.9, 0.1), (4, 0.1))
    found = plateau(falling)
    assert found is not None
    assert (found.first, found.last) == (4, 16)
    assert found.value == pytest.approx(5)
    assert found.stderr == 0.1
    # A slow fall is no plateau, though each step is within its error.
    slow = curve(*((9 - 0.4 * step, 0.1) for step in range(7)))
    found = plateau(slow)
    assert found is None
    # The limit is 3.4 √2 errors of a difference.
    assert plateau(curve((5, 0.1), (5, 0.1), (5.48, 0.1))) is not None
    assert plateau(curve((5, 0.1), (5, 0.1), (5.49, 0.1))) is None
    # Two scales alone are no range.
    assert plateau(curve((5, 0.1), (5, 0.1))) is None


def test_the_sharper_estimates_count_more_and_the_flatter_range_wins():
    found = plateau(curve((5, 0.3), (5, 0.3), (5.3, 0.1), (9, 0.1), (6, 0.3), (6, 0.3), (6.1, 0.1)))
    assert found is not None
    assert (found.first, found.last) == (16, 64)
    weights = np.array([1 / 0.09, 1 / 0.09, 100])
    assert found.value == pytest.approx(np.average([6, 6, 6.1], weights=weights))


# Properties


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(40, 90), st.floats(1e-3, 1e3))
def test_neither_unit_nor_order_nor_turn_nor_copies_matter(seed: int, d: int, n: int, unit: float):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    turn, _ = np.linalg.qr(rng.standard_normal((d, d)))
    expected = values(gride(x, (1, 4, 16)))
    for same in (x * unit, x @ turn, x[::-1].copy(), x + 10, np.vstack([x, x[:7]])):
        assert values(gride(same, (1, 4, 16))) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5))
def test_powers_of_the_distances_divide_the_dimension(seed: int, power: float):
    distances = poisson(100, 4, seed, 32)
    scales = (1, 4, 16)
    before = gride_from_distances(distances, scales)
    after = gride_from_distances(distances**power, scales)
    assert values(after) == pytest.approx(values(before) / power, rel=1e-9)
    assert errors(after) == pytest.approx(errors(before) / power, rel=1e-6)


def test_a_search_for_more_changes_nothing_and_types_are_promoted():
    x = np.random.default_rng(5).standard_normal((400, 6)).astype(np.float32)
    found = nearest_neighbors(x, 64)
    assert gride(x, (1, 2, 4)) == gride_from_distances(found.distances, (1, 2, 4))
    assert gride(torch.from_numpy(x), (1, 2)) == gride(x, (1, 2)) == gride(x.astype(float), (1, 2))
    radii = gride(x, (1, 2, 4)).radii
    assert radii == tuple(np.median(found.distances[:, 2 * n - 1]) for n in (1, 2, 4))


# Bad input


def test_scales_beyond_the_neighbours_there_are():
    with pytest.raises(ShapelibError, match=r"scale 64 needs 128 neighbours.*130.*got 100 \(0 of"):
        gride(np.random.default_rng(0).standard_normal((100, 3)))
    with pytest.raises(ShapelibError, match=r"scale 8 needs the distances to 16 .* there are 10"):
        gride_from_distances(poisson(50, 3, 0, 10), (1, 8))


@pytest.mark.parametrize("scales", [(), (0, 1), (2, 1), (1, 1), (1.5,), (True,)])
def test_scales_that_are_none(scales: Any):
    with pytest.raises(ShapelibError, match="rising whole numbers of at least 1"):
        gride(np.eye(5), scales)


def test_all_copies_and_points_on_a_grid():
    with pytest.raises(ShapelibError, match=r"got 1 \(399 of 400 are exact copies\)"):
        gride(np.full((400, 3), 0.5))
    with pytest.raises(ShapelibError, match=r"a share of 1 of 400 points leaves 1 distinct"):
        decimated(np.full((400, 3), 0.5))
    with pytest.raises(ShapelibError, match=r"at scale 1 neighbours 1 and 2 of all 50 .* grid"):
        gride(np.eye(50), (1,))


def test_fewer_than_two_hundred_points_after_decimation():
    x = np.random.default_rng(0).standard_normal((1000, 3))
    with pytest.raises(ShapelibError, match=r"a share of 0\.125 of 1000 points leaves 125 .* 200"):
        decimated(x)
    assert decimated(x, (1, 0.2))["two_nn"].points == (1000, 200)


@pytest.mark.parametrize("fractions", [(), (0.5, 1), (2.0, 1.0), (1, 0), (1, 1), (float("nan"),)])
def test_fractions_that_do_not_fall(fractions: Any):
    with pytest.raises(ShapelibError, match="fractions must fall from 1"):
        decimated(np.eye(300), fractions)
