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
# Rows whose float32 products are summed in float32 before float64 takes over: the sums stay near
# the size of their terms, and rounding stays some 1e-7 of the largest eigenvalue.
_SUMMED = 64
# Coordinates of one pass that repay a thread's start.
_PASS = 2**21


def compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    made: Callable[..., Any] = njit(cache=True, nogil=True, fastmath=_ORDER_IS_FREE)(loop)
    return made


@compiled
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


@compiled
def _gram_times(x, center, vector, start, stop):  # type: ignore[no-untyped-def]
    """Σ rows of (x − center)ᵀ (x − center) v, reading each row from memory once."""
    d = x.shape[1]
    result = np.zeros(d)
    # Four rows at a time: the vector and the result are read and written a quarter as often.
    for first in range(start, stop, 4):
        # Past the end the last row is read again, and counts nothing.
        second, third, fourth = (
            min(first + 1, stop - 1), min(first + 2, stop - 1), min(first + 3, stop - 1)
        )  # fmt: skip
        a, b, c, e = x[first], x[second], x[third], x[fourth]
        along_a, along_b, along_c, along_e = 0.0, 0.0, 0.0, 0.0
        for j in range(d):
            along_a += (a[j] - center[j]) * vector[j]
            along_b += (b[j] - center[j]) * vector[j]
            along_c += (c[j] - center[j]) * vector[j]
            along_e += (e[j] - center[j]) * vector[j]
        along_b *= second > first
        along_c *= third > second
        along_e *= fourth > third
        for j in range(d):
            result[j] += (
                along_a * (a[j] - center[j]) + along_b * (b[j] - center[j])
                + along_c * (c[j] - center[j]) + along_e * (e[j] - center[j])
            )  # fmt: skip
    return result


@compiled
def _two_gram_times(x, center, v, w, scale, start, stop):  # type: ignore[no-untyped-def]
    """`_gram_times` of two vectors, times `scale`, in the precision that all of them have."""
    d = x.shape[1]
    total = np.zeros((2, d))
    part = np.zeros((2, d), v.dtype)
    to_v, to_w = part[0], part[1]
    zero = v[0] - v[0]
    for begin in range(start, stop, _SUMMED):
        part[:] = zero
        end = min(begin + _SUMMED, stop)
        for first in range(begin, end, 4):
            # Past the end the last row is read again, and counts nothing.
            second, third, fourth = (
                min(first + 1, end - 1), min(first + 2, end - 1), min(first + 3, end - 1)
            )  # fmt: skip
            a, b, c, e = x[first], x[second], x[third], x[fourth]
            v_a, v_b, v_c, v_e = zero, zero, zero, zero
            w_a, w_b, w_c, w_e = zero, zero, zero, zero
            for j in range(d):
                at_a, at_b = a[j] - center[j], b[j] - center[j]
                at_c, at_e = c[j] - center[j], e[j] - center[j]
                v_a += at_a * v[j]
                v_b += at_b * v[j]
                v_c += at_c * v[j]
                v_e += at_e * v[j]
                w_a += at_a * w[j]
                w_b += at_b * w[j]
                w_c += at_c * w[j]
                w_e += at_e * w[j]
            to_b, to_c, to_e = scale, scale, scale
            if second == first:
                to_b = zero
            if third == second:
                to_c = zero
            if fourth == third:
                to_e = zero
            v_a, v_b, v_c, v_e = v_a * scale, v_b * to_b, v_c * to_c, v_e * to_e
            w_a, w_b, w_c, w_e = w_a * scale, w_b * to_b, w_c * to_c, w_e * to_e
            for j in range(d):
                at_a, at_b = a[j] - center[j], b[j] - center[j]
                at_c, at_e = c[j] - center[j], e[j] - center[j]
                to_v[j] += v_a * at_a + v_b * at_b + v_c * at_c + v_e * at_e
                to_w[j] += w_a * at_a + w_b * at_b + w_c * at_c + w_e * at_e
        total += part
    return total


@compiled
def orthonormalize(pair, basis, along, lower):  # type: ignore[no-untyped-def]
    """Make two vectors orthonormal to one another and to the rows of a basis, in place.

    along: what of them lay along the last rows, written. lower: the triangle L with L · pair as now
    = pair as it was, but for what lay along the basis, written. Zero where nothing is left.
    """
    d = pair.shape[1]
    v, w = pair[0], pair[1]
    # From the last row back: it is along the last few that much is taken, and with it go what
    # these still hold of earlier ones.
    for row in range(len(basis) - 1, -1, -1):
        known = basis[row]
        of_v, of_w = 0.0, 0.0
        for j in range(d):
            of_v += known[j] * v[j]
            of_w += known[j] * w[j]
        for j in range(d):
            v[j] -= of_v * known[j]
            w[j] -= of_w * known[j]
        place = row - len(basis) + along.shape[1]
        if place >= 0:
            along[0, place], along[1, place] = of_v, of_w
    lower[:] = 0.0
    square, across = 0.0, 0.0
    for j in range(d):
        square += v[j] * v[j]
        across += v[j] * w[j]
    if square > 0.0:
        lower[0, 0] = np.sqrt(square)
        lower[1, 0] = across / lower[0, 0]
        for j in range(d):
            w[j] -= across / square * v[j]
            v[j] /= lower[0, 0]
    square = 0.0
    for j in range(d):
        square += w[j] * w[j]
    if square > 0.0:
        lower[1, 1] = np.sqrt(square)
        for j in range(d):
            w[j] /= lower[1, 1]


@compiled
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


@compiled
def _total(x, start, stop):  # type: ignore[no-untyped-def]
    """The sum of rows."""
    result = np.zeros(x.shape[1])
    whole = stop - (stop - start) % 4
    for i in range(start, whole, 4):
        a, b, c, e = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(x.shape[1]):
            result[j] += np.float64(a[j]) + np.float64(b[j]) + np.float64(c[j]) + np.float64(e[j])
    for i in range(whole, stop):
        for j in range(x.shape[1]):
            result[j] += x[i, j]
    return result


@compiled
def _lengths(x, center, start, stop, squares):  # type: ignore[no-untyped-def]
    """‖row − center‖² of each row, written; gives the sum of the rows' directions."""
    d = x.shape[1]
    directions = np.zeros(d)
    inverse = np.zeros(4)
    for begin in range(start, stop, 4):
        end = min(begin + 4, stop)
        inverse[:] = 0.0
        for i in range(begin, end):
            row, total = x[i], 0.0
            for j in range(d):
                total += (row[j] - center[j]) * (row[j] - center[j])
            squares[i] = total
            if total > 0.0:
                inverse[i - begin] = 1.0 / np.sqrt(total)
        # Past the end the last row is read again, and counts nothing.
        a, b, c, e = (
            x[begin], x[min(begin + 1, stop - 1)], x[min(begin + 2, stop - 1)],
            x[min(begin + 3, stop - 1)],
        )  # fmt: skip
        to_a, to_b, to_c, to_e = inverse
        for j in range(d):
            directions[j] += (
                to_a * (a[j] - center[j]) + to_b * (b[j] - center[j])
                + to_c * (c[j] - center[j]) + to_e * (e[j] - center[j])
            )  # fmt: skip
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


def two_gram_times(
    x: Float[np.ndarray, "n d"],
    center: Float[np.ndarray, " d"],
    vectors: Float[np.ndarray, "2 d"],
    total: float,
) -> Float[np.ndarray, "2 d"]:
    """`gram_times` of two vectors, divided by `total`, in the precision of x: for float32 to 1e-7.

    total: the sum of the squares of x − center.
    """
    # Neither x nor its squares may leave the range of float32: half the scale goes to each side.
    scale = min(max((x.size / total) ** 0.5, 1e-30), 1e30)
    v, w = np.ascontiguousarray(vectors * scale, dtype=x.dtype)
    pivot, half = center.astype(x.dtype), x.dtype.type(scale)
    first, *others = _shared(x, lambda a, b: _two_gram_times(x, pivot, v, w, half, a, b))
    found = sum(others, first) / (scale**2 * total)
    away = center - pivot
    if away.any():
        # About another point than the mean the squares are larger by that much.
        found -= np.outer(vectors @ away, away * (len(x) / total))
    return found  # type: ignore[no-any-return]


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
