"""The token sets of one layer and the neighbours in their batches, sought together where it pays.

The sets of a layer hold nearly the same vectors, and so do their batches of one number: one search
of all vectors of these batches gives the neighbours in each.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapelib.errors import ShapelibError
from shapelib.geometry.metrics import neighbors_at_most
from shapelib.geometry.neighbors import Neighbors
from shapelib.geometry.subsets import neighbors_of_subsets, worth_sharing
from shapelib.states.pool import Pool


@dataclass
class Searched:
    """A token set of a layer in batches, and what was found in them."""

    tokens: str
    """Its name, the first of several that hold the same vectors."""
    size: int
    """Vectors of the set; its batches may hold fewer."""
    rows: Int[np.ndarray, "batches batch"]
    near: list[tuple[Float[Tensor, "n k"], Int[Tensor, " n"]]] = field(default_factory=list)
    """For each batch searched the distances to neighbours, and the group that each vector is of."""
    first: Neighbors | None = None
    """Who is near whom in the first batch."""
    duplicates: int = 0
    """Exact copies in all batches searched."""


def token_sets(
    pooled: Pool, layer: int, names: Sequence[str], tokens: int, batch: int
) -> dict[str, Searched]:
    """The token sets by name, with batches of at most `tokens` vectors; those that hold the same
    vectors in this layer are one object."""
    different: dict[bytes, Searched] = {}
    sets = {}
    for name in names:
        members = pooled.rows(name, layer)
        batches = min(tokens, len(members)) // batch
        rows = members[: batches * batch].reshape(batches, batch)
        key = members.tobytes()
        sets[name] = different.setdefault(key, Searched(name, len(members), rows))
    return sets


def search(
    pooled: Pool,
    layer: int,
    name: str,
    sets: Sequence[Searched],
    neighbours: tuple[int, int],
    dealt: Int[np.ndarray, " n"],
) -> None:
    """Search the batches of sets that differ, and write what is found into them.

    name: the model's. neighbours: how many are sought in the first batch, and in each other one; of
    none there is no search. dealt: the group of each row.
    """
    for number in range(max(len(each.rows) for each in sets)):
        if (k := neighbours[number > 0]) == 0:
            return
        some = [each for each in sets if number < len(each.rows)]
        rows = [each.rows[number] for each in some]
        found = _together(pooled, layer, rows, k)
        for place, each in enumerate(some):
            with refused(name, layer, each.tokens):
                own = found[place] if found else _alone(pooled, layer, rows[place], k)
            group = torch.from_numpy(dealt[rows[place]]).to(own.first.device)
            each.near.append((own.distances, group[own.first]))
            each.duplicates += own.duplicates
            if number == 0:
                each.first = own


@contextlib.contextmanager
def refused(name: str, layer: int, tokens: str) -> Iterator[None]:
    """Say of which model, layer and token set it is that an estimator refuses something."""
    try:
        yield
    except ValueError as error:
        raise ShapelibError(
            f"{name}, layer {layer}, {tokens} tokens: it cannot be measured: {error}"
        ) from error


def _together(
    pooled: Pool, layer: int, batches: list[Int[np.ndarray, " batch"]], k: int
) -> list[Neighbors]:
    """The neighbours in each batch from one search; none where that costs more, or cannot be."""
    belongs = np.zeros((len(batches), len(pooled.order)), bool)
    for place, rows in enumerate(batches):
        belongs[place, rows] = True
    # In the order of every batch: copies and ties go by who comes first.
    rows = pooled.order[belongs[:, pooled.order].any(axis=0)]
    subsets = list(belongs[:, rows])
    if not worth_sharing(subsets):
        return []
    try:
        return neighbors_of_subsets(pooled.taken(layer, rows), subsets, k)
    except ValueError:  # which of them has no neighbours, the search of each alone tells
        return []


def _alone(pooled: Pool, layer: int, rows: Int[np.ndarray, " batch"], k: int) -> Neighbors:
    return neighbors_at_most(pooled.taken(layer, rows), k)
