"""The dimension by the growth of minimum spanning trees."""

from typing import Any

import networkx
import numpy as np
import pytest
import torch

from shapelib import homology_dimension
from shapelib.errors import ShapelibError
from shapelib.geometry.scale.homology import _tree_lengths

SMALL: dict[str, Any] = {"sizes": (60, 120, 240), "draws": 3}


def test_trees_are_the_shortest_there_are():
    """Against networkx, by another algorithm than scipy's."""
    x = np.random.default_rng(0).standard_normal((80, 4))
    graph = networkx.Graph()
    for i in range(80):
        for j in range(i):
            graph.add_edge(i, j, weight=float(np.linalg.norm(x[i] - x[j])))
    for size, length in zip((30, 80), _tree_lengths(torch.from_numpy(x), [30, 80]), strict=True):
        tree = networkx.minimum_spanning_tree(graph.subgraph(range(size)), algorithm="prim")
        assert length == pytest.approx(tree.size(weight="weight"), rel=1e-9)


@pytest.mark.parametrize(("d", "within"), [(1, 0.1), (2, 0.25), (4, 0.8)])
def test_tori_of_known_dimension(d: int, within: float):
    angles = np.random.default_rng(d).uniform(0, 2 * np.pi, (2000, d))
    x = np.hstack([np.cos(angles), np.sin(angles), np.zeros((2000, 5))])
    found = homology_dimension(x, (100, 200, 400), draws=6)
    assert found.value == pytest.approx(d, abs=within)
    assert 0 < found.stderr < within


def test_unit_turn_and_copies_do_not_matter_but_the_seed_does():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((400, 3))
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    expected = homology_dimension(x, **SMALL)
    for same in (x * 1e3, x @ turn, x + 5, np.vstack([x, x[:100]])):
        assert homology_dimension(same, **SMALL).value == pytest.approx(expected.value, rel=1e-6)
    assert homology_dimension(x, **SMALL, seed=1) != expected
    assert homology_dimension(x, **SMALL) == expected


def test_a_line_by_hand():
    # The tree of points on a line is as long as they lie apart, whatever their number: m = 0.
    x = np.zeros((300, 2))
    x[:, 0] = np.concatenate([[0, 1], np.random.default_rng(0).uniform(size=298)])
    lengths = _tree_lengths(torch.from_numpy(x), [100, 300])
    assert lengths == pytest.approx([1, 1])


def test_bad_input():
    x = np.random.default_rng(0).standard_normal((300, 3))
    with pytest.raises(ShapelibError, match=r"1000 distinct points are drawn, and there are 300"):
        homology_dimension(x)
    with pytest.raises(ShapelibError, match=r"there are 1 \(299 of 300 are exact copies\)"):
        homology_dimension(np.ones((300, 3)), **SMALL)
    for wrong in ({"sizes": (100,)}, {"sizes": (200, 100)}, {"draws": 1}, {"sizes": (2, 100)}):
        with pytest.raises(ShapelibError, match="at least two rising sizes"):
            homology_dimension(x, **wrong)
    with pytest.raises(ShapelibError, match=r"grow as their number to the power 1\.0"):
        homology_dimension(np.eye(300), **SMALL)
