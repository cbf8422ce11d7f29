"""Every trial: what is done to a command, how often, and what was lost by it."""

import contextlib
import dataclasses
import functools
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kept import finished

from disturbed import material
from disturbed.processes import SHAPELIB, Run, apart, can_mount, prepare, small_disk

RUN = "from shapebook.run import main; main()"
Found = dict[str, tuple[int, int]]


@dataclasses.dataclass
class Row:
    """A row of the table; None where a count has no meaning."""

    tried: str
    times: int = 0
    lost: int | None = 0
    """Finished work that was gone, and results that differ from those of an undisturbed run."""
    twice: int | None = 0
    """Finished work that was done again."""
    unnamed: int = 0
    """Ends with a traceback, or in silence."""

    def kept(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


@functools.cache
def _ready(base: Path) -> Path:
    """The folder of the material, made once."""
    folder = base / "material"
    folder.mkdir()
    prepare()
    apart(lambda: material.make(folder))
    return folder


@dataclasses.dataclass
class Command:
    """A command that fills a store, and how to look at one."""

    code: str
    words: Callable[[Path, Path], list[object]]
    """From the material and the store."""
    done: Callable[[Path], Found]
    """Each finished part of a store, and what changes when it is made again."""
    same: Callable[[Path, Path], bool]
    """Whether two stores hold the same result, the second undisturbed."""
    clean: Callable[[Path], bool] = lambda _: True
    """Whether nothing half done is left in a store."""

    def start(
        self, at: Path, output: Path, most: int | None = None, cache: Path | None = None
    ) -> Run:
        (output / "store").mkdir(parents=True, exist_ok=True)
        said = output.parent / f"{output.name}.said"
        return Run(
            self.code, self.words(at, output / "store"), said, cache or output / "cache", most
        )


def _same_table(name: str, leaving: tuple[str, ...] = ()) -> Callable[[Path, Path], bool]:
    def same(one: Path, two: Path) -> bool:
        import pandas as pd

        from shapelib.store import tables

        found, expected = (
            tables.read_table(each / "store" / name).drop(columns=list(leaving), errors="ignore")
            for each in (one, two)
        )
        try:
            pd.testing.assert_frame_equal(found, expected, atol=1e-5)
        except AssertionError:
            return False
        return True

    return same


def _same_page(one: Path, two: Path) -> bool:
    import nbformat

    pages = [nbformat.read(each / "store" / "out.ipynb", as_version=4) for each in (one, two)]
    texts = [[each.get("text") for each in page.cells[-1].outputs] for page in pages]
    return texts[0] == texts[1] and bool(texts[0])


def _cells_only(output: Path) -> bool:
    return all(each.suffix == ".parquet" for each in (output / "store" / "cells").iterdir())


def _inodes(folder: Path, pattern: str) -> Found:
    return {
        str(each.relative_to(folder)): (each.stat().st_ino, each.stat().st_mtime_ns)
        for each in folder.glob(pattern)
    }


def _sweep(at: Path, out: Path) -> list[object]:
    return ["sweep", at / "suite", "--corpus", at / "story.txt", "--output", out, *material.SWEEP]


SWEEP = Command(
    SHAPELIB, _sweep, lambda output: finished(output / "store"), _same_table("table.parquet"),
    _cells_only,
)  # fmt: skip
SHORT = dataclasses.replace(
    SWEEP, words=lambda at, out: [*_sweep(at, out), "--checkpoints", "0,100,200,300"]
)
TUNING = Command(
    SHAPELIB,
    lambda at, out: ["d90", at / "encoder", at / "animals.csv", "--output", out, *material.TUNE],
    lambda output: finished(output / "store"), _same_table("table.parquet", ("seconds",)),
    _cells_only,
)  # fmt: skip
TRAINING = Command(
    material.TRAIN, lambda at, out: [at / "recipe", out],
    lambda output: _inodes(output / "store", "step-*/model.safetensors"),
    _same_table("training.parquet", ("seconds",)),
)  # fmt: skip
PAGE = Command(
    RUN,
    lambda at, out: ["run", at / "roots.ipynb", "--out", out / "out.ipynb"],
    lambda output: _inodes(output / "cache" / "tables", "square-root-*[0-9]/manifest.json"),
    _same_page,
)  # fmt: skip


def killed(
    command: Command, tried: str, folder: Path, times: int, draw: random.Random,
    workers: bool = False,
) -> Row:  # fmt: skip
    """Kill a command at random moments until it was killed so often, store after store."""
    row, at = Row(tried), _ready(folder.parent)
    started = time.monotonic()
    whole = _whole(command, at, folder)
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
        row.lost += not apart(functools.partial(command.same, output, whole))
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
            time.sleep(draw.uniform(0, span / 4))
            found = [each for child in _children(run.pid) for each in _children(child)]
            if found:
                os.kill(draw.choice(found), 9)
                row.times += 1
        time.sleep(draw.uniform(0, span / 4))
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


def _children(pid: int) -> list[int]:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return [each.pid for each in psutil.Process(pid).children()]
    return []


def _family(pid: int) -> list[int]:
    return [pid, *(each for child in _children(pid) for each in _family(child))]


# ---- a disk that is full, a cache that is not where or what it should be


def full(tried: str, folder: Path, times: int, draw: random.Random, disk: bool) -> Row | None:
    """Let store and cache have so many bytes and no more; then give them room, and go on."""
    if disk and not can_mount(folder / "probe"):
        return None
    row, at = Row(tried), _ready(folder.parent)
    whole = _whole(SHORT, at, folder)
    size = sum(each.stat().st_size for each in whole.rglob("*") if each.is_file())
    largest = max(each.stat().st_size for each in whole.rglob("*") if each.is_file())
    while row.times < times:
        output = folder / str(row.times)
        said = folder / f"{row.times}.said"
        row.times += 1
        if not disk:
            status = SHORT.start(at, output, most=draw.randrange(1, largest)).wait()
            _after(SHORT, at, output, whole, status, said, row)
            shutil.rmtree(output)
            continue
        with small_disk(output, 4096 * draw.randrange(2, size // 4096)) as mounted:
            status = SHORT.start(at, output).wait()
            known = SHORT.done(output)
            mounted("size=64m")
            _after(SHORT, at, output, whole, status, said, row, known)
    return row


def _after(
    command: Command, at: Path, output: Path, whole: Path, status: int, said: Path, row: Row,
    known: Found | None = None,
) -> None:  # fmt: skip
    """What the starved command said, and what the same command makes of its store with room."""
    words = said.read_text() if said.exists() else ""
    row.unnamed += "Traceback" in words or (status != 0 and not words.strip())
    known = command.done(output) if known is None else known
    row.lost += command.start(at, output).wait() != 0
    now = command.done(output)
    row.lost += sum(each not in now for each in known)
    row.twice += sum(each in now and now[each] != known[each] for each in known)
    row.lost += not (
        apart(functools.partial(command.same, output, whole)) and command.clean(output)
    )


def _whole(command: Command, at: Path, folder: Path) -> Path:
    """The store of a run that nobody disturbs."""
    output = folder / "whole"
    if command.start(at, output).wait():
        raise RuntimeError((folder / "whole.said").read_text())
    return output


def together(tried: str, folder: Path, times: int, draw: random.Random) -> Row:
    """Two runs on one store, the second a random moment after the first."""
    row, at = Row(tried), _ready(folder.parent)
    whole = _whole(SWEEP, at, folder)
    while row.times < max(times // 3, 1):
        output = folder / str(row.times)
        row.times += 1
        first = SWEEP.start(at, output)
        time.sleep(draw.uniform(0, 1))
        second = SWEEP.start(at, output)
        row.unnamed += first.wait() != 0
        row.unnamed += second.wait() != 0
        words = (folder / f"{output.name}.said").read_text()
        counts = re.findall(r"were .*?, (\d+) computed", " ".join(words.split()))
        row.twice += sum(map(int, counts)) - len(material.STEPS)
        row.lost += not (
            apart(functools.partial(SWEEP.same, output, whole)) and SWEEP.clean(output)
        )
        row.unnamed += "Traceback" in words
    return row


def elsewhere(tried: str, folder: Path, times: int, draw: random.Random) -> Row | None:
    """The cache on another file system than everything else."""
    if not can_mount(folder / "probe"):
        return None
    row, at = Row(tried), _ready(folder.parent)
    for name, command in {
        "sweep": SHORT,
        "tuning": TUNING,
        "training": TRAINING,
        "run": PAGE,
    }.items():
        whole = _whole(command, at, folder / name)
        output = folder / name / "elsewhere"
        (output / "cache").mkdir(parents=True)
        with small_disk(output / "cache", 2**26):
            row.times += 1
            row.unnamed += command.start(at, output).wait() != 0
            row.lost += not (
                apart(functools.partial(command.same, output, whole)) and command.clean(output)
            )
    return row


def read_only(tried: str, folder: Path, times: int, draw: random.Random) -> Row | None:
    """A cache that may be read alone: empty, and full of what is asked for."""
    if not can_mount(folder / "probe"):
        return None
    row, at = Row(tried, lost=None, twice=None), _ready(folder.parent)
    for name, command in {
        "sweep": SWEEP,
        "tuning": TUNING,
        "training": TRAINING,
        "run": PAGE,
    }.items():
        for filled in (False, True):
            output = folder / f"{name}-{filled}"
            (output / "cache").mkdir(parents=True)
            with small_disk(output / "cache", 2**26) as mounted:
                if filled:
                    command.start(at, output).wait()
                    shutil.rmtree(output / "store")
                said = folder / f"{output.name}.said"
                said.unlink(missing_ok=True)
                mounted("ro")
                row.times += 1
                status = command.start(at, output).wait()
                words = said.read_text()
                named = status == 0 or "cache" in words
                row.unnamed += "Traceback" in words or not named
    return row


_KILLS = {
    "run": (PAGE, "`shapebook run`, killed"),
    "sweep": (SWEEP, "`shapelib sweep`, killed"),
    "training": (TRAINING, "a training run, killed"),
    "tuning": (TUNING, "`shapelib d90`, killed"),
}
ALL: dict[str, Callable[[Path, int, random.Random], Row | None]] = {
    **{
        name: functools.partial(killed, command, tried)
        for name, (command, tried) in _KILLS.items()
    },
    "workers": functools.partial(
        killed, SWEEP, "workers of `shapelib sweep --workers 2`, killed", workers=True
    ),
    "full disk": functools.partial(full, "a disk that is full at a random byte", disk=True),
    "full file": functools.partial(full, "a file that may not grow past a random byte", disk=False),
    "together": functools.partial(together, "two runs on one store"),
    "read-only": functools.partial(read_only, "a cache that cannot be written"),
    "elsewhere": functools.partial(elsewhere, "a cache on another file system"),
}  # fmt: skip
