"""The compiled search that sees each pair once: half a product.

pᵢⱼ = pⱼᵢ, so a block of rows meets itself and what comes after it, and each pair is offered to the
lists of both its points. A list holds who may be among a point's k nearest. With l and h what the
distance of a pair is at least and at most, and t the k-th smallest h of a list, k points are no
farther than t, and whoever has l > t is none of the nearest. t falls as a list fills up, and is
made anew when it is full. A list of which too much is left even so is closed, its row unproven.

By the bound in `neighbors`, ρ = ‖bᵢ − bⱼ‖ is between the roots of s − e and s + e, where
s = ‖bᵢ‖² + ‖bⱼ‖² − 2p and e = 2γ ‖bᵢ‖ ‖bⱼ‖ + 2υ |p|. The list of i holds what the distance of xⱼ
from bᵢ is at least and at most, ρ ∓ λⱼ. The true distance is within λᵢ of that, so

    xⱼ is none of the nearest where   ρ > Tᵢ + λⱼ   with   Tᵢ = k-th smallest (ρ + λⱼ) + 2λᵢ.

All pairs are held against this by the squares, s − e ≤ (Tᵢ + λⱼ)² or (Tⱼ + λᵢ)², in float32. The
first part of e, gᵢ ‖bⱼ‖ / c with gᵢ = 2γ c ‖bᵢ‖, has λⱼ in place of ‖bⱼ‖ / c, where c makes the two
about equal, and λⱼ is the larger of both from the start: one number less to read.

Importing this module imports numba, so import it inside functions.
"""

import numpy as np
from jaxtyping import Float

from shapelib.geometry.loops import compiled
from shapelib.geometry.search.rows import BROKEN, PROVEN, _measure, _nearest, _threshold

# More, of both squares, than a sum of six float32 and a square beside it lose; and of a root.
_ARITHMETIC, _ROOT = 2.0**-19, 2.0**-22
# What was lost is made larger by more than float32 can take from a sum with it.
_WIDER = 1 + 2.0**-20
# More than the ratio of a norm to what rounding it can lose, for points that lose nothing; a point
# that lost more than the other number, when norms are near 1, is no farther than infinity.
_LARGEST_RATIO, _HOPELESS = 2.0**40, 2.0**50
# Pairs compared with the bars before any list is touched, so that bars stay fresh.
_AHEAD = 512
_STRIP = 16
_CLOSED = -1


def screened(
    about: Float[np.ndarray, "4 n"], summed: float, tiny: float
) -> Float[np.ndarray, "4 n"]:
    """What is compared of each point, in float32: ‖b‖² at least and at most, λ and g."""
    squares, norms, lost, slack = about
    ratio = _LARGEST_RATIO
    if (some := lost > 0).any():
        ratio = min(ratio, max(1.0, float(np.median(norms[some] / lost[some]))))
    unsure = _ARITHMETIC * squares + slack + tiny
    most = np.maximum(lost, norms / ratio) * _WIDER
    most[lost > _HOPELESS] = np.inf
    # Never nought: nought times infinity is no number.
    error = 2 * summed * ratio * norms * _WIDER + 2.0**-100
    return np.stack([squares - unsure, squares + unsure, most, error]).astype(np.float32)


@compiled
def first_bars(products, first, start, k, stored, group, screen, bars):  # type: ignore[no-untyped-def]
    """Set the bars of the columns of a first tile, by its rows.

    products: of points first, first + 1, … with points start, start + 1, …, in float32. stored: υ.
    bars: T of all points. Where fewer than k of a column's rows are in other groups, its bar stays.
    """
    rows, columns = products.shape
    high = np.empty((_STRIP, rows), np.float32)
    own = np.array([2.0 * stored, 1 + _ROOT, 0.0]).astype(np.float32)
    by_value, larger, zero = own[0], own[1], own[2]
    for left in range(0, columns, _STRIP):
        right = min(left + _STRIP, columns)
        for r in range(rows):
            i = first + r
            for c in range(left, right):
                j, p = start + c, products[r, c]
                square = screen[1, i] + screen[1, j] - p - p
                square += screen[3, i] * screen[2, j] + by_value * abs(p)
                most = np.sqrt(max(square, zero)) * larger + screen[2, i]
                high[c - left, r] = most if group[i] != group[j] else np.inf
        for c in range(left, right):
            if np.sum(high[c - left] < np.inf) >= k:
                bars[start + c] = _bar(high[c - left], k, screen[2, start + c])


@compiled
def _bar(high, k, lost):  # type: ignore[no-untyped-def]
    """T of a list in which k or more are not infinite."""
    return np.float32((_threshold(high, k) + 2.0 * lost) * _WIDER)


@compiled
def sift(  # type: ignore[no-untyped-def]
    products, first, start, k, stored, group, screen,
    who, low, high, held, bars, own_who, own_low, own_high, own_held, own_bars,
):  # fmt: skip
    """Offer each pair of a block of rows and the columns after them to the lists of both.

    products, stored: as in `first_bars`; rows meet only columns after themselves.
    who, low, high: points × room, the lists of all: a point, ρ − λ and ρ + λ. held: how many there
    are, −1 in a closed list. bars: T. Those of `own_…` are the block's rows' in this thread, but
    for their bars, which threads share: what any of them sets there holds.
    """
    room = who.shape[1]
    most_left = room - room // 4
    flags = np.zeros(_AHEAD + 8, np.uint8)
    words = flags.view(np.uint64)
    own = np.array([2.0, 2.0 * stored, 1 - _ROOT, 1 + _ROOT, 0.0]).astype(np.float32)
    two, by_value, smaller, larger, zero = own[0], own[1], own[2], own[3], own[4]
    # Columns a few at a time, so that the ends of their lists stay in the cache.
    for left in range(0, products.shape[1], _AHEAD):
        right = min(left + _AHEAD, products.shape[1])
        for r in range(len(products)):
            i = first + r
            at = max(left, i + 1 - start)
            below, above, lost, error = screen[0, i], screen[1, i], screen[2, i], screen[3, i]
            bar, there = own_bars[r], slice(start + at, start + right)
            product, belows, losses = products[r, at:right], screen[0, there], screen[2, there]
            levels = bars[there]
            for m in range(len(product)):
                least = below + belows[m] - two * product[m]
                least -= by_value * abs(product[m]) + error * losses[m]
                reach, level = bar + losses[m], levels[m] + lost
                flags[m] = (least <= reach * reach) + np.uint8(2) * (least <= level * level)
            flags[len(product) : len(product) + 8] = 0
            for word in range((len(product) + 7) // 8):
                if words[word] == 0:
                    continue
                for m in range(8 * word, 8 * word + 8):
                    j = start + at + m
                    if flags[m] == 0 or group[i] == group[j]:
                        continue
                    p, other = products[r, at + m], screen[2, j]
                    both = by_value * abs(p) + error * other
                    least = np.sqrt(max(below + screen[0, j] - two * p - both, zero)) * smaller
                    most = np.sqrt(max(above + screen[1, j] - two * p + both, zero)) * larger
                    # Written out twice: a call costs several times what it does.
                    if flags[m] & 1 and own_held[r] >= 0:
                        c = own_held[r]
                        own_who[r, c] = j
                        own_low[r, c], own_high[r, c] = least - other, most + other
                        own_held[r] = c + 1
                        if c + 1 == room:
                            _shorten(
                                own_who, own_low, own_high, own_held, own_bars, r, k, lost,
                                most_left,
                            )  # fmt: skip
                    if flags[m] & 2 and held[j] >= 0:
                        c = held[j]
                        who[j, c] = i
                        low[j, c], high[j, c] = least - lost, most + lost
                        held[j] = c + 1
                        if c + 1 == room:
                            _shorten(who, low, high, held, bars, j, k, other, most_left)


@compiled
def _shorten(who, low, high, held, bars, at, k, lost, most):  # type: ignore[no-untyped-def]
    """Leave those of a list whose ρ − λ is at most T; close it where they are more than `most`."""
    count = held[at]
    if np.sum(high[at, :count] < np.inf) >= k:
        bars[at] = min(bars[at], _bar(high[at, :count], k, lost))
    left, bar = 0, bars[at]
    for c in range(count):
        who[at, left], low[at, left], high[at, left] = who[at, c], low[at, c], high[at, c]
        left += low[at, c] <= bar
    held[at] = left
    if left > most:
        # With this bar hardly anybody is offered to it any more.
        held[at], bars[at] = _CLOSED, 0.0


@compiled
def settle(  # type: ignore[no-untyped-def]
    x, first, start, stop, scale, losses, who, low, high, held, bars, parts, distances, indices,
    verdict,
):  # fmt: skip
    """The k nearest of points first + start to first + stop, by exact distances of who is left.

    losses: λ of all points, as screened. parts: of each thread, what it listed of the block's rows
    (who, ρ − λ, ρ + λ, how many). The block has met all others.
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
                    _shorten(who, low, high, held, bars, i, k, losses[i], room - room // 4)
        if held[i] > 0:
            _shorten(who, low, high, held, bars, i, k, losses[i], room)
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
            gap, at, lost = np.sqrt(gaps[c]) * scale, c - begin, np.float64(losses[i])
            if gap * (1 + 1e-12) < low[i, at] - lost or gap * (1 - 1e-12) > high[i, at] + lost:
                sound = False
        verdict[i] = PROVEN if sound else BROKEN
        if sound:
            _nearest(gaps[begin:end], chosen[begin:end], best, nearest)
            for c in range(k):
                distances[i, c] = np.sqrt(best[c])
                indices[i, c] = nearest[c]
