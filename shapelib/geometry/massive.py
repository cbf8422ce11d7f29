"""Massive vectors: the few whose length dwarfs that of all others in their layer."""

import numpy as np
from jaxtyping import Bool, Float

FACTOR = 10.0
# Rows whose coordinate-wise median is the first guess at the center: it only has to lie among the
# ordinary vectors.
_SAMPLED = 1024
_ROUNDS = 50
# Rows copied at once.
_ROWS = 1024


def massive_rows(x: Float[np.ndarray, "n width"], factor: float = FACTOR) -> Bool[np.ndarray, " n"]:
    """Which rows are massive: longer than `factor` times the median length.

    Lengths are distances from the mean of the rows that are *not* massive, ‖xᵢ − μ‖, and the
    median is over all rows. The definition refers to itself, so it is iterated from the
    coordinate-wise median, which a minority of massive rows cannot move, until a set of rows
    reproduces itself. Should sets alternate, as they can where a row lies on the boundary, the
    union of those that do is taken.

    After Sun et al. (2024), who call single *activations* massive beyond 100 and 1000 times the
    median magnitude; here it is whole vectors, as in Razzhigaev et al.'s anisotropy, which is a
    share of squared length.

    :param x: n × width, at least two rows.
    :param factor: above 1.
    :returns: True where a row is massive.
    :raises ValueError: for a factor that is not above 1 (which would call more than a minority
        massive) and for rows that are not finite.

    >>> import numpy as np
    >>> from shapelib import massive_rows
    >>> cloud = np.random.default_rng(0).standard_normal((1000, 64))
    >>> cloud[7] *= 100
    >>> massive_rows(cloud).nonzero()[0].tolist()
    [7]
    """
    if not factor > 1:
        raise ValueError(f"factor must be greater than 1, got {factor!r}")
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"at least two rows are needed, got an array of {x.shape}")
    center = np.median(x[:: max(1, len(x) // _SAMPLED)], axis=0).astype(np.float64)
    seen: list[Bool[np.ndarray, " n"]] = []
    for _ in range(_ROUNDS):
        lengths = _lengths(x, center)
        median = float(np.median(lengths))
        if not np.isfinite(median):
            raise ValueError("rows hold NaN or infinity")
        found = lengths > factor * median
        again = [place for place, before in enumerate(seen) if np.array_equal(before, found)]
        seen.append(found)
        if again:
            break
        center = _mean(x, ~found)
    else:
        again = [0]
    union: Bool[np.ndarray, " n"] = np.any(seen[again[0] :], axis=0)
    return union


def _mean(
    x: Float[np.ndarray, "n width"], chosen: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " width"]:
    """The mean of the chosen rows, in float64, without a copy of them all."""
    from shapelib.geometry import loops

    if chosen.all():
        return loops.mean(x)
    total = np.zeros(x.shape[1])
    for start in range(0, len(x), _ROWS):
        rows = x[start : start + _ROWS][chosen[start : start + _ROWS]]
        if len(rows):
            total += len(rows) * loops.mean(rows)
    return total / np.count_nonzero(chosen)


def _lengths(
    x: Float[np.ndarray, "n width"], center: Float[np.ndarray, " width"]
) -> Float[np.ndarray, " n"]:
    """Distances from the center, in float64 without a float64 copy of `x`."""
    from shapelib.geometry import loops

    squares, _ = loops.lengths(x, center)
    lengths: Float[np.ndarray, " n"] = np.sqrt(squares)
    return lengths
