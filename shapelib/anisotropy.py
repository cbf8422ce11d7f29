"""How unevenly directions are used: the first singular value's share, and the average cosine."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from shapelib.matrix import Points, as_points

# Up to this many features (or points) the whole Gram matrix costs less than Lanczos iterations.
_DENSE = 128
# Of the first eigenvalue, relative; the residual that Lanczos iterations stop at bounds its error.
_TOLERANCE = 1e-8


def anisotropy(x: Points, centered: bool = True) -> float:
    """The share of the first squared singular value, σ₁² / Σᵢ σᵢ², of the points' matrix.

    From 1/rank (all directions used alike) to 1 (all points on one line). The paper centers the
    points first (Razzhigaev et al. 2023, eq. 1); with ``centered=False`` the direction of the
    mean counts too.

    Σᵢ σᵢ² is the sum of the points' squared norms. σ₁² is found by Lanczos iterations on the
    implicit Gram matrix: some twenty passes over the points where one direction stands out, some
    hundred where all are alike.

    `x`: points × features, at least two of each; half precision and integers are promoted. All
    arithmetic is float64, centering included; the result agrees with a full SVD to 1e-7. Raises
    ValueError for points that are not finite, or that are all equal (all zero where not centered):
    their matrix has no direction.

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
    center = _center(x, centered)
    squares, _ = _lengths(x, center)
    total = float(squares.sum())
    if total == 0:
        raise ValueError("all points are zero: anisotropy is not defined")
    if not (1e-280 < total < float("inf")):
        raise ValueError(f"the squares of the points sum to {total}: scale the points")
    return min(_largest_eigenvalue(x, center) / total, 1.0)


def average_cosine(x: Points, centered: bool = False) -> float:
    """The mean cosine over all pairs of different points, (‖Σᵢ uᵢ‖² − n) / (n (n − 1)).

    uᵢ is point i divided by its norm. From −1/(n − 1) to 1. Ethayarajh (2019) takes it uncentered.

    `x`: points × features, at least two of each; half precision and integers are promoted. All
    arithmetic is float64. Raises ValueError for points that are not finite, and for points of norm
    zero, which have no direction.

    >>> import numpy as np
    >>> from shapelib import average_cosine
    >>> cloud = np.random.default_rng(0).standard_normal((1000, 64)) + 5
    >>> round(average_cosine(cloud), 2)  # off the origin, all point the same way
    0.96
    >>> abs(average_cosine(cloud, centered=True)) < 0.01
    True
    """
    x = as_points(x)
    squares, resultant = _lengths(x, _center(x, centered))
    zero = torch.nonzero(squares == 0)
    if len(zero):
        raise ValueError(f"{len(zero)} points have norm zero, the first is row {int(zero[0])}")
    n = x.shape[0]
    return (float(resultant @ resultant) - n) / (n * (n - 1))


def _center(x: Float[Tensor, "n d"], centered: bool) -> Float[Tensor, " d"]:
    """The mean row in float64 without a float64 copy of `x`; zero where not centered."""
    center = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
    if centered:
        # Two rows tell in nearly every case; equal points centered leave rounding, not zero.
        if bool((x[0] == x[-1]).all()) and bool((x == x[0]).all()):
            raise ValueError(f"all {x.shape[0]} points are equal: centered, they have no direction")
        for rows in x.split(256):
            center += rows.sum(dim=0, dtype=torch.float64)
        center /= len(x)
    return center


def _lengths(
    x: Float[Tensor, "n d"], center: Float[Tensor, " d"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " d"]]:
    """The squared norms of the rows of x − center, and the sum of their directions."""
    if x.device.type == "cpu":
        from shapelib import loops

        squares, directions = loops.lengths(x.contiguous().numpy(), center.numpy())
        return torch.from_numpy(squares), torch.from_numpy(directions)
    rows = x.double() - center
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return norms[:, 0].square(), (rows / norms.clamp(min=torch.finfo(norms.dtype).tiny)).sum(dim=0)


def _largest_eigenvalue(x: Float[Tensor, "n d"], center: Float[Tensor, " d"]) -> float:
    """σ₁² of x − center: from the smaller Gram matrix, or by Lanczos where that is large."""
    features = x.shape[1]
    if min(x.shape) <= _DENSE:
        rows = x.double() - center
        gram = rows.T @ rows if features <= len(rows) else rows @ rows.T
        return float(torch.linalg.eigvalsh(gram)[-1])
    if x.device.type == "cpu":
        from shapelib import loops

        array, middle = x.contiguous().numpy(), center.numpy()

        def multiply(vector: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
            return loops.gram_times(array, middle, np.ascontiguousarray(vector.reshape(-1)))
    else:
        rows = x.double() - center

        def multiply(vector: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
            v = torch.from_numpy(np.ascontiguousarray(vector.reshape(-1))).to(x.device)
            return (rows.T @ (rows @ v)).cpu().numpy()

    operator = LinearOperator((features, features), matvec=multiply, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(features)
    return float(
        eigsh(operator, k=1, which="LA", tol=_TOLERANCE, v0=start, return_eigenvectors=False)[0]
    )
