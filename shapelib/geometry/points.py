"""What every estimator asks of its points: a finite matrix of floats, and which rows are copies."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Points = Float[Tensor, "points features"] | Float[np.ndarray, "points features"]

# Types whose every value is a float32; the other integers go to float64.
_EXACT_IN_FLOAT32 = {torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int16}
# Rows hashed at once on a device, and coordinates compared at once.
_ROWS = 4096
_COMPARED = 2**20


def as_points(x: Points, least: int = 2) -> Float[Tensor, "points features"]:
    """`x` as a float32 or float64 tensor on its own device, without a copy where it is one already.

    Half precision, bfloat16 and small integers become float32, which holds each of their values;
    larger integers become float64. Nothing is ever computed in less than what comes back, and the
    estimators accumulate in float64.

    Raises ValueError where `x` is not a matrix of real numbers with at least `least` rows and two
    features, or holds NaN or infinity (their count and the first such row are named) or values that
    are masked.
    """
    if not isinstance(x, Tensor):
        if isinstance(x, np.ma.MaskedArray) and np.any(x.mask):
            hidden = int(np.count_nonzero(x.mask))
            raise ValueError(f"{hidden} values are masked: take out what is hidden, or unmask it")
        array = np.asarray(x)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"points must be real numbers, got an array of {array.dtype}")
        if array.dtype.itemsize > 8 or array.dtype.kind == "u":
            array = array.astype(np.float64)
        # Torch knows neither negative strides nor foreign byte orders, nor what nobody may write.
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
        x = torch.from_numpy(plain if plain.flags.writeable else plain.copy())
    if x.is_complex() or x.dtype == torch.bool:
        raise ValueError(f"points must be real numbers, got a tensor of {x.dtype}")
    if x.ndim != 2:
        raise ValueError(f"points must be a matrix (points × features), got {tuple(x.shape)}")
    if x.shape[1] < 2:
        raise ValueError(f"points need at least 2 features, got a matrix of {tuple(x.shape)}")
    if x.shape[0] < least:
        raise ValueError(f"at least {least} points are needed, got {x.shape[0]}")
    x = x.detach()
    if x.dtype not in (torch.float32, torch.float64):
        x = x.to(torch.float32 if x.dtype in _EXACT_IN_FLOAT32 else torch.float64)
    # One sum tells whether to look closer; the look itself costs five times as much.
    if not bool(torch.isfinite(x.sum())):
        bad = torch.nonzero(~torch.isfinite(x).all(dim=1))
        if len(bad):
            raise ValueError(
                f"{len(bad)} points hold NaN or infinity, the first is row {int(bad[0])}"
            )
    return x


def first_occurrences(
    x: Float[Tensor, "points features"],
) -> tuple[Int[Tensor, " distinct"], Int[Tensor, " distinct"]]:
    """Where each different row of `x` first occurs, rising, and how often it occurs.

    0 and −0 are one value.
    """
    return first_of(copies(x))


def first_of(
    number: Int[Tensor, " points"],
) -> tuple[Int[Tensor, " distinct"], Int[Tensor, " distinct"]]:
    """Where each different number, from 0 on, first occurs, rising, and how often it occurs."""
    size, rows = int(number.max()) + 1, torch.arange(len(number), device=number.device)
    first = torch.full((size,), len(rows), device=rows.device)
    first.scatter_reduce_(0, number, rows, "amin")
    counts = number.bincount(minlength=size)
    first, by_row = first[counts > 0].sort()
    return first, counts[counts > 0][by_row]


def copies(x: Float[Tensor, "points features"]) -> Int[Tensor, " points"]:
    """A number for each row of `x`, from 0 on, the same for exact copies alone.

    Rows are sorted by a hash instead of by their values, which is ten times faster; those with
    one hash are compared value by value. 0 and −0 are one value.
    """
    hashes, order = _hash(x).sort(stable=True)
    (same,) = torch.nonzero(hashes[1:] == hashes[:-1], as_tuple=True)
    if len(same) == 0:
        return torch.arange(len(x), device=x.device)
    if not all(
        bool((x[order[some]] == x[order[some + 1]]).all())
        for some in same.split(max(1, _COMPARED // x.shape[1]))
    ):
        # Different rows with one hash, which is rare: sort by value after all.
        by_value: Int[Tensor, " points"] = torch.unique(x, dim=0, return_inverse=True)[1]
        return by_value
    number = torch.zeros_like(order)
    number[order[1:]] = (hashes[1:] != hashes[:-1]).cumsum(0)
    return number


def _hash(x: Float[Tensor, "points features"]) -> Int[Tensor, " points"]:
    """A 64-bit multilinear hash of each row's bits."""
    words = x.shape[1] * x.element_size() // 4
    # Odd weights, always the same: a result must not depend on chance.
    weights = torch.from_numpy(
        np.random.default_rng(0).integers(-(2**63), 2**63, words, dtype=np.int64) | 1
    ).to(x.device)
    if x.device.type == "cpu":
        from shapelib.geometry import loops

        return torch.from_numpy(loops.hashes(x.contiguous().numpy(), weights.numpy()))
    hashes = torch.empty(len(x), dtype=torch.int64, device=x.device)
    for start in range(0, len(x), _ROWS):
        # Adding zero turns −0 into 0.
        bits = (x[start : start + _ROWS] + 0.0).view(torch.int32)
        hashes[start : start + _ROWS] = (bits * weights).sum(dim=1)
    return hashes
