"""The numbers that a seed draws: against Python's integers, and as random as they should be."""

from collections import Counter
from typing import Any

import draws_reference
import numpy as np
import pytest
import torch
from scipy import stats

from shapelib import fastfood
from shapelib.subspace import draws
from shapelib.subspace.projection import dense

# The published first outputs of splitmix64 from state 1234567 (Vigna's reference code).
PUBLISHED = [6457827717110365317, 3203168211198807973, 9817491932198370423]
STREAMS = ("permutations", "signs", "normal")


def drawn(stream: str, seed: int, rows: int, size: int, period: int | None = None) -> np.ndarray:
    if stream == "permutations":
        return draws.permutations(seed, (rows, size), period or size, np.int32)
    found: np.ndarray = getattr(draws, stream)(seed, (rows, size))
    return found


def test_the_generator_is_splitmix64():
    key = np.uint64(1234567)
    assert [int(draws.number(key, i)) for i in range(3)] == PUBLISHED
    assert [draws_reference.number(1234567, i) for i in range(3)] == PUBLISHED


@pytest.mark.parametrize("seed", [0, 7, 2**63, 2**200 + 1])
@pytest.mark.parametrize("size", [1, 2, 65, 200])
def test_python_integers_draw_the_same(seed: int, size: int):
    for stream in ("permutations", "signs"):
        expected = getattr(draws_reference, stream)(seed, 3, size)
        assert np.array_equal(drawn(stream, seed, 3, size), expected)
    normal = draws_reference.normal(seed, 3, size)
    assert np.allclose(drawn("normal", seed, 3, size), normal, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("size", [1, 5, 64, 1000])
@pytest.mark.parametrize("period", [1, 2, 5, 64])
def test_a_permutation_modulo_a_period(size: int, period: int):
    found = drawn("permutations", 3, 4, size, period)
    assert np.array_equal(found, drawn("permutations", 3, 4, size) % period)
    assert (np.sort(found) == np.sort(np.arange(size) % period)).all()


def test_permutations_are_equally_frequent():
    """All 120 of five, and no position or row knows of another."""
    rows = 60_000
    found = Counter(map(tuple, drawn("permutations", 1, rows, 5).tolist()))
    assert len(found) == 120
    assert stats.chisquare(list(found.values())).pvalue > 1e-3
    long = drawn("permutations", 2, 2000, 64)
    for place in (0, 1, 31, 63):
        assert stats.chisquare(np.bincount(long[:, place], minlength=64)).pvalue > 1e-3
    # Neighbouring rows, whose keys are neighbouring numbers, agree as often as chance has it.
    agree = (long[1:] == long[:-1]).mean()
    assert abs(agree - 1 / 64) < 4 * np.sqrt(1 / 64 / long[1:].size)


def test_signs_are_fair_and_independent():
    found = drawn("signs", 0, 1000, 1000).astype(float)
    assert set(np.unique(found)) == {-1.0, 1.0}
    spread = 1 / np.sqrt(found.size)
    assert abs(found.mean()) < 4 * spread
    for lag in (1, 63, 64, 65):
        assert abs((found[:, lag:] * found[:, :-lag]).mean()) < 4.5 * spread
    assert abs((found[1:] * found[:-1]).mean()) < 4.5 * spread


def test_normal_numbers_are_normal_and_independent():
    found = drawn("normal", 0, 1000, 1001).astype(float)
    for part in (found.ravel(), found[:, 0::2].ravel(), found[:, 1::2].ravel()):
        assert stats.kstest(part, "norm").pvalue > 1e-3
    assert np.isfinite(found).all()
    # Also of squares, which a poor pair of sine and cosine would tie to each other.
    squares = found**2 - 1
    for each, size in ((found, 1.0), (squares, 2.0)):
        for lag in (1, 2, 3):
            mean = (each[:, lag:] * each[:, :-lag]).mean() / size
            assert abs(mean) < 4.5 / np.sqrt(each.size)
        assert abs((each[1:] * each[:-1]).mean() / size) < 4.5 / np.sqrt(each.size)


def test_seeds_and_streams_share_nothing():
    keys = {int(draws.key(seed, stream)) for seed in range(1000) for stream in STREAMS}
    assert len(keys) == 3000
    first, second = (drawn("normal", seed, 100, 1000).ravel() for seed in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4.5 / np.sqrt(len(first))


@pytest.mark.parametrize("block", [None, 1, 2**17])
def test_p_is_the_same_on_any_number_of_threads_and_without_other_generators(
    block: int | None, monkeypatch: pytest.MonkeyPatch
):
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a package's generator was asked")

    for name in ("default_rng", "Generator", "RandomState", "PCG64"):
        monkeypatch.setattr(np.random, name, refused)
    for name in ("manual_seed", "randn", "rand", "randperm", "Generator"):
        monkeypatch.setattr(torch, name, refused)
    z = torch.linspace(-1, 1, 50)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            projection = fastfood(2**17 + 3, 50, 4, block=block)
            torch.set_num_threads(1)
            found.append(projection.matvec(z))
        found.append(dense(1000, 50, 4).matvec(z))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
