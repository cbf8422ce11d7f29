"""The largest eigenvalue to 1e-7: of known spectra, and of clouds against full decompositions."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stress import often

from shapelib import anisotropy as anisotropy_of
from shapelib.geometry import largest, loops
from shapelib.geometry.largest import TOLERANCE, largest_eigenvalue

D = 200
SPECTRA: dict[str, np.ndarray] = {
    "all alike": np.ones(D),
    "a bulk": np.linspace(0.3, 1, D),
    "ordinary": np.arange(1.0, D + 1) ** -1.4,
    "one stands out": np.r_[1e6, np.linspace(0.5, 1, D - 1)],
    "rank one": np.r_[1.0, np.zeros(D - 1)],
    "rank three": np.r_[3.0, 2, 1, np.zeros(D - 3)],
    "a tie": np.r_[2.0, 2, np.linspace(0.1, 1, D - 2)],
    "a tie above a bulk": np.r_[1.01, 1.01, np.linspace(0.1, 1, D - 2)],
    "a tie of seven": np.r_[np.full(7, 2.0), np.linspace(0.1, 1, D - 7)],
    **{
        f"{count} within {apart:g} above a bulk": np.r_[
            1.05 * (1 - np.linspace(0, apart, count)), np.linspace(0.3, 1, D - count)
        ]
        for count in (2, 3, 7)
        for apart in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
    },
}


class Counted:
    """A diagonal matrix, which a start at random cannot tell from any other; products counted."""

    def __init__(self, values: np.ndarray, rounding: float = 0.0):
        self.values, self.rounding, self.products = values, rounding, 0
        self.chance = np.random.default_rng(1)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        self.products += 1
        found: np.ndarray = vectors * self.values
        noise = self.chance.standard_normal(found.shape) * self.values.max() / len(self.values)
        found += self.rounding * noise * len(self.values) ** 0.5
        return found


# Known spectra


@pytest.mark.parametrize("rounding", [0.0, 1e-7])
@pytest.mark.parametrize("name", SPECTRA)
def test_the_largest_of_a_known_spectrum(name: str, rounding: float) -> None:
    values = SPECTRA[name]
    found = largest_eigenvalue(Counted(values), Counted(values, rounding), D)
    assert found == pytest.approx(values.max(), rel=TOLERANCE)


@settings(max_examples=often(30, 1000), deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 9), st.floats(-9, -1), st.floats(1e-3, 1),
    st.sampled_from([0.0, 1e-8, 1e-7]),
)  # fmt: skip
def test_a_few_near_the_first_above_any_bulk(
    seed: int, count: int, apart: float, above: float, rounding: float
) -> None:
    rng = np.random.default_rng(seed)
    near = (1 + above) * (1 - 10**apart * rng.uniform(size=count))
    values = np.r_[1 + above, near, rng.uniform(0, 1, D - 1 - count)]
    found = largest_eigenvalue(Counted(values), Counted(values, rounding), D)
    assert found == pytest.approx(1 + above, rel=TOLERANCE)


@settings(max_examples=often(50, 2000), deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 0.9), st.floats(-6, -1.5))
def test_no_vector_is_further_off_than_the_bound(seed: int, gap: float, tilt: float) -> None:
    """Of any vector whose value lies well above the second eigenvalue, with that one known."""
    rng = np.random.default_rng(seed)
    values = np.r_[1, 1 - gap, rng.uniform(0, 1 - gap, 20)]
    vector = np.r_[1, 10**tilt * rng.standard_normal(21)]
    vector /= np.linalg.norm(vector)
    value = float(vector @ (values * vector))
    residual = float(np.linalg.norm(values * vector - value * vector))
    if value - (1 - gap) <= 10 * residual:
        return
    bound = largest._error(residual / value, (value - (1 - gap)) / value)
    assert 1 - value <= bound * value + 1e-15


def test_where_cheap_steps_are_good_one_exact_product_is_enough() -> None:
    for name in ("a bulk", "ordinary", "one stands out"):
        exact, cheap = Counted(SPECTRA[name]), Counted(SPECTRA[name], 1e-7)
        largest_eigenvalue(exact, cheap, D)
        assert exact.products == 1, name
        # A bound on the residual alone takes half as many steps again.
        assert cheap.products <= (45 if name == "a bulk" else 8), name


# Cheap steps that mislead


def _noise(vectors: np.ndarray) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(vectors.shape)


SPOILT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "noise": _noise,
    "nothing": np.zeros_like,
    "no numbers": lambda vectors: np.full_like(vectors, np.nan),
    "infinities": lambda vectors: np.full_like(vectors, np.inf),
    "the same again": lambda vectors: vectors.copy(),
    "another matrix": lambda vectors: vectors * np.linspace(1, 0, D)[::-1],
    "upside down": lambda vectors: -vectors * np.linspace(0.3, 1, D),
    "a tenth of one percent off": lambda vectors: (
        vectors * np.linspace(0.3, 1, D) + 1e-3 * vectors[:, ::-1]
    ),
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("name", ["a bulk", "ordinary", "a tie of seven", "rank one"])
def test_spoilt_cheap_steps_are_noticed(name: str, how: str) -> None:
    values = np.random.default_rng(2).permutation(SPECTRA[name])
    exact = Counted(values)
    found = largest_eigenvalue(exact, SPOILT[how], D)
    assert found == pytest.approx(values.max(), rel=TOLERANCE)
    assert exact.products > 1


@pytest.mark.parametrize("size", [2, 3, 5, 8])
def test_few_features(size: int) -> None:
    values = np.arange(1.0, size + 1)
    assert largest_eigenvalue(Counted(values), Counted(values), size) == pytest.approx(size)


# Clouds


def clouds(n: int, d: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    isotropic = torch.randn(n, d, generator=generator)
    ordinary = isotropic * torch.arange(1, d + 1) ** -0.7
    massive, equal, one = ordinary.clone(), ordinary.clone(), ordinary.clone()
    massive[::100] *= 200
    equal[:, 1] = isotropic[:, 1] * 0.999
    one[7] *= 1e6
    line = torch.outer(torch.linspace(-1, 3, n), torch.linspace(1, 2, d))
    return {
        "isotropic": isotropic, "ordinary": ordinary, "two nearly equal": equal,
        "massive rows": massive, "one massive row": one, "offset 3000": ordinary + 3000,
        "offset 1e6": isotropic + 1e6, "tiny": ordinary * 1e-30, "huge": ordinary * 1e30,
        "a line": line,
    }  # fmt: skip


def by_eigenvalues(x: torch.Tensor, centered: bool) -> float:
    rows = x.double()
    rows = rows - rows.mean(dim=0) if centered else rows
    rows = rows / rows.abs().max()
    gram = rows.T @ rows if len(rows) >= rows.shape[1] else rows @ rows.T
    return float(torch.linalg.eigvalsh(gram)[-1] / gram.trace())


@pytest.mark.parametrize(("n", "d"), [(1023, 192), (150, 401), (2002, 129)])
def test_clouds(n: int, d: int) -> None:
    for name, x in clouds(n, d).items():
        for centered in (True, False):
            for points in (x, x.double()):
                found = anisotropy_of(points, centered=centered)
                right = by_eigenvalues(points, centered)
                assert found == pytest.approx(right, rel=TOLERANCE), (name, centered, points.dtype)
                assert anisotropy_of(points, centered=centered) == found


def test_a_spoilt_product_of_points_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = {name: by_eigenvalues(x, True) for name, x in clouds(400, 150).items()}
    honest = loops.two_gram_times

    def spoilt(x, center, vectors, total):  # type: ignore[no-untyped-def]
        return honest(x[: len(x) // 2], center, vectors, total)

    monkeypatch.setattr(loops, "two_gram_times", spoilt)
    for name, x in clouds(400, 150).items():
        assert anisotropy_of(x) == pytest.approx(right[name], rel=TOLERANCE), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [2, 3, 63, 66, 261])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_products_of_two_vectors(n: int, scale: float, dtype: type) -> None:
    rng = np.random.default_rng(n)
    x: np.ndarray = ((rng.standard_normal((n, 70)) + 1000) * scale).astype(dtype)
    vectors = rng.standard_normal((2, 70))
    center = x.astype(np.float64).mean(axis=0)
    rows = x - center
    total = float((rows * rows).sum())
    right = vectors @ rows.T @ rows / total
    found = loops.two_gram_times(x, center, vectors, total)
    rounding = 1e-6 if dtype is np.float32 else 1e-10
    assert np.abs(found - right).max() < rounding * np.abs(vectors).max()
    one = loops.gram_times(x, center, vectors[0]) / total
    assert np.abs(one - right[0]).max() < 1e-10 * np.abs(vectors).max()
