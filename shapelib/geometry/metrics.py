"""The metrics of a shape table, for one set of points."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapelib.geometry.anisotropy import directions
from shapelib.geometry.dimension import (
    AUTHORS_DISCARD,
    FACCO_DISCARD,
    MADA_K,
    MOM_K,
    mada_from_distances,
    mom_from_distances,
    two_nn_from_distances,
)
from shapelib.geometry.neighbors import Neighbors, at_most, neighbors_of_distinct
from shapelib.geometry.points import Points, as_points, first_occurrences
from shapelib.geometry.scale.curves import SCALES, likelihoods
from shapelib.geometry.scale.robust import mle_from_distances

FURTHEST = f"mom_k{MOM_K}"
"""The default metric that needs the most neighbours: measured in one batch of a table."""


class Metric(NamedTuple):
    """A column pair that names one measurement; `centered` is None where it has no meaning."""

    name: str
    centered: bool | None


# Metrics that need k neighbours: k, and the estimate from the distances to them. Both papers'
# estimators at one k, and the method of moments at scikit-dimension's own as well.
NEIGHBORS: dict[str, tuple[int, Callable[[Tensor], float]]] = {
    "two_nn": (2, lambda near: two_nn_from_distances(near, FACCO_DISCARD)),
    "two_nn_lowest20": (2, lambda near: two_nn_from_distances(near, AUTHORS_DISCARD)),
    f"mada_k{MADA_K}": (MADA_K, mada_from_distances),
    f"mom_k{MADA_K}": (MADA_K, mom_from_distances),
    FURTHEST: (MOM_K, mom_from_distances),
}
DIRECTIONS = (
    Metric("anisotropy", True),
    Metric("anisotropy", False),
    Metric("average_cosine", True),
    Metric("average_cosine", False),
)
METRICS = (*DIRECTIONS, *(Metric(name, None) for name in NEIGHBORS))
"""The default metrics, in the order of a table's rows."""


def _at_scale(n: int, near: Tensor) -> float:
    """GRIDE at one scale; NaN where it is not defined."""
    return float(likelihoods(near, [n])[0, 0]) or math.nan


# As the above, by name; `choices` says how one asks for them.
ESTIMATES: dict[str, tuple[int, Callable[[Tensor], float]]] = {
    **NEIGHBORS,
    f"mada_median_k{MADA_K}": (MADA_K, lambda near: mada_from_distances(near, "median")),
    f"mle_k{MADA_K}": (MADA_K, lambda near: mle_from_distances(near).value),
    **{f"gride_{n}": (2 * n, partial(_at_scale, n)) for n in SCALES},
}
ONCE = {FURTHEST, *(f"gride_{n}" for n in SCALES)}
"""What is measured in one batch of a table: a hundred neighbours cost twice what twenty do."""


def measure_points(x: Points, k: int = MOM_K) -> tuple[dict[Metric, float], Neighbors]:
    """Every metric of one set of vectors, and the search for `k` neighbours behind the dimensions.

    A dimension that needs more neighbours is NaN. Raises ValueError where a metric is not defined:
    equal points, a zero vector.
    """
    x = as_points(x)
    found = neighbors_at_most(x, k)
    return {**directions_of(x), **dimensions_of(found.distances)}, found


def neighbors_at_most(x: Points, k: int) -> Neighbors:
    """The search behind the dimensions, for `k` neighbours or as many as there are.

    One search serves all: its first columns are the search for fewer neighbours.
    """
    x = as_points(x)
    first, multiplicity = first_occurrences(x)
    return neighbors_of_distinct(x, first, multiplicity, at_most(k, len(first)))


def directions_of(x: Points) -> dict[Metric, float]:
    """Anisotropy and average cosine."""
    found = directions(x)
    return {
        Metric("anisotropy", True): found.anisotropy,
        Metric("anisotropy", False): found.anisotropy_uncentered,
        Metric("average_cosine", True): found.average_cosine_centered,
        Metric("average_cosine", False): found.average_cosine,
    }


def dimensions_of(
    distances: Float[Tensor, "n k"], names: Iterable[str] = tuple(NEIGHBORS)
) -> dict[Metric, float]:
    """Dimensions by name, from the distances of `neighbors_at_most`; NaN for too few neighbours."""
    return {Metric(name, None): _or_missing(name, distances) for name in names}


def _or_missing(name: str, distances: Float[Tensor, "n k"]) -> float:
    """One estimate; NaN for too few neighbours, and where it is not defined (on a grid)."""
    k, estimate = ESTIMATES[name]
    if distances.shape[1] < k or len(distances) < 4:
        return math.nan
    try:
        return estimate(distances[:, :k])
    except ValueError:
        return math.nan


def dimensions_of_group(
    searched: list[tuple[Float[Tensor, "n k"], Int[Tensor, " n"]]],
    group: int,
    names: Iterable[str] = tuple(NEIGHBORS),
) -> dict[Metric, float]:
    """The dimensions at the points of one group of windows, among the neighbours of all."""
    own = [distances[member == group] for distances, member in searched]
    fewest = min(each.shape[1] for each in own)
    together = torch.cat([each[:, :fewest] for each in own])
    # Only the first search went as far as some need.
    return {
        Metric(name, None): _or_missing(name, own[0] if name in ONCE else together)
        for name in names
    }
