"""How many directions are used, by measures other than the first singular value's share."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.linalg import eigsh
from torch import Tensor

from shapelib.geometry.anisotropy import anisotropy
from shapelib.geometry.points import Points, as_points

TRIMMED = 0.05
# Up to this many features a full eigendecomposition is the cheaper one.
_DENSE = 32


class Spectrum(NamedTuple):
    """What `spectrum` gives: shares and counts of directions, for one set of points."""

    anisotropy: float
    """σ₁² / Σᵢ σᵢ² of the centered points, the paper's."""
    anisotropy_trimmed: float
    """The same without the 5 % of the points that are farthest from the median."""
    anisotropy_directions: float
    """The same of unit vectors from the median to each point: no point weighs more than another."""
    anisotropy_median: float
    """The median over points of cos² between that unit vector and the first such direction."""
    effective_rank: float
    """exp of the entropy of σᵢ / Σⱼ σⱼ, from 1 to the number of features (Roy, Vetterli 2007)."""
    participation_ratio: float
    """(Σ λᵢ)² / Σ λᵢ² with λᵢ = σᵢ², from 1 to the number of features (Gao et al. 2017)."""
    isoscore: float
    """1 for an isotropic cloud, 0 for a line: (participation ratio − 1) / (features − 1), Rudman et
    al. (2022)."""


def spectrum(x: Points) -> Spectrum:
    """Seven measures of how many directions are used, three of them robust to a few points.

    It takes an eigendecomposition of the points, of most of them, and of their directions. The
    median is taken coordinate by coordinate. The covariance of unit vectors is the spatial sign
    covariance matrix (Locantore et al. 1999, spherical principal components). Only the trimmed
    measure, that of directions and the median one cannot be moved far by a few points: the first
    and the last three are functions of the plain spectrum, in which one long vector can outweigh
    all others.

    :param x: points × features, at least two of each.
    :returns: every measure.
    :raises ValueError: for points that are not finite, and where all points, or all but the trimmed
        ones, are equal.

    >>> import numpy as np
    >>> from shapelib import spectrum
    >>> cloud = np.random.default_rng(0).standard_normal((1000, 64))
    >>> cloud[7] *= 100
    >>> shape = spectrum(cloud)
    >>> round(shape.participation_ratio, 1), round(shape.anisotropy_directions, 2)
    (1.2, 0.02)
    """
    x = as_points(x)
    shares = eigenvalue_shares(x)
    directions, lengths = _directions(x, _middle(x))
    first, vector = first_direction(scatter(directions))
    nearest = lengths.argsort(stable=True)[: len(x) - int(TRIMMED * len(x))]
    trimmed = anisotropy(x[nearest])
    return Spectrum(
        anisotropy=float(shares[0]),
        anisotropy_trimmed=trimmed,
        anisotropy_directions=first / len(directions),
        anisotropy_median=float((directions @ vector).square().median()),
        effective_rank=effective_rank(shares),
        participation_ratio=participation_ratio(shares),
        isoscore=isoscore(shares),
    )


def eigenvalue_shares(x: Points) -> Float[np.ndarray, " features"]:
    """λᵢ / Σⱼ λⱼ of the covariance matrix, falling; zeros where there are fewer points.

    The first is the (centered) anisotropy. Raises ValueError where all points are equal.
    """
    x = as_points(x)
    if bool((x == x[0]).all()):
        raise ValueError(f"all {len(x)} points are equal: they have no direction")
    rows = x.double()
    rows = rows - rows.mean(dim=0)
    matrix = scatter(rows.T if rows.shape[1] > rows.shape[0] else rows)
    values = torch.linalg.eigvalsh(matrix).clamp(min=0).flip(0)
    shares = np.zeros(rows.shape[1])
    shares[: len(values)] = (values / values.sum()).cpu().numpy()[: rows.shape[1]]
    return shares


def effective_rank(shares: Float[np.ndarray, " features"]) -> float:
    """exp(−Σ pᵢ log pᵢ) with pᵢ = σᵢ / Σⱼ σⱼ: the exponential of the spectrum's entropy.

    From 1 to the number of features. Roy and Vetterli (2007), who take singular values, not their
    squares: a long tail of small directions weighs more than in the participation ratio.
    """
    singular = np.sqrt(shares)
    p = singular[singular > 0] / singular.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def participation_ratio(shares: Float[np.ndarray, " features"]) -> float:
    """(Σ λᵢ)² / Σ λᵢ²: as many equal directions would have the same ratio.

    From 1 to the number of features. Gao et al. (2017).
    """
    return float(1 / np.square(shares).sum())


def isoscore(shares: Float[np.ndarray, " features"]) -> float:
    """How much of the space is used evenly: 1 for an isotropic cloud, 0 for a line.

    With λ̂ the eigenvalues scaled to norm √d, the defect is δ = ‖λ̂ − 1‖ / √(2 (d − √d)) and the
    score ((d − δ² (d − √d))² / d − 1) / (d − 1). Rudman et al. (2022), Algorithm 1, in closed
    form: (Σ λᵢ)² / Σ λᵢ² is the bracket's square over d, so the score is
    (participation ratio − 1) / (d − 1).
    """
    return (participation_ratio(shares) - 1) / (len(shares) - 1)


def _middle(x: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """The coordinate-wise median: a center that a minority of points cannot carry off."""
    return x.median(dim=0).values.double()


def _directions(
    x: Float[Tensor, "n d"], center: Float[Tensor, " d"]
) -> tuple[Float[Tensor, "kept d"], Float[Tensor, " n"]]:
    """Unit vectors from the center to the points (but those that lie on it), and all lengths."""
    rows = x.double() - center
    lengths = torch.linalg.vector_norm(rows, dim=1)
    apart = lengths > 0
    return rows[apart] / lengths[apart, None], lengths


def scatter(rows: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    """Σᵢ xᵢ xᵢᵀ of float64 rows; on a CPU the upper half is computed and mirrored."""
    if rows.device.type != "cpu":
        return rows.T @ rows
    from scipy.linalg.blas import dsyrk

    upper = torch.from_numpy(dsyrk(1.0, rows.numpy().T)).triu()
    return upper + upper.triu(1).T


def first_direction(
    matrix: Float[Tensor, "d d"], near: Float[Tensor, " d"] | None = None
) -> tuple[float, Float[Tensor, " d"]]:
    """The largest eigenvalue and its vector; `near` is a guess at the vector."""
    array = matrix.cpu().numpy()
    if len(array) <= _DENSE:
        values, vectors = np.linalg.eigh(array)
    else:
        start = np.random.default_rng(0).standard_normal(len(array))
        if near is not None:
            # A little of everything, lest the guess be an eigenvector of a smaller eigenvalue.
            start = near.cpu().numpy() + 1e-3 * start / np.linalg.norm(start)
        values, vectors = eigsh(array, k=1, which="LA", tol=1e-12, v0=start)
    if not values[-1] > 0:
        raise ValueError("the points, or those that are left, are all equal: no direction")
    return float(values[-1]), torch.from_numpy(vectors[:, -1].copy()).to(matrix.device)
