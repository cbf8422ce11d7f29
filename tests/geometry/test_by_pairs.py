"""Who meets which columns, and who settles what when, in a search by pairs."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapelib.geometry.search import by_pairs, rounded
from shapelib.geometry.search.by_pairs import _Order, _tiles

COUNTS = st.integers(1, 16)


def begins(points: int) -> list[int]:
    """Where the blocks of rows begin."""
    blocks = -(-points // rounded.BLOCK)
    return [points * part // blocks for part in range(blocks)]


@given(points=st.integers(1, 20_000), threads=COUNTS)
def test_each_column_from_a_block_on_is_one_threads_own(points: int, threads: int) -> None:
    owner = np.full(points, -1)
    for first in begins(points):
        met = np.zeros(points, int)
        for thread in range(threads):
            for start, stop in _tiles(points, first, thread, threads):
                assert 0 < stop - start <= by_pairs._COLUMNS
                met[start:stop] += 1
                # For good: no two threads ever write the list of one point.
                assert np.isin(owner[start:stop], (-1, thread)).all()
                owner[start:stop] = thread
        assert (met == (np.arange(points) >= first)).all()


@pytest.mark.parametrize("points", [4096, 16_384, 65_536])
@pytest.mark.parametrize("threads", [2, 4, 16])
def test_threads_have_equally_much_to_multiply(points: int, threads: int) -> None:
    work = [
        sum(
            stop - start
            for first in begins(points)
            for start, stop in _tiles(points, first, thread, threads)
        )
        for thread in range(threads)
    ]
    assert max(work) < 1.07 * sum(work) / threads


@settings(deadline=None, max_examples=40)
@given(blocks=st.integers(1, 20), threads=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_every_row_is_settled_once_and_after_all_have_met_it(
    blocks: int, threads: int, seed: int
) -> None:
    """Whatever the threads take for each step; and none runs into lists that are still needed."""
    order, events = _Order(blocks, threads), []
    pauses = np.random.default_rng(seed).exponential(3e-4, (threads, blocks, 2))

    def work(thread: int) -> None:
        def settle(task: tuple[int, int]) -> None:
            time.sleep(pauses[thread, task[0], 1])
            events.append(("settled", *task))

        with order.guarded():
            for number in range(blocks):
                for task in order.before(number):
                    settle(task)
                events.append(("begins", number, thread))
                time.sleep(pauses[thread, number, 0])
                events.append(("met", number, thread))
                for task in order.after(number):
                    settle(task)
            for task in order.at_the_end():
                settle(task)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    at = {event: place for place, event in enumerate(events)}
    parts = list(itertools.product(range(blocks), range(threads)))
    assert len(events) == len(at) == 3 * len(parts)
    for number, part in parts:
        settled = at["settled", number, part]
        assert all(at["met", number, thread] < settled for thread in range(threads))
        later = number + by_pairs._AHEAD
        if later < blocks:
            assert all(settled < at["begins", later, thread] for thread in range(threads))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_where_one_thread_fails_all_end_and_it_is_told_once(threads: int) -> None:
    order, told = _Order(9, threads), []

    def work(thread: int) -> None:
        try:
            with order.guarded():
                for number in range(9):
                    list(order.before(number))
                    if (thread, number) == (threads - 1, 5):
                        raise MemoryError("no room")
                    list(order.after(number))
                list(order.at_the_end())
        except MemoryError as error:
            told.append(str(error))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads), timeout=20))
    assert told == ["no room"]
