"""Who computes: this process, processes on this machine, or a running Dask cluster.

The last two are one path: `--workers` starts a Dask cluster of its own. A worker that is killed is
started again and its task given to another; a task that outlives its third worker has failed.
"""

import contextlib
import functools
import importlib.util
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from shapelib.errors import ShapelibError, foreign, is_whole_number

T = TypeVar("T")
R = TypeVar("R")
Engine = Callable[[Callable[[T], R], Sequence[T]], Iterator[tuple[T, R | BaseException]]]
"""Applies a function to items; yields each with its result, or the error that ended it."""

_log = logging.getLogger("shapelib")
GIB = 1 << 30
# What a process with torch and transformers takes before any model.
_PROCESS = GIB // 2
# Seconds within which a cluster answers.
_ANSWER = 10.0
_CHATTY = ("distributed", "tornado.application")


def check(workers: int, dask: str | None) -> None:
    """Raise `ShapelibError` unless one of the two ways to have several workers is asked for, and
    what they need is installed."""
    if not is_whole_number(workers, 1):
        raise ShapelibError(f"workers must be a whole number of at least 1, got {workers!r}")
    if dask is not None and workers > 1:
        raise ShapelibError("give workers, which start here, or the address of a cluster, not both")
    if dask is not None or workers > 1:
        _distributed()


def here(work: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R | BaseException]]:
    """In this process, one after the other."""
    for item in items:
        yield item, work(item)


@contextlib.contextmanager
def local(
    workers: int, need: int, device: str, preload: Sequence[str] = ()
) -> Iterator[Engine[Any, Any]]:
    """Processes on this machine, at most as many as `need` bytes of memory are free for.

    `preload`: modules that each has imported when it starts.
    """
    distributed = _distributed()
    workers = _that_fit(workers, need, device)
    settings = {
        "n_workers": workers, "threads_per_worker": 1, "processes": True, "memory_limit": 0,
        "dashboard_address": ":0", "env": dict(os.environ),
        "resources": {"GPU": 1} if device.startswith("cuda") else None,
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(_start_method(preload))
        # One that is killed while it starts is answered in many ways.
        with foreign("the workers did not start, and the same command tries again"):
            cluster = stack.enter_context(distributed.LocalCluster(**settings))
            client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
            client.register_plugin(_composure())
        yield _engine(client, device, threads(workers))


@contextlib.contextmanager
def _start_method(preload: Sequence[str]) -> Iterator[None]:
    """On Linux workers fork from one process that has imported what they need, and no more.

    A worker then starts (and starts again, when it was killed) in a fraction of the time.
    """
    import dask
    from distributed.utils import get_mp_context

    method = "forkserver" if sys.platform == "linux" else "spawn"
    with dask.config.set({"distributed.worker.multiprocessing-method": method}):
        context = get_mp_context()  # type: ignore[no-untyped-call]
        if method == "forkserver":
            # Of a module that is not there the server itself would say nothing, and start slowly.
            for name in preload:
                if importlib.util.find_spec(name) is None:
                    raise ModuleNotFoundError(f"no module {name} to preload", name=name)
            context.set_forkserver_preload(["distributed", *preload])
            # The imports are done when this comes back: Dask waits for a worker with a time limit.
            first = context.Process(target=int)
            first.start()
            first.join()
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Dask's own reports of every start and stop, which none of our users asked for."""
    loggers = [logging.getLogger(each) for each in _CHATTY]
    before = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.setLevel(level)


def _composure() -> Any:
    """What makes a worker of ours leave Ctrl-C, which a terminal sends to all, to its run."""
    from distributed import WorkerPlugin

    class Composure(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for each in _CHATTY:
                logging.getLogger(each).setLevel(logging.CRITICAL)

    return Composure()


@contextlib.contextmanager
def remote(address: str, device: str) -> Iterator[Engine[Any, Any]]:
    """The workers of a running Dask cluster.

    Raises `ShapelibError` where none answers at `address`, where a worker does not have this
    library, and, for CUDA, where it has workers and none of them offers the resource GPU.
    """
    with client(address) as cluster:
        offered = gpus(cluster)
        if offered is not None:
            _require_library(cluster, address)
        if device.startswith("cuda") and offered == 0:
            raise ShapelibError(
                f"no worker of the Dask cluster at {address} offers a GPU; start them with: "
                'dask worker ADDRESS --nthreads 1 --resources "GPU=1"'
            )
        if offered is None:
            _log.info("the Dask cluster at %s has no worker yet: waiting", address)
        yield _engine(cluster, device)


def _require_library(client: Any, address: str) -> None:
    """Raise `ShapelibError` where a worker of a cluster cannot import what it is to run."""
    # Of a function of ours it could not even be told.
    there = "__import__('importlib.util', fromlist=['']).find_spec('shapelib') is not None"
    without = sorted(worker for worker, has in client.run(eval, there).items() if not has)
    if without:
        raise ShapelibError(
            f"of the workers of the Dask cluster at {address} these do not have shapelib: "
            f"{', '.join(without)}; install the version there that is here. Nothing was computed"
        )


def gpus(client: Any) -> float | None:
    """How many GPUs the workers of a cluster offer; None while it has no workers."""
    found = client.scheduler_info(n_workers=-1)["workers"].values()
    return sum(each["resources"].get("GPU", 0) for each in found) if found else None


def threads(workers: int) -> int:
    """Threads of each of several processes, so that together they use this machine's cores."""
    from dask.system import CPU_COUNT

    return max(1, int(CPU_COUNT) // workers)


def _engine(client: Any, device: str, threads: int | None = None) -> Engine[Any, Any]:
    from distributed import as_completed

    resources = {"GPU": 1} if device.startswith("cuda") else None

    def run(work: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R | BaseException]]:
        task = functools.partial(_task, work, threads, device)
        futures = {
            client.submit(task, item, pure=False, resources=resources): item for item in items
        }
        try:
            for future in as_completed(list(futures), loop=client.loop):  # type: ignore[no-untyped-call]
                item = futures.pop(future)
                if future.cancelled():
                    raise ShapelibError(
                        "the Dask cluster went away; what was finished is kept, and the same "
                        "command computes the rest"
                    )
                error = future.exception()
                yield item, (future.result() if error is None else error)
        finally:
            if futures:
                client.cancel(list(futures))

    return run


# A process holds one model at a time, however many threads its worker has.
_one_at_a_time = threading.Lock()


def _task(work: Callable[[T], R], threads: int | None, device: str, item: T) -> R:
    """What a worker does: `work`, with the threads and on the GPU that are its own."""
    import torch
    from distributed import get_worker

    with _one_at_a_time:
        worker = get_worker()
        # An OpenMP setting of the thread that asks: Dask's default is one for any worker.
        torch.set_num_threads(threads or worker.state.nthreads)
        if device == "cuda" and isinstance(worker.name, int):
            torch.cuda.set_device(worker.name % torch.cuda.device_count())
        return work(item)


def _that_fit(workers: int, need: int, device: str) -> int:
    """As many workers as asked for, or as there is memory for, but one."""
    need += _PROCESS
    free = _free(device.startswith("cuda"))
    fit = max(1, sum(int(each // need) for each in free))
    if fit < workers:
        _log.info(
            "%d of %d workers are started: each may need %.1f GiB, and %.1f GiB are free",
            fit, workers, need / GIB, sum(free) / GIB,
        )  # fmt: skip
    return min(workers, fit)


def _free(cuda: bool) -> list[float]:
    """Free bytes of each place where models can lie: the GPUs, or this machine's memory."""
    if cuda:
        import torch

        return [torch.cuda.mem_get_info(each)[0] for each in range(torch.cuda.device_count())]
    import psutil
    from distributed.system import MEMORY_LIMIT

    return [min(psutil.virtual_memory().available, MEMORY_LIMIT)]


def client(address: str) -> Any:
    try:
        return _distributed().Client(address, timeout=_ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ShapelibError(
            f"no Dask scheduler answers at {address!r}; an address is accepted that "
            "`dask scheduler` prints, such as tcp://127.0.0.1:8786"
        ) from error


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ShapelibError(
            'several workers need Dask; run: pip install "shapelib[cluster]"'
        ) from error
    return distributed
