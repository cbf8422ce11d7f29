"""The compiled loops of the random projections: Walsh–Hadamard transforms that stay in the cache.

Importing this module imports numba, so import it inside functions. The loops release Python's
lock, so that `threads.in_threads` can share the blocks among threads. On one thread a butterfly
compiled like this takes a third of the time of the same transform as products with small Hadamard
matrices, and the plainest loop over stages takes longer than either.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

# Terms of a sum may be added in any order.
_ORDER_IS_FREE = {"reassoc", "contract", "nsz"}
# float32 that the first level of the cache holds beside an index and gains.
_CACHED = 8192


def _compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = njit(cache=True, nogil=True, fastmath=_ORDER_IS_FREE)(loop)
    return compiled


@_compiled
def _butterflies(x, width):  # type: ignore[no-untyped-def]
    """All stages from `width` on, two at a time."""
    n = len(x)
    while 4 * width <= n:
        for start in range(0, n, 4 * width):
            a = x[start : start + width]
            b = x[start + width : start + 2 * width]
            c = x[start + 2 * width : start + 3 * width]
            d = x[start + 3 * width : start + 4 * width]
            for j in range(width):
                p, q = a[j] + b[j], a[j] - b[j]
                r, s = c[j] + d[j], c[j] - d[j]
                a[j], b[j], c[j], d[j] = p + r, q + s, p - r, q - s
        width *= 4
    while width < n:
        for start in range(0, n, 2 * width):
            a = x[start : start + width]
            b = x[start + width : start + 2 * width]
            for j in range(width):
                p, q = a[j], b[j]
                a[j], b[j] = p + q, p - q
        width *= 2


@_compiled
def _sixteens(x):  # type: ignore[no-untyped-def]
    """The first four stages, whose loops are short enough to be unrolled into registers."""
    for start in range(0, len(x), 16):
        for j in range(0, 16, 2):
            p, q = x[start + j], x[start + j + 1]
            x[start + j], x[start + j + 1] = p + q, p - q
        for width in (2, 4, 8):
            for group in range(0, 16, 2 * width):
                for j in range(width):
                    p, q = x[start + group + j], x[start + group + width + j]
                    x[start + group + j], x[start + group + width + j] = p + q, p - q


@_compiled
def transform(x):  # type: ignore[no-untyped-def]
    """x ← H x in place, H the unnormalised Walsh–Hadamard matrix in Sylvester's order.

    x: float32, contiguous, its length a power of two.
    """
    n = len(x)
    if n < 16:
        _butterflies(x, 1)
        return
    part = min(n, _CACHED)
    for start in range(0, n, part):
        _sixteens(x[start : start + part])
        _butterflies(x[start : start + part], 16)
    _butterflies(x, part)


@_compiled
def expand(z, signs, index, gains, width, first, last, out):  # type: ignore[no-untyped-def]
    """Blocks `first` to `last` of P z, each H G Π H B z, into their rows of `out`.

    signs: blocks × d, B. index: blocks × n, Π modulo `width`. gains: blocks × n, G with its scale.
    width: 2^⌈log₂d⌉, the period of H B pad(z).
    """
    d, n = len(z), index.shape[1]
    inner = np.empty(width, np.float32)
    spare = np.empty(n, np.float32)
    for b in range(first, last):
        for j in range(d):
            inner[j] = z[j] * signs[b, j]
        inner[d:] = 0
        transform(inner)
        rows = min(n, len(out) - b * n)
        outer = out[b * n : b * n + n] if rows == n else spare
        for i in range(n):
            outer[i] = gains[b, i] * inner[index[b, i]]
        transform(outer)
        if rows < n:
            out[b * n :] = spare[:rows]


@_compiled
def contract(g, signs, index, gains, width, first, last, total):  # type: ignore[no-untyped-def]
    """Add what blocks `first` to `last` give to Pᵀ g, each B H Πᵀ G H g, to `total` (float64)."""
    d, n = len(total), index.shape[1]
    inner = np.empty(width, np.float32)
    outer = np.empty(n, np.float32)
    for b in range(first, last):
        rows = min(n, len(g) - b * n)
        outer[:rows] = g[b * n : b * n + rows]
        outer[rows:] = 0
        transform(outer)
        inner[:] = 0
        for i in range(n):
            inner[index[b, i]] += gains[b, i] * outer[i]
        transform(inner)
        for j in range(d):
            total[j] += inner[j] * signs[b, j]


@_compiled
def pick(z, index, first, last, out):  # type: ignore[no-untyped-def]
    """out[i] = z[index[i]] for rows `first` to `last`."""
    for i in range(first, last):
        out[i] = z[index[i]]


@_compiled
def gather(g, index, first, last, total):  # type: ignore[no-untyped-def]
    """total[index[i]] += g[i] for rows `first` to `last`, in float64."""
    for i in range(first, last):
        total[index[i]] += g[i]
