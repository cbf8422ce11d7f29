"""One search for several subsets against a search of each alone: equal to the bit."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stress import often

from shapelib.geometry.metrics import neighbors_at_most
from shapelib.geometry.search import on_cpu, on_device, subsets
from shapelib.geometry.search.subsets import neighbors_of_subsets, worth_sharing


def check(x: np.ndarray, chosen: Sequence[np.ndarray], k: int) -> list[int]:
    """How many rows of each subset were searched again, after all was compared."""
    together = neighbors_of_subsets(x, chosen, k)
    for found, subset in zip(together, chosen, strict=True):
        alone = neighbors_at_most(x[subset], k)
        for name in ("distances", "indices", "distinct", "first", "multiplicity"):
            assert torch.equal(getattr(found, name), getattr(alone, name)), name
    return [each.searched_again for each in together]


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


@pytest.mark.parametrize("device", ["compiled", "torch"])
@pytest.mark.parametrize("k", [2, 20, 100])
def test_batches_of_two_token_sets(k: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if device == "torch":
        monkeypatch.setattr(on_cpu, "search", on_device.search)
    x = normal(700, 12)
    x[::60] *= 100
    chosen = [np.arange(700) < 650, np.arange(700) % 60 > 0]
    again = check(x, chosen, k)
    # The lists of nearly all rows hold enough.
    assert max(again) < 20


def test_neighbours_that_all_lie_outside() -> None:
    # Each of the first fifty has its nearest hundred in the other half alone.
    x = normal(400, 8)
    x[:50] = x[50] + 1e-3 * x[:50]
    x[200:] = x[50] + 1e-3 * x[200:]
    inside = np.arange(400) < 200
    again = check(x, [np.ones(400, bool), inside], 10)
    # Beside what the search of all had to search again: with units for bfloat16 there is some.
    assert again[0] < 20
    assert again[1] >= again[0] + 50


def test_a_copy_outside_changes_the_order_of_ties() -> None:
    # Of rows 0 and 1, equally far from row 2, the first comes first. Without row 0 its copy, row 3,
    # stands for it, behind row 1.
    x = np.array([[1.0, 0], [-1, 0], [0, 0], [1, 0], [0, 9], [9, 0], [0, -9]])
    whole, without = np.ones(7, bool), np.arange(7) > 0
    check(x, [whole, without], 2)
    found = neighbors_of_subsets(x, [whole, without], 2)
    assert found[0].first[found[0].indices[2]].tolist() == [0, 1]
    # Counted among the points of the subset, where row 2 is second.
    assert found[1].first[found[1].indices[1]].tolist() == [0, 2]


@settings(max_examples=often(60, 2000))
@given(
    st.integers(0, 2**32 - 1), st.integers(12, 80), st.integers(2, 4), st.integers(1, 12),
    st.sampled_from([1, 3, 1000]), st.sampled_from([0.05, 0.3, 0.7]), st.integers(1, 4),
)  # fmt: skip
def test_any_subsets_of_points_with_copies_and_ties(
    seed: int, n: int, d: int, k: int, grid: int, left_out: float, count: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-grid, grid + 1, (n, d)).astype(np.float32)
    x[rng.integers(0, n, n // 4)] = x[rng.integers(0, n, n // 4)]
    chosen = [rng.random(n) >= left_out for _ in range(count)]
    chosen = [each for each in chosen if len(np.unique(x[each], axis=0)) > 3]
    if chosen:
        inside = np.any(chosen, axis=0)
        check(x[inside], [each[inside] for each in chosen], k)


def test_a_subset_of_too_few_points_is_refused() -> None:
    few = np.arange(30) < 3
    with pytest.raises(ValueError, match="2 neighbours need at least 4 distinct points, got 3"):
        neighbors_of_subsets(normal(30, 4), [np.ones(30, bool), few], 5)


def test_sharing_pays_where_subsets_are_nearly_equal() -> None:
    n = np.arange(1000)
    assert worth_sharing([n < 990, n >= 10])
    assert worth_sharing([n < 710, n >= 290])
    assert not worth_sharing([n < 690, n >= 310])
    assert not worth_sharing([n >= 0])
    assert not worth_sharing([n < 500, n >= 500])


def test_lists_are_as_long_as_chance_asks_for() -> None:
    """Where those who do not belong are a random share, few rows are left to be searched."""
    rng = np.random.default_rng(1)
    x = normal(1500, 24)
    for share in (0.01, 0.1):
        assert check(x, [rng.random(1500) >= share, np.ones(1500, bool)], 20)[0] < 60
    assert subsets._spare(100, 0.0) == 0
