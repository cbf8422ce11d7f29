"""Commands that are killed at random moments, store after store."""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from disturbed.commands import SWEEP, Command, Found, Row, ready, whole_run
from disturbed.processes import SHAPELIB, apart


def killed(
    command: Command, tried: str, folder: Path, times: int, draw: random.Random,
    workers: bool = False,
) -> Row:  # fmt: skip
    """Kill a command at random moments until it was killed so often, store after store."""
    row, at = Row(tried), ready(folder.parent)
    started = time.monotonic()
    whole = whole_run(command, at, folder)
    span, number = time.monotonic() - started, 0
    while row.times < times:
        number += 1
        output = folder / str(number)
        known: Found = {}
        going = True
        while going and row.times < times:
            going = _killed_once(command, at, output, draw, span, workers, row)
            now = command.done(output)
            row.lost += sum(each not in now for each in known)
            row.twice += sum(each in now and now[each] != known[each] for each in known)
            known = now
        if command.start(at, output).wait():
            row.unnamed += 1
        now = command.done(output)
        row.lost += sum(each not in now for each in known)
        row.twice += sum(each in now and now[each] != known[each] for each in known)
        row.lost += not apart(partial(command.same, output, whole))
        row.lost += not command.clean(output)
        row.unnamed += "Traceback" in (folder / f"{number}.said").read_text()
        shutil.rmtree(output)
    return row


def _killed_once(
    command: Command, at: Path, output: Path, draw: random.Random, span: float, workers: bool,
    row: Row,
) -> bool:  # fmt: skip
    """Start it and kill it, or three of its workers and then it; False where it ended before."""
    if not workers:
        there = command.start(at, output).kill_after(draw.uniform(0, span))
        row.times += there
        return there
    run = _with_workers(at, output)
    try:
        for _ in range(3):
            found = _workers(run)
            if not found:
                return False
            time.sleep(draw.uniform(0, 1))
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice(found), 9)
                row.times += 1
        time.sleep(draw.uniform(0, 1))
        return run.poll() is None
    finally:
        for each in _family(run.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, 9)
        run.wait()


def _with_workers(at: Path, output: Path) -> "subprocess.Popen[bytes]":
    """A sweep by two workers: a program of its own, from which they fork."""
    with (output.parent / f"{output.name}.said").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-c", SHAPELIB, *map(str, SWEEP.words(at, output / "store")),
             "--workers", "2"],
            stdout=said, stderr=said, env={**os.environ, "SHAPELIB_CACHE": str(output / "cache")},
        )  # fmt: skip


def _workers(run: "subprocess.Popen[bytes]") -> list[int]:
    """Those at work, or starting again; none where the run has ended."""
    while run.poll() is None:
        if found := [each for child in _children(run.pid) for each in _children(child)]:
            return found
        time.sleep(0.05)
    return []


def _children(pid: int) -> list[int]:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return [each.pid for each in psutil.Process(pid).children()]
    return []


def _family(pid: int) -> list[int]:
    return [pid, *(each for child in _children(pid) for each in _family(child))]
