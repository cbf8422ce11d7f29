"""Anisotropy and average cosine against full float64 SVDs, double loops and known answers."""

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from stress import often

from shapelib import anisotropy as anisotropy_of
from shapelib import average_cosine
from shapelib.geometry import largest
from shapelib.geometry.anisotropy import directions

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
seeds = st.integers(0, 2**32 - 1)


def cloud(n: int, d: int, seed: int = 0, decay: float = 0.7) -> np.ndarray:
    """Points whose directions are used unevenly, off the origin, in no special orientation."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((d, d)))
    return rng.standard_normal((n, d)) * decay ** np.arange(d) @ turn + rng.standard_normal(d)


def rotation(d: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def by_svd(x: np.ndarray, centered: bool) -> float:
    x = np.asarray(x, dtype=np.float64)
    s = np.linalg.svd(x - x.mean(axis=0) if centered else x, compute_uv=False)
    return float(s[0] ** 2 / (s * s).sum())


def by_double_loop(x: np.ndarray, centered: bool) -> float:
    x = x - x.mean(axis=0) if centered else x
    cosines = [
        float(x[i] @ x[j] / math.sqrt(float(x[i] @ x[i]) * float(x[j] @ x[j])))
        for i in range(len(x))
        for j in range(len(x))
        if i != j
    ]
    return sum(cosines) / len(cosines)


@pytest.fixture(params=["dense", "lanczos"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to the first singular value, whatever the size."""
    if request.param == "lanczos":
        # The name of the module is that of the function, so the module is asked for elsewhere.
        monkeypatch.setattr(sys.modules["shapelib.geometry.anisotropy"], "_DENSE", 0)
    return str(request.param)


# Known answers


@pytest.mark.usefixtures("path")
def test_a_line_is_one() -> None:
    line = np.outer(np.linspace(-1, 3, 40), np.arange(1.0, 8.0)) + 5.0
    assert anisotropy_of(line) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.usefixtures("path")
def test_directions_used_alike_give_one_over_their_number() -> None:
    axes = np.vstack([np.eye(6), -np.eye(6)])
    assert anisotropy_of(axes) == pytest.approx(1 / 6, abs=1e-12)


@pytest.mark.usefixtures("path")
def test_two_axes_by_hand() -> None:
    # Squared singular values 2·3² and 2·4².
    cross = np.array([[3.0, 0, 0], [-3, 0, 0], [0, 4, 0], [0, -4, 0]])
    assert anisotropy_of(cross) == pytest.approx(16 / 25, abs=1e-12)


def test_the_mean_counts_unless_centered() -> None:
    far = cloud(50, 8) + 1000.0
    assert anisotropy_of(far, centered=False) > 0.999
    assert anisotropy_of(far, centered=True) < 0.9


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize(("n", "d"), [(60, 17), (17, 60), (40, 40)])
def test_equals_a_full_svd(n: int, d: int, centered: bool) -> None:
    for decay in (0.5, 0.95, 1.0):
        x = cloud(n, d, seed=n + d, decay=decay)
        assert anisotropy_of(x, centered=centered) == pytest.approx(by_svd(x, centered), rel=1e-6)


@pytest.mark.parametrize("decay", [1.0, 0.999, 0.9])
def test_equals_a_full_svd_where_the_gram_matrix_is_large(decay: float) -> None:
    # More than _DENSE rows and columns: the path real layers of large models take.
    x = (np.random.default_rng(3).standard_normal((1100, 1060)) * decay ** np.arange(1060)).astype(
        np.float32
    )
    assert anisotropy_of(x) == pytest.approx(by_svd(x, True), rel=1e-6)


@pytest.mark.usefixtures("path")
def test_a_start_orthogonal_to_the_answer_is_no_trap() -> None:
    # Two clusters whose difference is one coordinate axis, tiny noise on the others.
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 30)) * 1e-3
    x[:, 7] += np.repeat([-1.0, 1.0], 32)
    assert anisotropy_of(x) == pytest.approx(by_svd(x, True), rel=1e-6)


@pytest.mark.parametrize("steps", [0, 3, 300])
def test_a_second_direction_nearly_as_strong(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """By blocks; without them by few Lanczos steps, then ARPACK's; by Lanczos steps alone."""
    if steps:
        monkeypatch.setattr(largest, "_STEPS", steps)
        monkeypatch.setattr(largest, "_by_blocks", lambda cheap, size: (None, 0.0, 0.0))
    rng = np.random.default_rng(6)
    for apart in (1e-2, 1e-5, 1e-8):
        values = np.r_[1, 1 - apart, rng.uniform(0, 0.9, 148)]
        rows = np.sqrt(values)[:, None] * rotation(150, 7)
        x = np.vstack([rows, -rows])
        assert anisotropy_of(x) == pytest.approx(1 / values.sum(), rel=1e-7)


def test_all_measures_at_once_are_those_one_by_one() -> None:
    for x in (cloud(200, 160), cloud(40, 7), torch.from_numpy(cloud(30, 5)).bfloat16()):
        found = directions(x)
        assert found.anisotropy == anisotropy_of(x)
        assert found.anisotropy_uncentered == anisotropy_of(x, centered=False)
        assert found.average_cosine == average_cosine(x)
        assert found.average_cosine_centered == average_cosine(x, centered=True)


@pytest.mark.usefixtures("path")
def test_massive_rows() -> None:
    x = np.random.default_rng(1).standard_normal((300, 48))
    x[::100] *= 200
    assert anisotropy_of(x.astype(np.float32)) == pytest.approx(
        by_svd(x.astype(np.float32), True), rel=1e-6
    )


@pytest.mark.usefixtures("path")
def test_far_from_the_origin_in_float32() -> None:
    x = (np.random.default_rng(2).standard_normal((300, 48)) + 3000).astype(np.float32)
    assert anisotropy_of(x) == pytest.approx(by_svd(x, True), rel=1e-6)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e12])
def test_scale_does_not_matter(scale: float) -> None:
    x = cloud(30, 12, seed=4)
    assert anisotropy_of(x * scale) == pytest.approx(anisotropy_of(x), rel=1e-9)


def test_cosines_of_known_pairs() -> None:
    assert average_cosine(np.array([[1.0, 0], [2, 0], [5, 0]])) == pytest.approx(1.0)
    assert average_cosine(np.array([[1.0, 0], [0, 9]])) == pytest.approx(0.0, abs=1e-15)
    assert average_cosine(np.array([[1.0, 1], [-3, -3]])) == pytest.approx(-1.0)
    # Least possible: the corners of a simplex.
    assert average_cosine(np.eye(5), centered=True) == pytest.approx(-1 / 4)


# Properties


@settings(max_examples=often(40, 1000))
@given(
    npst.arrays(np.float64, (9, 5), elements=st.floats(-100, 100, allow_subnormal=False, width=32))
)
def test_between_one_over_rank_and_one(x: np.ndarray) -> None:
    centred = x - x.mean(axis=0)
    s = np.linalg.svd(centred, compute_uv=False)
    if s[0] < 1e-6:
        return
    value = anisotropy_of(x)
    rank = int((s > 1e-12 * s[0]).sum())
    assert 1 / rank - 1e-9 <= value <= 1
    assert value == pytest.approx(by_svd(x, True), rel=1e-6)


@settings(max_examples=often(25, 1000))
@given(seeds, st.integers(2, 12), st.integers(3, 30), st.floats(0.01, 100))
def test_rotation_scale_and_translation(seed: int, d: int, n: int, scale: float) -> None:
    x = cloud(n, d, seed)
    value = anisotropy_of(x)
    assert anisotropy_of(x @ rotation(d, seed + 1)) == pytest.approx(value, rel=1e-7)
    assert anisotropy_of(scale * x) == pytest.approx(value, rel=1e-7)
    assert anisotropy_of(x + np.arange(d)) == pytest.approx(value, rel=1e-7)
    assert anisotropy_of(x[::-1].copy()) == pytest.approx(value, rel=1e-7)
    uncentered = anisotropy_of(x, centered=False)
    assert anisotropy_of(x @ rotation(d, seed + 1), centered=False) == pytest.approx(
        uncentered, rel=1e-7
    )


@settings(max_examples=often(25, 1000))
@given(seeds, st.integers(2, 9), st.integers(2, 14), st.booleans())
def test_the_closed_form_of_the_cosine_is_the_double_loop(
    seed: int, d: int, n: int, centered: bool
) -> None:
    x = cloud(n, d, seed)
    assert average_cosine(x, centered=centered) == pytest.approx(
        by_double_loop(x, centered), abs=1e-10
    )


@settings(max_examples=often(25, 1000))
@given(seeds, st.integers(2, 9), st.integers(2, 30))
def test_the_cosine_ignores_lengths_and_rotation(seed: int, d: int, n: int) -> None:
    x = cloud(n, d, seed)
    value = average_cosine(x)
    lengths = np.random.default_rng(seed).uniform(0.01, 100, (n, 1))
    assert average_cosine(x * lengths) == pytest.approx(value, abs=1e-9)
    assert average_cosine(x @ rotation(d, seed)) == pytest.approx(value, abs=1e-9)
    assert -1 / (n - 1) - 1e-9 <= value <= 1 + 1e-9


# What comes in


@pytest.mark.parametrize("measure", [anisotropy_of, average_cosine])
def test_tensor_and_array_alike(measure: object) -> None:
    x = cloud(33, 9)
    assert measure(torch.from_numpy(x)) == measure(x)  # type: ignore[operator]
    assert measure(x[:, ::2]) == measure(np.ascontiguousarray(x[:, ::2]))  # type: ignore[operator]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int32])
def test_narrow_types_are_promoted_not_computed_in(dtype: torch.dtype) -> None:
    x = torch.from_numpy(cloud(200, 20) * 50).to(dtype)
    wide = x.double().numpy()
    for centered in (True, False):
        assert anisotropy_of(x, centered=centered) == pytest.approx(
            by_svd(wide, centered), rel=1e-6
        )
    assert average_cosine(x) == pytest.approx(average_cosine(wide), abs=1e-9)


def test_what_comes_in_stays_as_it_was() -> None:
    x = torch.from_numpy(cloud(20, 5)).requires_grad_()
    before = x.detach().clone()
    assert isinstance(anisotropy_of(x), float)
    assert isinstance(average_cosine(x, centered=True), float)
    assert torch.equal(x.detach(), before)


@cuda
@pytest.mark.usefixtures("path")
def test_cuda_agrees() -> None:
    x = torch.from_numpy(cloud(300, 64)).float()
    assert anisotropy_of(x.cuda()) == pytest.approx(anisotropy_of(x), rel=1e-6)
    assert average_cosine(x.cuda()) == pytest.approx(average_cosine(x), abs=1e-6)


# Bad input


@pytest.mark.parametrize("measure", [anisotropy_of, average_cosine])
def test_bad_points_are_named(measure: object) -> None:
    def refused(x: object, *words: str) -> None:
        with pytest.raises(ValueError, match=".*".join(words)):
            measure(x)  # type: ignore[operator]

    refused(np.ones(5), "matrix", r"\(5,\)")
    refused(np.ones((5, 0)), r"\(5, 0\)")
    refused(np.ones((5, 1)), "2 features", r"\(5, 1\)")
    refused(np.ones((2, 3, 4)), "matrix", r"\(2, 3, 4\)")
    refused(np.ones((1, 5)), "at least 2", "got 1")
    refused(np.eye(3, dtype=bool), "real numbers", "bool")
    refused(np.eye(3, dtype=complex), "real numbers", "complex")
    refused(torch.eye(3, dtype=torch.complex64), "real numbers", "complex")
    refused(np.array([["a", "b"], ["c", "d"]]), "real numbers")
    holes = cloud(30, 6)
    holes[4, 2] = np.nan
    holes[9, :] = np.inf
    holes[11, 0] = -np.inf
    refused(holes, "3 points", "row 4")


def test_points_without_direction() -> None:
    with pytest.raises(ValueError, match="all 6 points are equal"):
        anisotropy_of(np.full((6, 4), 0.1))
    with pytest.raises(ValueError, match="zero"):
        anisotropy_of(np.zeros((6, 4)), centered=False)
    with pytest.raises(ValueError, match=r"2 points have norm zero.*row 1"):
        average_cosine(np.array([[1.0, 2], [0, 0], [3, 4], [0, 0]]))
