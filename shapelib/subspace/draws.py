"""The random numbers of P, from a seed by arithmetic on 64-bit integers alone.

A package may change what its generators draw, and a subspace that is saved as a seed must come back
for years. Number i of a stream is the finalizer of splitmix64 (Steele, Lea and Flood 2014) of
key + (i + 1) · 0x9E3779B97F4A7C15, so that each can be had without those before it; numbers of a
stream are the keys of its rows. Permutations and signs are then the same everywhere; normal numbers
are so to the last digits of a logarithm and a cosine.

Importing this module imports numba, so import it inside functions.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from shapelib.threads import in_threads

# Numbers that repay a thread's start.
_WORTH = 2**16

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11, _1 = (np.uint64(each) for each in (30, 27, 31, 11, 1))


# No order of arithmetic is free here, as it is in the transforms: machines would differ.
def _compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = njit(cache=True, nogil=True)(loop)
    return compiled


def key(seed: int, stream: str) -> np.uint64:
    """The key of a seed's stream."""
    digest = hashlib.sha256(f"shapelib {int(seed)} {stream}".encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def permutations(
    seed: int, shape: tuple[int, int], period: int, kind: type[np.generic]
) -> Int[np.ndarray, "rows n"]:
    """A permutation of 0, 1, … in each row, modulo `period`."""
    return _rows(_permute, np.empty(shape, kind), key(seed, "permutations"), period)


def signs(seed: int, shape: tuple[int, int]) -> Int[np.ndarray, "rows n"]:
    """−1 or 1."""
    return _rows(_sign, np.empty(shape, np.int8), key(seed, "signs"))


def normal(seed: int, shape: tuple[int, int]) -> Float[np.ndarray, "rows n"]:
    """Standard normal numbers, by Box and Muller."""
    return _rows(_normal, np.empty(shape, np.float32), key(seed, "normal"))


def _rows(loop: Callable[..., Any], out: np.ndarray, *given: Any) -> np.ndarray:
    """`out`, with its rows filled by as many threads as there are."""
    in_threads(len(out), lambda *part: loop(*given, *part, out), max(1, _WORTH // out.shape[1]))
    return out


@_compiled
def number(key, i):  # type: ignore[no-untyped-def]
    """Number i of a key's stream, from 0 to 2⁶⁴ − 1."""
    z = key + np.uint64(i + 1) * _STEP
    z = (z ^ (z >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    return z ^ (z >> _31)


@_compiled
def _permute(key, period, first, last, out):  # type: ignore[no-untyped-def]
    """Rows `first` to `last` of `out`."""
    for b in range(first, last):
        row, own, value = out[b], number(key, b), 0
        for i in range(len(row)):
            row[i] = value
            value = value + 1 if value + 1 < period else 0
        # Fisher and Yates: the remainder's bias is less than one in 2³² for any row.
        for i in range(len(row) - 1, 0, -1):
            j = np.int64(number(own, i) % np.uint64(i + 1))
            row[i], row[j] = row[j], row[i]


@_compiled
def _sign(key, first, last, out):  # type: ignore[no-untyped-def]
    """Rows `first` to `last` of `out`."""
    for b in range(first, last):
        row, own = out[b], number(key, b)
        for i in range(len(row)):
            bit = (number(own, i // 64) >> np.uint64(i % 64)) & _1
            row[i] = 1 if bit else -1


@_compiled
def _normal(key, first, last, out):  # type: ignore[no-untyped-def]
    """Rows `first` to `last` of `out`."""
    for b in range(first, last):
        row, own = out[b], number(key, b)
        for i in range(0, len(row), 2):
            # From 2⁻⁵³ to 1, and from 0 to below 1.
            radius = np.sqrt(-2 * np.log(np.float64((number(own, i) >> _11) + _1) * 2.0**-53))
            angle = 2 * np.pi * (np.float64(number(own, i + 1) >> _11) * 2.0**-53)
            row[i] = radius * np.cos(angle)
            if i + 1 < len(row):
                row[i + 1] = radius * np.sin(angle)
