"""Dimension estimates against closed forms, scikit-dimension, and points of known dimension."""

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import cube

from shapelib import dimensions, mada, mom, nearest_neighbors, two_nn
from shapelib.geometry.dimension import (
    AUTHORS_DISCARD,
    FACCO_DISCARD,
    dimensions_from_distances,
    mada_from_distances,
    mom_from_distances,
    two_nn_from_distances,
)

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(scope="session")
def skdim() -> Iterator[ModuleType]:
    """scikit-dimension, without its global ``warnings.filterwarnings("ignore")``."""
    with warnings.catch_warnings():
        import skdim

        yield skdim


def pareto(n: int, d: float, seed: int = 0) -> torch.Tensor:
    """Distances to two neighbours whose ratio follows F(μ) = 1 − μ^(−d) exactly."""
    rng = np.random.default_rng(seed)
    first = rng.uniform(0.5, 2.0, n)
    return torch.from_numpy(np.stack([first, first * rng.uniform(0, 1, n) ** (-1 / d)], axis=1))


# Known answers


@pytest.mark.parametrize("d", [1.5, 5, 20])
@pytest.mark.parametrize("discard", [0.0, FACCO_DISCARD, AUTHORS_DISCARD])
def test_exact_pareto_ratios_give_their_dimension(d: float, discard: float) -> None:
    n = 4000
    values = [two_nn_from_distances(pareto(n, d, seed), discard) for seed in range(20)]
    # Few ratios kept, few to learn from; the line is within 1.6 of the best possible spread.
    expected = d / np.sqrt(n * (1 - discard))
    assert abs(np.mean(values) - d) < 4 * expected / np.sqrt(len(values)) + 0.01 * d
    assert expected / 2 < np.std(values) < 2.2 * expected


def test_the_spread_is_d_over_root_n() -> None:
    n, d = 2500, 10
    values = [two_nn_from_distances(pareto(n, d, seed), 0.1) for seed in range(100)]
    assert np.std(values) == pytest.approx(d / np.sqrt(n), rel=0.3)


def test_the_line_by_hand() -> None:
    # ln μ = 1, 2, 3, 4 for four points; three are kept, F = 1/4, 2/4, 3/4.
    distances = torch.tensor([[1.0, np.e**i] for i in (3, 1, 4, 2)], dtype=torch.float64)
    y = -np.log(1 - np.array([0.25, 0.5, 0.75]))
    expected = (1 * y[0] + 2 * y[1] + 3 * y[2]) / (1 + 4 + 9)
    assert two_nn_from_distances(distances, 0.1) == pytest.approx(expected, rel=1e-12)
    # Two kept.
    assert two_nn_from_distances(distances, 0.5) == pytest.approx((y[0] + 2 * y[1]) / 5, rel=1e-12)


def test_more_columns_than_two_do_not_matter() -> None:
    found = nearest_neighbors(cube(300, 4, 9), 6)
    assert two_nn_from_distances(found.distances) == two_nn_from_distances(found.distances[:, :2])


def test_recorded_values_of_scikit_dimension(skdim: ModuleType) -> None:
    ball = skdim.datasets.hyperBall(500, 5, random_state=0)
    assert two_nn(ball) == pytest.approx(4.159093274086606, rel=1e-9)
    sphere = skdim.datasets.hyperSphere(500, 30, random_state=1)
    assert two_nn(sphere) == pytest.approx(21.534662028474745, rel=1e-9)


@pytest.mark.parametrize("discard", [0.05, 0.1, 0.5, 0.8])
def test_equals_scikit_dimension_now(skdim: ModuleType, discard: float) -> None:
    for x in (cube(400, 3, 30, seed=1), np.random.default_rng(2).standard_normal((300, 12))):
        theirs = skdim.id.TwoNN(discard_fraction=discard).fit(x).dimension_
        assert two_nn(x, discard) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("discard", [0.0, 0.1, 0.5, 0.8])
def test_the_likelihood_equals_scikit_dimension(skdim: ModuleType, discard: float) -> None:
    for x in (cube(400, 3, 30, seed=1), np.random.default_rng(2).standard_normal((300, 12))):
        with np.errstate(divide="ignore"):
            theirs = skdim.id.TwoNN(discard_fraction=discard, method="mle").fit(x).dimension_
        assert two_nn(x, discard, method="mle") == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("k", [2, 7, 20])
def test_mada_equals_scikit_dimension(skdim: ModuleType, k: int) -> None:
    x = cube(300, 4, 12, seed=3)
    at_points = skdim.id.MADA().fit(x, n_neighbors=k).dimension_pw_
    assert mada(x, k) == pytest.approx(at_points.mean(), rel=1e-9)
    assert mada(x, k, "median") == pytest.approx(np.median(at_points), rel=1e-9)
    assert mada(x, k, "harmonic") == pytest.approx(1 / (1 / at_points).mean(), rel=1e-9)


@pytest.mark.parametrize("k", [5, 20, 100])
def test_moments_equal_scikit_dimension(skdim: ModuleType, k: int) -> None:
    x = cube(300, 4, 12, seed=3)
    assert mom(x, k) == pytest.approx(skdim.id.MOM().fit(x, n_neighbors=k).dimension_, rel=1e-9)


def test_recorded_values_of_the_other_two(skdim: ModuleType) -> None:
    ball = skdim.datasets.hyperBall(500, 5, random_state=0)
    assert mada(ball) == pytest.approx(4.664660, abs=1e-6)
    assert mom(ball) == pytest.approx(4.093630, abs=1e-6)


MANIFOLDS = {
    "M1_Sphere": (9.29, 9.63, 8.60),
    "M2_Affine_3to5": (2.93, 3.07, 2.79),
    "M7_Roll": (1.94, 2.09, 2.01),
    "M9_Affine": (14.79, 15.12, 13.49),
    "M12_Norm": (17.06, 16.04, 13.98),
    "M13a_Scurve": (1.96, 2.08, 1.93),
}


def test_recorded_values_on_the_benchmark_manifolds(skdim: ModuleType) -> None:
    manifolds = skdim.datasets.BenchmarkManifolds(random_state=0).generate(n=2500)
    for name, expected in MANIFOLDS.items():
        found = nearest_neighbors(manifolds[name], 100).distances
        ours = (
            two_nn_from_distances(found),
            mada_from_distances(found[:, :20]),
            mom_from_distances(found),
        )
        assert ours == pytest.approx(expected, abs=0.005 + 1e-9), name


def test_one_search_gives_what_each_gives_alone() -> None:
    x = np.vstack([cube(500, 4, 12), cube(30, 4, 12)])
    for k in (20, 100):
        found = dimensions(x, k)
        alone = {
            "two_nn": two_nn(x),
            "two_nn_lowest20": two_nn(x, AUTHORS_DISCARD),
            f"mada_k{k}": mada(x, k),
            f"mom_k{k}": mom(x, k),
        }
        assert {name: each.value for name, each in found.estimates.items()} == pytest.approx(alone)
        assert (found.n, found.duplicates, found.searched_again) == (500, 30, 0)
    distances = nearest_neighbors(x, 20).distances
    assert dimensions_from_distances(distances.numpy()) == dimensions(x).estimates


def test_standard_errors_are_the_spread_over_new_points() -> None:
    found = [dimensions(cube(1000, 5, 5, seed)).estimates for seed in range(30)]
    for name in found[0]:
        spread = np.std([each[name].value for each in found], ddof=1)
        stated = np.mean([each[name].stderr for each in found])
        # Neighbours in common make the true spread up to 1.4 times what is stated.
        assert 0.6 < spread / stated < 2.0, name


def test_harmonic_and_median_by_hand() -> None:
    # Four points of dimensions 1, 2, 4 and 8 by MADA: r₂/r₁ = 2^(1/d).
    d = np.array([1, 2, 4, 8])
    distances = np.stack([np.ones(4), 2 ** (1 / d)], axis=1)
    assert mada_from_distances(distances) == pytest.approx(15 / 4)
    assert mada_from_distances(distances, "median") == pytest.approx(3)
    assert mada_from_distances(distances, "harmonic") == pytest.approx(
        4 / (1 + 1 / 2 + 1 / 4 + 1 / 8)
    )


def test_moments_by_hand() -> None:
    distances = np.array([[1.0, 2, 3], [2, 2, 5]])
    assert mom_from_distances(distances) == pytest.approx((2 / (3 - 2) + 3 / (5 - 3)) / 2)


@pytest.mark.parametrize("d", [2, 10])
def test_exact_radii_give_mada_and_moments_their_dimension(d: int) -> None:
    # Points of a Poisson process around the origin: the volumes within r₁, r₂, … are its times.
    times = np.random.default_rng(d).exponential(size=(20000, 100)).cumsum(axis=1)
    distances = times ** (1 / d)
    assert mom_from_distances(distances) == pytest.approx(d, rel=0.05)
    assert mada_from_distances(distances, "harmonic") == pytest.approx(d, rel=0.05)


def test_scikit_dimension_does_not_silence_this_process(skdim: ModuleType) -> None:
    assert skdim is not None
    nearest_neighbors(cube(40, 2, 5), 2)
    code = "import sys, warnings, shapelib.geometry.dimension, shapelib.states.profile; "
    code += "assert 'skdim' not in sys.modules; "
    code += "assert ('ignore', None, Warning, None, 0) not in warnings.filters"
    subprocess.run([sys.executable, "-c", code], check=True)


# Properties


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 6),
    st.integers(20, 120),
    st.floats(1e-3, 1e3),
    st.sampled_from([0.1, 0.5]),
)
def test_scale_rotation_and_translation(
    seed: int, d: int, n: int, scale: float, discard: float
) -> None:
    x = cube(n, d, d, seed)
    value = two_nn(x, discard)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))
    assert two_nn(x @ turn, discard) == pytest.approx(value, rel=1e-6)
    assert two_nn(x * scale, discard) == pytest.approx(value, rel=1e-6)
    assert two_nn(x + 10 * np.arange(d), discard) == pytest.approx(value, rel=1e-6)
    assert two_nn(x[::-1].copy(), discard) == pytest.approx(value, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 40), st.floats(0.2, 5))
def test_powers_of_the_ratios_divide_the_dimension(seed: int, d: float, power: float) -> None:
    distances = pareto(200, d, seed)
    value = two_nn_from_distances(distances)
    assert two_nn_from_distances(distances**power) == pytest.approx(value / power, rel=1e-9)


# What comes in


def test_far_from_the_origin_in_float32() -> None:
    x = torch.from_numpy(cube(500, 6, 30)).float() + 3000
    distances = torch.cdist(x.unique(dim=0).double(), x.unique(dim=0).double())
    expected = two_nn_from_distances(distances.sort(dim=1).values[:, 1:3])
    assert two_nn(x) == pytest.approx(expected, rel=1e-6)


@cuda
def test_cuda_agrees() -> None:
    x = torch.from_numpy(cube(500, 6, 30)).float()
    assert two_nn(x.cuda()) == pytest.approx(two_nn(x), rel=1e-6)


# Bad input


@pytest.mark.parametrize("discard", [-0.1, 1.0, 1.5, float("nan")])
def test_discard_outside_its_range(discard: float) -> None:
    with pytest.raises(ValueError, match=r"discard.*\[0, 1\).*got"):
        two_nn(cube(50, 3, 5), discard)


def test_nothing_left_to_fit() -> None:
    with pytest.raises(ValueError, match="leaves none of 4 points"):
        two_nn_from_distances(pareto(4, 3), 0.8)


def test_points_that_are_all_equally_far() -> None:
    side = np.arange(10.0)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    with pytest.raises(ValueError, match=r"MADA is not defined at \d+ of 100 points.*grid"):
        mada(grid, 2)
    with pytest.raises(ValueError, match=r"MADA is not defined at 100 of 100"):
        mada(np.eye(100), 5, "median")
    with pytest.raises(ValueError, match=r"moments is not defined at 100 of 100"):
        mom(np.eye(100), 5)
    with pytest.raises(ValueError, match="not defined"):
        dimensions(np.eye(100), 5)
    with pytest.raises(ValueError, match=r"equally far.*grid"):
        two_nn(grid)


def test_bad_points() -> None:
    with pytest.raises(ValueError, match=r"got 1 .*copies"):
        two_nn(np.full((20, 3), 0.1))
    with pytest.raises(ValueError, match="got 2"):
        two_nn(np.eye(2))
    holes = cube(30, 3, 5)
    holes[7, 1] = np.nan
    with pytest.raises(ValueError, match=r"1 points.*row 7"):
        two_nn(holes)


@pytest.mark.parametrize("estimate", [mada, mom, dimensions])
def test_bad_counts_of_neighbours(estimate: Callable[..., object]) -> None:
    for k in (1, 0, -3):
        with pytest.raises(ValueError, match=rf"k of at least 2, got {k}"):
            estimate(cube(50, 3, 5), k)
    with pytest.raises(ValueError, match=r"20 neighbours need at least 22 .*got 21"):
        estimate(cube(21, 3, 5), 20)


def test_bad_words() -> None:
    with pytest.raises(ValueError, match=r"'line' or 'mle'.*'linear'"):
        two_nn(cube(50, 3, 5), method="linear")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'harmonic'.*'hmean'"):
        mada(cube(50, 3, 5), average="hmean")  # type: ignore[arg-type]


@pytest.mark.parametrize("estimate", [two_nn_from_distances, mada_from_distances])
def test_bad_distances(estimate: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match=r"k at least 2.*\(5, 1\)"):
        estimate(torch.ones(5, 1))
    with pytest.raises(ValueError, match=r"2 points have a neighbour at no positive.*row 1"):
        estimate(np.array([[1.0, 2], [0, 1], [1, 3], [0, 0]]))


@pytest.mark.parametrize(
    "row", [[2.0, 1.0, 3.0], [1.0, np.inf, np.inf], [1.0, np.nan, 2.0]], ids=str
)
def test_distances_out_of_order_or_not_finite(row: list[float]):
    distances = torch.tensor([[1.0, 2.0, 3.0], row], dtype=torch.float64)
    for estimate in (two_nn_from_distances, mada_from_distances, mom_from_distances):
        with pytest.raises(ValueError, match="nearest first; row 1 is not"):
            estimate(distances)


def test_k_is_a_whole_number():
    x = torch.randn(50, 3)
    for call in (nearest_neighbors, dimensions, mada, mom):
        with pytest.raises(ValueError, match=r"whole .*got 2\.5"):
            call(x, 2.5)
