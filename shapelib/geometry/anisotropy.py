"""How unevenly directions are used: the first singular value's share, and the average cosine."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from shapelib.geometry.largest import largest_eigenvalue
from shapelib.geometry.points import Points, as_points

# Up to this many features (or points) the whole Gram matrix costs less than Lanczos steps.
_DENSE = 128


class Directions(NamedTuple):
    """All measures of this module for one set of points."""

    anisotropy: float
    anisotropy_uncentered: float
    average_cosine_centered: float
    average_cosine: float


def directions(x: Points) -> Directions:
    """`anisotropy` and `average_cosine`, centered and not, from passes that they share.

    `x`: points × features. Raises ValueError where one of them would.
    """
    x = as_points(x)
    both = [_about(x, _center(x, centered)) for centered in (True, False)]
    centered, plain = both
    return Directions(
        _anisotropy(x, centered), _anisotropy(x, plain), _cosine(centered), _cosine(plain)
    )


def anisotropy(x: Points, centered: bool = True) -> float:
    """The share of the first squared singular value, σ₁² / Σᵢ σᵢ², of the points' matrix.

    The paper centers the points first (Razzhigaev et al. 2023, eq. 1); uncentered, the direction of
    the mean counts too.

    Σᵢ σᵢ² is the sum of the points' squared norms. σ₁² is found by Lanczos steps on the implicit
    Gram matrix, with two vectors at a time and, for float32 points, in float32: about six passes
    over the points where one direction or two stand out, thirty to sixty where all are alike. All
    else is float64, centering included, and so is the product with the exact points that says how
    far off σ₁² may be: by at most 1e-7 of it. The standard error of a share is a thousand times
    that.

    :param x: points × features, at least two of each; half precision and integers are promoted.
    :param centered: whether the mean point is subtracted first.
    :returns: from 1/rank (all directions used alike) to 1 (all points on one line).
    :raises ValueError: for points that are not finite, or that are all equal (all zero where not
        centered): their matrix has no direction.

    >>> import numpy as np
    >>> from shapelib import anisotropy
    >>> cloud = np.random.default_rng(0).standard_normal((1000, 64))
    >>> round(anisotropy(cloud), 2)
    0.02
    >>> cloud[0] *= 100  # one long point among a thousand
    >>> round(anisotropy(cloud), 2)
    0.89
    """
    x = as_points(x)
    return _anisotropy(x, _about(x, _center(x, centered)))


def average_cosine(x: Points, centered: bool = False) -> float:
    """The mean cosine over all pairs of different points, (‖Σᵢ uᵢ‖² − n) / (n (n − 1)).

    uᵢ is point i divided by its norm. Ethayarajh (2019) takes it uncentered. All arithmetic is
    float64.

    :param x: points × features, at least two of each; half precision and integers are promoted.
    :param centered: whether the mean point is subtracted first.
    :returns: from −1/(n − 1) to 1.
    :raises ValueError: for points that are not finite, and for points of norm zero, which have no
        direction.

    >>> import numpy as np
    >>> from shapelib import average_cosine
    >>> cloud = np.random.default_rng(0).standard_normal((1000, 64)) + 5
    >>> round(average_cosine(cloud), 2)  # off the origin, all point the same way
    0.96
    >>> abs(average_cosine(cloud, centered=True)) < 0.01
    True
    """
    x = as_points(x)
    return _cosine(_about(x, _center(x, centered)))


class _About(NamedTuple):
    """Points seen from a center: what one pass over them tells."""

    center: Float[Tensor, " d"]
    squares: Float[Tensor, " n"]
    """Squared distances from the center."""
    resultant: Float[Tensor, " d"]
    """The sum of the points' directions from the center; 0 for a point in it."""


def _anisotropy(x: Float[Tensor, "n d"], about: _About) -> float:
    total = float(about.squares.sum())
    if total == 0:
        raise ValueError("all points are zero: anisotropy is not defined")
    if not (1e-280 < total < float("inf")):
        raise ValueError(f"the squares of the points sum to {total}: scale the points")
    return min(_largest_share(x, about.center, total), 1.0)


def _cosine(about: _About) -> float:
    zero = torch.nonzero(about.squares == 0)
    if len(zero):
        raise ValueError(f"{len(zero)} points have norm zero, the first is row {int(zero[0])}")
    n = len(about.squares)
    return (float(about.resultant @ about.resultant) - n) / (n * (n - 1))


def _center(x: Float[Tensor, "n d"], centered: bool) -> Float[Tensor, " d"]:
    """The mean row in float64 without a float64 copy of `x`; zero where not centered."""
    if not centered:
        return torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
    # Two rows tell in nearly every case; equal points centered leave rounding, not zero.
    if bool((x[0] == x[-1]).all()) and bool((x == x[0]).all()):
        raise ValueError(f"all {x.shape[0]} points are equal: centered, they have no direction")
    if x.device.type == "cpu":
        from shapelib.geometry import loops

        return torch.from_numpy(loops.mean(x.contiguous().numpy()))
    return x.mean(dim=0, dtype=torch.float64)


def _about(x: Float[Tensor, "n d"], center: Float[Tensor, " d"]) -> _About:
    if x.device.type == "cpu":
        from shapelib.geometry import loops

        squares, resultant = loops.lengths(x.contiguous().numpy(), center.numpy())
        return _About(center, torch.from_numpy(squares), torch.from_numpy(resultant))
    rows = x.double() - center
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    resultant = (rows / norms.clamp(min=torch.finfo(norms.dtype).tiny)).sum(dim=0)
    return _About(center, norms[:, 0].square(), resultant)


def _largest_share(x: Float[Tensor, "n d"], center: Float[Tensor, " d"], total: float) -> float:
    """σ₁² / total of x − center: from the smaller Gram matrix, or by steps where it is large."""
    features = x.shape[1]
    if min(x.shape) <= _DENSE:
        rows = x.double() - center
        gram = rows.T @ rows if features <= len(rows) else rows @ rows.T
        return float(torch.linalg.eigvalsh(gram)[-1]) / total
    if x.device.type == "cpu":
        from shapelib.geometry import loops

        array, middle = x.contiguous().numpy(), center.numpy()

        def exact(vector: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
            return loops.gram_times(array, middle, vector) / total

        def cheap(vectors: Float[np.ndarray, "2 d"]) -> Float[np.ndarray, "2 d"]:
            return loops.two_gram_times(array, middle, vectors, total)

        return largest_eigenvalue(exact, cheap, features)
    rows = x.double() - center

    def multiply(vectors: Float[np.ndarray, "*many d"]) -> Float[np.ndarray, "*many d"]:
        v = torch.from_numpy(vectors.T).to(x.device)
        product = (rows.T @ (rows @ v)).cpu().numpy()
        return product.T / total

    return largest_eigenvalue(multiply, multiply, features)
