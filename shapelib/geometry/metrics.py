"""The metrics of a shape table, for one set of points."""

import math
from collections.abc import Callable
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
from shapelib.geometry.neighbors import Neighbors, neighbors_of_distinct
from shapelib.geometry.points import Points, as_points, first_occurrences

FURTHEST = f"mom_k{MOM_K}"
"""The metric that needs the most neighbours: measured in one batch of a table."""


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
METRICS = (
    Metric("anisotropy", True),
    Metric("anisotropy", False),
    Metric("average_cosine", True),
    Metric("average_cosine", False),
    *(Metric(name, None) for name in NEIGHBORS),
)


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
    return neighbors_of_distinct(x, first, multiplicity, max(2, min(k, len(first) - 2)))


def directions_of(x: Points) -> dict[Metric, float]:
    """Anisotropy and average cosine."""
    found = directions(x)
    return {
        Metric("anisotropy", True): found.anisotropy,
        Metric("anisotropy", False): found.anisotropy_uncentered,
        Metric("average_cosine", True): found.average_cosine_centered,
        Metric("average_cosine", False): found.average_cosine,
    }


def dimensions_of(distances: Float[Tensor, "n k"]) -> dict[Metric, float]:
    """Every dimension, from the distances of `neighbors_at_most`; NaN for too few neighbours."""
    return {
        Metric(name, None): _or_missing(estimate, distances, k)
        for name, (k, estimate) in NEIGHBORS.items()
    }


def _or_missing(
    estimate: Callable[[Tensor], float], distances: Float[Tensor, "n k"], k: int
) -> float:
    """One estimate; NaN for too few neighbours, and where it is not defined (on a grid)."""
    if distances.shape[1] < k or len(distances) < 4:
        return math.nan
    try:
        return estimate(distances[:, :k])
    except ValueError:
        return math.nan


def dimensions_of_group(
    searched: list[tuple[Float[Tensor, "n k"], Int[Tensor, " n"]]], group: int
) -> dict[Metric, float]:
    """The dimensions at the points of one group of windows, among the neighbours of all."""
    own = [distances[member == group] for distances, member in searched]
    fewest = min(each.shape[1] for each in own)
    shared = dimensions_of(torch.cat([each[:, :fewest] for each in own]))
    # Only the first search went as far as this one's neighbours.
    furthest = _or_missing(mom_from_distances, own[0], MOM_K)
    return {**shared, Metric(FURTHEST, None): furthest}
