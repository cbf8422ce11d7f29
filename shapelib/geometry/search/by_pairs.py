"""The search that sees each pair once, block by block, on as many threads as torch has.

The columns are cut into strips, and each thread has its own for good: no two write one list, and
none waits for another before the next block of rows. Whoever comes last to the end of a block hands
it out to be settled, and goes on; whoever is ahead settles. So nobody stands still but at the end.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapelib.geometry.search import rounded
from shapelib.geometry.search.rounded import Known
from shapelib.threads import in_threads

# Columns of a strip: at most so many that a product of a block with it stays in a core's own cache,
# at least so many that the product is worth its call.
_COLUMNS, _NARROW = 512, 64
# Strips of a thread at least, where there are points enough: later ones meet more blocks.
_STRIPS = 4
# The least room of a point's list.
_ROOM = 128
# Blocks of rows that a thread may be ahead of what is settled.
_AHEAD = 4


class _Lists(NamedTuple):
    """Who may be among the nearest of each point, see `pairs`."""

    who: Int[np.ndarray, "n room"]
    low: Float[np.ndarray, "n room"]
    high: Float[np.ndarray, "n room"]
    held: Int[np.ndarray, " n"]


def search(
    x: Float[Tensor, "n d"],
    values: Float[Tensor, "n d"],
    scale: float,
    known: Known,
    summed: float,
    stored: float,
    tiny: float,
    groups: Int[Tensor, " n"],
    out: tuple[Float[Tensor, "n k"], Int[Tensor, "n k"], Int[Tensor, " n"]],
) -> None:
    """Search all points: their distances, indices and verdicts are put into `out`.

    values: the points as a fast product takes them, bfloat16 or float32. What else is given: see
    `pairs`.
    """
    from shapelib.geometry.search import pairs

    n, k = out[0].shape
    room = min(n, max(_ROOM, 3 * k))
    points, about = x.numpy(), torch.stack(list(known)).numpy()
    screen = pairs.screened(about, summed, tiny)
    targets, group = [each.numpy() for each in out], groups.numpy()
    edges = [n * part // -(-n // rounded.BLOCK) for part in range(-(-n // rounded.BLOCK) + 1)]
    blocks = list(itertools.pairwise(edges))
    largest = max(last - first for first, last in blocks)
    threads = min(torch.get_num_threads(), max(1, n // rounded.BLOCK))
    lists, bars = _lists(n, room), np.full(n, np.inf, np.float32)
    own = [[_lists(largest, room) for _ in range(threads)] for _ in range(_AHEAD)]
    order = _Order(len(blocks), threads)

    def sift(number: int, thread: int, tile: Float[Tensor, " largest"]) -> None:
        first, last = blocks[number]
        mine = own[number % _AHEAD][thread]
        mine.held[:] = 0
        # A row has one bar in all threads: what any list says of it holds.
        rows = (*mine, bars[first:last])
        for start, stop in _tiles(n, first, thread, threads):
            product = tile[: (last - first) * (stop - start)].view(last - first, stop - start)
            multiply(values[first:last], values[start:stop], product)
            if number == 0:
                pairs.first_bars(product.numpy(), first, start, k, stored, group, screen, bars)
            pairs.sift(product.numpy(), first, start, k, stored, group, screen, *lists, bars, *rows)

    def settle(number: int, part: int) -> None:
        first, last = blocks[number]
        begin, end = ((last - first) * each // threads for each in (part, part + 1))
        parts = tuple(tuple(each) for each in own[number % _AHEAD])
        pairs.settle(points, first, begin, end, scale, screen[2], *lists, bars, parts, *targets)

    def work(thread: int, _: int) -> None:
        tile = torch.empty(largest * _COLUMNS)
        with order.guarded():
            for number in range(len(blocks)):
                for done in order.before(number):
                    settle(*done)
                sift(number, thread, tile)
                for done in order.after(number):
                    settle(*done)
            for done in order.at_the_end():
                settle(*done)

    in_threads(threads, work, 1)


def multiply(
    left: Float[Tensor, "m d"], right: Float[Tensor, "c d"], out: Float[Tensor, "m c"]
) -> None:
    """Put the product of rows with rows into `out`, float32 also where they are bfloat16."""
    if left.dtype == out.dtype:
        torch.matmul(left, right.T, out=out)
    else:
        out.copy_(left @ right.T)


def _lists(n: int, room: int) -> _Lists:
    return _Lists(
        np.empty((n, room), np.int32), np.empty((n, room), np.float32),
        np.empty((n, room), np.float32), np.zeros(n, np.int64),
    )  # fmt: skip


def _tiles(n: int, first: int, thread: int, threads: int) -> Iterator[tuple[int, int]]:
    """The columns from `first` to `n` that are a thread's, strip by strip.

    Strips go to and fro between threads (0, 1, 1, 0, 0, 1, …), since later ones meet more blocks.
    """
    width = max(_NARROW, min(_COLUMNS, n // (_STRIPS * threads)))
    lanes = itertools.cycle([*range(threads), *reversed(range(threads))])
    for start, lane in zip(range(0, n, width), lanes, strict=False):
        if lane == thread and start + width > first:
            yield max(start, first), min(start + width, n)


class _Failed(Exception):
    """Another thread failed, and says why."""


class _Order:
    """Who does what when: which blocks all threads have met, and whose rows wait to be settled.

    A task is a block's number and a thread's share of its rows.
    """

    def __init__(self, blocks: int, threads: int) -> None:
        self._threads, self._failed, self._changed = threads, False, Condition()
        self._to_meet, self._to_settle = [threads] * blocks, [threads] * blocks
        self._ready: deque[tuple[int, int]] = deque()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Where one thread fails the others end too; only the first raises."""
        try:
            yield
        except _Failed:
            return
        except BaseException:
            with self._changed:
                self._failed = True
                self._changed.notify_all()
            raise

    def before(self, number: int) -> Iterator[tuple[int, int]]:
        """Tasks, until there is room for what a thread lists of block `number`."""
        last = number - _AHEAD
        return self._tasks(lambda: last < 0 or not self._to_settle[last], wait=True)

    def after(self, number: int) -> Iterator[tuple[int, int]]:
        """A thread has met block `number`: tasks for it, if it is ahead of another."""
        with self._changed:
            self._to_meet[number] -= 1
            last = not self._to_meet[number]
            if last:
                self._ready.extend((number, part) for part in range(self._threads))
                self._changed.notify_all()
        return iter(()) if last and self._threads > 1 else self._tasks(lambda: False, wait=False)

    def at_the_end(self) -> Iterator[tuple[int, int]]:
        """Tasks, until all rows are settled."""
        return self._tasks(lambda: not any(self._to_settle), wait=True)

    def _tasks(self, over: Callable[[], bool], *, wait: bool) -> Iterator[tuple[int, int]]:
        while True:
            with self._changed:
                if wait:
                    self._changed.wait_for(lambda: self._failed or self._ready or over())
                if self._failed:
                    raise _Failed
                if over() or not self._ready:
                    return
                task = self._ready.popleft()
            yield task
            with self._changed:
                self._to_settle[task[0]] -= 1
                self._changed.notify_all()
