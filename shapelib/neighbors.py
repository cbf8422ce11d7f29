"""Exact nearest neighbours of every point, in blocks of one float64 matrix product."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapelib.matrix import Points, as_points

# Rows whose distances to all points are held at once: memory is O(block × points).
_BLOCK = 512
# Candidates beyond k whose distances are computed again from differences, so that rounding of
# the product cannot change the order of near ties.
_SPARE = 4


class Neighbors(NamedTuple):
    """The k nearest other points of each distinct point, nearest first."""

    distances: Float[Tensor, "distinct k"]
    """Euclidean, float64."""
    indices: Int[Tensor, "distinct k"]
    """Rows of `distinct`."""
    distinct: Float[Tensor, "distinct features"]
    """The points without exact copies, in lexical order."""
    multiplicity: Int[Tensor, " distinct"]
    """How often each distinct point occurred."""

    @property
    def duplicates(self) -> int:
        """How many exact copies were removed before the search."""
        return int(self.multiplicity.sum()) - len(self.multiplicity)


def nearest_neighbors(x: Points, k: int) -> Neighbors:
    """The exact `k` nearest neighbours of every distinct point; itself and its copies excluded.

    Copies are removed before the search: at distance zero they would be neighbours of each other,
    and an estimator that drops zero distances afterwards is still wrong (a third of a decoder's
    embedding layer can be copies).

    `x`: points × features. Raises ValueError for k < 1, for points that are not finite, and where
    fewer than k + 1 distinct points are left.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    points = as_points(x)
    distinct, multiplicity = torch.unique(points, dim=0, return_counts=True)
    n = distinct.shape[0]
    if n < k + 1:
        raise ValueError(
            f"{k} neighbours need at least {k + 1} distinct points, got {n} "
            f"({points.shape[0] - n} of {points.shape[0]} points are exact copies)"
        )
    # Near the origin the product's rounding is smallest; distances do not change.
    near = distinct - distinct.mean(dim=0)
    squares = (near * near).sum(dim=1)
    distances = torch.empty(n, k, dtype=torch.float64, device=points.device)
    indices = torch.empty(n, k, dtype=torch.int64, device=points.device)
    wanted = min(k + _SPARE, n - 1)
    for start in range(0, n, _BLOCK):
        block = near[start : start + _BLOCK]
        gap = torch.addmm(squares, block, near.T, alpha=-2.0)
        rows = torch.arange(len(block), device=points.device)
        gap[rows, rows + start] = torch.inf
        candidates = gap.topk(wanted, dim=1, largest=False).indices
        exact = torch.linalg.vector_norm(near[candidates] - block[:, None], dim=2)
        nearest = exact.topk(k, dim=1, largest=False)
        distances[start : start + _BLOCK] = nearest.values
        indices[start : start + _BLOCK] = candidates.gather(1, nearest.indices)
    return Neighbors(distances, indices, distinct, multiplicity)
