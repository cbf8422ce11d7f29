"""Any points in any form: a right number or one named error, and nothing is changed.

The right number is by brute force in float64: all distances, a full decomposition, every pair.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stress import often

import shapelib
from shapelib import anisotropy as anisotropy_of
from shapelib import average_cosine, mada, mom, nearest_neighbors, two_nn
from shapelib.errors import ShapelibError

K = 4
SCALES = (1e-30, 1e-12, 1.0, 1e12, 1e30)
WHOLE = ("int8", "uint8", "int16", "int32", "int64", "uint64")
FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "array": lambda x: x,
    "Fortran order": np.asfortranarray,
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "a slice of columns": lambda x: np.hstack([x, x])[:, : x.shape[1]],
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "read-only": lambda x: _locked(x.copy()),
    "other bytes": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "masked, nothing hidden": lambda x: np.ma.masked_array(x),
    "lists": lambda x: x.tolist(),
    "tensor": lambda x: torch.from_numpy(x.copy()),
    "tensor, a view": lambda x: torch.from_numpy(np.repeat(x, 3, axis=1))[:, ::3],
    "tensor that learns": lambda x: _learning(torch.from_numpy(x.copy())),
}


def _locked(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


def _learning(x: torch.Tensor) -> torch.Tensor:
    return x.requires_grad_() if x.is_floating_point() else x


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    """Points of any type, scale and place, with copies, on a grid or not; all finite."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(2, 40)), draw(st.integers(1, 6))
    dtype = draw(st.sampled_from(("float32", "float64", "float16", *WHOLE)))
    x = rng.standard_normal((n, d))
    if dtype in WHOLE:
        low = 0 if dtype.startswith("u") else -1
        x = rng.integers(low * 9, 100, (n, d)) if draw(st.booleans()) else np.abs(x * 30) // 1
    elif dtype != "float16":
        x = (x + draw(st.sampled_from([0.0, 1.0, 3000.0]))) * draw(st.sampled_from(SCALES))
        if draw(st.booleans()):
            x[:, 0] = 0
    copies = draw(st.integers(0, n))
    return np.vstack([x, x[:copies]]).astype(dtype)


def plain(points: Any) -> np.ndarray:
    return points.detach().numpy() if torch.is_tensor(points) else np.asarray(points)


def by_svd(x: np.ndarray, centered: bool) -> float:
    values = np.linalg.svd(x - x.mean(axis=0) if centered else x, compute_uv=False) ** 2
    return float(values[0] / values.sum()) if values.sum() else math.nan


def by_pairs(x: np.ndarray, centered: bool) -> float:
    x = x - x.mean(axis=0) if centered else x
    size = np.linalg.norm(x, axis=1, keepdims=True)
    if not size.all():
        return math.nan
    cosines = (x / size) @ (x / size).T
    return float((cosines.sum() - np.trace(cosines)) / (len(x) * (len(x) - 1)))


def distances(x: np.ndarray) -> np.ndarray:
    """Of each distinct point to its K nearest."""
    x = np.unique(x, axis=0)
    gaps = x[:, None] - x[None]
    scale = np.abs(gaps).max() or 1.0
    return np.sort(scale * np.sqrt(((gaps / scale) ** 2).sum(axis=2)), axis=1)[:, 1 : K + 1]


def by_line(near: np.ndarray) -> float:
    ratios, n = np.sort(np.log(near[:, 1] / near[:, 0])), len(near)
    kept = ratios[: int(n * 0.9)]
    rising = -np.log1p(-np.arange(1, len(kept) + 1) / n)
    return float(kept @ rising / (kept @ kept)) if len(kept) and kept[-1] > 0 else math.nan


def by_mada(near: np.ndarray) -> float:
    ratios = near[:, K - 1] / near[:, K // 2 - 1]
    return math.nan if (ratios == 1).any() else float((math.log(2) / np.log(ratios)).mean())


def by_moments(near: np.ndarray) -> float:
    if (near[:, 0] == near[:, -1]).any():
        return math.nan
    mean = near.mean(axis=1)
    return float((mean / (near[:, -1] - mean)).mean())


def answer(measure: Callable[[Any], Any], x: Any) -> Any:
    """What a measure gives; None where it refuses. Any other error is not caught."""
    try:
        return measure(x)
    except (ValueError, ShapelibError) as error:
        said = str(error)
    assert said.strip(), "an error says something"
    return None


def right(found: float | None, expected: float, tolerance: float) -> bool:
    if math.isnan(expected):
        return found is None
    # A centred set that is zero but for rounding may be refused or not.
    return found is not None and abs(found - expected) <= tolerance * max(abs(expected), 1e-3)


@settings(max_examples=often(100, 10_000))
@given(matrices(), st.sampled_from(sorted(FORMS)), st.booleans())
def test_points_of_any_form(x: np.ndarray, form: str, centered: bool) -> None:
    made = FORMS[form](x)
    before = plain(made).copy()
    exact = x.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        anisotropy = answer(lambda x: anisotropy_of(x, centered=centered), made)
        cosine = answer(lambda x: average_cosine(x, centered=centered), made)
        found = answer(lambda x: nearest_neighbors(x, K).distances.numpy(), made)
        dimensions = {
            by_line: answer(two_nn, made),
            by_mada: answer(lambda x: mada(x, K), made),
            by_moments: answer(lambda x: mom(x, K), made),
        }
    assert np.array_equal(before, plain(made)), "the points were changed"
    if x.shape[1] < 2:
        assert {anisotropy, cosine, *dimensions.values()} == {None}
        assert found is None
        return
    distinct = len(np.unique(exact, axis=0))
    spread = np.abs(exact - exact.mean(axis=0)).max() > 1e-9 * np.abs(exact).max()
    if spread or not centered:
        assert right(anisotropy, by_svd(exact, centered), 1e-7), anisotropy
        middle = exact - exact.mean(axis=0) if centered else exact
        sizes = np.linalg.norm(middle, axis=1)
        if sizes.min() == 0 or sizes.min() > 1e-6 * sizes.max():
            assert right(cosine, by_pairs(exact, centered), 1e-6), cosine
    if distinct <= K + 1:
        assert found is None
        assert dimensions[by_mada] is None
        return
    near = distances(exact)
    order = np.lexsort(np.unique(exact, axis=0).T[::-1])
    assert found is not None
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(near[order], axis=0), rtol=1e-7)
    for by_hand, value in dimensions.items():
        # Of points on a grid, what is a tie and what is not hangs on the last digit.
        tied = (near[:, 1:] <= near[:, :-1] * (1 + 1e-9)).any()
        if not tied:
            assert right(value, by_hand(near), 1e-5), (by_hand.__name__, value)


@settings(max_examples=often(100, 10_000))
@given(
    matrices(),
    st.sampled_from([np.nan, np.inf, -np.inf, "masked", "bool", "complex", "text", "3-d", "1-d"]),
    st.integers(0, 2**31),
)
def test_points_that_are_none_are_refused(x: np.ndarray, what: object, place: int) -> None:
    """By every measure, whatever else they would be."""
    row, column = place % len(x), place % x.shape[1]
    bad: Any = x.astype(np.float64)
    if what == "masked":
        bad = np.ma.masked_array(x, mask=np.zeros(x.shape, dtype=bool))
        bad[row, column] = np.ma.masked
    elif what == "bool":
        bad = x > 0
    elif what == "complex":
        bad = x * (1 + 1j)
    elif what == "text":
        bad = x.astype(str)
    elif what in ("3-d", "1-d"):
        bad = x[None] if what == "3-d" else x[:, 0]
    else:
        bad[row, column] = what
    measures: list[Callable[[Any], Any]] = [
        anisotropy_of, average_cosine, two_nn, mada, mom, shapelib.dimensions,
        shapelib.spectrum, shapelib.leave_out, lambda x: nearest_neighbors(x, K),
    ]  # fmt: skip
    for measure in measures:
        with pytest.raises((ValueError, ShapelibError)):
            measure(bad)


def test_what_is_masked_is_named() -> None:
    hidden = np.ma.masked_array(np.ones((5, 3)), mask=np.eye(5, 3, dtype=bool))
    with pytest.raises(ValueError, match="3 values are masked: take out what is hidden"):
        anisotropy_of(hidden)
