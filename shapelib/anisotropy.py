"""How unevenly directions are used: the first singular value's share, and the average cosine."""

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from shapelib.matrix import Points, as_points

# Up to this many features (or points) the whole Gram matrix costs less than Lanczos iterations.
_DENSE = 1024


def anisotropy(x: Points, centered: bool = True) -> float:
    """The share of the first squared singular value, σ₁² / Σᵢ σᵢ², of the points' matrix.

    From 1/rank (all directions used alike) to 1 (all points on one line). The paper centers the
    points first (Razzhigaev et al. 2023, eq. 1); with ``centered=False`` the direction of the
    mean counts too.

    `x`: points × features, at least two points. All arithmetic is float64; the result agrees with
    a full SVD to 1e-8. Raises ValueError for points that are not finite, or that are all equal
    (all zero where not centered): their matrix has no direction.
    """
    x = as_points(x)
    x = _centered(x) if centered else x
    total = float((x * x).sum())
    if total == 0:
        raise ValueError("all points are zero: anisotropy is not defined")
    return min(_largest_eigenvalue(x) / total, 1.0)


def average_cosine(x: Points, centered: bool = False) -> float:
    """The mean cosine over all pairs of different points, (‖Σᵢ uᵢ‖² − n) / (n (n − 1)).

    uᵢ is point i divided by its norm. From −1/(n − 1) to 1. Ethayarajh (2019) takes it uncentered.

    `x`: points × features, at least two points. Raises ValueError for points that are not finite,
    and for points of norm zero, which have no direction.
    """
    x = as_points(x)
    x = _centered(x) if centered else x
    norms = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    zero = torch.nonzero(norms[:, 0] == 0)
    if len(zero):
        raise ValueError(f"{len(zero)} points have norm zero, the first is row {int(zero[0])}")
    n = x.shape[0]
    resultant = (x / norms).sum(dim=0)
    return (float(resultant @ resultant) - n) / (n * (n - 1))


def _centered(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    if bool((x == x[0]).all()):
        raise ValueError(f"all {x.shape[0]} points are equal: centered, they have no direction")
    return x - x.mean(dim=0)


def _largest_eigenvalue(x: Float[Tensor, "n d"]) -> float:
    """σ₁² of `x`: from the smaller Gram matrix, or by Lanczos iterations where that is large."""
    side = min(x.shape)
    if side <= _DENSE:
        gram = x.T @ x if x.shape[1] == side else x @ x.T
        last = (side - 1, side - 1)
        return float(
            scipy.linalg.eigh(gram.cpu().numpy(), eigvals_only=True, subset_by_index=last)[0]
        )

    def multiply(vector: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
        v = torch.from_numpy(np.ascontiguousarray(vector).reshape(-1)).to(x.device)
        return (x.T @ (x @ v)).cpu().numpy()

    features = x.shape[1]
    operator = LinearOperator((features, features), matvec=multiply, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(features)
    return float(eigsh(operator, k=1, which="LA", tol=1e-9, v0=start, return_eigenvectors=False)[0])
