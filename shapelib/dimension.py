"""Intrinsic dimension of a cloud of points from the distances to their nearest neighbours."""

import torch
from jaxtyping import Float
from torch import Tensor

from shapelib.matrix import Points
from shapelib.neighbors import nearest_neighbors

FACCO_DISCARD = 0.1
AUTHORS_DISCARD = 0.8


def two_nn(x: Points, discard: float = FACCO_DISCARD) -> float:
    """The TwoNN estimate of the intrinsic dimension (Facco et al. 2017).

    With r₁ and r₂ the distances to the first and second neighbour, μ = r₂/r₁ follows
    F(μ) = 1 − μ^(−d). Of the N sorted ratios the m = ⌊N (1 − discard)⌋ smallest are kept, and d
    is the slope of −ln(1 − i/N) against ln μᵢ through the origin: d = Σ xᵢ yᵢ / Σ xᵢ².

    ``discard=0.1`` is Facco's and scikit-dimension's; ``0.8`` (the lowest 20 %) is that of the
    later notebook of the paper's authors. The two can differ twofold on real hidden states.

    `x`: points × features; exact copies are removed first, and N counts what is left. Raises
    ValueError for a discard outside [0, 1), for fewer than three distinct points, and for points
    whose first two neighbours are all equally far.
    """
    return two_nn_from_distances(nearest_neighbors(x, 2).distances, discard)


def two_nn_from_distances(
    distances: Float[Tensor, "points k"], discard: float = FACCO_DISCARD
) -> float:
    """`two_nn` from neighbour distances (k ≥ 2, nearest first, none zero) one already has."""
    if not 0 <= discard < 1:
        raise ValueError(f"discard must be in [0, 1), got {discard}")
    ratios = (distances[:, 1] / distances[:, 0]).log().sort().values
    n = len(ratios)
    # The last point has F = 1, whose logarithm is infinite, so it can never be kept.
    kept = min(int(n * (1 - discard)), n - 1)
    if kept < 1:
        raise ValueError(f"discard={discard} leaves none of {n} points")
    x = ratios[:kept]
    y = -torch.log1p(-torch.arange(1, kept + 1, dtype=torch.float64, device=x.device) / n)
    spread = float(x @ x)
    if spread == 0:
        raise ValueError(
            f"the first two neighbours of all {kept} points kept are equally far: "
            "TwoNN is not defined (points on a grid?)"
        )
    return float(x @ y) / spread
