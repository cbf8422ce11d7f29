"""Work shared among as many threads as torch is set to use."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def in_threads(rows: int, work: Callable[[int, int], T], least: int = 64) -> list[T]:
    """``work(start, stop)`` for parts of at least `least` rows, one a thread; results in order.

    Torch has one thread inside `work`. Its own threads spin for milliseconds after each of its
    operations, and would keep these from their processors.
    """
    threads = torch.get_num_threads()
    parts = min(threads, max(1, rows // least))
    if parts == 1:
        return [work(0, rows)]
    edges = [rows * part // parts for part in range(parts + 1)]
    try:
        with ThreadPoolExecutor(parts, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, edges[:-1], edges[1:]))
    finally:
        torch.set_num_threads(threads)
