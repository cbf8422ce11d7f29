"""Exact nearest neighbours of every point, for less than the cost of one float32 matrix product.

A product of rounded points ranks all pairs, a bound on its error leaves a few pairs a point, and
only their distances are computed: from differences, in float64. The bound: let x be a point less a
common center (any center will do), b its rounding, and λ = ‖x − b‖ what rounding lost, measured.
For a pair at distance r, by the triangle inequality,

    ‖bᵢ − bⱼ‖ ≤ r + λᵢ + λⱼ,   where   ‖bᵢ − bⱼ‖² = ‖bᵢ‖² + ‖bⱼ‖² − 2 bᵢ·bⱼ.

The product p of bᵢ·bⱼ is summed in float32 and stored: |p − bᵢ·bⱼ| ≤ γ ‖bᵢ‖ ‖bⱼ‖ + υ |p|. Here
γ = (D + 1) 2⁻²³ holds in whatever order the D exact products are added, for rounding to nearest
and for truncation (Higham, Accuracy and Stability of Numerical Algorithms, §3.1, with
Cauchy–Schwarz), and υ is 2⁻⁸ where p is stored in bfloat16, else 0. So with R the distance to the
k-th best candidate, which is at least that to the true k-th neighbour, no point with

    ‖bᵢ‖² + ‖bⱼ‖² − 2p − 2γ ‖bᵢ‖ ‖bⱼ‖ − 2υ |p|  >  (R + λᵢ + λⱼ)²

can be a neighbour, and every other one is looked at. Each pair is multiplied once for both its
points (`search.pairs`), by threads that have columns of their own (`search.by_pairs`), and held
against this in one pass in float32, of numbers rounded so far to the safe side that the pass itself
loses no neighbour. Massive points cost only themselves, since each pair has a bound of its own.
Where only some points are searched, or too many are left for one, a row of the product is made for
it alone (`search.rows`), and for what is unproven even then one in float64, whose bound is the same
with γ = (D + 1) 2⁻⁵² and λ ≈ 10⁻¹⁵ ‖x‖. Every pair that is looked at also tests the bound; if one
contradicts it, all points are searched again. Where there are units for it the product is of
bfloat16 numbers, else of float32 ones.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapelib.errors import is_whole_number
from shapelib.geometry.points import Points, as_points, first_occurrences
from shapelib.geometry.search import on_cpu, on_device
from shapelib.geometry.search.rounded import OUT_OF_RANGE


class Neighbors(NamedTuple):
    """What `nearest_neighbors` gives: the k nearest other points of each distinct point."""

    distances: Float[Tensor, "distinct k"]
    """Euclidean, float64."""
    indices: Int[Tensor, "distinct k"]
    """Rows of `distinct`; of points equally far the one with the lower index comes first."""
    distinct: Float[Tensor, "distinct features"]
    """The points without exact copies, in the order of their first occurrence."""
    first: Int[Tensor, " distinct"]
    """Where among all points each distinct point occurred first."""
    multiplicity: Int[Tensor, " distinct"]
    """How often each distinct point occurred."""
    searched_again: int
    """Points whose neighbours the fast product could not prove; a float64 one found them."""

    @property
    def duplicates(self) -> int:
        """How many exact copies were removed before the search."""
        return int(self.multiplicity.sum()) - len(self.multiplicity)


def nearest_neighbors(x: Points, k: int) -> Neighbors:
    """The exact `k` nearest neighbours of every distinct point; itself and its copies excluded.

    Copies are removed before the search: at distance zero they would be neighbours of each other,
    and an estimator that drops zero distances afterwards is still wrong (a third of a decoder's
    embedding layer can be copies). The distances carry a relative error of features × 1e-16,
    wherever the points lie.

    :param x: points × features, float32 or float64; half precision and integers are promoted.
    :param k: neighbours of a point, at least 1.
    :returns: distances and indices, and which points were distinct.
    :raises ValueError: for k < 1, for points that are not finite or whose distances leave the range
        of float64, and where no more than k + 1 distinct points are left.

    >>> import numpy as np
    >>> from shapelib import nearest_neighbors
    >>> line = np.array([[0.0, 0], [1, 0], [3, 0], [3, 0], [7, 0]])
    >>> found = nearest_neighbors(line, 2)
    >>> found.duplicates, found.distances.tolist()
    (1, [[1.0, 3.0], [1.0, 2.0], [2.0, 3.0], [4.0, 6.0]])
    """
    if not is_whole_number(k, 1, numpy=True):
        raise ValueError(f"k must be a whole number of at least 1, got {k!r}")
    points = as_points(x)
    return neighbors_of_distinct(points, *first_occurrences(points), k)


def neighbors_of_distinct(
    points: Float[Tensor, "n features"],
    first: Int[Tensor, " distinct"],
    multiplicity: Int[Tensor, " distinct"],
    k: int,
    groups: Int[Tensor, " distinct"] | None = None,
) -> Neighbors:
    """`nearest_neighbors` where `points.first_occurrences` has been asked already.

    groups: a number for each distinct point; none is a neighbour of one with the same number. Each
    must have k points of other numbers.
    """
    n = len(first)
    if n <= k + 1:
        copies = len(points) - n
        raise ValueError(
            f"{k} neighbours need at least {k + 2} distinct points, got {n} "
            f"({copies} of {len(points)} points are exact copies)"
        )
    distinct = points if n == len(points) else points[first]
    everyone = torch.arange(n, device=points.device)
    found = neighbors_of_rows(distinct, everyone, k, everyone if groups is None else groups)
    return Neighbors(*found[:2], distinct, first, multiplicity, found[2])


def at_most(k: int, distinct: int) -> int:
    """k neighbours, or as many as can be told among so many distinct points; 2 at the least."""
    return max(2, min(k, distinct - 2))


def neighbors_of_rows(
    distinct: Float[Tensor, "distinct features"],
    rows: Int[Tensor, " rows"],
    k: int,
    groups: Int[Tensor, " distinct"],
) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"], int]:
    """Distances and indices of the k nearest of some of the points, and how many of these a float64
    product had to find.

    distinct: no two rows alike. groups: as in `neighbors_of_distinct`.
    """
    search = on_cpu.search if distinct.device.type == "cpu" else on_device.search
    distances, indices, again = search(distinct.contiguous(), rows, k, groups)
    if not bool(((distances[:, 0] > 0) & (distances[:, -1] < torch.inf)).all()):
        span = f"{float(distances.min())} to {float(distances.max())}"
        raise ValueError(OUT_OF_RANGE.format(f"neighbours are {span} away"))
    return distances, indices, again
