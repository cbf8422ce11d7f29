"""The compiled search that sees each pair once: half a product, for a CPU without bfloat16 units.

There the product is nearly all of a search, and pᵢⱼ = pⱼᵢ. So a block of rows meets itself and what
comes after it, and each pair is offered to the lists of both its points. A list holds who may be
among a point's k nearest. With l and h what a pair's squared distance is at least and at most, and
t the k-th smallest h of a list, k points are no farther than √t, and whoever has l > t is none of
the nearest. t falls as a list fills up, and is made anew when it is full. A list of which too much
is left even so is closed, its row unproven.

l and h are one number a pair each, in float32. By the bound in `neighbors` the distance r lies
within λᵢ + λⱼ of ‖bᵢ − bⱼ‖, whose square lies within e = 2γ ‖bᵢ‖ ‖bⱼ‖ of s = ‖bᵢ‖² + ‖bⱼ‖² − 2p. As
(a ± b)² is within θ a² + b²/θ and b² of a² for any θ, and s + e < 3 (‖bᵢ‖² + ‖bⱼ‖²),

    |r² − s|  ≤  e + uᵢ + uⱼ   with   u = 3 θ ‖b‖² + 2 (1 + 1/θ) λ²   and what arithmetic takes.

Importing this module imports numba, so import it inside functions.
"""

import numpy as np
from jaxtyping import Float

from shapelib.geometry.loops import compiled
from shapelib.geometry.search.rows import BROKEN, PROVEN, _measure, _nearest, _threshold

_THETA = 2.0**-20
# More, of both squares, than a sum of six float32 loses.
_ARITHMETIC = 2.0**-19
# Pairs compared with the bars before any list is touched, so that bars stay fresh.
_AHEAD = 512
_STRIP = 16
_CLOSED = -1


def screened(
    about: Float[np.ndarray, "4 n"], summed: float, tiny: float
) -> Float[np.ndarray, "4 n"]:
    """What is compared of each point, in float32: ‖b‖² − u, ‖b‖² + u, ‖b‖ and 2γ ‖b‖."""
    squares, norms, lost, slack = about
    wider = 1 + 2.0**-20
    with np.errstate(over="ignore"):
        unsure = (3 * _THETA + _ARITHMETIC) * squares + 2 * (1 + 1 / _THETA) * lost**2
        unsure = unsure + slack + tiny
        made = squares - unsure, squares + unsure, norms * wider, 2 * summed * norms * wider
        return np.stack(made).astype(np.float32)


@compiled
def first_bars(products, first, start, k, group, screen, bars):  # type: ignore[no-untyped-def]
    """Set the bars of the columns of a first tile: the k-th smallest h among its rows.

    products: of points first, first + 1, … with points start, start + 1, …, in float32. bars: t of
    all points. Where fewer than k of a column's rows are in other groups, its bar stays.
    """
    rows, columns = products.shape
    high = np.empty((_STRIP, rows), np.float32)
    for left in range(0, columns, _STRIP):
        right = min(left + _STRIP, columns)
        for r in range(rows):
            i = first + r
            for c in range(left, right):
                j = start + c
                both = screen[3, i] * screen[2, j] - products[r, c] - products[r, c]
                most = screen[1, i] + screen[1, j] + both
                high[c - left, r] = most if group[i] != group[j] else np.inf
        for c in range(left, right):
            if np.sum(high[c - left] < np.inf) >= k:
                bars[start + c] = _threshold(high[c - left], k)


@compiled
def sift(  # type: ignore[no-untyped-def]
    products, first, start, k, group, screen,
    who, low, high, held, bars, own_who, own_low, own_high, own_held, own_bars,
):  # fmt: skip
    """Offer each pair of a block of rows and the columns after them to the lists of both.

    products: as in `first_bars`; rows meet only columns after themselves.
    who, low, high: points × room, the lists of all: a point, l and h. held: how many there are, −1
    in a closed list. bars: t. Those of `own_…` are the block's rows' in this thread, but for their
    bars, which threads share: what any of them sets there holds.
    """
    room = who.shape[1]
    most_left = room - room // 4
    flags = np.zeros(_AHEAD + 8, np.uint8)
    words = flags.view(np.uint64)
    two = np.float32(2.0)
    # Columns a few at a time, so that the ends of their lists stay in the cache.
    for left in range(0, products.shape[1], _AHEAD):
        right = min(left + _AHEAD, products.shape[1])
        for r in range(len(products)):
            i = first + r
            at = max(left, i + 1 - start)
            below, above, error, bar = screen[0, i], screen[1, i], screen[3, i], own_bars[r]
            there = slice(start + at, start + right)
            product, belows, norms = products[r, at:right], screen[0, there], screen[2, there]
            levels = bars[there]
            for m in range(len(product)):
                least = below + belows[m] - error * norms[m] - two * product[m]
                flags[m] = (least <= bar) + np.uint8(2) * (least <= levels[m])
            flags[len(product) : len(product) + 8] = 0
            for word in range((len(product) + 7) // 8):
                if words[word] == 0:
                    continue
                for m in range(8 * word, 8 * word + 8):
                    j = start + at + m
                    if flags[m] == 0 or group[i] == group[j]:
                        continue
                    both, p = error * screen[2, j], two * products[r, at + m]
                    least = below + screen[0, j] - both - p
                    most = above + screen[1, j] + both - p
                    # Written out twice: a call costs several times what it does.
                    if flags[m] & 1 and own_held[r] >= 0:
                        c = own_held[r]
                        own_who[r, c], own_low[r, c], own_high[r, c] = j, least, most
                        own_held[r] = c + 1
                        if c + 1 == room:
                            _shorten(
                                own_who, own_low, own_high, own_held, own_bars, r, k, most_left
                            )
                    if flags[m] & 2 and held[j] >= 0:
                        c = held[j]
                        who[j, c], low[j, c], high[j, c] = i, least, most
                        held[j] = c + 1
                        if c + 1 == room:
                            _shorten(who, low, high, held, bars, j, k, most_left)


@compiled
def _shorten(who, low, high, held, bars, at, k, most):  # type: ignore[no-untyped-def]
    """Leave those of a list whose l is at most t; close it where they are more than `most`."""
    count = held[at]
    if np.sum(high[at, :count] < np.inf) >= k:
        bars[at] = min(bars[at], _threshold(high[at, :count], k))
    left, bar = 0, bars[at]
    for c in range(count):
        who[at, left], low[at, left], high[at, left] = who[at, c], low[at, c], high[at, c]
        left += low[at, c] <= bar
    held[at] = left
    if left > most:
        held[at], bars[at] = _CLOSED, -np.inf


@compiled
def settle(  # type: ignore[no-untyped-def]
    x, first, start, stop, scale, who, low, high, held, bars, parts, distances, indices, verdict,
):  # fmt: skip
    """The k nearest of points first + start to first + stop, by exact distances of who is left.

    parts: of each thread, what it listed of the block's rows (who, l, h, how many). The block has
    met all others.
    """
    k, room = distances.shape[1], who.shape[1]
    ends = np.zeros(stop - start + 1, np.int64)
    for r in range(start, stop):
        i = first + r
        for own_who, own_low, own_high, own_held in parts:
            if own_held[r] < 0:
                held[i] = _CLOSED
            for c in range(own_held[r]):
                at = held[i]
                if at < 0:
                    break
                who[i, at], low[i, at], high[i, at] = own_who[r, c], own_low[r, c], own_high[r, c]
                held[i] = at + 1
                if at + 1 == room:
                    _shorten(who, low, high, held, bars, i, k, room - room // 4)
        if held[i] > 0:
            _shorten(who, low, high, held, bars, i, k, room)
        ends[r - start + 1] = ends[r - start] + max(held[i], 0)
    chosen, gaps = np.empty(ends[-1], np.int64), np.empty(ends[-1])
    for r in range(start, stop):
        for c in range(ends[r - start], ends[r - start + 1]):
            chosen[c] = who[first + r, c - ends[r - start]]
    _measure(x, np.arange(first + start, first + stop), ends, chosen, gaps)
    best, nearest = np.empty(k), np.empty(k, np.int64)
    for r in range(start, stop):
        i, begin, end = first + r, ends[r - start], ends[r - start + 1]
        if end - begin < k:
            continue
        # An audit: each true distance lies within what the product says of it.
        sound = True
        for c in range(begin, end):
            square, at = gaps[c] * scale * scale, c - begin
            if square * (1 + 1e-12) < low[i, at] or square * (1 - 1e-12) > high[i, at]:
                sound = False
        verdict[i] = PROVEN if sound else BROKEN
        if sound:
            _nearest(gaps[begin:end], chosen[begin:end], best, nearest)
            for c in range(k):
                distances[i, c] = np.sqrt(best[c])
                indices[i, c] = nearest[c]
