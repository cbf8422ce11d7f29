"""Exact nearest neighbours within several subsets of one set of points, from one search.

A point's k nearest within a subset are the first k of its nearest among all that belong to the
subset, where so many do. So all points are searched once, for a few neighbours more than k, and
each subset takes its own from the lists. Rows whose list holds fewer than k are searched again,
within their subset alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shapelib.geometry.neighbors import (
    Neighbors,
    at_most,
    neighbors_of_distinct,
    neighbors_of_rows,
)
from shapelib.geometry.points import Points, as_points, copies, first_of

Subset = Bool[np.ndarray, " points"]
# Of the neighbours in a list that do not belong, more than these deviations are rare.
_DEVIATIONS = 3


class _Among(NamedTuple):
    """A subset's distinct points, in its own order."""

    first: Int[Tensor, " own"]
    """Where each occurs first, among the points of the subset."""
    multiplicity: Int[Tensor, " own"]
    distinct: Float[Tensor, "own features"]
    of: Int[Tensor, " own"]
    """Which of all distinct points each is."""
    place: Int[Tensor, " distinct"]
    """Where each of all distinct points stands in the subset; −1 outside."""


def worth_sharing(subsets: Sequence[Subset]) -> bool:
    """Whether one search of all points costs less than one of each subset: it goes by the square.

    All points are those that belong to any.
    """
    return len(subsets) > 1 and len(subsets[0]) ** 2 < sum(int(each.sum()) ** 2 for each in subsets)


def neighbors_of_subsets(x: Points, subsets: Sequence[Subset], k: int) -> list[Neighbors]:
    """For each subset what `metrics.neighbors_at_most` gives for ``x[subset]``, equal to the bit.

    Two things that no distance depends on: a subset's `searched_again` counts what the search of
    all searched again, and its own rows whose lists were too short.

    :param x: points × features, as in `nearest_neighbors`; each belongs to some subset.
    :param subsets: whether each point belongs, for each subset.
    :param k: neighbours of a point, or as many as a subset has.
    :raises ValueError: as `nearest_neighbors` does, also where a subset has fewer than four
        distinct points.

    >>> import numpy as np
    >>> line = np.array([[0.0, 0], [1, 0], [3, 0], [7, 0], [8, 0]])
    >>> whole, without = neighbors_of_subsets(line, [line[:, 0] >= 0, line[:, 0] != 1], 2)
    >>> whole.distances.tolist()
    [[1.0, 3.0], [1.0, 2.0], [2.0, 3.0], [1.0, 4.0], [1.0, 5.0]]
    >>> without.distances.tolist()
    [[3.0, 7.0], [3.0, 4.0], [1.0, 4.0], [1.0, 5.0]]
    """
    points = as_points(x)
    number = copies(points)
    first, multiplicity = first_of(number)
    index = torch.full((int(number.max()) + 1,), -1, device=points.device)
    index[number[first]] = torch.arange(len(first), device=points.device)
    among = [_among(points, torch.from_numpy(each), index[number]) for each in subsets]
    counts = [at_most(k, len(each.of)) for each in among]
    more = max(
        count + _spare(count, 1 - len(each.of) / len(first))
        for each, count in zip(among, counts, strict=True)
    )
    found = neighbors_of_distinct(points, first, multiplicity, at_most(more, len(first)))
    return [_taken(found, each, count) for each, count in zip(among, counts, strict=True)]


def _spare(k: int, outside: float) -> int:
    """Neighbours beyond k that a list needs, so that k of nearly each belong."""
    return int(np.ceil(outside * k + _DEVIATIONS * (outside * k) ** 0.5))


def _among(
    points: Float[Tensor, "points features"],
    subset: Bool[Tensor, " points"],
    index: Int[Tensor, " points"],
) -> _Among:
    """index: which of all distinct points each point is."""
    rows = torch.nonzero(subset.to(points.device))[:, 0]
    first, multiplicity = first_of(index[rows])
    of = index[rows[first]]
    place = torch.full((int(index.max()) + 1,), -1, device=points.device)
    place[of] = torch.arange(len(of), device=points.device)
    return _Among(first, multiplicity, points[rows[first]], of, place)


def _taken(found: Neighbors, among: _Among, k: int) -> Neighbors:
    """A subset's own neighbours from the lists of all."""
    gaps, places = found.distances[among.of], among.place[found.indices[among.of]]
    own = len(among.of)
    if own < k + 2:
        raise ValueError(f"{k} neighbours need at least {k + 2} distinct points, got {own}")
    # A copy outside the subset may stand before its first one within, and change the order there:
    # of neighbours equally far others come first, and who is last in a list may have had rivals.
    reordered = not bool((among.of[1:] > among.of[:-1]).all())
    if reordered:
        order = places.argsort(dim=1, stable=True)
        order = order.gather(1, gaps.gather(1, order).argsort(dim=1, stable=True))
        gaps, places = gaps.gather(1, order), places.gather(1, order)
    belongs = places >= 0
    rank = belongs.cumsum(dim=1)
    taken = belongs & (rank <= k)
    whole = rank[:, -1] >= k
    if reordered:
        whole &= (taken & (gaps == gaps[:, -1:])).sum(dim=1) == 0
    distances = torch.empty(own, k, dtype=torch.float64, device=gaps.device)
    indices = torch.empty(own, k, dtype=torch.int64, device=gaps.device)
    taken &= whole[:, None]
    distances[whole], indices[whole] = gaps[taken].view(-1, k), places[taken].view(-1, k)
    rest = torch.nonzero(~whole)[:, 0]
    if len(rest):
        alone = torch.arange(own, device=gaps.device)
        distances[rest], indices[rest], _ = neighbors_of_rows(among.distinct, rest, k, alone)
    again = found.searched_again + len(rest)
    return Neighbors(distances, indices, among.distinct, among.first, among.multiplicity, again)
