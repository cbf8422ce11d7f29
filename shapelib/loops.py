"""The compiled loops: they read float32 or float64 points and accumulate in float64.

Importing this module imports numba, so import it inside functions. Each loop is compiled once for
each type of points and kept on disk; it releases Python's lock, so that `in_threads` can share its
rows among as many threads as torch is set to use.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numba import njit

T = TypeVar("T")

# Terms of a sum may be added in any order, which the error bounds allow; nothing else may change
# (infinities mean something here).
_ORDER_IS_FREE = {"reassoc", "contract"}
# A centered, scaled row longer than this is left out of the product: its square would overflow.
_LONGEST = 2.0**30
# Smaller coordinates become zero, so that no product of two is subnormal: some units flush those.
_SMALLEST = 2.0**-60
# Coordinates of one pass that repay a thread's start.
_PASS = 2**21

# Verdicts of `search` on a row: no proof yet; all neighbours found; or a candidate's distance
# contradicts the bound, so that the product is worse than assumed, for this row and for all.
UNPROVEN, PROVEN, BROKEN = 0, 1, 2


def _compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = njit(cache=True, nogil=True, fastmath=_ORDER_IS_FREE)(loop)
    return compiled


def in_threads(rows: int, work: Callable[[int, int], T], least: int = 64) -> list[T]:
    """``work(start, stop)`` for parts of at least `least` rows, one a thread; results in order.

    Torch has one thread inside `work`. Its own threads spin for milliseconds after each of its
    operations, and would keep these from their processors.
    """
    threads = torch.get_num_threads()
    parts = min(threads, max(1, rows // least))
    if parts == 1:
        return [work(0, rows)]
    edges = [rows * part // parts for part in range(parts + 1)]
    try:
        with ThreadPoolExecutor(parts, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, edges[:-1], edges[1:]))
    finally:
        torch.set_num_threads(threads)


@_compiled
def round_rows(x, center, scale, as_bfloat16, rounded, squares, lost):  # type: ignore[no-untyped-def]
    """Round the rows (x − center)·scale, and say what rounding did to them.

    rounded: float32, written; with `as_bfloat16` its values are bfloat16 numbers (round to nearest,
    ties to even). squares: ‖rounded row‖². lost: ‖exact row − rounded row‖.
    """
    d = x.shape[1]
    exact = np.empty(d, dtype=np.float64)
    for i in range(len(x)):
        length = 0.0
        for j in range(d):
            exact[j] = (x[i, j] - center[j]) * scale
            length += exact[j] * exact[j]
        # Also where it overflowed to infinity.
        if not length < _LONGEST * _LONGEST:
            rounded[i] = 0.0
            squares[i] = 0.0
            # Past 1e150 the distances overflow too, which `nearest_neighbors` refuses.
            lost[i] = min(np.sqrt(length) * (1 + 1e-9), 1e150)
            continue
        row = rounded[i]
        for j in range(d):
            row[j] = exact[j] if abs(exact[j]) >= _SMALLEST else 0.0
        if as_bfloat16:
            bits = row.view(np.uint32)
            for j in range(d):
                word = bits[j]
                bits[j] = (
                    word + np.uint32(0x7FFF) + ((word >> np.uint32(16)) & np.uint32(1))
                ) & np.uint32(0xFFFF0000)
        square = 0.0
        away = 0.0
        for j in range(d):
            value = np.float64(row[j])
            square += value * value
            away += (exact[j] - value) * (exact[j] - value)
        squares[i] = square
        # The exact row itself is known to a few units in the last place of float64.
        lost[i] = np.sqrt(away) * (1 + 1e-9) + 1e-15 * np.sqrt(length)


@_compiled
def _insert(best, who, value, index):  # type: ignore[no-untyped-def]
    """Put a candidate into the sorted lists of the k best; of equals the lower index is better."""
    last = len(best) - 1
    if value > best[last] or (value == best[last] and index > who[last]):
        return
    while last > 0 and (
        best[last - 1] > value or (best[last - 1] == value and who[last - 1] > index)
    ):
        best[last] = best[last - 1]
        who[last] = who[last - 1]
        last -= 1
    best[last] = value
    who[last] = index


@_compiled
def _square_gap(x, i, j):  # type: ignore[no-untyped-def]
    total = 0.0
    for f in range(x.shape[1]):
        gap = np.float64(x[i, f]) - np.float64(x[j, f])
        total += gap * gap
    return total


@_compiled
def search(  # type: ignore[no-untyped-def]
    x, rows, products, scale, squares, norms, lost, slack,
    summed, stored, tiny, most, distances, indices, verdict,
):  # fmt: skip
    """The k nearest of `rows`, by exact distances of all that the bound leaves.

    products: rows × points, inner products of rounded rows with all rounded rows.
    squares, norms, lost, slack: of each point, see `neighbors._Known`.
    summed, stored, tiny: error of a product relative to the norms, relative to itself, absolute.
    most: a row that would need more exact distances than this is left unproven.
    distances, indices, verdict: written at the rows' own places; without a proof the verdict alone.
    For the proof see `neighbors`.
    """
    n, k = len(x), distances.shape[1]
    groups = min(n, max(256, 8 * k))
    key = np.empty(n)
    least = np.empty(groups)
    smallest = np.empty(k)
    best = np.empty(k)
    who = np.empty(k, dtype=np.int64)
    chosen = np.empty(most, dtype=np.int64)
    for r in range(len(rows)):
        i = rows[r]
        product = products[r]
        # Squared distance less the row's own square, approximately.
        for j in range(n):
            key[j] = squares[j] - 2.0 * product[j]
        key[i] = np.inf
        # At least k points have a key up to the k-th smallest minimum of the groups.
        least[:] = np.inf
        for first in range(0, n, groups):
            for g in range(min(groups, n - first)):
                least[g] = key[first + g] if key[first + g] < least[g] else least[g]
        smallest[:] = np.inf
        for g in range(groups):
            if least[g] < smallest[k - 1]:
                at = k - 1
                while at > 0 and smallest[at - 1] > least[g]:
                    smallest[at] = smallest[at - 1]
                    at -= 1
                smallest[at] = least[g]
        limit = smallest[k - 1]
        taken = 0
        for g in range(groups):
            if least[g] <= limit:
                for j in range(g, n, groups):
                    if key[j] <= limit and taken < most:
                        chosen[taken] = j
                        taken += 1
        by_norm = 2.0 * summed * norms[i]
        by_value = 2.0 * stored
        beyond = slack[i] + tiny - squares[i]
        sound = True
        best[:] = np.inf
        who[:] = n
        for c in range(taken):
            j = chosen[c]
            gap = _square_gap(x, i, j)
            _insert(best, who, gap, j)
            # An audit: the true distance must lie within the product's bounds on it.
            both = (lost[i] + lost[j]) * (1 + 1e-12)
            least_gap = np.sqrt(gap) * scale * (1 - 1e-12) - both
            most_gap = np.sqrt(gap) * scale * (1 + 1e-12) + both
            error = by_norm * norms[j] + by_value * abs(product[j]) + slack[j] + slack[i] + tiny
            own = key[j] + squares[i]
            if own - error > most_gap * most_gap or (
                least_gap > 0.0 and own + error < least_gap * least_gap
            ):
                sound = False
            key[j] = np.inf
        # The k-th of the true neighbours is no farther than this: who can still be nearer?
        reach = (np.sqrt(best[k - 1]) * scale + lost[i]) * (1 + 1e-12)
        limit = reach * reach + beyond
        by_loss = 2.0 * reach
        least[:] = np.inf
        for first in range(0, n, groups):
            for g in range(min(groups, n - first)):
                j = first + g
                key[j] -= by_norm * norms[j] + by_value * abs(product[j]) + by_loss * lost[j]
                key[j] -= lost[j] * lost[j] + slack[j]
                least[g] = key[j] if key[j] < least[g] else least[g]
        taken = 0
        for g in range(groups):
            if not least[g] > limit:
                for j in range(g, n, groups):
                    if not key[j] > limit:
                        if taken < most:
                            chosen[taken] = j
                        taken += 1
        if taken > most or not sound:
            verdict[i] = UNPROVEN if sound else BROKEN
            continue
        verdict[i] = PROVEN
        for c in range(taken):
            _insert(best, who, _square_gap(x, i, chosen[c]), chosen[c])
        for c in range(k):
            distances[i, c] = np.sqrt(best[c])
            indices[i, c] = who[c]


@_compiled
def _gram_times(x, center, vector, start, stop):  # type: ignore[no-untyped-def]
    """Σ rows of (x − center)ᵀ (x − center) v, reading each row from memory once."""
    d = x.shape[1]
    result = np.zeros(d)
    row = np.empty(d)
    for i in range(start, stop):
        along = 0.0
        for j in range(d):
            row[j] = x[i, j] - center[j]
            along += row[j] * vector[j]
        for j in range(d):
            result[j] += along * row[j]
    return result


@_compiled
def _lengths(x, center, start, stop, squares, directions):  # type: ignore[no-untyped-def]
    """‖row − center‖² of each row, written, and the sum of the rows' directions, added."""
    d = x.shape[1]
    row = np.empty(d)
    for i in range(start, stop):
        total = 0.0
        for j in range(d):
            row[j] = x[i, j] - center[j]
            total += row[j] * row[j]
        squares[i] = total
        if total > 0.0:
            inverse = 1.0 / np.sqrt(total)
            for j in range(d):
                directions[j] += inverse * row[j]


def gram_times(
    x: Float[np.ndarray, "n d"], center: Float[np.ndarray, " d"], vector: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " d"]:
    """(x − center)ᵀ (x − center) v without ever forming x − center."""
    parts = in_threads(
        len(x), lambda a, b: _gram_times(x, center, vector, a, b), _PASS // x.shape[1] + 1
    )
    return np.sum(parts, axis=0)  # type: ignore[no-any-return]


def lengths(
    x: Float[np.ndarray, "n d"], center: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " d"]]:
    """The squared norms of the rows of x − center, and the sum of their directions (0 for 0)."""
    squares = np.empty(len(x))

    def work(start: int, stop: int) -> Float[np.ndarray, " d"]:
        directions = np.zeros(x.shape[1])
        _lengths(x, center, start, stop, squares, directions)
        return directions

    return squares, np.sum(in_threads(len(x), work, _PASS // x.shape[1] + 1), axis=0)
