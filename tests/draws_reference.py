"""What a seed draws, written out with Python's own integers: no 64-bit type, no compiled loop."""

import hashlib
import math

import numpy as np

WORD = 2**64


def number(key: int, i: int) -> int:
    z = (key + (i + 1) * 0x9E3779B97F4A7C15) % WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % WORD
    return z ^ (z >> 31)


def row_key(seed: int, stream: str, row: int) -> int:
    digest = hashlib.sha256(f"shapelib {seed} {stream}".encode()).digest()
    return number(int.from_bytes(digest[:8], "little"), row)


def permutations(seed: int, rows: int, size: int) -> np.ndarray:
    found = []
    for row in range(rows):
        key, order = row_key(seed, "permutations", row), list(range(size))
        for i in range(size - 1, 0, -1):
            j = number(key, i) % (i + 1)
            order[i], order[j] = order[j], order[i]
        found.append(order)
    return np.array(found)


def signs(seed: int, rows: int, size: int) -> np.ndarray:
    keys = [row_key(seed, "signs", row) for row in range(rows)]
    return np.array(
        [[2 * ((number(key, i // 64) >> (i % 64)) & 1) - 1 for i in range(size)] for key in keys]
    )


def normal(seed: int, rows: int, size: int) -> np.ndarray:
    found = []
    for row in range(rows):
        key, values = row_key(seed, "normal", row), []
        for i in range(0, size, 2):
            first, second = ((number(key, i + more) >> 11) for more in (0, 1))
            radius = math.sqrt(-2 * math.log((first + 1) / 2**53))
            angle = 2 * math.pi * second / 2**53
            values += [radius * math.cos(angle), radius * math.sin(angle)]
        found.append(values[:size])
    return np.array(found)
