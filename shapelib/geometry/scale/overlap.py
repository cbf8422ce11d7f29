"""How much of one representation's neighbourhoods another keeps: overlap, information imbalance.

Both compare two clouds of the same points, such as two layers of a model, by who is near whom, from
neighbours already found. A point takes part if it is distinct in both clouds (no copy of an earlier
one), and its neighbours are those among such points: a list of nearest neighbours stays one when
others are struck from it. So an embedding, half of whose points may be copies, can be compared.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from shapelib.errors import ShapelibError
from shapelib.geometry.loops import compiled
from shapelib.geometry.neighbors import Neighbors, nearest_neighbors
from shapelib.geometry.points import Points, as_points, first_occurrences

OVERLAP_K = 20
IMBALANCE_K = 100
"""Neighbours among which a rank is looked for: a table's first batch has so many in any case."""


class Near(NamedTuple):
    """Who is near whom in one cloud, by rows that mean the same points in another cloud."""

    rows: Int[np.ndarray, " n"]
    """The row of each distinct point."""
    near: Int[np.ndarray, "n k"]
    """The rows of its neighbours, nearest first."""


class Compared(NamedTuple):
    """Two clouds compared at each point of the first; NaN at a point that did not take part."""

    rows: Int[np.ndarray, " n"]
    """The row of each point of the first cloud."""
    shared: Float[np.ndarray, " n"]
    """The share of the k nearest neighbours that are the same in both, from 0 to 1."""
    rank: Float[np.ndarray, " n"]
    """2/N times the rank, in the second cloud, of the nearest neighbour in the first."""


def overlap(x: Points, y: Points, k: int = OVERLAP_K) -> float:
    """The share of a point's `k` nearest neighbours that are the same in two representations.

    Averaged over the points that are distinct in both (Doimo et al. 2020). Unrelated clouds of n
    points share k/(n − 1).

    :param x: points × features.
    :param y: the same points elsewhere: as many rows, any number of features.
    :param k: neighbours of a point.
    :returns: from 0 to 1.
    :raises ShapelibError: where x and y differ in their number of points.
    :raises ValueError: for points that `nearest_neighbors` refuses, and for no more than k + 1 that
        are distinct in both.

    >>> import numpy as np
    >>> from shapelib import overlap
    >>> x = np.random.default_rng(0).standard_normal((500, 8))
    >>> overlap(x, 3 * x), overlap(x, x + 0.1 * np.sin(7 * x)) > 0.7
    (1.0, True)
    """
    a, b = _both(x, y, k)
    return float(compared(a, b, k).shared.mean())


def information_imbalance(x: Points, y: Points, k: int = IMBALANCE_K) -> float:
    """How little nearness in one representation says of nearness in another: Δ(x → y).

    Δ = 2/N times the mean rank, by distance in y, of each point's nearest neighbour in x (Glielmo,
    Zeni, Cheng, Csányi and Laio 2022): about 2/N where x says all about y, 1 where it says nothing.
    Δ(x → y) small and Δ(y → x) large is information that y lost. Ranks are known up to `k`; one
    that is larger counts as the mean of those left, (k + N)/2.

    :param x: points × features.
    :param y: the same points elsewhere: as many rows, any number of features.
    :param k: neighbours of a point that are searched.
    :returns: from 2/N to about 1.
    :raises ShapelibError: as `overlap` does, and ValueError as well.

    >>> import numpy as np
    >>> from shapelib import information_imbalance
    >>> x = np.random.default_rng(0).standard_normal((500, 4))
    >>> plane = x[:, :2]  # two of four coordinates
    >>> information_imbalance(x, plane) < 0.2 < 0.3 < information_imbalance(plane, x)
    True
    """
    a, b = _both(x, y, k)
    return float(compared(a, b, 1).rank.mean())


def near_rows(found: Neighbors, k: int, rows: Int[np.ndarray, " points"] | None = None) -> Near:
    """The `k` nearest of a search by rows, which are the points' places if None."""
    first = found.first.cpu().numpy()
    own = (first if rows is None else rows[first]).astype(np.int32)
    return Near(own, own[found.indices[:, :k].cpu().numpy()])


def compared(a: Near, b: Near, k: int = OVERLAP_K) -> Compared:
    """Overlap of `k` neighbours and imbalance from `a` to `b`, point by point."""
    size = 1 + int(max(a.rows.max(), b.rows.max()))
    place = np.full(size, -1, np.int64)
    place[b.rows] = np.arange(len(b.rows))
    common = np.zeros(size, np.bool_)
    common[a.rows] = place[a.rows] >= 0
    shared, rank = np.full(len(a.rows), np.nan), np.full(len(a.rows), np.nan)
    _compare(a.rows, a.near, b.near, place, common, int(common.sum()), k, shared, rank)
    return Compared(a.rows, shared, rank)


@compiled
def _compare(rows, near_a, near_b, place, common, points, k, shared, rank):  # type: ignore[no-untyped-def]
    """Write `Compared`'s columns. place: where a row stands in b; common: whether it is in both."""
    marked = np.full(len(common), -1, np.int64)
    for i in range(len(rows)):
        if not common[rows[i]]:
            continue
        taken, nearest = 0, -1
        for j in near_a[i]:
            if taken == k:
                break
            if common[j]:
                nearest = j if taken == 0 else nearest
                marked[j] = i
                taken += 1
        passed, both, found = 0, 0, 0
        for j in near_b[place[rows[i]]]:
            if common[j]:
                passed += 1
                both += passed <= k and marked[j] == i
                found = passed if j == nearest else found
        if taken == k and passed >= k:
            shared[i] = both / k
            # One of those left, at any rank after the last that is known and up to points − 1.
            rank[i] = (found if found > 0 else 0.5 * (passed + points)) * 2.0 / points


def _both(x: Points, y: Points, k: int) -> tuple[Near, Near]:
    if len(x) != len(y):
        raise ShapelibError(
            f"two representations of the same points are compared; got {len(x)} and {len(y)} rows"
        )
    x, y = as_points(x), as_points(y)
    of_x, of_y = (first_occurrences(each)[0].cpu().numpy() for each in (x, y))
    kept = np.intersect1d(of_x, of_y)
    return near_rows(nearest_neighbors(x[kept], k), k), near_rows(nearest_neighbors(y[kept], k), k)
