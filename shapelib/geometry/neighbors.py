"""Exact nearest neighbours of every point, at about half the cost of one float32 matrix product.

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

can be a neighbour, and every other one is looked at. The square root of the left side less λⱼ is
one number a pair, made in one pass in the product's own type, of numbers rounded so far to the safe
side that the pass itself loses no neighbour (`search.screened`). Massive points cost only
themselves, since each pair has a bound of its own. A point for which too many are left is searched
once more with a float64 product, whose bound is the same with γ = (D + 1) 2⁻⁵² and λ ≈ 10⁻¹⁵ ‖x‖.
Every pair that is looked at also tests the bound; if one contradicts it, all points are searched
again.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapelib.errors import is_whole_number
from shapelib.geometry.points import Points, as_points, first_occurrences
from shapelib.processor import bfloat16_units
from shapelib.threads import in_threads

# Rows of a product at a time: memory is O(block × points).
_BLOCK = 256
# Sums of products: float32, rounded to nearest or truncated; float64.
_SUMMED_FLOAT32 = 2.0**-23
_SUMMED_FLOAT64 = 2.0**-52
# A stored bfloat16 has eight significant bits.
_STORED_BFLOAT16 = 2.0**-8
# Below this many points the product costs nothing and the small kernels of it promise nothing.
_FEW = 256
# A float64 row of the product costs as much as exact distances to a fifth of all points.
_MOST = 8
# Candidates beyond k on CUDA, where a row's number of them is fixed.
_SPARE = 28
_OUT_OF_RANGE = "squared distances leave the range of float64 ({}): scale the points"


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


class _Known(NamedTuple):
    """What is known of each point as a product takes it: centered, scaled and rounded."""

    squares: Float[Tensor, " n"]
    norms: Float[Tensor, " n"]
    lost: Float[Tensor, " n"]
    slack: Float[Tensor, " n"]
    """How far float64 arithmetic can have moved the rest."""


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
    search = _search_compiled if points.device.type == "cpu" else _search_torch
    alone = torch.arange(n, device=points.device) if groups is None else groups
    distances, indices, again = search(distinct.contiguous(), k, alone)
    if not bool(((distances[:, 0] > 0) & (distances[:, -1] < torch.inf)).all()):
        span = f"{float(distances.min())} to {float(distances.max())}"
        raise ValueError(_OUT_OF_RANGE.format(f"neighbours are {span} away"))
    return Neighbors(distances, indices, distinct, first, multiplicity, again)


def _search_compiled(
    x: Float[Tensor, "n d"], k: int, groups: Int[Tensor, " n"]
) -> tuple[Tensor, Tensor, int]:
    """Distances, indices and the number of points searched again, on the CPU."""
    from shapelib.geometry import search as compiled

    n, features = x.shape
    center, scale = _frame(x)
    distances = torch.empty(n, k, dtype=torch.float64)
    indices = torch.empty(n, k, dtype=torch.int64)
    verdict = torch.zeros(n, dtype=torch.int8)
    out = (distances, indices, verdict)
    narrow = bfloat16_units() and n >= _FEW
    values, known = _round(x, center, scale, narrow)
    summed, stored = (features + 1) * _SUMMED_FLOAT32, _STORED_BFLOAT16 * narrow
    most = min(n, max(64, 4 * k, n // _MOST))

    def product(rows: Int[Tensor, " m"]) -> Float[Tensor, "m n"]:
        return (values[rows[0] : rows[-1] + 1] @ values.T).float()

    with _full_precision():
        everyone = torch.arange(n)
        _examine(x, everyone, product, scale, known, np.float32, summed, stored, most, groups, out)
    # Each examined pair tests the bound. Where one fails, hardware and assumption do not agree.
    broken = bool((verdict == compiled.BROKEN).any())
    again = torch.arange(n) if broken else torch.nonzero(verdict != compiled.PROVEN)[:, 0]
    if len(again):
        known, summed = _known_wide(x, center, scale), (features + 1) * _SUMMED_FLOAT64

        def wide(rows: Int[Tensor, " m"]) -> Float[Tensor, "m n"]:
            left = (x[rows].double() - center) * scale
            parts = [left @ ((right.double() - center) * scale).T for right in x.split(_BLOCK)]
            return torch.cat(parts, dim=1)

        _examine(x, again, wide, scale, known, np.float64, summed, 0.0, n, groups, out)
        if not bool((verdict == compiled.PROVEN).all()):
            raise RuntimeError("a float64 matrix product is less exact than float64 allows")
    return distances, indices, len(again)


def _frame(x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], float]:
    """A center near most points, and a power of two that brings their norms near 1.

    From a sample, and from its nearer half, so that a few massive points move neither.
    """
    sample = x[:: max(1, len(x) // 256)].double()
    norms = torch.linalg.vector_norm(sample - sample.mean(dim=0), dim=1)
    near = sample[norms <= norms.median()]
    center = near.mean(dim=0)
    norms = torch.linalg.vector_norm(sample - center, dim=1)
    # Where most of the sample is one point, float rounding aside, the others tell.
    typical = float(norms.median()) or float(norms.max()) or 1.0
    if not 1e-150 < typical < 1e150:
        raise ValueError(_OUT_OF_RANGE.format(f"points lie {typical} from their center"))
    return center, 2.0 ** -math.frexp(typical)[1]


def _round(
    x: Float[Tensor, "n d"], center: Float[Tensor, " d"], scale: float, narrow: bool
) -> tuple[Float[Tensor, "n d"], _Known]:
    """The points as the fast product takes them, and what is known about them."""
    from shapelib.geometry import loops

    n, features = x.shape
    values = torch.empty(n, features, dtype=torch.bfloat16 if narrow else torch.float32)
    squares = torch.empty(n, dtype=torch.float64)
    lost = torch.empty(n, dtype=torch.float64)

    def work(start: int, stop: int) -> None:
        for first in range(start, stop, _BLOCK):
            part = slice(first, min(first + _BLOCK, stop))
            rows = torch.empty(len(x[part]), features)
            loops.round_rows(
                x[part].numpy(), center.numpy(), scale, narrow,
                rows.numpy(), squares[part].numpy(), lost[part].numpy(),
            )  # fmt: skip
            values[part] = rows

    in_threads(n, work)
    return values, _known(squares, lost, features)


def _known(squares: Float[Tensor, " n"], lost: Float[Tensor, " n"], features: int) -> _Known:
    slack = squares * (features + 32) * 2.0**-52
    return _Known(squares, squares.sqrt() * (1 + 1e-12), lost, slack)


def _known_wide(x: Float[Tensor, "n d"], center: Float[Tensor, " d"], scale: float) -> _Known:
    """What is known of the points in a float64 product."""
    squares = torch.cat(
        [((rows.double() - center) * scale).square().sum(dim=1) for rows in x.split(_BLOCK)]
    )
    return _known(squares, squares.sqrt() * 1e-15, x.shape[1])


def _examine(
    x: Float[Tensor, "n d"],
    rows: Int[Tensor, " m"],
    product: Callable[[Int[Tensor, " block"]], Float[Tensor, "block n"]],
    scale: float,
    known: _Known,
    products: type[np.float32] | type[np.float64],
    summed: float,
    stored: float,
    most: int,
    groups: Int[Tensor, " n"],
    out: tuple[Float[Tensor, "n k"], Int[Tensor, "n k"], Int[Tensor, " n"]],
) -> None:
    """Search `rows` block by block, each thread its own: see `search.search`."""
    from shapelib.geometry import search as compiled

    # A product of coordinates above 2⁻⁶⁰ is normal, but a sum that nearly cancels may be flushed.
    tiny = (x.shape[1] + 2) * 2.0**-120
    points, about = x.numpy(), torch.stack(list(known)).numpy()
    screen = compiled.screened(about, np.dtype(products))
    targets = [each.numpy() for each in out]
    _, group, sizes = np.unique(groups.numpy(), return_inverse=True, return_counts=True)
    apart = (group, np.concatenate([[0], sizes.cumsum()]), group.argsort(kind="stable"))

    def work(start: int, stop: int) -> None:
        part = rows[start:stop]
        # Blocks of one size: kernels for a last block of a few rows are others, and promise less.
        for block in part.tensor_split(-(-len(part) // _BLOCK)):
            compiled.search(
                points, block.numpy(), product(block).numpy(), scale, about, screen,
                summed, stored, tiny, most, *apart, *targets,
            )  # fmt: skip

    in_threads(len(rows), work)


def _search_torch(
    x: Float[Tensor, "n d"], k: int, groups: Int[Tensor, " n"]
) -> tuple[Tensor, Tensor, int]:
    """As `_search_compiled`, in torch's own operations for any device: nothing is read back
    between blocks.

    The product is float64, which CUDA cards have units for, and which no setting (TF32) rounds.
    A row has a fixed number of candidates; rows without proof are searched by differences alone.
    """
    n, features = x.shape
    center, scale = _frame(x)
    values = (x.double() - center) * scale
    squares = values.square().sum(dim=1)
    squares, norms, lost, slack = _known(squares, squares.sqrt() * 1e-15, features)
    wanted = min(k + _SPARE, n - 1)
    distances, indices, proven = [], [], []
    everyone = torch.arange(n, device=x.device)
    for rows in everyone.split(_BLOCK):
        products = values[rows] @ values.T
        key = squares - 2 * products
        key.masked_fill_(groups[rows, None] == groups, torch.inf)
        candidates = key.topk(wanted, dim=1, largest=False).indices.sort(dim=1).values
        # One candidate a row at a time: memory stays at block × features.
        exact = torch.stack([_gaps(x, rows, each) for each in candidates.T], dim=1)
        exact.masked_fill_(groups[candidates] == groups[rows, None], torch.inf)
        nearest, place = exact.sort(dim=1, stable=True)
        distances.append(nearest[:, :k])
        indices.append(candidates.gather(1, place[:, :k]))
        reach = (nearest[:, k - 1 : k] * scale + lost[rows, None]) * (1 + 1e-12)
        limit = (reach + lost).square() + slack + (slack[rows] - squares[rows])[:, None]
        limit += 2 * (features + 1) * _SUMMED_FLOAT64 * norms[rows, None] * norms
        limit.scatter_(1, candidates, -torch.inf)
        proven.append(~(key <= limit).any(dim=1))
    near, who = torch.cat(distances), torch.cat(indices)
    again = torch.nonzero(~torch.cat(proven))[:, 0]
    for row in again:
        gaps = torch.cat([_gaps(x, row[None], part) for part in everyone.split(4 * _BLOCK)])
        gaps.masked_fill_(groups == groups[row], torch.inf)
        nearest, place = gaps.sort(stable=True)
        near[row], who[row] = nearest[:k], place[:k]
    return near, who, len(again)


def _gaps(
    x: Float[Tensor, "n d"], rows: Int[Tensor, " m"], others: Int[Tensor, " m"]
) -> Float[Tensor, " m"]:
    gaps: Tensor = torch.linalg.vector_norm(x[others].double() - x[rows].double(), dim=1)
    return gaps


@contextmanager
def _full_precision() -> Iterator[None]:
    """Float32 products are float32 here, whatever the caller allows elsewhere."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
