"""The search in torch's own operations, for any device."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapelib.geometry.search import rounded

# Candidates beyond k, of which a row has a fixed number.
_SPARE = 28


def search(
    x: Float[Tensor, "n d"], rows: Int[Tensor, " m"], k: int, groups: Int[Tensor, " n"]
) -> tuple[Tensor, Tensor, int]:
    """As `on_cpu.search`; nothing is read back between blocks.

    The product is float64, which CUDA cards have units for, and which no setting (TF32) rounds.
    A row has a fixed number of candidates; rows without proof are searched by differences alone.
    """
    n, features = x.shape
    center, scale = rounded.frame(x)
    values = (x.double() - center) * scale
    squares = values.square().sum(dim=1)
    squares, norms, lost, slack = rounded.known_of(squares, squares.sqrt() * 1e-15, features)
    wanted = min(k + _SPARE, n - 1)
    distances, indices, proven = [], [], []
    everyone = torch.arange(n, device=x.device)
    for some in rows.split(rounded.BLOCK):
        products = values[some] @ values.T
        key = squares - 2 * products
        key.masked_fill_(groups[some, None] == groups, torch.inf)
        candidates = key.topk(wanted, dim=1, largest=False).indices.sort(dim=1).values
        # One candidate a row at a time: memory stays at block × features.
        exact = torch.stack([_gaps(x, some, each) for each in candidates.T], dim=1)
        exact.masked_fill_(groups[candidates] == groups[some, None], torch.inf)
        nearest, place = exact.sort(dim=1, stable=True)
        distances.append(nearest[:, :k])
        indices.append(candidates.gather(1, place[:, :k]))
        reach = (nearest[:, k - 1 : k] * scale + lost[some, None]) * (1 + 1e-12)
        limit = (reach + lost).square() + slack + (slack[some] - squares[some])[:, None]
        limit += 2 * (features + 1) * rounded.SUMMED_FLOAT64 * norms[some, None] * norms
        limit.scatter_(1, candidates, -torch.inf)
        proven.append(~(key <= limit).any(dim=1))
    near, who = torch.cat(distances), torch.cat(indices)
    again = torch.nonzero(~torch.cat(proven))[:, 0]
    for place in again:
        row = rows[place]
        gaps = torch.cat([_gaps(x, row[None], part) for part in everyone.split(4 * rounded.BLOCK)])
        gaps.masked_fill_(groups == groups[row], torch.inf)
        nearest, order = gaps.sort(stable=True)
        near[place], who[place] = nearest[:k], order[:k]
    return near, who, len(again)


def _gaps(
    x: Float[Tensor, "n d"], rows: Int[Tensor, " m"], others: Int[Tensor, " m"]
) -> Float[Tensor, " m"]:
    gaps: Tensor = torch.linalg.vector_norm(x[others].double() - x[rows].double(), dim=1)
    return gaps
