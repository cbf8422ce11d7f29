"""The compiled search for neighbours: which pairs a product leaves, and what their distances are.

Importing this module imports numba, so import it inside functions. A block of rows is searched in
three steps: bounds from the product choose a few candidates of each row; the distances of all of
them are computed, column by column, so that a point is read from memory once a block and not once
a pair; then each row is settled or left unproven. The proof stands in `neighbors`.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from shapelib.geometry.loops import compiled

# Far below any distance that matters and far above what underflow can take from a float32.
_UNDERFLOW = 2.0**-100
# A bound from a point with a greater loss says nothing; the number has a float32.
_HOPELESS = 2.0**100
_HALVINGS = 60

# Verdicts of `search` on a row: no proof yet; all neighbours found; or a candidate's distance
# contradicts the bound, so that the product is worse than assumed, for this row and for all.
UNPROVEN, PROVEN, BROKEN = 0, 1, 2


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


@compiled
def search(  # type: ignore[no-untyped-def]
    x, rows, products, scale, about, screen, summed, stored, tiny, most,
    group, starts, members, distances, indices, verdict,
):  # fmt: skip
    """The k nearest of `rows`, by exact distances of what the bound leaves (proof: `neighbors`).

    products: rows × points, inner products of rounded rows with all rounded rows; overwritten.
    about: squares, norms, lost, slack of each point, see `neighbors._Known`.
    screen: what `screened` made of them, in the type of the products.
    summed, stored, tiny: error of a product relative to the norms, relative to itself, absolute.
    most: a row that would need more exact distances than this is left unproven.
    group, starts, members: groups of points, i in its own; no neighbour of i is in the group of i.
    distances, indices, verdict: written at the rows' own places; without a proof the verdict alone.
    """
    n, k = len(x), distances.shape[1]
    # Candidates of some rows, one after another: those of row r from ends[r] to ends[r + 1].
    room = most + 2 * k * len(rows)
    chosen, seen = np.empty(room, dtype=np.int64), np.empty(room, products.dtype)
    gaps, ends = np.empty(room), np.zeros(len(rows) + 1, dtype=np.int64)
    least = np.empty((len(rows), min(n, max(256, 8 * k))), products.dtype)
    bound = np.empty(n, products.dtype)
    best, who = np.empty(k), np.empty(k, dtype=np.int64)
    more = np.empty(most + 1, dtype=np.int64)
    first = 0
    while first < len(rows):
        last = first
        ends[first] = 0
        while last < len(rows) and ends[last] + most <= room:
            i, start = rows[last], ends[last]
            _bound(bound, products[last], i, about, screen, summed, stored, tiny)
            for m in range(starts[group[i]], starts[group[i] + 1]):
                bound[members[m]] = np.inf
            taken = _choose(bound, least[last], k, chosen[start : start + most])
            for c in range(start, start + taken):
                seen[c] = products[last, chosen[c]]
                bound[chosen[c]] = np.inf
            products[last] = bound
            ends[last + 1] = start + taken
            last += 1
        _measure(x, rows[first:last], ends[first : last + 1], chosen, gaps)
        for r in range(first, last):
            i, start, stop = rows[r], ends[r], ends[r + 1]
            sound = _sound(
                i, about, scale, summed, stored, tiny,
                chosen[start:stop], gaps[start:stop], seen[start:stop],
            )  # fmt: skip
            _nearest(gaps[start:stop], chosen[start:stop], best, who)
            left = more[stop - start :]
            whole = _others(x, i, products[r], least[r], about[2, i], scale, left, best, who)
            if not sound or not whole:
                verdict[i] = UNPROVEN if sound else BROKEN
                continue
            verdict[i] = PROVEN
            for c in range(k):
                distances[i, c] = np.sqrt(best[c])
                indices[i, c] = who[c]
        first = last


@compiled
def _bound(bound, product, i, about, screen, summed, stored, tiny):  # type: ignore[no-untyped-def]
    """Write what the distance of each point from i is at least, less what rounding of i lost."""
    margin = 8.0 * np.finfo(product.dtype).eps
    # Numbers of the products' type: one of float64 would make the whole pass float64.
    own = np.zeros(4, product.dtype)
    own[0] = about[0, i] * (1 - margin) - about[3, i] - tiny
    own[1] = 2.0 * summed * about[1, i] * (1 + margin)
    own[2] = 2.0 * stored * (1 + margin)
    alone, by_norm, by_value, zero = own[0], own[1], own[2], own[3]
    for j in range(len(product)):
        square = screen[0, j] + alone - product[j] - product[j]
        square -= by_norm * screen[1, j] + by_value * abs(product[j])
        bound[j] = np.sqrt(square if square > zero else zero) - screen[2, j]


@compiled
def _choose(bound, least, k, chosen):  # type: ignore[no-untyped-def]
    """Choose k points or a few more, likely the nearest; give their number, and in `least` the
    least bound of each of so many parts of the points, j in part j modulo their number."""
    n, parts = len(bound), len(least)
    least[:] = np.inf
    for first in range(0, n, parts):
        for g in range(min(parts, n - first)):
            least[g] = bound[first + g] if bound[first + g] < least[g] else least[g]
    # At least k points have a bound up to this.
    return _up_to(_threshold(least, k), bound, least, chosen)


@compiled
def _up_to(limit, bound, least, chosen):  # type: ignore[no-untyped-def]
    """Write the points whose bound is at most `limit`, while there is room, and give their number.

    Each is written and counted only if it is one: a branch that chance decides costs more.
    """
    n, parts = len(bound), len(least)
    some, passing = np.empty(parts + 1, dtype=np.int32), 0
    for g in range(parts):
        some[passing] = g
        passing += least[g] <= limit
    taken = 0
    for m in range(passing):
        for j in range(some[m], n, parts):
            if taken == len(chosen):
                return taken
            chosen[taken] = j
            taken += bound[j] <= limit
    return taken


@compiled
def _threshold(values, k):  # type: ignore[no-untyped-def]
    """A number that at least k of the values do not exceed, and few more than k."""
    # In the values' own type, counts too: they are counted as often as the bounds are made.
    own = np.array([0.0, 0.5, 1.0]).astype(values.dtype)
    zero, half, one = own[0], own[1], own[2]
    low, high = zero, zero
    for g in range(len(values)):
        if high < values[g] < np.inf:
            high = values[g]
    middle = low
    for _ in range(_HALVINGS):
        count = zero
        for g in range(len(values)):
            count += one if values[g] <= middle else zero
        if count < k:
            low = middle
        else:
            high = middle
            if count <= k + k // 16:
                break
        middle = half * (low + high)
        if middle <= low or middle >= high:
            break
    return high


@compiled
def _square_gap(left, right):  # type: ignore[no-untyped-def]
    """Squared distance of two points, each coordinate made float64 as it is read: numbers that are
    widened once and kept would be read from memory at twice the length."""
    total = 0.0
    for f in range(len(left)):
        gap = np.float64(left[f]) - np.float64(right[f])
        total += gap * gap
    return total


@compiled
def _measure(x, rows, ends, chosen, gaps):  # type: ignore[no-untyped-def]
    """Write the squared distances of each row's candidates, in the order of the candidates."""
    place = np.zeros(len(x) + 1, dtype=np.int64)
    for c in range(ends[-1]):
        place[chosen[c] + 1] += 1
    for j in range(len(x)):
        place[j + 1] += place[j]
    pairs = np.empty((ends[-1], 2), dtype=np.int64)
    for r in range(len(rows)):
        for c in range(ends[r], ends[r + 1]):
            pair = pairs[place[chosen[c]]]
            pair[0], pair[1] = rows[r], c
            place[chosen[c]] += 1
    # The rows of a block stay in the cache, and a point is read from memory once for all of them.
    for p in range(len(pairs)):
        c = pairs[p, 1]
        gaps[c] = _square_gap(x[pairs[p, 0]], x[chosen[c]])


@compiled
def _sound(i, about, scale, summed, stored, tiny, chosen, gaps, seen):  # type: ignore[no-untyped-def]
    """An audit: whether each true distance lies within the product's bounds on it."""
    squares, norms, lost, slack = about[0], about[1], about[2], about[3]
    sound = True
    for c in range(len(chosen)):
        j = chosen[c]
        both = (lost[i] + lost[j]) * (1 + 1e-12)
        least_gap = np.sqrt(gaps[c]) * scale * (1 - 1e-12) - both
        most_gap = np.sqrt(gaps[c]) * scale * (1 + 1e-12) + both
        product = np.float64(seen[c])
        error = 2.0 * summed * norms[i] * norms[j] + 2.0 * stored * abs(product)
        error += slack[j] + slack[i] + tiny
        square = squares[j] - 2.0 * product + squares[i]
        if square - error > most_gap * most_gap or (
            least_gap > 0.0 and square + error < least_gap * least_gap
        ):
            sound = False
    return sound


@compiled
def _nearest(gaps, chosen, best, who):  # type: ignore[no-untyped-def]
    """Write the nearest candidates, sorted; what is left of the lists is infinity and no point."""
    best[:] = np.inf
    who[:] = np.iinfo(np.int64).max
    filled = 0
    # Sorted first, each is put at the end of the list, or of its equals.
    for c in np.argsort(gaps):
        filled = _insert(best, who, filled, gaps[c], chosen[c])


@compiled
def _insert(best, who, filled, value, index):  # type: ignore[no-untyped-def]
    """Put a candidate into sorted lists that hold `filled` ones, and give how many they hold then;
    of equals the lower index is better."""
    last = min(filled, len(best) - 1)
    if filled == len(best) and (value > best[last] or (value == best[last] and index > who[last])):
        return filled
    while last > 0 and (
        best[last - 1] > value or (best[last - 1] == value and who[last - 1] > index)
    ):
        best[last] = best[last - 1]
        who[last] = who[last - 1]
        last -= 1
    best[last] = value
    who[last] = index
    return min(filled + 1, len(best))


@compiled
def _others(x, i, bound, least, lost, scale, room, best, who):  # type: ignore[no-untyped-def]
    """Look at who else can be among the nearest; False where they fill the room."""
    margin, farthest = 8.0 * np.finfo(bound.dtype).eps, np.finfo(bound.dtype).max
    # The k-th of the true neighbours is no farther than this.
    reach = (np.sqrt(best[-1]) * scale + lost) * (1 + 1e-12)
    limit = min(reach * (1 + margin) + _UNDERFLOW, farthest)
    taken = _up_to(limit, bound, least, room)
    if taken == len(room):
        return False
    if taken > 0:
        for c in range(taken):
            _insert(best, who, len(best), _square_gap(x[i], x[room[c]]), room[c])
    return True
