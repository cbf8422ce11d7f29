"""Who the neighbours are, and the search that leaves a point's own window out."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shapelib import (
    last_of_windows,
    nearest_in_other_windows,
    nearest_neighbors,
    one_per_token,
    relatives,
)
from shapelib.errors import ShapelibError
from shapelib.geometry.search import on_device

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def by_force(x: np.ndarray, window: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and places of the k nearest of other windows, of all pairs in float64."""
    gaps = np.linalg.norm(x[:, None].astype(float) - x[None].astype(float), axis=2)
    gaps[window[:, None] == window] = np.inf
    order = np.argsort(gaps, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(gaps, order, axis=1), order


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 400), st.integers(3, 40), st.integers(1, 5))
def test_the_search_leaves_out_the_own_window_and_nobody_else(seed: int, n: int, many: int, k: int):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    window = rng.integers(0, many, n)
    if n - np.bincount(window).max() < k:
        return
    found = nearest_in_other_windows(x, window, k)
    distances, order = by_force(x, window, k)
    assert found.distances.numpy() == pytest.approx(distances, rel=1e-12)
    assert np.array_equal(found.indices.numpy(), order)


@pytest.mark.parametrize("kind", ["ordinary", "offset", "massive", "clustered"])
def test_every_neighbour_is_proven_where_windows_are_clusters(kind: str):
    """Far points among far points of the own window: most candidates are left out."""
    rng = np.random.default_rng(0)
    window = np.repeat(np.arange(12), 50)
    x = rng.standard_normal((600, 32)).astype(np.float32)
    if kind == "offset":
        x += 3000
    elif kind == "massive":
        x[::50] *= 300
    elif kind == "clustered":
        x = 1e-2 * x + 50 * rng.standard_normal((12, 32)).astype(np.float32)[window]
    found = nearest_in_other_windows(x, window, 10)
    distances, order = by_force(x, window, 10)
    assert found.distances.numpy() == pytest.approx(distances, rel=1e-9)
    assert np.array_equal(found.indices.numpy(), order)


def test_one_window_a_point_is_the_ordinary_search():
    x = np.random.default_rng(1).standard_normal((500, 20))
    one, two = nearest_in_other_windows(x, np.arange(500), 20), nearest_neighbors(x, 20)
    assert torch.equal(one.distances, two.distances)
    assert torch.equal(one.indices, two.indices)


def test_torch_operations_agree_with_the_compiled_search():
    rng = np.random.default_rng(2)
    x = torch.from_numpy(rng.standard_normal((300, 8)))
    # Small clusters, so that a row's fixed number of candidates is its own window's.
    window = torch.arange(300) // 60
    x += 30 * torch.from_numpy(rng.standard_normal((5, 8)))[window]
    distances, indices, _ = on_device.search(x, torch.arange(300), 4, window)
    expected = nearest_in_other_windows(x, window, 4)
    assert torch.allclose(distances, expected.distances, rtol=1e-12)
    assert torch.equal(indices, expected.indices)


@cuda
def test_cuda_agrees():
    rng = np.random.default_rng(3)
    x, window = torch.from_numpy(rng.standard_normal((500, 8))), rng.integers(0, 9, 500)
    assert torch.allclose(
        nearest_in_other_windows(x.cuda(), window, 5).distances.cpu(),
        nearest_in_other_windows(x, window, 5).distances,
    )


def test_a_copy_belongs_to_the_window_of_its_first_occurrence():
    x = np.array([[0.0, 0], [1, 0], [0, 0], [5, 0], [9, 0]])
    found = nearest_in_other_windows(x, [0, 0, 1, 1, 2], 1)
    assert found.distances[:, 0].tolist() == [5.0, 4.0, 4.0, 4.0]
    assert found.duplicates == 1


# Shares


def test_shares_by_hand():
    # On a line: neighbours of 0, 1, 2, 3, 4 are 1, 0, 3, 2, 3.
    x = np.array([[0.0, 0], [1, 0], [5, 0], [5.5, 0], [7, 0], [0, 0]])
    found = relatives(
        nearest_neighbors(x, 1), [1, 2, 3, 3, 3, 9], [0, 0, 0, 1, 1, 2], [0, 1, 3, 4, 5, 0]
    )
    assert found.same_token == pytest.approx(3 / 5)
    assert found.same_window == pytest.approx(3 / 5)
    assert found.adjacent == pytest.approx(3 / 5)
    apart = relatives(
        nearest_neighbors(x, 1), [1, 2, 3, 3, 3, 9], [0, 0, 0, 0, 1, 2], [0, 2, 3, 4, 5, 0]
    )
    assert apart.same_window == pytest.approx(4 / 5)
    assert apart.adjacent == pytest.approx(2 / 5)


def test_one_vector_a_token_and_a_window():
    rng = np.random.default_rng(4)
    token, window = rng.integers(0, 30, 200), np.sort(rng.integers(0, 9, 200))
    position = np.concatenate([np.arange(each) for each in np.bincount(window)])
    shuffled = rng.permutation(200)
    rows = one_per_token(token[shuffled])
    assert set(token[shuffled][rows]) == set(token)
    assert len(set(token[shuffled][rows])) == len(rows)
    for row in rows:
        assert token[shuffled][row] not in token[shuffled][:row]
    last = last_of_windows(window[shuffled], position[shuffled])
    ends = {(each, int(position[window == each].max())) for each in window}
    assert {(window[shuffled][row], position[shuffled][row]) for row in last} == ends
    assert len(last_of_windows(np.array([], dtype=int), np.array([], dtype=int))) == 0


# Bad input


def test_a_window_set_too_small_names_the_window():
    x = np.random.default_rng(0).standard_normal((10, 3))
    with pytest.raises(ShapelibError, match=r"window 7 holds 8 of 10 .* leaves 2 .* where 3 are"):
        nearest_in_other_windows(x, [7] * 8 + [1, 2], 3)
    assert nearest_in_other_windows(x, [7] * 8 + [1, 2], 2).distances.isfinite().all()
    with pytest.raises(ShapelibError, match="window 0 holds 10 of 10"):
        nearest_in_other_windows(x, [0] * 10, 1)


@pytest.mark.parametrize("k", [0, True, 1.5])
def test_counts_of_neighbours(k: Any):
    with pytest.raises(ShapelibError, match="k must be a whole number of at least 1"):
        nearest_in_other_windows(np.eye(5), range(5), k)


@pytest.mark.parametrize("labels", [[1, 2], [0.5] * 5, np.zeros((5, 1), int)])
def test_labels_that_are_no_whole_number_for_each_point(labels: Any):
    found = nearest_neighbors(np.random.default_rng(0).standard_normal((5, 3)), 1)
    with pytest.raises(ShapelibError, match="tokens must be whole numbers, one for each of 5"):
        relatives(found, labels, range(5), range(5))
    with pytest.raises(ShapelibError, match="windows must be whole numbers, one for each of 5"):
        nearest_in_other_windows(np.eye(5), labels, 1)
