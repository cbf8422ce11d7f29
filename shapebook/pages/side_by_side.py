"""Run commands side by side, each with its share of the cores, and tell of them line by line."""

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from shapelib.errors import ShapelibError

# What numerical libraries read the number of their threads from.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
# Seconds that a process has to end after it was asked to.
_GRACE = 10.0
_SAYS = "shapebook: "


@dataclass(frozen=True)
class Job:
    """One command: its name, its words, what must have been done before it, and what it may take.

    `weight` only orders: of the jobs that can start, one that others wait for goes first, then the
    heaviest.
    """

    name: str
    command: tuple[str, ...]
    after: str | None = None
    weight: float = 0.0


def cores() -> int:
    """The cores that this process may use."""
    # Not every system tells which cores a process is bound to.
    bound = getattr(os, "sched_getaffinity", None)
    return len(bound(0)) if bound else os.cpu_count() or 1


def run(jobs: Iterable[Job], at_once: int, told: Callable[[str], object] = print) -> None:
    """Run all jobs, at most `at_once` at a time; what one prints is told with its name before it.

    A job whose `after` is no name among the jobs waits for nothing. Threads are shared out by the
    environment, except where the user has set them there. When a job fails, none is started any
    more, those that run are waited for, and `ShapelibError` says what failed; an interrupt ends
    those that run.
    """
    waiting, running = list(jobs), dict[Future[None], Job]()
    threads = max(1, cores() // at_once)
    environment = {**{name: str(threads) for name in _THREADS}, **os.environ}
    processes: set[subprocess.Popen[str]] = set()
    lock = threading.Lock()

    def work(job: Job) -> None:
        _run(job, environment, processes, lambda text: _tell(lock, told, text))

    failed: list[str] = []
    with ThreadPoolExecutor(at_once) as pool:
        try:
            while running or (waiting and not failed):
                while not failed and len(running) < at_once:
                    ready = _next(waiting, [*waiting, *running.values()])
                    if ready is None:
                        break
                    waiting.remove(ready)
                    running[pool.submit(work, ready)] = ready
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for each in done:
                    job = running.pop(each)
                    if error := each.exception():
                        failed.append(f"{job.name}: {error}")
        except BaseException:
            for process in processes:
                process.terminate()
            raise
    if failed:
        raise ShapelibError("; ".join(failed))


def _next(waiting: Sequence[Job], unfinished: Sequence[Job]) -> Job | None:
    """The job to start now, or None where all wait for one that runs."""
    pending = {each.name for each in unfinished}
    ready = [each for each in waiting if each.after not in pending]
    if waiting and not ready and len(unfinished) == len(waiting):
        raise ShapelibError(
            f"each waits for another: {', '.join(f'{e.name} for {e.after}' for e in waiting)}"
        )

    def urgency(job: Job) -> tuple[int, float]:
        return sum(each.after == job.name for each in waiting), job.weight

    return max(ready, key=urgency, default=None)


def _run(
    job: Job,
    environment: dict[str, str],
    processes: set[subprocess.Popen[str]],
    told: Callable[[str], object],
) -> None:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            job.command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=errors, text=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
        processes.add(process)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                told(f"{job.name}: {line.rstrip()}")
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(_GRACE)
            processes.discard(process)
        if code:
            errors.seek(0)
            raise ShapelibError(_why(errors.read(), code))


def _why(text: str, code: int) -> str:
    """What a failed process said: our own message if it gave one, else all of it."""
    _, ours, message = text.rpartition(_SAYS)
    return message.strip() if ours else f"it ended with {code}\n{text.strip()}".strip()


def _tell(lock: threading.Lock, told: Callable[[str], object], text: str) -> None:
    with lock:
        told(text)
