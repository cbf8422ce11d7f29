"""The compiled loops: they read float32 or float64 points and accumulate in float64.

Importing this module imports numba, so import it inside functions. Each loop is compiled once for
each type of points and kept on disk; it releases Python's lock, so that `in_threads` can share its
rows among as many threads as torch is set to use.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from shapelib.threads import in_threads

# Terms of a sum may be added in any order, which the error bounds allow; nothing else may change
# (infinities mean something here).
_ORDER_IS_FREE = {"reassoc", "contract"}
# A centered, scaled row longer than this is left out of the product: its square would overflow.
_LONGEST = 2.0**30
# Smaller coordinates become zero, so that no product of two is subnormal: some units flush those.
_SMALLEST = 2.0**-60
# Far below any distance that matters and far above what underflow can take from a float32.
_UNDERFLOW = 2.0**-100
# A bound from a point with a greater loss says nothing; the number has a float32.
_HOPELESS = 2.0**100
_HALVINGS = 60
# Coordinates of one pass that repay a thread's start.
_PASS = 2**21

# Verdicts of `search` on a row: no proof yet; all neighbours found; or a candidate's distance
# contradicts the bound, so that the product is worse than assumed, for this row and for all.
UNPROVEN, PROVEN, BROKEN = 0, 1, 2


def _compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = njit(cache=True, nogil=True, fastmath=_ORDER_IS_FREE)(loop)
    return compiled


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


def screened(about: Float[np.ndarray, "4 n"], dtype: np.dtype[Any]) -> Float[np.ndarray, "3 n"]:
    """What `search` compares all pairs by, in the type of their products.

    Squares are made smaller, norms and losses larger, by more than arithmetic in that type can
    move a bound made of them: its five sums lose less than 14 units in the last place (half an
    epsilon each) of both squares together.
    """
    squares, norms, lost, slack = about
    margin = 8.0 * float(np.finfo(dtype).eps)
    lost = np.minimum(lost * (1 + margin) + _UNDERFLOW, _HOPELESS)
    with np.errstate(over="ignore"):
        return np.stack([squares * (1 - margin) - slack, norms * (1 + margin), lost]).astype(dtype)


@_compiled
def _threshold(values, k):  # type: ignore[no-untyped-def]
    """A number that at least k of the values do not exceed, and few more than k."""
    low, high = 0.0, 0.0
    for g in range(len(values)):
        if high < values[g] < np.inf:
            high = values[g]
    middle = low
    for _ in range(_HALVINGS):
        count = 0
        for g in range(len(values)):
            count += values[g] <= middle
        if count < k:
            low = middle
        else:
            high = middle
            if count <= k + k // 16:
                break
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
    return high


@_compiled
def search(  # type: ignore[no-untyped-def]
    x, rows, products, scale, about, screen, summed, stored, tiny, most,
    distances, indices, verdict,
):  # fmt: skip
    """The k nearest of `rows`, by exact distances of what the bound leaves (proof: `neighbors`).

    products: rows × points, inner products of rounded rows with all rounded rows.
    about: squares, norms, lost, slack of each point, see `neighbors._Known`.
    screen: what `screened` made of them, in the type of the products.
    summed, stored, tiny: error of a product relative to the norms, relative to itself, absolute.
    most: a row that would need more exact distances than this is left unproven.
    distances, indices, verdict: written at the rows' own places; without a proof the verdict alone.
    """
    n, k = len(x), distances.shape[1]
    groups = min(n, max(256, 8 * k))
    squares, norms, lost, slack = about[0], about[1], about[2], about[3]
    margin = 8.0 * np.finfo(products.dtype).eps
    farthest = np.finfo(products.dtype).max
    # Numbers of the products' type: one of float64 would make the whole pass float64.
    own = np.empty(4, products.dtype)
    bound, least = np.empty(n, products.dtype), np.empty(groups, products.dtype)
    best, who = np.empty(k), np.empty(k, dtype=np.int64)
    chosen, gaps = np.empty(most, dtype=np.int64), np.empty(most)
    for r in range(len(rows)):
        i = rows[r]
        product = products[r]
        own[0] = squares[i] * (1 - margin) - slack[i] - tiny
        own[1] = 2.0 * summed * norms[i] * (1 + margin)
        own[2] = 2.0 * stored * (1 + margin)
        own[3] = 0.0
        alone, by_norm, by_value, zero = own[0], own[1], own[2], own[3]
        # Each distance is at least this less lost[i].
        for j in range(n):
            square = screen[0, j] + alone - product[j] - product[j]
            square -= by_norm * screen[1, j] + by_value * abs(product[j])
            bound[j] = np.sqrt(square if square > zero else zero) - screen[2, j]
        bound[i] = np.inf
        least[:] = np.inf
        for first in range(0, n, groups):
            for g in range(min(groups, n - first)):
                least[g] = bound[first + g] if bound[first + g] < least[g] else least[g]
        # At least k points have a bound up to this, and they are likely to be the nearest.
        limit = _threshold(least, k)
        taken = 0
        for g in range(groups):
            if least[g] <= limit:
                for j in range(g, n, groups):
                    if bound[j] <= limit and taken < most:
                        chosen[taken] = j
                        taken += 1
        # In a loop of their own, so that the next row is on its way while one is summed.
        for c in range(taken):
            gaps[c] = _square_gap(x, i, chosen[c])
        sound = True
        for c in range(taken):
            j = chosen[c]
            # An audit: the true distance must lie within the product's bounds on it.
            both = (lost[i] + lost[j]) * (1 + 1e-12)
            least_gap = np.sqrt(gaps[c]) * scale * (1 - 1e-12) - both
            most_gap = np.sqrt(gaps[c]) * scale * (1 + 1e-12) + both
            seen = np.float64(product[j])
            error = 2.0 * summed * norms[i] * norms[j] + 2.0 * stored * abs(seen)
            error += slack[j] + slack[i] + tiny
            square = squares[j] - 2.0 * seen + squares[i]
            if square - error > most_gap * most_gap or (
                least_gap > 0.0 and square + error < least_gap * least_gap
            ):
                sound = False
            bound[j] = np.inf
        best[:] = np.inf
        who[:] = n
        # Sorted first, each is put at the end of the list, or of its equals.
        for c in np.argsort(gaps[:taken]):
            _insert(best, who, gaps[c], chosen[c])
        # The k-th of the true neighbours is no farther than this: who can still be nearer?
        reach = (np.sqrt(best[k - 1]) * scale + lost[i]) * (1 + 1e-12)
        limit = min(reach * (1 + margin) + _UNDERFLOW, farthest)
        taken_before, taken = taken, 0
        for g in range(groups):
            if least[g] <= limit:
                for j in range(g, n, groups):
                    if bound[j] <= limit:
                        if taken < most:
                            chosen[taken] = j
                        taken += 1
        if taken_before + taken > most or not sound:
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
    # Four rows at a time: the vector and the result are read and written a quarter as often.
    rows = np.empty((4, d))
    for first in range(start, stop, 4):
        a = first
        # Past the end the last row is read again, and counts nothing.
        b, c, e = min(a + 1, stop - 1), min(a + 2, stop - 1), min(a + 3, stop - 1)
        along_a, along_b, along_c, along_e = 0.0, 0.0, 0.0, 0.0
        for j in range(d):
            rows[0, j] = x[a, j] - center[j]
            rows[1, j] = x[b, j] - center[j]
            rows[2, j] = x[c, j] - center[j]
            rows[3, j] = x[e, j] - center[j]
            along_a += rows[0, j] * vector[j]
            along_b += rows[1, j] * vector[j]
            along_c += rows[2, j] * vector[j]
            along_e += rows[3, j] * vector[j]
        along_b *= b > a
        along_c *= c > b
        along_e *= e > c
        for j in range(d):
            result[j] += (
                along_a * rows[0, j] + along_b * rows[1, j]
                + along_c * rows[2, j] + along_e * rows[3, j]
            )  # fmt: skip
    return result


@_compiled
def _hashes(x, weights, start, stop, result):  # type: ignore[no-untyped-def]
    row = np.empty(x.shape[1], x.dtype)
    bits = row.view(np.int32)
    for i in range(start, stop):
        for j in range(x.shape[1]):
            # Adding zero turns −0 into 0.
            row[j] = x[i, j] + 0.0
        total = 0
        for j in range(len(bits)):
            total += bits[j] * weights[j]
        result[i] = total


@_compiled
def _total(x, start, stop):  # type: ignore[no-untyped-def]
    """The sum of rows."""
    result = np.zeros(x.shape[1])
    for i in range(start, stop):
        for j in range(x.shape[1]):
            result[j] += x[i, j]
    return result


@_compiled
def _lengths(x, center, start, stop, squares):  # type: ignore[no-untyped-def]
    """‖row − center‖² of each row, written; gives the sum of the rows' directions."""
    d = x.shape[1]
    row, directions = np.empty(d), np.zeros(d)
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
    return directions


def hashes(
    x: Float[np.ndarray, "n d"], weights: Int[np.ndarray, " words"]
) -> Int[np.ndarray, " n"]:
    """Σ weight · word of each row's bits, in words of 32 bits, modulo 2⁶⁴."""
    result = np.empty(len(x), np.int64)
    _shared(x, lambda a, b: _hashes(x, weights, a, b, result))
    return result


def mean(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " d"]:
    """The mean row, in float64."""
    return np.sum(_shared(x, lambda a, b: _total(x, a, b)), axis=0) / len(x)  # type: ignore[no-any-return]


def gram_times(
    x: Float[np.ndarray, "n d"], center: Float[np.ndarray, " d"], vector: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " d"]:
    """(x − center)ᵀ (x − center) v without ever forming x − center."""
    return np.sum(_shared(x, lambda a, b: _gram_times(x, center, vector, a, b)), axis=0)  # type: ignore[no-any-return]


def lengths(
    x: Float[np.ndarray, "n d"], center: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " d"]]:
    """The squared norms of the rows of x − center, and the sum of their directions (0 for 0)."""
    squares = np.empty(len(x))
    parts = _shared(x, lambda a, b: _lengths(x, center, a, b, squares))
    return squares, np.sum(parts, axis=0)


def _shared(x: Float[np.ndarray, "n d"], loop: Callable[[int, int], Any]) -> list[Any]:
    """A loop over all rows, in parts whose pass repays a thread's start."""
    return in_threads(len(x), loop, _PASS // int(x.shape[1]) + 1)
