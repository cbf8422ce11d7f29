"""Commands without room, without each other's patience, without a cache that can be written."""

import random
import re
import shutil
import time
from functools import partial
from pathlib import Path

from disturbed import material
from disturbed.commands import (
    PAGE,
    SHORT,
    SWEEP,
    TRAINING,
    TUNING,
    Command,
    Found,
    Row,
    ready,
    whole_run,
)
from disturbed.processes import apart, can_mount, small_disk

EACH = {"sweep": SWEEP, "tuning": TUNING, "training": TRAINING, "run": PAGE}


def full(tried: str, folder: Path, times: int, draw: random.Random, disk: bool) -> Row | None:
    """Let store and cache have so many bytes and no more; then give them room, and go on."""
    if disk and not can_mount(folder / "probe"):
        return None
    row, at = Row(tried), ready(folder.parent)
    whole = whole_run(SHORT, at, folder)
    size = sum(each.stat().st_size for each in whole.rglob("*") if each.is_file())
    largest = max(each.stat().st_size for each in whole.rglob("*") if each.is_file())
    while row.times < max(times // 3, 1):
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
    row.lost += not (apart(partial(command.same, output, whole)) and command.clean(output))


def together(tried: str, folder: Path, times: int, draw: random.Random) -> Row:
    """Two runs on one store, the second a random moment after the first."""
    row, at = Row(tried), ready(folder.parent)
    whole = whole_run(SWEEP, at, folder)
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
        row.lost += not (apart(partial(SWEEP.same, output, whole)) and SWEEP.clean(output))
        row.unnamed += "Traceback" in words
    return row


def elsewhere(tried: str, folder: Path, times: int, draw: random.Random) -> Row | None:
    """The cache on another file system than everything else."""
    if not can_mount(folder / "probe"):
        return None
    row, at = Row(tried), ready(folder.parent)
    for name, command in {
        "sweep": SHORT,
        "tuning": TUNING,
        "training": TRAINING,
        "run": PAGE,
    }.items():
        whole = whole_run(command, at, folder / name)
        output = folder / name / "elsewhere"
        (output / "cache").mkdir(parents=True)
        with small_disk(output / "cache", 2**26):
            row.times += 1
            row.unnamed += command.start(at, output).wait() != 0
            row.lost += not (apart(partial(command.same, output, whole)) and command.clean(output))
    return row


def read_only(tried: str, folder: Path, times: int, draw: random.Random) -> Row | None:
    """A cache that may be read alone: empty, and full of what is asked for."""
    if not can_mount(folder / "probe"):
        return None
    row, at = Row(tried, lost=None, twice=None), ready(folder.parent)
    for name, command in EACH.items():
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
