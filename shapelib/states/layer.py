"""One layer of a pool: the rows of its table, for each token set and metric."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from shapelib.geometry.metrics import (
    DIRECTIONS,
    ESTIMATES,
    ONCE,
    Metric,
    dimensions_of,
    dimensions_of_group,
    directions_of,
)
from shapelib.geometry.scale.overlap import IMBALANCE_K, near_rows
from shapelib.states import further, pool
from shapelib.states.choices import CHOICES
from shapelib.states.searched import Searched, refused, search, token_sets
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
    sets = token_sets(pooled, layer, asked.sets, asked.tokens, asked.batch)
    different = list({id(each): each for each in sets.values()}.values())
    names = [row for each in asked.metrics for row in CHOICES[each].rows if row in ESTIMATES]
    dealt = pooled.grouped(max(groups, 1))
    search(pooled, layer, name, different, _neighbours(asked.metrics, names), dealt)
    measured: dict[str, list[further.Row]] = {}
    for each in different:
        with refused(name, layer, each.tokens):
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
    found: Searched,
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
