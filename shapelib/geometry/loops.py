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
    for i in range(start, stop):
        for j in range(x.shape[1]):
            result[j] += x[i, j]
    return result


@compiled
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
