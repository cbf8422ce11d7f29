"""One layer of a pool: the rows of its table, for each token set and metric.

The sets of a layer hold nearly the same vectors, and so do their batches of one number: one search
of all vectors of these batches gives the neighbours in each.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapelib.errors import ShapelibError
from shapelib.geometry.metrics import (
    DIRECTIONS,
    ESTIMATES,
    ONCE,
    Metric,
    dimensions_of,
    dimensions_of_group,
    directions_of,
    neighbors_at_most,
)
from shapelib.geometry.neighbors import Neighbors
from shapelib.geometry.scale.overlap import IMBALANCE_K, near_rows
from shapelib.geometry.search.subsets import neighbors_of_subsets, worth_sharing
from shapelib.states import further, pool
from shapelib.states.choices import CHOICES
from shapelib.states.settings import Measuring

GROUPS = 8
_BETWEEN = {"overlap", "imbalance"}


def groups_of(pooled: pool.Pool, tokens: int, batch: int) -> int:
    """Groups of windows for standard errors: more vectors make more of them, not larger ones,
    because a search costs the square of its points."""
    return min(max(GROUPS, tokens // batch), pooled.windows // 2)


@dataclass
class _Set:
    """A token set of a layer in batches, and what was found in them."""

    tokens: str
    """Its name, the first of several that hold the same vectors."""
    size: int
    """Vectors of the set; its batches may hold fewer."""
    rows: Int[np.ndarray, "batches batch"]
    near: list[tuple[Float[Tensor, "n k"], Int[Tensor, " n"]]] = field(default_factory=list)
    """For each batch searched the distances to neighbours, and the group that each vector is of."""
    first: Neighbors | None = None
    """Who is near whom in the first batch, without the points."""
    duplicates: int = 0
    """Exact copies in all batches searched."""


def measure_layer(
    pooled: pool.Pool,
    layer: int,
    name: str,
    asked: Measuring,
    kept: dict[tuple[str, int], further.Kept],
) -> list[further.Row]:
    """Rows of one layer. Sets that hold the same vectors are measured once.

    kept: who is near whom in each token set and layer, written where layers are compared.
    """
    groups = groups_of(pooled, asked.tokens, asked.batch)
    sets = _token_sets(pooled, layer, asked.sets, asked.tokens, asked.batch)
    different = list({id(each): each for each in sets.values()}.values())
    names = [row for each in asked.metrics for row in CHOICES[each].rows if row in ESTIMATES]
    dealt = pooled.grouped(max(groups, 1))
    _search(pooled, layer, name, different, _neighbours(asked.metrics, names), dealt)
    measured: dict[str, list[further.Row]] = {}
    for each in different:
        with _refused(name, layer, each.tokens):
            measured[each.tokens] = _measure_set(pooled, layer, each, groups, names, asked)
    rows: list[further.Row] = []
    for tokens, found in sets.items():
        removed = 1 - found.size / len(pooled.order)
        rows += [{**row, "tokens": tokens, "removed": removed} for row in measured[found.tokens]]
        if _BETWEEN & {*asked.metrics}:
            near = near_rows(found.first, IMBALANCE_K, found.rows[0]) if found.first else None
            copies = found.first.duplicates if found.first else 0
            kept[tokens, layer] = further.Kept(near, removed, copies)
    return rows


def _measure_set(
    pooled: pool.Pool,
    layer: int,
    found: _Set,
    groups: int,
    names: list[str],
    asked: Measuring,
) -> list[further.Row]:
    """A row for each metric of one token set of one layer, whose batches have been searched."""
    by_batch: list[dict[Metric, float]] = [{} for _ in found.rows]
    for (distances, _), values in zip(found.near, by_batch, strict=False):
        values.update(dimensions_of(distances, names))
    resampled = groups >= 3 and len(found.rows) > 0
    over_groups: list[dict[Metric, float]] = [{} for _ in range(groups if resampled else 0)]
    directed = [metric for metric in DIRECTIONS if metric.name in asked.metrics]
    if directed:
        for members, values in zip(found.rows, by_batch, strict=True):
            values.update(directions_of(pooled.taken(layer, members)))
    if directed and resampled:
        vectors = pooled.groups(layer, found.tokens, groups)
        for each, values in zip(vectors, over_groups, strict=True):
            values.update(directions_of(each))
    for number, values in enumerate(over_groups if names else ()):
        values.update(dimensions_of_group(found.near, number, names))
    shared = {
        "layer": layer, "batch_size": asked.batch, "groups": groups,
        "duplicates": found.duplicates,
    }  # fmt: skip
    metrics = [*directed, *(Metric(name, None) for name in names)]
    first = found.rows[0] if len(found.rows) else found.rows.ravel()
    more = further.rows_of(pooled, layer, found.tokens, first, found.first, groups, asked.metrics)
    return [*_averaged(metrics, by_batch, over_groups, shared), *more]


def _token_sets(
    pooled: pool.Pool, layer: int, names: Sequence[str], tokens: int, batch: int
) -> dict[str, _Set]:
    """The token sets by name, with batches of at most `tokens` vectors; those that hold the same
    vectors in this layer are one object."""
    different: dict[bytes, _Set] = {}
    sets = {}
    for name in names:
        members = pooled.rows(name, layer)
        batches = min(tokens, len(members)) // batch
        rows = members[: batches * batch].reshape(batches, batch)
        key = members.tobytes()
        sets[name] = different.setdefault(key, _Set(name, len(members), rows))
    return sets


def _search(
    pooled: pool.Pool,
    layer: int,
    name: str,
    sets: Sequence[_Set],
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
        for each, found in zip(some, _found(pooled, layer, name, some, number, k), strict=True):
            group = torch.from_numpy(dealt[each.rows[number]]).to(found.first.device)
            each.near.append((found.distances, group[found.first]))
            each.duplicates += found.duplicates
            if number == 0:
                # Nothing asks for its points, which would be kept beside the pool's own.
                nothing = found.distinct.new_empty(0, found.distinct.shape[1])
                each.first = found._replace(distinct=nothing)


def _found(
    pooled: pool.Pool, layer: int, name: str, sets: Sequence[_Set], number: int, k: int
) -> Iterator[Neighbors]:
    """What is found in the batch of that number of each set; held here until it is asked for."""
    found = _together(pooled, layer, [each.rows[number] for each in sets], k)[::-1]
    for each in sets:
        with _refused(name, layer, each.tokens):
            own = [found.pop() if found else _alone(pooled, layer, each.rows[number], k)]
        yield own.pop()


@contextlib.contextmanager
def _refused(name: str, layer: int, tokens: str) -> Iterator[None]:
    """Say of which model, layer and token set it is that an estimator refuses something."""
    try:
        yield
    except ValueError as error:
        raise ShapelibError(
            f"{name}, layer {layer}, {tokens} tokens: it cannot be measured: {error}"
        ) from error


def _together(
    pooled: pool.Pool, layer: int, batches: list[Int[np.ndarray, " batch"]], k: int
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


def _alone(pooled: pool.Pool, layer: int, rows: Int[np.ndarray, " batch"], k: int) -> Neighbors:
    return neighbors_at_most(pooled.taken(layer, rows), k)


def _neighbours(chosen: Sequence[str], names: list[str]) -> tuple[int, int]:
    """Neighbours sought in the first batch and in each other one; 0 where nothing needs any.

    A hundred cost more than twenty do, so they are sought in one batch.
    """
    first = [ESTIMATES[name][0] for name in names]
    first += [IMBALANCE_K for each in chosen if each in _BETWEEN]
    first += [2 for each in chosen if each == "relatives"]
    later = [ESTIMATES[name][0] for name in names if name not in ONCE]
    return max(first, default=0), max(later, default=0)


def _averaged(
    metrics: list[Metric],
    by_batch: list[dict[Metric, float]],
    over_groups: list[dict[Metric, float]],
    shared: dict[str, int],
) -> Iterator[further.Row]:
    """A row for each metric: mean and spread over batches, standard error over groups."""
    for metric in metrics:
        values = [found[metric] for found in (by_batch[:1] if metric.name in ONCE else by_batch)]
        yield {
            "layer": shared["layer"], "metric": metric.name, "centered": metric.centered,
            "value": float(np.mean(values)) if values else math.nan,
            "std": spread(values),
            "stderr": spread([each[metric] for each in over_groups])
            / max(shared["groups"], 1) ** 0.5,
            "by_group": further.told([each[metric] for each in over_groups]),
            "batches": len(values), "batch_size": shared["batch_size"],
            "groups": shared["groups"], "n": len(values) * shared["batch_size"],
            "duplicates": shared["duplicates"],
        }  # fmt: skip


def spread(values: list[float]) -> float:
    """The standard deviation; NaN of fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
