"""Points as a fast product takes them: centered, scaled, rounded, and what rounding lost."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from shapelib.threads import in_threads

# Rows of a product at a time: memory is O(block × points).
BLOCK = 256
# Sums of products: float32, rounded to nearest or truncated; float64.
SUMMED_FLOAT32 = 2.0**-23
SUMMED_FLOAT64 = 2.0**-52
# A stored bfloat16 has eight significant bits.
STORED_BFLOAT16 = 2.0**-8
OUT_OF_RANGE = "squared distances leave the range of float64 ({}): scale the points"


class Known(NamedTuple):
    """What is known of each point as a product takes it: centered, scaled and rounded."""

    squares: Float[Tensor, " n"]
    norms: Float[Tensor, " n"]
    lost: Float[Tensor, " n"]
    slack: Float[Tensor, " n"]
    """How far float64 arithmetic can have moved the rest."""


def frame(x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], float]:
    """A center near most points, and a power of two that brings their norms near 1.

    From a sample, and from its nearer half, so that a few massive points move neither.
    """
    sample = x[:: max(1, len(x) // 256)].double()
    norms = torch.linalg.vector_norm(sample - sample.mean(dim=0), dim=1)
    near = sample[norms <= norms.median()]
    center = near.mean(dim=0)
    norms = torch.linalg.vector_norm(sample - center, dim=1)
    # Where most of the sample is one point, float rounding aside, the others tell.
    typical = float(norms.median()) or float(norms.max()) or 1.0
    if not 1e-150 < typical < 1e150:
        raise ValueError(OUT_OF_RANGE.format(f"points lie {typical} from their center"))
    return center, 2.0 ** -math.frexp(typical)[1]


def rounded(
    x: Float[Tensor, "n d"], center: Float[Tensor, " d"], scale: float, narrow: bool
) -> tuple[Float[Tensor, "n d"], Known]:
    """The points as the fast product takes them, and what is known about them."""
    from shapelib.geometry import loops

    n, features = x.shape
    values = torch.empty(n, features, dtype=torch.bfloat16 if narrow else torch.float32)
    squares = torch.empty(n, dtype=torch.float64)
    lost = torch.empty(n, dtype=torch.float64)

    def work(start: int, stop: int) -> None:
        for first in range(start, stop, BLOCK):
            part = slice(first, min(first + BLOCK, stop))
            rows = torch.empty(len(x[part]), features) if narrow else values[part]
            loops.round_rows(
                x[part].numpy(), center.numpy(), scale, narrow,
                rows.numpy(), squares[part].numpy(), lost[part].numpy(),
            )  # fmt: skip
            if narrow:
                values[part] = rows

    in_threads(n, work)
    return values, known_of(squares, lost, features)


def known_of(squares: Float[Tensor, " n"], lost: Float[Tensor, " n"], features: int) -> Known:
    slack = squares * (features + 32) * 2.0**-52
    return Known(squares, squares.sqrt() * (1 + 1e-12), lost, slack)


def known_wide(x: Float[Tensor, "n d"], center: Float[Tensor, " d"], scale: float) -> Known:
    """What is known of the points in a float64 product."""
    squares = torch.cat(
        [((rows.double() - center) * scale).square().sum(dim=1) for rows in x.split(BLOCK)]
    )
    return known_of(squares, squares.sqrt() * 1e-15, x.shape[1])
