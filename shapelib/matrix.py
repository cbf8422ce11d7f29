"""What every estimator asks of its points: a finite matrix of floats with enough rows."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Points = Float[Tensor, "points features"] | Float[np.ndarray, "points features"]


def as_points(x: Points, least: int = 2) -> Float[Tensor, "points features"]:
    """`x` as a float64 tensor on its own device.

    Raises ValueError where `x` is not a matrix of real numbers with at least `least` rows, or
    holds NaN or infinity (their count and the first such row are named).
    """
    if not isinstance(x, Tensor):
        array = np.asarray(x)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"points must be real numbers, got an array of {array.dtype}")
        x = torch.from_numpy(np.ascontiguousarray(array))
    if x.is_complex() or x.dtype == torch.bool:
        raise ValueError(f"points must be real numbers, got a tensor of {x.dtype}")
    if x.ndim != 2 or x.shape[1] == 0:
        raise ValueError(f"points must be a matrix (points × features), got {tuple(x.shape)}")
    if x.shape[0] < least:
        raise ValueError(f"at least {least} points are needed, got {x.shape[0]}")
    x = x.detach().to(torch.float64)
    # One sum tells whether to look closer; the look itself costs five times as much.
    if not bool(torch.isfinite(x.sum())):
        bad = torch.nonzero(~torch.isfinite(x).all(dim=1))
        if len(bad):
            raise ValueError(
                f"{len(bad)} points hold NaN or infinity, the first is row {int(bad[0])}"
            )
    return x
