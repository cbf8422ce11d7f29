"""What a layer's table can hold beside the default metrics: chosen clouds, relatives, other layers.

A cloud is some of a layer's vectors, measured by TwoNN and MADA in a search of its own. Layers are
compared by the neighbours that the first batch of each was found to have.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from shapelib.errors import ShapelibError
from shapelib.geometry.dimension import MADA_K
from shapelib.geometry.metrics import Metric, dimensions_of, dimensions_of_group, neighbors_at_most
from shapelib.geometry.neighbors import Neighbors
from shapelib.geometry.relatives import (
    first_relatives,
    last_of_windows,
    nearest_in_other_windows,
    one_per_token,
)
from shapelib.geometry.scale.curves import subset
from shapelib.geometry.scale.homology import homology_dimension
from shapelib.geometry.scale.overlap import Near, compared
from shapelib.states import pool
from shapelib.states.choices import CHOICES, CLOUD, FEWEST, PARTS
from shapelib.states.settings import Measuring

Row = dict[str, object]


class Kept(NamedTuple):
    """What comparing layers needs of one token set of one layer."""

    near: Near | None
    """Who is near whom in its first batch, by rows of the pool; None where it has no batch."""
    removed: float
    duplicates: int


def check(pooled: pool.Pool, asked: Measuring) -> None:
    """Refuse what the windows and tokens that were read are too few for, before it is measured."""
    batch, chosen = asked.batch, asked.metrics
    for each in asked.sets:
        # Which vectors are massive is not known yet, and they are few.
        rows = pooled.rows("all" if each == "rest" else each)
        if "last_tokens" in chosen and pooled.windows < FEWEST:
            raise ShapelibError(
                f"last_tokens measures one vector a window and needs {FEWEST} windows, but "
                f"{pooled.windows} were read: ask for more tokens, or shorter windows"
            )
        types = len(one_per_token(pooled.token[rows]))
        if "token_types" in chosen and types < FEWEST:
            raise ShapelibError(
                f"token_types measures one vector a token of the vocabulary and needs {FEWEST}, "
                f"but {types} different ones are among the {each} tokens: ask for more tokens"
            )
        largest = int(np.bincount(pooled.window[rows[:batch]]).max())
        if "other_windows" in chosen and batch - largest < MADA_K + 2:
            raise ShapelibError(
                f"other_windows needs {MADA_K + 2} vectors of other windows, but one window holds "
                f"{largest} of the {batch} of a batch: ask for a larger batch, or shorter windows"
            )


def rows_of(
    pooled: pool.Pool,
    layer: int,
    tokens: str,
    members: Int[np.ndarray, " batch"],
    found: Neighbors | None,
    groups: int,
    chosen: Sequence[str],
) -> Iterator[Row]:
    """Rows of the chosen clouds and relatives of one token set of one layer.

    `members` are the first batch's rows, none where it has no batch; `found` is what was searched
    among them.
    """
    dealt = pooled.grouped(max(groups, 1))
    for name, rows in _clouds(pooled, layer, tokens, members, chosen):
        searched = _searched(pooled, layer, name, rows)
        if searched is None:
            yield from (_row(layer, f"{each}_{name}", math.nan, [], rows, 0) for each in CLOUD)
            continue
        group = torch.from_numpy(dealt[rows])[searched.first.cpu()]
        values = dimensions_of(searched.distances, CLOUD)
        by_group = [
            dimensions_of_group([(searched.distances, group.to(searched.first.device))], one, CLOUD)
            for one in range(groups if groups >= 3 else 0)
        ]
        for each in CLOUD:
            metric = Metric(each, None)
            parts = [some[metric] for some in by_group]
            yield _row(
                layer, f"{each}_{name}", values[metric], parts, rows, searched.duplicates
            )  # fmt: skip
    if "homology" in chosen:
        value, between_draws = _homology(pooled, layer, members)
        yield {**_row(layer, "homology", value, [], members, 0), "std": between_draws}
    if "relatives" in chosen:
        labels = (pooled.token[members], pooled.window[members], pooled.position[members])
        flags = first_relatives(found, *labels) if found is not None else ([],) * 3
        own = members[found.first.cpu().numpy()] if found is not None else members
        copies = found.duplicates if found is not None else 0
        for share, flag in zip(CHOICES["relatives"].rows, flags, strict=True):
            value, parts = _grouped(np.asarray(flag, dtype=float), dealt[own], groups)
            yield _row(layer, share, value, parts, members, copies)


def _clouds(
    pooled: pool.Pool,
    layer: int,
    tokens: str,
    members: Int[np.ndarray, " batch"],
    chosen: Sequence[str],
) -> Iterator[tuple[str, Int[np.ndarray, " some"]]]:
    """Name and rows of each chosen cloud. Decimated ones are the same rows in each layer."""
    if "decimated" in chosen:
        for part, share in PARTS.items():
            yield part, members[subset(len(members), share)]
    if "other_windows" in chosen:
        yield "other_windows", members
    everyone = pooled.rows(tokens, layer)
    if "token_types" in chosen:
        yield "token_types", everyone[one_per_token(pooled.token[everyone])]
    if "last_tokens" in chosen:
        window, position = pooled.window[everyone], pooled.position[everyone]
        yield "last_tokens", everyone[last_of_windows(window, position)]


def _searched(
    pooled: pool.Pool, layer: int, name: str, rows: Int[np.ndarray, " some"]
) -> Neighbors | None:
    """The neighbours in a cloud; None where it has no vectors, or all but a few are copies."""
    if len(rows) < 4:
        return None
    vectors = pooled.taken(layer, rows)
    if name != "other_windows":
        return neighbors_at_most(vectors, MADA_K)
    try:
        return nearest_in_other_windows(vectors, pooled.window[rows], MADA_K)
    except ShapelibError:
        return None


def _homology(
    pooled: pool.Pool, layer: int, members: Int[np.ndarray, " batch"]
) -> tuple[float, float]:
    """The dimension and its spread over draws; missing where too few vectors are distinct."""
    try:
        return homology_dimension(pooled.taken(layer, members))
    except (ShapelibError, ValueError):
        return math.nan, math.nan


def between(
    kept: Mapping[tuple[str, int], Kept],
    dealt: Int[np.ndarray, " n"],
    groups: int,
    chosen: Sequence[str],
) -> Iterator[Row]:
    """Rows that compare each layer with the next and with the last, in each token set.

    The last layer has none after it: its values are missing.
    """
    asked = [each for each in ("overlap", "imbalance") if each in chosen]
    wanted = {row for each in asked for row in CHOICES[each].rows}
    last = max((layer for _, layer in kept), default=0)
    for (tokens, layer), own in kept.items():
        for name, other in (("next", min(layer + 1, last)), ("last_layer", last)):
            found = _compared(own.near, kept[tokens, other].near if layer < last else None)
            for metric in found:
                if (row := f"{metric}_{name}") not in wanted:
                    continue
                rows, values = found[metric]
                value, parts = _grouped(values, dealt[rows], groups)
                yield {
                    **_row(layer, row, value, parts, rows, own.duplicates),
                    "tokens": tokens, "removed": own.removed,
                }  # fmt: skip


def _compared(
    a: Near | None, b: Near | None
) -> dict[str, tuple[Int[np.ndarray, " some"], Float[np.ndarray, " some"]]]:
    """Rows that took part and their values, by the metric's first words; none without a cloud."""
    nothing = np.zeros(0, np.int64), np.zeros(0)
    if a is None or b is None:
        return dict.fromkeys(("overlap", "imbalance", "imbalance_from"), nothing)
    there, back = compared(a, b), compared(b, a)
    both, again = ~np.isnan(there.rank), ~np.isnan(back.rank)
    return {
        "overlap": (there.rows[both], there.shared[both]),
        "imbalance": (there.rows[both], there.rank[both]),
        "imbalance_from": (back.rows[again], back.rank[again]),
    }


def _grouped(
    values: Float[np.ndarray, " some"], group: Int[np.ndarray, " some"], groups: int
) -> tuple[float, list[float]]:
    """The mean over points, and over those of each group; NaN where there are none."""
    if len(values) == 0:
        return math.nan, []
    parts = [values[group == one] for one in range(groups if groups >= 3 else 0)]
    return float(values.mean()), [float(each.mean()) if len(each) else math.nan for each in parts]


def told(values: list[float]) -> str:
    """The value in each group as a table keeps them: in order, apart by blanks."""
    return " ".join(f"{each:.7g}" for each in values)


def _row(
    layer: int,
    metric: str,
    value: float,
    parts: list[float],
    rows: Int[np.ndarray, " some"],
    duplicates: int,
) -> Row:
    """A row of a table: one batch, its value, and the spread over groups of the text."""
    stderr = float(np.std(parts, ddof=1)) / len(parts) ** 0.5 if len(parts) > 1 else math.nan
    return {
        "layer": layer, "metric": metric, "centered": None, "value": value, "std": math.nan,
        "stderr": stderr, "by_group": told(parts),
        "batches": int(len(rows) > 0), "batch_size": len(rows),
        "groups": len(parts), "n": len(rows), "duplicates": duplicates,
    }  # fmt: skip
