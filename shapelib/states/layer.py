"""One layer of a pool: the rows of its table, for each token set and metric."""

import math
from collections.abc import Iterator, Sequence

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
from shapelib.geometry.scale.overlap import IMBALANCE_K, Near, near_rows
from shapelib.states import further, pool
from shapelib.states.choices import CHOICES
from shapelib.states.settings import Measuring

GROUPS = 8
_BETWEEN = {"overlap", "imbalance"}


def groups_of(pooled: pool.Pool, tokens: int, batch: int) -> int:
    """Groups of windows for standard errors: more vectors make more of them, not larger ones,
    because a search costs the square of its points."""
    return min(max(GROUPS, tokens // batch), pooled.windows // 2)


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
    rows: list[further.Row] = []
    done: dict[bytes, tuple[list[further.Row], Near | None, int]] = {}
    for each in asked.sets:
        members = pooled.rows(each, layer)
        key = members.tobytes()
        if key not in done:
            batches = min(asked.tokens, len(members)) // asked.batch
            try:
                done[key] = _measure_set(
                    pooled, layer, each, asked.batch, batches, groups, asked.metrics
                )
            except ValueError as error:
                raise ShapelibError(
                    f"{name}, layer {layer}, {each} tokens: it cannot be measured: {error}"
                ) from error
        removed = 1 - len(members) / len(pooled.order)
        measured, near, duplicates = done[key]
        rows += [{**row, "tokens": each, "removed": removed} for row in measured]
        if _BETWEEN & {*asked.metrics}:
            kept[each, layer] = further.Kept(near, removed, duplicates)
    return rows


def _measure_set(
    pooled: pool.Pool,
    layer: int,
    tokens: str,
    batch: int,
    batches: int,
    groups: int,
    chosen: Sequence[str],
) -> tuple[list[further.Row], Near | None, int]:
    """A row for each metric of one token set of one layer; and of its first batch, where layers are
    compared, who is near whom, and how many copies it holds."""
    rows = pooled.rows(tokens, layer)[: batches * batch].reshape(batches, batch)
    dealt = pooled.grouped(max(groups, 1))
    names = [row for each in chosen for row in CHOICES[each].rows if row in ESTIMATES]
    by_batch: list[dict[Metric, float]] = [{} for _ in rows]
    searched: list[tuple[Float[Tensor, "n k"], Int[Tensor, " n"]]] = []
    found: list[Neighbors] = []
    # A hundred neighbours cost twice what twenty do, so they are sought in one batch.
    for members, k, measured in zip(
        rows, _neighbours(chosen, names, batches), by_batch, strict=True
    ):
        if k == 0:
            break
        near = neighbors_at_most(pooled.taken(layer, members), k)
        measured.update(dimensions_of(near.distances, names))
        group = torch.from_numpy(dealt[members])
        searched.append((near.distances, group.to(near.first.device)[near.first]))
        found.append(near)
    resampled = groups >= 3 and batches > 0
    directed = [metric for metric in DIRECTIONS if metric.name in chosen]
    if directed:
        for members, measured in zip(rows, by_batch, strict=True):
            measured.update(directions_of(pooled.taken(layer, members)))
    over_groups: list[dict[Metric, float]] = [{} for _ in range(groups if resampled else 0)]
    if directed and resampled:
        for each, of_group in zip(
            pooled.group_rows(layer, tokens, groups), over_groups, strict=True
        ):
            of_group.update(directions_of(pooled.taken(layer, each)))
    for number, of_group in enumerate(over_groups if names else ()):
        of_group.update(dimensions_of_group(searched, number, names))
    shared = {
        "layer": layer, "batch_size": batch, "groups": groups,
        "duplicates": sum(each.duplicates for each in found),
    }  # fmt: skip
    metrics = [*directed, *(Metric(name, None) for name in names)]
    first, near_first = (rows[0], found[0] if found else None) if batches else (rows.ravel(), None)
    more = further.rows_of(pooled, layer, tokens, first, near_first, groups, chosen)
    return (
        [*_averaged(metrics, by_batch, over_groups, shared), *more],
        near_rows(near_first, IMBALANCE_K, first) if near_first and _BETWEEN & {*chosen} else None,
        near_first.duplicates if near_first else 0,
    )


def _neighbours(chosen: Sequence[str], names: list[str], batches: int) -> list[int]:
    """Neighbours searched in each batch; 0 where nothing needs any."""
    first = [ESTIMATES[name][0] for name in names]
    first += [IMBALANCE_K for each in chosen if each in _BETWEEN]
    first += [2 for each in chosen if each == "relatives"]
    later = [ESTIMATES[name][0] for name in names if name not in ONCE]
    return [max(first, default=0), *[max(later, default=0)] * batches][:batches]


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
