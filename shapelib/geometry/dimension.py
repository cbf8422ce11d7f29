"""Intrinsic dimension of a cloud of points from the distances to their nearest neighbours.

Throughout r₁ ≤ r₂ ≤ … are a point's distances to its neighbours, exact copies left out. Each
estimator takes points; its ``_from_distances`` form takes the distances of a search already made.

Estimates of one cloud carry two kinds of error. Their bias grows with the dimension and shrinks
with n, and no standard error shows it. Their spread is what `dimensions` states.
"""

import math
import statistics
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from shapelib.errors import is_whole_number
from shapelib.geometry.neighbors import nearest_neighbors
from shapelib.geometry.points import Points

FACCO_DISCARD = 0.1
AUTHORS_DISCARD = 0.8
MADA_K = 20
MOM_K = 100
_GROUPS = 20

Distances = Float[Tensor, "points k"] | Float[np.ndarray, "points k"]


class Estimate(NamedTuple):
    """A dimension, and its standard error."""

    value: float
    """The dimension, above 0."""
    stderr: float
    """The standard deviation that it would have over new points."""


class Dimensions(NamedTuple):
    """What `dimensions` found in one search."""

    estimates: dict[str, Estimate]
    """By the method's name in the tables, such as ``mada_k20``."""
    n: int
    """Distinct points that took part."""
    duplicates: int
    """Exact copies that were removed before the search."""
    searched_again: int
    """Points that needed a float64 product, see `Neighbors`."""


def two_nn(
    x: Points, discard: float = FACCO_DISCARD, method: Literal["line", "mle"] = "line"
) -> float:
    """The TwoNN estimate of the intrinsic dimension (Facco et al. 2017).

    With r₁ and r₂ the distances to the first and second neighbour, μ = r₂/r₁ follows
    F(μ) = 1 − μ^(−d). Of the N sorted ratios the m = ⌊N (1 − discard)⌋ smallest are kept.

    ``method="line"``, Facco's: d is the slope of −ln(1 − i/N) against ln μᵢ through the origin,
    Σ xᵢ yᵢ / Σ xᵢ². ``"mle"``: the N − m largest count as at least μₘ (Type II censoring), and
    d = (m − 1) / (Σ ln μᵢ + (N − m) ln μₘ), without bias where the ratios are independent; it is
    the steadier of the two.

    :param x: points × features; exact copies are removed first, and N counts what is left.
    :param discard: the share of the largest ratios that is left out: 0.1 is Facco's and
        scikit-dimension's, 0.8 (the lowest 20 % are kept) that of the later notebook of the paper's
        authors. On real hidden states the two can differ more than twofold.
    :param method: ``line`` or ``mle``.
    :returns: the dimension, above 0.
    :raises ValueError: for a discard outside [0, 1), for fewer than four distinct points, and for
        points whose first two neighbours are all equally far.

    >>> import numpy as np
    >>> from shapelib import two_nn
    >>> flat = np.zeros((2000, 50))
    >>> flat[:, :3] = np.random.default_rng(0).uniform(size=(2000, 3))
    >>> round(two_nn(flat), 1)
    2.9
    """
    _check_two_nn(discard, method)
    return two_nn_from_distances(nearest_neighbors(x, 2).distances, discard, method)


def two_nn_from_distances(
    distances: Distances,
    discard: float = FACCO_DISCARD,
    method: Literal["line", "mle"] = "line",
) -> float:
    """`two_nn` from neighbour distances (k ≥ 2, nearest first, none zero) one already has."""
    _check_two_nn(discard, method)
    return _two_nn(_log_ratios(checked_distances(distances)), discard, method)


def mada(
    x: Points, k: int = MADA_K, average: Literal["mean", "median", "harmonic"] = "mean"
) -> float:
    """The manifold-adaptive estimate (Farahmand, Szepesvári and Audibert 2007).

    At each point ln 2 / ln(r_k / r_⌊k/2⌋): doubling the count of neighbours multiplies the radius
    by 2^(1/d). The paper names neither k nor the average over points.

    :param x: points × features; exact copies are removed first.
    :param k: neighbours of a point; 20 is scikit-dimension's.
    :param average: over the points: ``mean`` (scikit-dimension's), ``median`` (a few points in odd
        places do not move it), or ``harmonic`` (the mean of the logarithms is taken first).
    :returns: the dimension, above 0.
    :raises ValueError: for k < 2, for no more than k + 1 distinct points, and where r_k = r_⌊k/2⌋
        at a point (with ``mean``; the others bear it until most points are so).

    >>> import numpy as np
    >>> from shapelib import mada
    >>> flat = np.zeros((2000, 50))
    >>> flat[:, :3] = np.random.default_rng(0).uniform(size=(2000, 3))
    >>> round(mada(flat), 1)
    3.1
    """
    _check_average(average)
    check_k(k, "MADA")
    return mada_from_distances(nearest_neighbors(x, k).distances, average)


def mada_from_distances(
    distances: Distances, average: Literal["mean", "median", "harmonic"] = "mean"
) -> float:
    """`mada` from the distances to k neighbours (nearest first, none zero); k is their number."""
    _check_average(average)
    return _averaged(_mada_at_points(checked_distances(distances)), average, "MADA")


def mom(x: Points, k: int = MOM_K) -> float:
    """The method-of-moments estimate of local dimension, averaged (Amsaleg et al. 2018).

    At each point m / (r_k − m), with m the mean of r₁ … r_k; the mean over the points. The paper
    names no k, and the result depends on it: 12.7 at k = 100 and 15.8 at 20 for 1000 points of a
    20-dimensional ball. `dimensions` uses one k for all methods, 20, and names what it gives
    ``mom_k20``.

    :param x: points × features; exact copies are removed first.
    :param k: neighbours of a point; 100 is scikit-dimension's.
    :returns: the dimension, above 0.
    :raises ValueError: for k < 2, for no more than k + 1 distinct points, and where all k
        neighbours of a point are equally far.

    >>> import numpy as np
    >>> from shapelib import mom
    >>> flat = np.zeros((2000, 50))
    >>> flat[:, :3] = np.random.default_rng(0).uniform(size=(2000, 3))
    >>> round(mom(flat), 1)  # its hundred neighbours reach over the edges
    2.8
    """
    check_k(k, "the method of moments")
    return mom_from_distances(nearest_neighbors(x, k).distances)


def mom_from_distances(distances: Distances) -> float:
    """`mom` from the distances to k neighbours (nearest first, none zero); k is their number."""
    return _averaged(_mom_at_points(checked_distances(distances)), "mean", "the method of moments")


def dimensions(x: Points, k: int = MADA_K) -> Dimensions:
    """Every estimate from one search for `k` neighbours: value and standard error by method.

    With k = 20: ``two_nn``, ``two_nn_lowest20`` (the fit of the authors' notebook), ``mada_k20``,
    ``mom_k20``; another k is named so. k = 100 gives scikit-dimension's own method of moments.

    The standard error says what other points of the same kind would change. MADA and MoM: the
    standard deviation of the estimates at the points over √n. TwoNN: the jackknife over 20 random
    groups of points (seed 0), each left out of the fit in turn. Both take the points' distances for
    independent, though points have neighbours in common: on cubes of 2 to 12 dimensions with 1000
    and 4000 points the true spread is 0.9 to 1.4 times as large. It is larger still for tokens of
    one text, which depend on each other (`profile` resamples whole windows).

    :param x: points × features; exact copies are removed first, and counted.
    :param k: neighbours of a point.
    :returns: the estimates by name, and how many points and copies there were.
    :raises ValueError: for k < 2, for no more than k + 1 distinct points, and where an estimator is
        not defined.

    >>> import numpy as np
    >>> from shapelib import dimensions
    >>> flat = np.zeros((2000, 50))
    >>> flat[:, :3] = np.random.default_rng(0).uniform(size=(2000, 3))
    >>> {name: round(each.value, 1) for name, each in dimensions(flat).estimates.items()}
    {'two_nn': 2.9, 'two_nn_lowest20': 3.1, 'mada_k20': 3.1, 'mom_k20': 3.2}
    """
    check_k(k, "MADA")
    found = nearest_neighbors(x, k)
    return Dimensions(
        dimensions_from_distances(found.distances),
        len(found.distinct),
        found.duplicates,
        found.searched_again,
    )


def dimensions_from_distances(distances: Distances) -> dict[str, Estimate]:
    """The estimates of `dimensions` from the distances to k neighbours; k is their number."""
    distances = checked_distances(distances)
    k = distances.shape[1]
    logs = _log_ratios(distances)
    return {
        "two_nn": _jackknife(logs, FACCO_DISCARD),
        "two_nn_lowest20": _jackknife(logs, AUTHORS_DISCARD),
        f"mada_k{k}": _mean(_mada_at_points(distances), "MADA"),
        f"mom_k{k}": _mean(_mom_at_points(distances), "the method of moments"),
    }


def _log_ratios(distances: Float[Tensor, "points k"]) -> Float[Tensor, " points"]:
    """ln μ of all points, the smallest first."""
    return (distances[:, 1] / distances[:, 0]).log().sort().values


def _two_nn(logs: Float[Tensor, " points"], discard: float, method: str = "line") -> float:
    n = len(logs)
    # The last point has F = 1, whose logarithm is infinite, so a line can never keep it.
    kept = min(int(n * (1 - discard)), n - (method == "line"))
    if kept < (1 if method == "line" else 2):
        raise ValueError(f"discard={discard} leaves {kept or 'none'} of {n} points")
    x = logs[:kept]
    if float(x[-1]) == 0:
        raise ValueError(
            f"the first two neighbours of all {kept} points kept are equally far: "
            "TwoNN is not defined (points on a grid?)"
        )
    if method == "mle":
        return (kept - 1) / (float(x.sum()) + (n - kept) * float(x[-1]))
    y = -torch.log1p(-torch.arange(1, kept + 1, dtype=torch.float64, device=x.device) / n)
    return float(x @ y) / float(x @ x)


def _mada_at_points(distances: Float[Tensor, "points k"]) -> Float[Tensor, " points"]:
    k = distances.shape[1]
    return math.log(2) / (distances[:, k - 1] / distances[:, k // 2 - 1]).log()


def _mom_at_points(distances: Float[Tensor, "points k"]) -> Float[Tensor, " points"]:
    mean = distances.mean(dim=1)
    # Rounding of the mean must not pass for a difference where all k are equally far.
    last = distances[:, -1]
    return torch.where(distances[:, 0] == last, torch.inf, mean / (last - mean))


def _averaged(values: Float[Tensor, " points"], average: str, method: str) -> float:
    if average == "median":
        # The mean of the middle two for an even count, as everywhere but in torch.median.
        value = float(values.quantile(0.5))
    elif average == "harmonic":
        value = 1 / float((1 / values).mean() or math.nan)
    else:
        value = float(values.mean())
    if not math.isfinite(value):
        infinite = torch.nonzero(values.isinf())[:, 0]
        raise ValueError(
            f"{method} is not defined at {len(infinite)} of {len(values)} points, the first is "
            f"{int(infinite[0])} of the distinct ones: its neighbours are all equally far "
            "(points on a grid?)"
        )
    return value


def _mean(values: Float[Tensor, " points"], method: str) -> Estimate:
    return Estimate(_averaged(values, "mean", method), float(values.std()) / len(values) ** 0.5)


def _jackknife(logs: Float[Tensor, " points"], discard: float) -> Estimate:
    """TwoNN, and the standard error from leaving out each of `_GROUPS` random groups in turn."""
    groups = min(_GROUPS, len(logs) // 10)
    if groups < 2:
        return Estimate(_two_nn(logs, discard), math.nan)
    # What is left of sorted ratios is still sorted.
    group = torch.randperm(len(logs), generator=torch.Generator().manual_seed(0)) % groups
    group = group.to(logs.device)
    without = [_two_nn(logs[group != each], discard) for each in range(groups)]
    return Estimate(_two_nn(logs, discard), statistics.pstdev(without) * math.sqrt(groups - 1))


def checked_distances(distances: Distances) -> Float[Tensor, "points k"]:
    """Distances as a float64 tensor, nearest first and none zero, or ValueError."""
    if not isinstance(distances, Tensor):
        distances = torch.as_tensor(distances)
    if distances.ndim != 2 or distances.shape[1] < 2 or len(distances) == 0:
        raise ValueError(
            f"distances must be points × k with k at least 2, got {tuple(distances.shape)}"
        )
    if not bool((distances[:, 0] > 0).all()):
        zero = torch.nonzero(~(distances[:, 0] > 0))[:, 0]
        raise ValueError(
            f"{len(zero)} points have a neighbour at no positive distance, the first is row "
            f"{int(zero[0])}: exact copies must be left out before the search"
        )
    # Rising from above zero, all are finite where the last are.
    if not (
        bool((distances[:, 1:] >= distances[:, :-1]).all())
        and bool(torch.isfinite(distances[:, -1]).all())
    ):
        rising = torch.isfinite(distances).all(dim=1) & (distances.diff(dim=1) >= 0).all(dim=1)
        first = int(torch.nonzero(~rising)[0])
        raise ValueError(f"distances must be finite, nearest first; row {first} is not")
    return distances.to(torch.float64)


def _check_two_nn(discard: float, method: str) -> None:
    if not 0 <= discard < 1:
        raise ValueError(f"discard must be in [0, 1), got {discard}")
    if method not in ("line", "mle"):
        raise ValueError(f"method must be 'line' or 'mle', got {method!r}")


def _check_average(average: str) -> None:
    if average not in ("mean", "median", "harmonic"):
        raise ValueError(f"average must be 'mean', 'median' or 'harmonic', got {average!r}")


def check_k(k: int, method: str) -> None:
    """ValueError where `k` is no number of neighbours for that method."""
    if not is_whole_number(k, 2, numpy=True):
        raise ValueError(f"{method} needs a whole k of at least 2, got {k!r}")
