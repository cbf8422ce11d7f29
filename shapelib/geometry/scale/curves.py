"""The dimension of a cloud of points along its scale: how near the neighbours are that are asked.

A cloud need not have one dimension. Noise is seen among the nearest neighbours, a manifold's
curvature and edges among the farther ones, and an estimate is of the scale at which its neighbours
happen to lie, which moves with the number of points. So the dimension is measured at many scales:
from one search, by the ratio r₂ₙ/rₙ (`gride`), or of fewer points, whose neighbours lie farther
apart (`decimated`). Where it does not change there is a `plateau`, and a number to name.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapelib.errors import ShapelibError, is_whole_number
from shapelib.geometry.dimension import (
    MADA_K,
    Distances,
    Estimate,
    checked_distances,
    dimensions_from_distances,
)
from shapelib.geometry.neighbors import Neighbors, neighbors_of_distinct
from shapelib.geometry.points import Points, as_points, first_occurrences

SCALES = (1, 2, 4, 8, 16, 32, 64)
"""Half of how many neighbours GRIDE asks for, as n of r₂ₙ/rₙ."""
FRACTIONS = (1.0, 1 / 2, 1 / 4, 1 / 8)
FEWEST = 200
"""Points below which a decimated cloud says too little."""
# Two standard errors of a difference, and 1.7 times as much: so far can the true spread pass what
# is stated, because points have neighbours in common (see `gride`).
_APART = 2.0 * 1.7
_LEAST = 3


class Curve(NamedTuple):
    """A dimension at each scale, the finest first."""

    method: str
    """``gride``, ``two_nn`` or ``mada_k20``."""
    scales: tuple[float, ...]
    """n of r₂ₙ/rₙ, or the share of the points that was kept."""
    estimates: tuple[Estimate, ...]
    """The dimension at each, with its standard error."""
    radii: tuple[float, ...]
    """The median distance to the farthest neighbour that took part, in the points' own unit."""
    points: tuple[int, ...]
    """Distinct points that took part."""


class Plateau(NamedTuple):
    """The widest range of scales over which a dimension does not change, see `plateau`."""

    value: float
    """The mean over the range, each estimate weighted by 1/stderr²."""
    stderr: float
    """The smallest in the range: estimates of one cloud share its points, which averages nothing
    out."""
    first: float
    """The finest scale of the range."""
    last: float
    """The coarsest."""


def gride(x: Points, scales: Sequence[int] = SCALES) -> Curve:
    """The dimension at several neighbourhood sizes, by maximum likelihood (Denti et al. 2022).

    At scale n the ratio μ = r₂ₙ/rₙ has the density d (μ^d − 1)^(n−1) / (B(n, n) μ^((2n−1)d+1)),
    where the density of points does not change up to r₂ₙ; d is that of the greatest likelihood.
    At n = 1 it is N/Σ ln μ, TwoNN without a discard. The standard error is
    1/√(−ℓ″(d)), d/√N at n = 1, from the curvature of the log-likelihood ℓ. It takes the points'
    ratios for independent. Points have neighbours in common, the more the larger n, so that the
    true spread over new clouds is larger: 1.0 to 1.7 times on 1000 points of flat tori and
    Gaussians of 3 to 10 dimensions. Tokens of one text depend on each other beyond that (`profile`
    resamples whole windows).

    The bias is of another kind, and no standard error shows it: in many dimensions most points lie
    near an edge, and their neighbours far away. A cube of 30 dimensions and 10 000 points reads 22
    at the first scale and 19 at the last.

    :param x: points × features; exact copies are removed first.
    :param scales: the n, rising; 2n neighbours of each point are searched, certified exact.
    :returns: an estimate for each scale.
    :raises ShapelibError: for scales that are no rising whole numbers of at least 1, for fewer than
        2n + 2 distinct points, and where all points' two neighbours are equally far.
    :raises ValueError: for points that `nearest_neighbors` refuses.

    >>> import numpy as np
    >>> from shapelib import gride
    >>> sheet = np.random.default_rng(0).normal(scale=0.005, size=(4000, 10))
    >>> sheet[:, :2] = np.random.default_rng(1).uniform(size=(4000, 2))
    >>> found = gride(sheet)  # the noise's dimension where neighbours are near, then the sheet's
    >>> [round(each.value, 1) for each in found.estimates]
    [6.4, 4.9, 3.7, 2.9, 2.4, 2.1, 2.0]
    """
    largest = _checked_scales(scales)[-1]
    found = _search(as_points(x), 2 * largest, f"scale {largest}")
    return gride_from_distances(found.distances, scales)


def gride_from_distances(distances: Distances, scales: Sequence[int] = SCALES) -> Curve:
    """`gride` from the distances to 2n neighbours or more (nearest first, none zero)."""
    asked = _checked_scales(scales)
    distances = checked_distances(distances)
    points, k = distances.shape
    if 2 * asked[-1] > k:
        raise ShapelibError(
            f"scale {asked[-1]} needs the distances to {2 * asked[-1]} neighbours, and there are "
            f"{k}: search for more, or ask for scales up to {k // 2}"
        )
    found = likelihoods(distances, asked)
    for n, (value, _) in zip(asked, found, strict=True):
        if value == 0:
            raise ShapelibError(
                f"at scale {n} neighbours {n} and {2 * n} of all {points} points are equally far: "
                "the dimension is not defined (points on a grid?)"
            )
    return Curve(
        "gride",
        tuple(float(n) for n in asked),
        tuple(Estimate(float(value), float(seen) ** -0.5) for value, seen in found),
        tuple(float(distances[:, 2 * n - 1].quantile(0.5)) for n in asked),
        (points,) * len(asked),
    )


def likelihoods(
    distances: Float[Tensor, "points k"], scales: Sequence[int]
) -> Float[np.ndarray, "scales 2"]:
    """At each scale the likeliest d and −ℓ″(d); zeros where it is not defined."""
    from shapelib.geometry.scale import likelihood

    found = np.empty((len(scales), 2))
    likelihood.along(distances.cpu().numpy(), np.array(scales, dtype=np.int64), found)
    return found


def decimated(x: Points, fractions: Sequence[float] = FRACTIONS, seed: int = 0) -> dict[str, Curve]:
    """TwoNN and MADA of random subsets of the points: fewer points, farther neighbours.

    The subsets are nested and drawn by `subset`, which knows the number of points alone: with one
    seed it is the same tokens in each layer of a model.

    :param x: points × features; exact copies are removed from each subset.
    :param fractions: shares of the points, falling; 1 is all of them.
    :param seed: of the drawing.
    :returns: a curve for ``two_nn`` and one for ``mada_k20``, errors as in `dimensions`.
    :raises ShapelibError: for fractions that do not fall from 1 or below to above 0, and where a
        subset has fewer than 200 distinct points.
    :raises ValueError: for points that `nearest_neighbors` refuses.

    >>> import numpy as np
    >>> from shapelib import decimated
    >>> sheet = np.random.default_rng(0).normal(scale=0.005, size=(4000, 10))
    >>> sheet[:, :2] = np.random.default_rng(1).uniform(size=(4000, 2))
    >>> [round(each.value, 1) for each in decimated(sheet)["two_nn"].estimates]
    [6.3, 5.1, 4.1, 3.7]
    """
    asked = [float(each) for each in fractions]
    if not asked or not 0 < asked[-1] <= asked[0] <= 1 or sorted(set(asked))[::-1] != asked:
        raise ShapelibError(
            f"fractions must fall from 1 or below to above 0, such as {FRACTIONS}; "
            f"got {tuple(fractions)}"
        )
    x = as_points(x)
    searches = []
    for share in asked:
        rows = torch.from_numpy(subset(len(x), share, seed)).to(x.device)
        part = x[rows]
        first, multiplicity = first_occurrences(part)
        if len(first) < FEWEST:
            raise ShapelibError(
                f"a share of {share:g} of {len(x)} points leaves {len(first)} distinct ones, and "
                f"{FEWEST} are needed: ask for larger fractions, or give more points"
            )
        searches.append(neighbors_of_distinct(part, first, multiplicity, MADA_K).distances)
    estimates = [dimensions_from_distances(each) for each in searches]
    points = tuple(len(each) for each in searches)
    return {
        method: Curve(
            method, tuple(asked), tuple(each[method] for each in estimates),
            tuple(float(each[:, k - 1].quantile(0.5)) for each in searches), points,
        )
        for method, k in (("two_nn", 2), (f"mada_k{MADA_K}", MADA_K))
    }  # fmt: skip


def subset(n: int, share: float, seed: int = 0) -> Int[np.ndarray, " some"]:
    """Rows of a random subset, rising; a smaller share of the same n is part of a larger one."""
    return np.sort(np.random.default_rng(seed).permutation(n)[: round(share * n)])


def plateau(curve: Curve) -> Plateau | None:
    """The widest range of scales over which the dimension does not change by more than its error.

    A range is at least three neighbouring scales of which no two estimates differ by more than 3.4
    times √(sᵢ² + sⱼ²): twice the standard error of their difference, where each is 1.7 times what
    is stated, as far as shared neighbours can raise it. Of equally wide ranges it is the one whose
    estimates differ least. Without one the cloud has no dimension, only one at each scale.

    :param curve: what `gride` gives, or one of `decimated`.
    :returns: the range and its dimension, or None.

    >>> import numpy as np
    >>> from shapelib import gride, plateau
    >>> angles = np.random.default_rng(0).uniform(0, 2 * np.pi, size=(4000, 2))
    >>> found = plateau(gride(np.hstack([np.cos(angles), np.sin(angles)])))  # a flat torus
    >>> round(found.value, 2), found.first, found.last
    (2.01, 1.0, 32.0)
    """
    values = [each.value for each in curve.estimates]
    errors = [each.stderr for each in curve.estimates]
    for width in range(len(values), _LEAST - 1, -1):
        spreads = {
            start: max(values[start : start + width]) - min(values[start : start + width])
            for start in range(len(values) - width + 1)
            if _alike(values[start : start + width], errors[start : start + width])
        }
        if spreads:
            start = min(spreads, key=spreads.__getitem__)
            some = slice(start, start + width)
            weights = 1 / np.square(errors[some])
            return Plateau(
                float(np.average(values[some], weights=weights)), min(errors[some]),
                curve.scales[start], curve.scales[start + width - 1],
            )  # fmt: skip
    return None


def _alike(values: list[float], errors: list[float]) -> bool:
    return all(
        abs(values[i] - values[j]) <= _APART * math.hypot(errors[i], errors[j])
        for i in range(len(values))
        for j in range(i)
    )


def _search(x: Float[Tensor, "n d"], k: int, what: str) -> Neighbors:
    """The search for `k` neighbours, refused in words where there are too few points."""
    first, multiplicity = first_occurrences(x)
    if len(first) < k + 2:
        raise ShapelibError(
            f"{what} needs {k} neighbours of each point, so at least {k + 2} distinct points; got "
            f"{len(first)} ({len(x) - len(first)} of {len(x)} are exact copies)"
        )
    return neighbors_of_distinct(x, first, multiplicity, k)


def _checked_scales(scales: Sequence[int]) -> list[int]:
    asked = list(scales)
    whole = all(is_whole_number(n, 1, numpy=True) for n in asked)
    if not asked or not whole or sorted(set(asked)) != asked:
        raise ShapelibError(
            f"scales must be rising whole numbers of at least 1, such as {SCALES}; got {scales!r}"
        )
    return [int(n) for n in asked]
