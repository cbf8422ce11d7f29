"""Where hidden states lie: in memory, on disk past a budget, or a few layers at a time."""

import logging
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from shapelib.errors import ShapelibError
from shapelib.store import cache

_log = logging.getLogger("shapelib")
GIB = 1 << 30
# Share of the free disk that may be taken: others write there as well.
_SHARE = 0.95


class Plan(NamedTuple):
    """Which layers are held at once, pass after pass over the text, and where."""

    passes: list[range]
    on_disk: bool
    layer: int
    """Bytes of one layer."""
    free: float
    """Bytes that may be taken of the disk; of interest where memory does not hold all layers."""

    def announce(self, name: str) -> None:
        """Say by log what is needed of the disk, and how often the text is read."""
        at_once, layers = len(self.passes[0]), self.passes[-1].stop
        if self.on_disk:
            _log.info(
                "%s: %.2f GiB of hidden states go to disk, where %.2f GiB can be taken (%s)",
                name, at_once * self.layer / GIB, self.free / GIB, cache.folder("spill"),
            )  # fmt: skip
        if len(self.passes) > 1:
            _log.info(
                "%s: all %d layers need %.2f GiB, so the text is read %d times, for at most %d "
                "layers each", name, layers, layers * self.layer / GIB, len(self.passes), at_once,
            )  # fmt: skip


def plan(name: str, layers: int, layer: int, memory: float) -> Plan:
    """How to hold the states of a model's `layers`, each of `layer` bytes.

    All in memory where they fit the budget of `memory` bytes; else all on disk where they fit
    what is free there; else as many at once as the larger of the two holds, in several passes.

    Raises `ShapelibError` where not even one fits.
    """
    if layers * layer <= memory:
        return Plan([range(layers)], False, layer, math.inf)
    where = cache.folder("spill")
    free = _SHARE * shutil.disk_usage(where).free
    at_once = min(layers, int(max(memory, free) // layer))
    if not at_once:
        raise ShapelibError(
            f"one layer of {name} needs {layer / GIB:.2f} GiB, more than "
            f"{max(memory, 0) / GIB:.2f} GiB of memory and than the {free / GIB:.2f} GiB that can "
            f"be taken of the disk of {where}; ask for fewer tokens or more memory, or set "
            "SHAPELIB_CACHE to a larger disk"
        )
    passes = [range(start, min(start + at_once, layers)) for start in range(0, layers, at_once)]
    return Plan(passes, free > memory, layer, free)


class Memory:
    """Layers of vectors as arrays."""

    def __init__(self, layers: Sequence[int], rows: int, width: int) -> None:
        self.states = {layer: np.empty((rows, width), np.float32) for layer in layers}

    def write(self, layer: int, start: int, vectors: Float[np.ndarray, "some width"]) -> None:
        self.states[layer][start : start + len(vectors)] = vectors

    def finish(self) -> dict[int, Float[np.ndarray, "rows width"]]:
        return self.states

    def release(self) -> None:
        """Nothing to give back before the end."""

    def close(self) -> None:
        self.states.clear()


class Disk:
    """Layers of vectors in one file without a name, which goes away with the process.

    It is written with plain writes, so that a full disk is an error and not a signal, and read
    through a mapping, whose pages are given back with `release`.
    """

    def __init__(self, layers: Sequence[int], rows: int, width: int) -> None:
        self.layers, self.rows, self.width = layers, rows, width
        size = 4 * rows * width
        # A mapping may start at a page only.
        page = mmap.ALLOCATIONGRANULARITY
        self.stride = -(-size // page) * page
        self.places = {layer: place * self.stride for place, layer in enumerate(layers)}
        self.map: mmap.mmap | None = None
        folder = cache.folder("spill")
        self.file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self.where = str(folder)
        try:
            # Taken now: a disk that fills up later fails before hours of reading, not after.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.file.fileno(), 0, len(layers) * self.stride)
            else:
                self.file.truncate(len(layers) * self.stride)
        except OSError as error:
            self.file.close()
            raise self._full(error) from error

    def write(self, layer: int, start: int, vectors: Float[np.ndarray, "some width"]) -> None:
        rest = memoryview(vectors.astype(np.float32, copy=False).tobytes())
        self.file.seek(self.places[layer] + 4 * start * self.width)
        try:
            while rest:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            raise self._full(error) from error

    def finish(self) -> dict[int, Float[np.ndarray, "rows width"]]:
        """The layers, as arrays that can be read."""
        self.map = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        shape = (self.rows, self.width)
        return {
            layer: np.frombuffer(self.map, np.float32, shape[0] * shape[1], place).reshape(shape)
            for layer, place in self.places.items()
        }

    def release(self) -> None:
        """Let go of the pages that were read: they count as this process's memory until then."""
        if self.map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.map.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        # The mapping lives as long as an array that reads it.
        self.map = None
        self.file.close()

    def _full(self, error: OSError) -> ShapelibError:
        need = len(self.layers) * self.stride / GIB
        return ShapelibError(
            f"{need:.2f} GiB of hidden states cannot be kept in {self.where}: {error.strerror}; "
            "nothing is left there. Free some of that disk, ask for fewer tokens or more memory, "
            "or set SHAPELIB_CACHE to a larger disk"
        )
