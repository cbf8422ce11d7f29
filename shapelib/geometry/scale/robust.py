"""The maximum-likelihood dimension of Levina and Bickel, all points taken together."""

from jaxtyping import Float
from torch import Tensor

from shapelib.geometry.dimension import MADA_K, Distances, Estimate, check_k, checked_distances
from shapelib.geometry.neighbors import nearest_neighbors
from shapelib.geometry.points import Points


def mle(x: Points, k: int = MADA_K) -> Estimate:
    """The maximum-likelihood estimate (Levina and Bickel 2004), averaged as it should be.

    At each point (k − 1) / Σⱼ ln(r_k / rⱼ), j = 1 … k − 1. The inverse of the mean of the inverses
    over the points, d = N (k − 1) / Σᵢ Σⱼ ln(r_k / rⱼ), is the estimate of greatest likelihood for
    all of them (MacKay and Ghahramani 2005); the mean of Levina and Bickel is k − 1 over k − 2 too
    large even where all is ideal. The standard error, d / √(N (k − 1)), takes points for
    independent; they share neighbours, which raises the true spread as in `gride`.

    :param x: points × features; exact copies are removed first.
    :param k: neighbours of a point, at least 2; at 2 it is TwoNN's likelihood without a discard.
    :returns: the dimension, above 0, and its standard error.
    :raises ValueError: for k < 2, for no more than k + 1 distinct points, and where all neighbours
        of every point are equally far.

    >>> import numpy as np
    >>> from shapelib import mle
    >>> flat = np.zeros((2000, 50))
    >>> flat[:, :3] = np.random.default_rng(0).uniform(size=(2000, 3))
    >>> round(mle(flat).value, 1)
    2.9
    """
    check_k(k, "the maximum-likelihood estimate")
    return mle_from_distances(nearest_neighbors(x, k).distances)


def mle_from_distances(distances: Distances) -> Estimate:
    """`mle` from the distances to k neighbours (nearest first, none zero); k is their number."""
    near: Float[Tensor, "points k"] = checked_distances(distances)
    points, k = near.shape
    total = float((near[:, -1:] / near[:, :-1]).log().sum())
    if total == 0:
        raise ValueError(
            f"the {k} neighbours of each of {points} points are equally far: the dimension is not "
            "defined (points on a grid?)"
        )
    value = points * (k - 1) / total
    return Estimate(value, value / (points * (k - 1)) ** 0.5)
