"""Who a vector's nearest neighbours are: the same token, of the same window, the one beside it.

A vocabulary is small and a text is in order, so that the neighbours of a hidden state are often
the same token elsewhere, or other positions of its own window. What a dimension then says is partly
how often tokens repeat and how windows were cut. Here the two are counted, and left out. Points are
rows of a matrix; tokens, windows and positions are whole numbers, one for each row.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from shapelib.errors import ShapelibError, is_whole_number
from shapelib.geometry.neighbors import Neighbors, neighbors_of_distinct
from shapelib.geometry.points import Points, as_points, first_occurrences

Labels = Int[np.ndarray, " points"] | Int[Tensor, " points"] | Sequence[int]


class Relatives(NamedTuple):
    """Shares of the distinct points, from 0 to 1, whose first neighbour is a relative."""

    same_token: float
    """The same token, in any window."""
    same_window: float
    """Of the same window, at any position."""
    adjacent: float
    """Of the same window, one position before or after."""


def relatives(found: Neighbors, token: Labels, window: Labels, position: Labels) -> Relatives:
    """How often the nearest neighbour is the same token, of the same window, or the one beside.

    :param found: what `nearest_neighbors` gave.
    :param token: the token's id at each of the points searched, copies included.
    :param window: the number of its window.
    :param position: its position there.
    :returns: three shares of the distinct points; a copy counts as its first occurrence.
    :raises ShapelibError: where these are not one whole number for each point.

    >>> import numpy as np
    >>> from shapelib import nearest_neighbors, relatives
    >>> line = np.array([[0.0, 0], [1, 0], [3, 0], [3.5, 0]])
    >>> found = relatives(nearest_neighbors(line, 1), [7, 7, 8, 9], [0, 0, 0, 1], [0, 1, 2, 0])
    >>> found.same_token, found.same_window, found.adjacent
    (0.5, 0.5, 0.5)
    """
    flags = first_relatives(found, token, window, position)
    return Relatives(*(float(each.mean()) for each in flags))


def first_relatives(
    found: Neighbors, token: Labels, window: Labels, position: Labels
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three answers of `relatives` for each distinct point."""
    points = int(found.multiplicity.sum())
    own = found.first.cpu().numpy()
    near = own[found.indices[:, 0].cpu().numpy()]
    tokens, windows, positions = (
        _labels(each, points, what)
        for each, what in ((token, "tokens"), (window, "windows"), (position, "positions"))
    )
    together = windows[own] == windows[near]
    beside = np.abs(positions[own] - positions[near]) == 1
    return tokens[own] == tokens[near], together, together & beside


def nearest_in_other_windows(x: Points, window: Labels, k: int) -> Neighbors:
    """The exact `k` nearest neighbours of every distinct point among the points of other windows.

    As `nearest_neighbors`, with the same proof for each point. A copy belongs to the window of its
    first occurrence.

    :param x: points × features.
    :param window: the number of each point's window.
    :param k: neighbours of a point, at least 1.
    :returns: distances and indices, and which points were distinct.
    :raises ShapelibError: where some window leaves fewer than k distinct points of others (the
        window is named), and where `window` is not one whole number for each point.
    :raises ValueError: for points that `nearest_neighbors` refuses.

    >>> import numpy as np
    >>> from shapelib import nearest_in_other_windows
    >>> line = np.array([[0.0, 0], [1, 0], [3, 0], [7, 0]])
    >>> nearest_in_other_windows(line, [0, 0, 1, 1], 1).distances[:, 0].tolist()
    [3.0, 2.0, 2.0, 6.0]
    """
    if not is_whole_number(k, 1, numpy=True):
        raise ShapelibError(f"k must be a whole number of at least 1, got {k!r}")
    points = as_points(x)
    windows = _labels(window, len(points), "windows")
    first, multiplicity = first_occurrences(points)
    of_distinct = windows[first.cpu().numpy()]
    numbers, sizes = np.unique(of_distinct, return_counts=True)
    largest = int(sizes.argmax())
    others = len(first) - int(sizes[largest])
    if others < k:
        raise ShapelibError(
            f"window {int(numbers[largest])} holds {int(sizes[largest])} of {len(first)} distinct "
            f"points, which leaves {others} of other windows where {k} are needed: give more "
            "windows, or shorter ones"
        )
    groups = torch.from_numpy(of_distinct).to(points.device)
    return neighbors_of_distinct(points, first, multiplicity, int(k), groups)


def one_per_token(token: Labels) -> Int[np.ndarray, " types"]:
    """The rows at which each different token occurs first, rising: one vector a token type.

    :param token: the token's id at each row.
    :returns: as many rows as there are different tokens.
    :raises ShapelibError: where `token` is not a list of whole numbers.

    >>> from shapelib import one_per_token
    >>> one_per_token([5, 3, 5, 9, 3]).tolist()
    [0, 1, 3]
    """
    return np.sort(np.unique(_labels(token, None, "tokens"), return_index=True)[1])


def last_of_windows(window: Labels, position: Labels) -> Int[np.ndarray, " windows"]:
    """The row of the last position of each window: the cloud of last tokens (Cheng et al. 2025).

    One vector a window, which has read all of it in a decoder; no two of them share a window.

    :param window: the number of the window of each row.
    :param position: its position there.
    :returns: a row for each window, rising.
    :raises ShapelibError: where these are not one whole number for each row.

    >>> from shapelib import last_of_windows
    >>> last_of_windows([0, 1, 1, 0], [0, 0, 1, 1]).tolist()
    [2, 3]
    """
    windows = _labels(window, None, "windows")
    positions = _labels(position, len(windows), "positions")
    order = np.lexsort((positions, windows))
    ends = np.append(windows[order][1:] != windows[order][:-1], len(windows) > 0)
    return np.sort(order[ends[: len(order)]])


def _labels(given: Labels, points: int | None, what: str) -> Int[np.ndarray, " points"]:
    found = given.cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if found.ndim != 1 or found.dtype.kind not in "iu" or points not in (None, len(found)):
        wanted = "a list of them" if points is None else f"one for each of {points} points"
        raise ShapelibError(
            f"{what} must be whole numbers, {wanted}; got {found.dtype} of shape {found.shape}"
        )
    return found.astype(np.int64)
