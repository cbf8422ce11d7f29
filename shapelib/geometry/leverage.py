"""Which points carry σ₁²: each point's share of it, and anisotropy as the heaviest are left out."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapelib.geometry.points import Points, as_points
from shapelib.geometry.spectrum import first_direction, scatter

LARGEST = 0.05
STEPS = 20


class LeaveOut(NamedTuple):
    """What `leave_out` gives: anisotropy without the points of the highest leverage."""

    removed: Int[np.ndarray, " steps"]
    """How many, rising from 0."""
    anisotropy: Float[np.ndarray, " steps"]
    """Centered, of the points that are left."""
    order: Int[np.ndarray, " largest"]
    """The rows in the order they are left out."""
    leverage: Float[np.ndarray, " n"]
    """Every point's share of σ₁² before any was left out."""
    direction: Float[np.ndarray, " d"]
    """v₁ before any was left out."""


def leverage(x: Points) -> Float[np.ndarray, " n"]:
    """Every point's share of the first squared singular value of the centered points; sums to 1.

    With X = U Σ Vᵀ the centered points, σ₁² = ‖X v₁‖² = Σᵢ (xᵢ · v₁)², so that point i adds
    (xᵢ · v₁)² / σ₁² = U²ᵢ₁. It is the point's leverage (Hoaglin and Welsch 1978, the diagonal of
    the hat matrix) on the first principal direction alone.

    :param x: points × features, at least two of each.
    :returns: a share for each point, from 0 to 1.
    :raises ValueError: for points that are not finite, or all equal: they have no direction.

    >>> import numpy as np
    >>> from shapelib import leverage
    >>> cloud = np.random.default_rng(0).standard_normal((1000, 64))
    >>> cloud[7] *= 100
    >>> round(float(leverage(cloud)[7]), 3)
    0.997
    """
    x = _rows(x)
    _, direction = first_direction(scatter(x - x.mean(dim=0)))
    return _shares(x, direction)


def leave_out(x: Points, largest: float = LARGEST, steps: int = STEPS) -> LeaveOut:
    """Anisotropy without the 0, 1, …, `largest` · n points of the highest leverage.

    The scatter matrix of the points that are never left out is formed once; the others are then
    added back, the lightest first. Adding loses nothing, whereas subtracting a vector that is a
    thousand times longer than the rest would leave its rounding errors behind. A step costs a rank
    update and a few dozen products of that matrix with a vector.

    :param x: points × features, at least two of each.
    :param largest: the share of the points that is left out at the end.
    :param steps: equal steps of the curve (fewer where there are fewer points).
    :returns: the curve, every point's leverage, and the first direction.
    :raises ValueError: for points that are not finite, for a share that is not between 0 and 1, for
        a step count below 1, and where the points that are never left out are all equal.

    >>> import numpy as np
    >>> from shapelib import leave_out
    >>> cloud = np.random.default_rng(0).standard_normal((1000, 64))
    >>> cloud[7] *= 100
    >>> curve = leave_out(cloud)
    >>> curve.removed[:2].tolist(), curve.anisotropy[:2].round(2).tolist()
    ([0, 2], [0.91, 0.02])
    """
    if not 0 < largest < 1:
        raise ValueError(f"largest must be a share between 0 and 1, got {largest!r}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    x = _rows(x)
    _, first = first_direction(scatter(x - x.mean(dim=0)))
    shares = _shares(x, first)
    most = min(max(int(largest * len(x)), 1), len(x) - 2)
    heaviest = np.argsort(-shares, kind="stable")[:most].copy()
    kept = torch.ones(len(x), dtype=torch.bool, device=x.device)
    kept[torch.from_numpy(heaviest).to(x.device)] = False
    core = x[kept]
    center = core.mean(dim=0)
    matrix = scatter(core - center)
    removed = np.unique(np.linspace(0, most, steps + 1).round().astype(int))
    found = np.empty(len(removed))
    direction = first
    # Sums over the points added back, measured from the center of those never left out.
    shift = torch.zeros_like(center)
    for place in range(len(removed) - 1, -1, -1):
        if place + 1 < len(removed):
            back = x[heaviest[removed[place] : removed[place + 1]]] - center
            matrix.addmm_(back.T, back)
            shift += back.sum(dim=0)
        # Σ (xᵢ − μ)(xᵢ − μ)ᵀ = Σ xᵢ xᵢᵀ − (Σ xᵢ)(Σ xᵢ)ᵀ / n: at most a few percent is taken off.
        here = matrix - torch.outer(shift, shift / (len(x) - int(removed[place])))
        total = float(here.trace())
        top, direction = first_direction(here, direction)
        found[place] = min(top / total, 1.0)
    return LeaveOut(removed, found, heaviest, shares, first.cpu().numpy())


def _rows(x: Points) -> Float[Tensor, "n d"]:
    x = as_points(x).double()
    if bool((x == x[0]).all()):
        raise ValueError(f"all {len(x)} points are equal: they have no direction")
    return x


def _shares(x: Float[Tensor, "n d"], direction: Float[Tensor, " d"]) -> Float[np.ndarray, " n"]:
    along = (x - x.mean(dim=0)) @ direction
    shares: Float[np.ndarray, " n"] = (along.square() / along.square().sum()).cpu().numpy()
    return shares
